//! What the integration tests share: running the program as a user would, and finding captures.

// Each test file is a crate of its own and uses some of this.
#![allow(dead_code)]

pub mod files;
pub mod packets;
pub mod replay;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What a run left behind.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Ran {
    /// Standard output as text; what is no UTF-8 is shown as such.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// The run itself, once it is known to have ended well.
    pub fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "flowdump failed:\n{}", self.stderr);
        self
    }
}

/// The program, in a surrounding that is the same everywhere: UTC, UTF-8, no colour settings.
pub fn flowdump() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flowdump"));
    command
        .env_remove("NO_COLOR")
        .env("TZ", "UTC")
        .env("LC_ALL", "C.UTF-8")
        .env("COLUMNS", "100")
        .stdin(Stdio::null());
    command
}

/// Runs it to its end.
pub fn run(command: &mut Command) -> Ran {
    let output = command.output().expect("flowdump runs");
    Ran {
        code: output.status.code(),
        stdout: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Waits for what another process does.
pub fn until(what: &str, is: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is() {
        assert!(begun.elapsed() < Duration::from_secs(20), "no {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Runs it with `input` on its standard input.
pub fn run_with_input(command: &mut Command, input: &[u8]) -> Ran {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("flowdump runs");
    let mut stdin = child.stdin.take().expect("standard input is a pipe");
    let input = input.to_vec();
    // It may end before it has read all, which is its right.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().expect("flowdump ends");
    writer.join().expect("the writer ends");
    Ran {
        code: output.status.code(),
        stdout: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// The conversation of a capture as plain text, without colours.
pub fn console(capture: &Path) -> String {
    run(flowdump().args(["-c", "--color", "never", "-r"]).arg(capture))
        .ok()
        .text()
}

/// One of the project's own captures (tests/captures/README.md).
pub fn capture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/captures")
        .join(name)
}

/// All of them, by name.
pub fn captures() -> Vec<PathBuf> {
    files_below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures"))
        .into_iter()
        .filter(|file| file.extension().is_some_and(|extension| extension != "md"))
        .collect()
}

/// Captures of other projects, which stand beside this one on some machines and are never part of it.
/// Where they are missing this says so, and the test has less to look at.
pub fn corpus() -> Vec<PathBuf> {
    let folder = corpus_folder();
    if !folder.is_dir() {
        eprintln!("skipped: no captures in {}", folder.display());
        return Vec::new();
    }
    files_below(&folder)
        .into_iter()
        .filter(|file| {
            file.extension().is_some_and(|extension| {
                !["tsv", "keys", "md", "txt", "log"]
                    .iter()
                    .any(|no| extension == *no)
            })
        })
        .collect()
}

/// Where captures of other projects are, on machines that have them.
pub fn corpus_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus")
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the folder is readable") {
        let path = entry.expect("the folder is readable").path();
        if path.is_dir() {
            files.extend(files_below(&path))
        } else {
            files.push(path)
        }
    }
    files.sort();
    files
}

/// Whether a program is installed; if not, says which test is skipped for it.
pub fn installed(program: &str, test: &str) -> bool {
    let found = std::env::var_os("PATH")
        .iter()
        .flat_map(|path| std::env::split_paths(path).collect::<Vec<_>>())
        .chain([PathBuf::from("/usr/sbin")])
        .any(|folder| folder.join(program).is_file());
    if !found {
        eprintln!("skipped: {test} needs {program}");
    }
    found
}

/// The files of a folder, by name, with their sizes.
pub fn listing(folder: &Path) -> Vec<(String, u64)> {
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .expect("the output folder is there")
        .map(|entry| {
            let entry = entry.expect("the output folder is readable");
            let size = entry.metadata().expect("the file is there").len();
            (entry.file_name().to_string_lossy().into_owned(), size)
        })
        .collect();
    names.sort();
    names
}
