//! `-o NAME.zip` and `-o NAME.tar`: the same streams by the same names as in a folder, in an archive that every
//! common program reads, whatever ends the run.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use common::files::pcap_of;
use common::packets::Talk;
use common::{capture, captures, flowdump, installed, run, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Files by name.
type Files = BTreeMap<String, Vec<u8>>;

fn capture_of(talks: &[Talk]) -> Vec<u8> {
    pcap_of(talks.iter().flat_map(|talk| &talk.segments))
}

/// A connection of its own for each number.
fn talk(number: u32) -> Talk {
    let [_, a, b, c] = number.to_be_bytes();
    Talk::between(&format!("10.{a}.{b}.{c}:1000"), "192.0.2.1:2000")
}

fn folder(folder: &Path) -> Files {
    let mut files = Files::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            let inner = self::folder(&path).into_iter();
            files.extend(inner.map(|(inner, content)| (format!("{name}/{inner}"), content)));
        } else {
            files.insert(name, fs::read(path).unwrap());
        }
    }
    files
}

/// What a program unpacks; `None`, and said, where it is not installed.
fn unpacked(program: &[&str], archive: &Path) -> Option<Files> {
    let (name, arguments) = program.split_first().unwrap();
    if !installed(name, "reading archives") {
        return None;
    }
    let to = tempfile::tempdir().unwrap();
    let mut command = Command::new(name);
    let output = command
        .args(arguments)
        .arg(archive)
        .current_dir(to.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{program:?}: {output:?}");
    Some(folder(to.path()))
}

const ZIPFILE: &[&str] = &[
    "python3",
    "-c",
    "import sys, zipfile\n\
     z = zipfile.ZipFile(sys.argv[1])\n\
     assert z.testzip() is None\n\
     assert len(set(z.namelist())) == len(z.namelist())\n\
     assert z.namelist()[-1] == 'flows.jsonl'\n\
     z.extractall()",
];

const TARFILE: &[&str] = &[
    "python3",
    "-c",
    "import sys, tarfile\n\
     t = tarfile.open(sys.argv[1])\n\
     assert len(set(t.getnames())) == len(t.getnames())\n\
     assert t.getnames()[-1] == 'flows.jsonl'\n\
     t.extractall()",
];

/// By Python's zipfile, which checks it, too.
fn zip(archive: &Path) -> Option<Files> {
    unpacked(ZIPFILE, archive)
}

/// By the tar crate.
fn tar(archive: &Path) -> Files {
    let to = tempfile::tempdir().unwrap();
    tar::Archive::new(fs::File::open(archive).unwrap())
        .unpack(to.path())
        .unwrap();
    folder(to.path())
}

/// A folder for a test, and what a run of `arguments` leaves in `out`, `out.zip` and `out.tar` there.
fn three_ways(arguments: &[&str], capture: &Path) -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    for out in ["out", "out.zip", "out.tar"] {
        let mut command = flowdump();
        command
            .args(["-q", "-o", out])
            .args(arguments)
            .arg("-r")
            .arg(capture);
        run(command.current_dir(place.path()));
    }
    place
}

#[test]
fn an_archive_of_each_capture_has_the_files_of_its_folder() {
    for capture in captures() {
        let place = three_ways(&[], &capture);
        let wanted = folder(&place.path().join("out"));
        assert!(wanted.contains_key("flows.jsonl"));
        assert!(tar(&place.path().join("out.tar")) == wanted, "{capture:?}");
        if let Some(found) = zip(&place.path().join("out.zip")) {
            assert!(found == wanted, "{capture:?}");
        }
        assert_eq!(
            fs::read_dir(place.path()).unwrap().count(),
            3,
            "nothing else is left"
        );
    }
}

#[test]
fn names_that_come_again_gaps_and_folders_in_names_are_those_of_a_folder() {
    // One name for all connections of two hosts, so that nearly every file gets a number.
    let talks: Vec<_> = (0..50)
        .map(|number| {
            let mut talk = Talk::between(&format!("10.0.0.1:{}", 2000 + number), "192.0.2.1:2000");
            talk.handshake().client(b"one").client(&[b'x'; 1000]).lost();
            talk.client(b"two").server_acks().server(b"answer").close();
            talk
        })
        .collect();
    let place = tempfile::tempdir().unwrap();
    let gaps = place.path().join("gaps.pcap");
    fs::write(&gaps, capture_of(&talks)).unwrap();
    for (capture, arguments) in [
        (&gaps, &["-T", "%A/%B", "-m", "100"][..]),
        (&gaps, &["-T", "%A/%B", "-m", "16M"]),
        (&gaps, &["-F", "kt"]),
        (&capture("demo.pcap"), &["-T", "%a-é", "--no-split-tls"]),
        (&capture("demo.pcap"), &["-T", "%a-é"]),
    ] {
        let place = three_ways(arguments, capture);
        let wanted = folder(&place.path().join("out"));
        assert!(wanted.len() > 8, "{:?}", wanted.keys());
        assert!(tar(&place.path().join("out.tar")) == wanted, "{arguments:?}");
        if let Some(found) = zip(&place.path().join("out.zip")) {
            assert!(found == wanted, "{arguments:?}");
        }
    }
}

#[test]
fn streams_are_stored_and_the_index_is_deflated() {
    if !installed("python3", "methods of members") {
        return;
    }
    let talks: Vec<_> = (0..1000)
        .map(|number| {
            let mut talk = talk(number);
            talk.handshake().client(&[b'x'; 100]).close();
            talk
        })
        .collect();
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("x.pcap"), capture_of(&talks)).unwrap();
    let place = three_ways(&[], &place.path().join("x.pcap"));
    let script = "import zipfile\n\
        z = zipfile.ZipFile('out.zip')\n\
        print({(i.compress_type, i.file_size == i.compress_size) for i in z.infolist()[:-1]})\n\
        i = z.infolist()[-1]\n\
        print(i.compress_type, i.file_size == len(open('out/flows.jsonl', 'rb').read()) > 6 * i.compress_size)";
    let mut python = Command::new("python3");
    let output = python.args(["-c", script]).current_dir(place.path()).output();
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(said, "{(0, True)}\n8 True\n", "{output:?}");
}

#[test]
fn every_common_program_reads_them() {
    let place = three_ways(&[], &capture("demo.pcap"));
    let wanted = folder(&place.path().join("out"));
    for (program, archive) in [
        (&["unzip", "-q"][..], "out.zip"),
        (&["bsdtar", "-xf"], "out.zip"),
        (&["bsdtar", "-xf"], "out.tar"),
        (&["tar", "-xf"], "out.tar"),
        (TARFILE, "out.tar"),
    ] {
        if let Some(found) = unpacked(program, &place.path().join(archive)) {
            assert!(found == wanted, "{program:?}");
        }
    }
    if installed("unzip", "unzip -p") {
        for (name, content) in &wanted {
            let printed = Command::new("unzip")
                .arg("-p")
                .arg(place.path().join("out.zip"))
                .arg(name)
                .output()
                .unwrap();
            assert!(printed.status.success() && printed.stdout == *content, "{name}");
        }
    }
}

#[test]
fn more_members_than_zip_has_room_for_take_zip64() {
    let talks: Vec<_> = (0..70_000)
        .map(|number| {
            let mut talk = talk(number);
            talk.client(&number.to_be_bytes());
            talk
        })
        .collect();
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("x.pcap"), capture_of(&talks)).unwrap();
    run(flowdump()
        .current_dir(place.path())
        .args(["-q", "-r", "x.pcap", "-o", "x.zip"]))
    .ok();
    if !installed("python3", "counting members") {
        return;
    }
    let script = "import zipfile\n\
        z = zipfile.ZipFile('x.zip')\n\
        assert z.testzip() is None\n\
        print(len(z.namelist()), len(set(z.namelist())), len({z.read(n) for n in z.namelist()[:-1]}))";
    let mut python = Command::new("python3");
    let output = python
        .args(["-c", script])
        .current_dir(place.path())
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "70001 70001 70000\n",
        "{output:?}"
    );
}

/// A run that reads a pipe.
struct Piped {
    child: Child,
    stdin: Option<ChildStdin>,
}

impl Piped {
    fn start(folder: &Path, arguments: &[&str]) -> Self {
        let mut command = flowdump();
        command.args(["-r", "-"]).args(arguments).current_dir(folder);
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        let stdin = child.stdin.take();
        Self { child, stdin }
    }

    fn says(&mut self, bytes: &[u8]) {
        self.stdin.as_mut().unwrap().write_all(bytes).unwrap();
    }

    /// Before its input ends.
    fn stopped(mut self, signal: Signal) -> Option<i32> {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
        self.child.wait().unwrap().code()
    }

    fn ended(mut self) -> Option<i32> {
        drop(self.stdin.take());
        self.child.wait().unwrap().code()
    }

    /// The most memory that it had, in bytes, shared libraries and all.
    fn peak(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }
}

#[test]
fn the_archive_grows_as_connections_end_and_a_stopped_run_leaves_it_whole() {
    for (signal, out) in [
        (Signal::SIGINT, "x.zip"),
        (Signal::SIGTERM, "x.zip"),
        (Signal::SIGINT, "x.tar"),
    ] {
        let place = tempfile::tempdir().unwrap();
        let archive = place.path().join(out);
        let (mut over, mut open) = (talk(1), talk(2));
        over.handshake().client(b"over").close();
        open.pause(1.0).handshake().client(b"still open").server_acks();
        // Time goes on, so that what waits is written.
        let mut later = talk(3);
        later.pause(5.0).handshake();
        let mut flowdump = Piped::start(place.path(), &["-q", "-o", out]);
        flowdump.says(&capture_of(&[over, open, later]));
        until("member before the end", || {
            fs::metadata(&archive).is_ok_and(|file| file.len() > 0)
        });
        assert_eq!(flowdump.stopped(signal), Some(1), "{signal}");
        let found = if out.ends_with("zip") {
            zip(&archive)
        } else {
            Some(tar(&archive))
        };
        let Some(found) = found else { continue };
        let contents: Vec<_> = found.values().take(2).map(Vec::as_slice).collect();
        assert_eq!(contents, [&b"over"[..], b"still open"], "{:?}", found.keys());
        let index = String::from_utf8_lossy(&found["flows.jsonl"]);
        assert_eq!(index.lines().count(), 3, "{index}");
    }
}

#[test]
fn a_reader_of_the_console_that_goes_leaves_the_archive_whole() {
    let place = tempfile::tempdir().unwrap();
    let mut talks = vec![talk(1), talk(2)];
    for talk in &mut talks {
        talk.handshake();
        for _ in 0..2000 {
            talk.client(&[b"line\r\n".as_slice(); 100].concat());
        }
    }
    fs::write(place.path().join("x.pcap"), capture_of(&talks)).unwrap();
    let mut command = flowdump();
    let mut child = command
        .args(["-q", "-r", "x.pcap", "-c", "-o", "x.zip"])
        .current_dir(place.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let Some(found) = zip(&place.path().join("x.zip")) else {
        return;
    };
    assert!(found.contains_key("flows.jsonl"), "{:?}", found.keys());
    let whole = b"line\r\n".repeat(200_000);
    assert_eq!(found.values().filter(|content| **content == whole).count(), 2);
}

#[test]
fn a_long_connection_does_not_sit_in_memory() {
    const LONG: usize = 160 << 20;
    let mut long = talk(1);
    long.handshake();
    let begin = capture_of(std::slice::from_ref(&long));
    let place = tempfile::tempdir().unwrap();
    let mut flowdump = Piped::start(place.path(), &["-q", "-o", "x.zip"]);
    flowdump.says(&begin);
    let mut wanted: Vec<u8> = Vec::new();
    while wanted.len() < LONG {
        long.segments.clear();
        for _ in 0..64 {
            let payload: Vec<_> = (0_u32..8000)
                .flat_map(|number| (number ^ wanted.len() as u32).to_be_bytes())
                .collect();
            wanted.extend(&payload);
            long.client(&payload);
        }
        // Without the header of the file.
        flowdump.says(&capture_of(std::slice::from_ref(&long))[24..]);
    }
    let peak = flowdump.peak();
    assert_eq!(flowdump.ended(), Some(0));
    assert!(peak < 64 << 20, "{} MiB for one stream of 160", peak >> 20);
    let Some(found) = zip(&place.path().join("x.zip")) else {
        return;
    };
    assert!(found.values().any(|content| *content == wanted));
}

#[test]
fn a_disk_that_fills_up_leaves_what_was_written() {
    const NAME: &str = "a_disk_that_fills_up_leaves_what_was_written";
    let place = tempfile::tempdir().unwrap();
    let talks: Vec<_> = (0..400)
        .map(|number| {
            let mut talk = talk(number);
            talk.handshake().client(&[7; 20_000]).close();
            talk
        })
        .collect();
    fs::write(place.path().join("x.pcap"), capture_of(&talks)).unwrap();
    fs::create_dir(place.path().join("small")).unwrap();
    // What is mounted there is gone with the shell.
    let script = "mount -t tmpfs -o size=2m small small || exit 99; \
        \"$0\" -q -r x.pcap -o small/x.zip; code=$?; cp small/x.zip .; exit $code";
    let output = Command::new("unshare")
        .args(["-m", "sh", "-c", script, env!("CARGO_BIN_EXE_flowdump")])
        .current_dir(place.path())
        .output();
    let Some(output) = output.ok().filter(|output| output.status.code() == Some(1)) else {
        // Only where it is not allowed.
        assert!(!nix::unistd::geteuid().is_root(), "{NAME}");
        eprintln!("skipped: {NAME} needs a mount namespace of its own");
        return;
    };
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("No space left"), "{said}");
    let Some(found) = zip(&place.path().join("x.zip")) else {
        return;
    };
    let whole = found
        .values()
        .filter(|content| content.as_slice() == [7; 20_000])
        .count();
    assert!(whole > 40, "{whole} of the 100 that fit");
    assert_eq!(found.len(), whole + 1, "and the index");
}

#[test]
fn nothing_is_written_over_and_rotation_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let mine: PathBuf = place.path().join("x.zip");
    fs::write(&mine, "mine").unwrap();
    let run = |arguments: &[&str]| {
        let mut command = flowdump();
        command.args(arguments).arg("-r").arg(capture("demo.pcap"));
        run(command.current_dir(place.path()))
    };
    let said = run(&["-o", "x.zip"]).ok().stderr;
    assert!(said.contains(" in x~1.zip"), "{said}");
    assert_eq!(fs::read(&mine).unwrap(), b"mine");
    assert!(fs::metadata(place.path().join("x~1.zip")).unwrap().len() > 1000);
    let refused = run(&["-o", "y.zip", "--rotate", "day"]);
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("--rotate"), "{}", refused.stderr);
    assert!(!place.path().join("y.zip").exists());
}
