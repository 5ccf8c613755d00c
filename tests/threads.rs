//! Output is the same on any number of threads, from a map and from a pipe.

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use common::{captures, flowdump, run, run_with_input};
use flowdump_bench::capture::Capture;
use flowdump_bench::kinds::{Amount, Kind, generate};

/// A capture with many connections at once.
fn generated(kind: Kind, folder: &Path) -> PathBuf {
    let path = folder.join(format!("{kind:?}.pcap"));
    let mut capture = Capture::new(std::fs::File::create(&path).unwrap()).unwrap();
    let amount = Amount {
        size: 3_000_000,
        connections: 300,
    };
    generate(kind, amount, 7, &mut capture, &mut std::io::sink()).unwrap();
    capture.finish().unwrap();
    path
}

/// All that a run writes into a folder, the index in its order; with `output` in it into an archive.
fn folder_of(capture: &Path, output: &str, threads: &str, through_pipe: bool) -> BTreeMap<String, Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let mut command = flowdump();
    command.args(["-q", "--threads", threads, "-o"]);
    command.arg(folder.path().join(output));
    if through_pipe {
        run_with_input(command.args(["-r", "-"]), &std::fs::read(capture).unwrap()).ok();
    } else {
        run(command.arg("-r").arg(capture)).ok();
    }
    let entries = std::fs::read_dir(folder.path()).unwrap();
    entries
        .map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            (name, std::fs::read(entry.path()).unwrap())
        })
        .collect()
}

/// The console, through a pipe, and the table below it.
fn console_of(capture: &Path, threads: &str) -> String {
    let mut command = flowdump();
    let options = ["-q", "-c", "--summary", "--threads", threads, "-r"];
    run(command.args(options).arg(capture)).ok().text()
}

#[test]
fn files_and_their_index_are_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let kinds = [Kind::Mail, Kind::Lossy, Kind::Swarm, Kind::Bulk];
    let generated = kinds.map(|kind| generated(kind, folder.path()));
    for capture in captures().into_iter().chain(generated) {
        let one = folder_of(&capture, "", "1", false);
        for (threads, through_pipe) in [("2", false), ("3", false), ("6", false), ("3", true), ("1", true)] {
            let other = folder_of(&capture, "", threads, through_pipe);
            assert!(
                one == other,
                "{} on {threads} threads, through a pipe: {through_pipe}",
                capture.display()
            );
        }
    }
}

#[test]
fn archives_are_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let kinds = [Kind::Mail, Kind::Lossy, Kind::Swarm, Kind::Bulk];
    for capture in kinds.map(|kind| generated(kind, folder.path())) {
        for output in ["x.zip", "x.tar"] {
            let one = folder_of(&capture, output, "1", false);
            assert_eq!(one.keys().collect::<Vec<_>>(), [output]);
            for (threads, through_pipe) in [("2", false), ("3", false), ("3", true)] {
                let other = folder_of(&capture, output, threads, through_pipe);
                assert!(
                    one == other,
                    "{output} on {threads} threads, through a pipe: {through_pipe}"
                );
            }
        }
    }
}

#[test]
fn the_console_is_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let generated = [Kind::Mail, Kind::Lossy, Kind::BulkText].map(|kind| generated(kind, folder.path()));
    let mail = console_of(&generated[0], "3");
    let table = mail.find("\nTIME ").expect("a table");
    let last_line = mail.rfind("[TLS ").expect("a line of the conversation");
    assert!(table > last_line, "the table stands below the conversation");
    for capture in captures().into_iter().chain(generated) {
        let one = console_of(&capture, "1");
        for threads in ["2", "3"] {
            assert!(one == console_of(&capture, threads), "{}", capture.display());
        }
    }
}

/// The disk is full for one of the threads, or for all: it is said, and ends the run.
#[test]
fn a_writer_that_fails_ends_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let capture = generated(Kind::Mail, folder.path());
    let output = folder.path().join("out");
    let ran = std::process::Command::new("bash")
        .args(["-c", "ulimit -f 8; trap '' XFSZ; exec \"$0\" \"$@\""])
        .arg(env!("CARGO_BIN_EXE_flowdump"))
        .args(["--threads", "4", "-o"])
        .arg(&output)
        .arg("-r")
        .arg(&capture)
        .output()
        .unwrap();
    let said = String::from_utf8(ran.stderr).unwrap();
    assert_eq!(ran.status.code(), Some(1), "{said}");
    assert!(said.contains("File too large"), "{said}");
    let made = std::fs::read_dir(&output).unwrap().count();
    assert!(made > 0, "what was good before it is kept");
}
