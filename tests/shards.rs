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

/// A folder with our captures in `captures`.
fn folder_with_captures() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("captures")).unwrap();
    for capture in captures() {
        let to = folder.path().join("captures").join(capture.file_name().unwrap());
        std::fs::copy(capture, to).unwrap();
    }
    folder
}

/// `sh` in that folder, where `flowdump` is this one.
fn shell(folder: &Path) -> Command {
    let program = Path::new(env!("CARGO_BIN_EXE_flowdump")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("sh");
    shell.env("PATH", path).current_dir(folder);
    shell
}

/// What lies in the folders in `streams` is what one run finds.
fn assert_the_parts_are_the_whole(folder: &Path, parts: usize) {
    let folders = std::fs::read_dir(folder.join("streams")).unwrap();
    let folders: Vec<_> = folders.map(|part| streams(&part.unwrap().path())).collect();
    assert_eq!(folders.len(), parts);
    let files: usize = folders.iter().map(BTreeMap::len).sum();
    let union: BTreeMap<_, _> = folders.into_iter().flatten().collect();
    assert_eq!(files, union.len(), "a file is in two parts");
    run(flowdump()
        .args(["-q", "-o", "whole", "-l"])
        .args(captures())
        .current_dir(folder))
    .ok();
    assert!(union == streams(&folder.join("whole")));
}

/// The line of docs/scaling.md, where GNU parallel is installed.
#[test]
fn the_line_for_gnu_parallel_works() {
    if Command::new("parallel").arg("--version").output().is_err() {
        eprintln!("skipped: GNU parallel is not installed");
        return;
    }
    let documented = include_str!("../docs/scaling.md");
    let line = documented.lines().find(|line| line.contains("| parallel "));
    let line = line.unwrap().trim().replace("$(nproc)", "3");
    let folder = folder_with_captures();
    assert!(
        shell(folder.path())
            .arg("-c")
            .arg(line)
            .status()
            .unwrap()
            .success()
    );
    assert_the_parts_are_the_whole(folder.path(), 3);
}

/// Each task as Slurm starts it: sbatch(1), "OUTPUT ENVIRONMENT VARIABLES".
#[test]
fn the_tasks_of_the_slurm_array_are_the_whole() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("dist/flowdump.slurm");
    let folder = folder_with_captures();
    for task in ["1", "2", "3"] {
        let status = shell(folder.path())
            .arg(&script)
            .args(["captures", "streams"])
            .envs([("SLURM_ARRAY_TASK_ID", task), ("SLURM_ARRAY_TASK_COUNT", "3")])
            .status();
        assert!(status.unwrap().success());
    }
    assert_the_parts_are_the_whole(folder.path(), 3);
}

/// Each pod's command as Kubernetes starts it, its volumes in a folder here.
#[test]
fn the_pods_of_the_kubernetes_job_are_the_whole() {
    let job = include_str!("../dist/flowdump-job.yaml");
    assert!(job.contains("completions: 16") && job.contains("completionMode: Indexed"));
    let command = job.lines().skip_while(|line| !line.ends_with(">-")).skip(1);
    let command: Vec<_> = command
        .map_while(|line| line.strip_prefix("              "))
        .collect();
    let command = command
        .join(" ")
        .replace(" /captures/", " captures/")
        .replace(" /streams/", " streams/");
    let folder = folder_with_captures();
    for pod in 0..16 {
        let status = shell(folder.path())
            .args(["-c", &command])
            .env("JOB_COMPLETION_INDEX", pod.to_string())
            .env("HOSTNAME", format!("flowdump-{pod}-x7k2p"))
            .status();
        assert!(status.unwrap().success(), "{command}");
    }
    assert_the_parts_are_the_whole(folder.path(), 16);
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
