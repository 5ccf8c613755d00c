//! N runs with `--shard` find together what one run finds.

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{flowdump, run};

/// All captures of ours with different connections in them.
fn captures() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures");
    let names = [
        "demo.pcap",
        "smtp-auth.pcap",
        "smtp-ipv6.pcap",
        "imap.pcap",
        "smtp-lossy.pcap",
        "smtp-vlan.pcap",
    ];
    names.iter().map(|name| folder.join(name)).collect()
}

fn streams(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .filter(|path| path.extension().is_none_or(|ending| ending != "jsonl"))
        .map(|path| {
            (
                path.file_name().unwrap().to_str().unwrap().to_owned(),
                std::fs::read(&path).unwrap(),
            )
        })
        .collect()
}

#[test]
fn the_union_of_all_parts_is_the_whole_and_no_two_have_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let output = |name: &str| folder.path().join(name);
    run(flowdump()
        .args(["-q", "-o"])
        .arg(output("whole"))
        .arg("-l")
        .args(captures()))
    .ok();
    let whole = streams(&output("whole"));
    assert!(whole.len() > 15, "{:?}", whole.keys());
    let mut union = BTreeMap::new();
    let mut sizes = Vec::new();
    for part in 1..=3 {
        let shard = format!("{part}/3");
        run(flowdump()
            .args(["-q", "--shard", &shard, "-o"])
            .arg(output(&part.to_string()))
            .arg("-l")
            .args(captures()))
        .ok();
        let streams = streams(&output(&part.to_string()));
        sizes.push(streams.len());
        for (name, bytes) in streams {
            assert!(
                union.insert(name.clone(), bytes).is_none(),
                "{name} is in two parts"
            );
        }
    }
    assert_eq!(union.keys().collect::<Vec<_>>(), whole.keys().collect::<Vec<_>>());
    assert!(union == whole);
    assert!(sizes.iter().all(|size| *size > 0), "{sizes:?}");
}

/// The line of docs/scaling.md, where GNU parallel is installed.
#[test]
fn the_line_for_gnu_parallel_works() {
    if Command::new("parallel").arg("--version").output().is_err() {
        eprintln!("skipped: GNU parallel is not installed");
        return;
    }
    let documented = include_str!("../docs/scaling.md");
    let line = documented
        .lines()
        .find(|line| line.contains("| parallel "))
        .unwrap()
        .trim();
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("captures")).unwrap();
    for capture in captures() {
        let to = folder.path().join("captures").join(capture.file_name().unwrap());
        std::fs::copy(capture, to).unwrap();
    }
    let program = Path::new(env!("CARGO_BIN_EXE_flowdump")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let status = Command::new("sh")
        .arg("-c")
        .arg(line)
        .env("PATH", path)
        .current_dir(folder.path())
        .status();
    assert!(status.unwrap().success());
    let parts: usize = std::fs::read_dir(folder.path().join("streams"))
        .unwrap()
        .map(|part| streams(&part.unwrap().path()).len())
        .sum();
    run(flowdump()
        .args(["-q", "-o", "whole", "-l"])
        .args(captures())
        .current_dir(folder.path()))
    .ok();
    assert_eq!(parts, streams(&folder.path().join("whole")).len());
}

/// The line of docs/scaling.md, where Python has DuckDB.
#[test]
fn the_line_for_duckdb_works() {
    if !Command::new("python3")
        .args(["-c", "import duckdb"])
        .output()
        .is_ok_and(|output| output.status.success())
    {
        eprintln!("skipped: Python has no duckdb (pip install duckdb)");
        return;
    }
    let documented = include_str!("../docs/scaling.md");
    let line = documented
        .lines()
        .find(|line| line.trim_start().starts_with("duckdb -c "))
        .unwrap();
    let query = line.split('"').nth(1).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for part in ["1/2", "2/2"] {
        let output = folder.path().join("streams").join(&part[..1]);
        run(flowdump()
            .args(["-q", "--shard", part, "-o"])
            .arg(output)
            .arg("-l")
            .args(captures()))
        .ok();
    }
    let script = "import duckdb, sys; print(sorted(duckdb.sql(sys.argv[1]).fetchall(), key=str))";
    let output = Command::new("python3")
        .args(["-c", script, query])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("('TLS 1.3', ") && text.contains("('TLS 1.2', "),
        "{text} {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
