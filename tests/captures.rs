//! Every capture of ours, as a user sees it: the console, the summary, the files. The snapshots are the examples
//! that a change of what is shown has to be looked at in.

mod common;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

fn captures() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures");
    let mut captures: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending != "md"))
        .collect();
    captures.sort();
    assert!(captures.len() > 40, "{captures:?}");
    captures
}

fn flowdump(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = common::flowdump();
    command.current_dir(folder).args(arguments);
    command
}

/// What a run prints, its errors and warnings behind it; the time it took is nobody's business.
fn printed(folder: &Path, arguments: &[&str]) -> String {
    let ran = common::run(&mut flowdump(folder, arguments));
    let errors = without_time(&ran.stderr).replace(env!("CARGO_MANIFEST_DIR"), "");
    format!("{}(exit {})\n{errors}", ran.text(), ran.code.unwrap())
}

/// `…, 0.001 s` at a line's end becomes `…, TIME`.
fn without_time(text: &str) -> String {
    text.lines()
        .map(|line| match line.rsplit_once(", ") {
            Some((before, last)) if last.ends_with(" s") && line.contains(" of streams, ") => {
                format!("{before}, TIME\n")
            }
            _ => format!("{line}\n"),
        })
        .collect()
}

#[test]
fn each_capture_on_the_console_and_as_files() {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let _guard = settings.bind_to_scope();
    for capture in captures() {
        let folder = tempfile::tempdir().unwrap();
        let name = capture.file_name().unwrap().to_string_lossy().into_owned();
        let path = capture.to_str().unwrap();
        let mut text = printed(folder.path(), &["-c", "--color", "never", "-r", path]);
        text.push_str("\n$ flowdump --summary\n");
        text.push_str(&printed(folder.path(), &["-q", "--summary", "-r", path]));
        let files = common::run(&mut flowdump(folder.path(), &["-q", "-o", "flows", "-r", path]));
        assert_eq!(files.code, Some(text_code(&text)), "{name}");
        text.push_str("\n$ flowdump -o flows; ls -s flows\n");
        let mut files: Vec<_> = std::fs::read_dir(folder.path().join("flows"))
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| {
                (
                    entry.file_name().into_string().unwrap(),
                    entry.metadata().unwrap().len(),
                )
            })
            .filter(|(name, _)| name != "flows.jsonl")
            .collect();
        files.sort();
        for (file, len) in files {
            writeln!(text, "{len:>8} {file}").unwrap();
        }
        insta::assert_snapshot!(name, text);
    }
}

/// The exit code that the console run ended with: files end with the same.
fn text_code(text: &str) -> i32 {
    let (_, code) = text.split_once("(exit ").unwrap();
    code.split_once(')').unwrap().0.parse().unwrap()
}

#[test]
fn colours_open_and_close_within_each_line() {
    let folder = tempfile::tempdir().unwrap();
    for capture in captures() {
        let output = flowdump(
            folder.path(),
            &["-q", "-g", "-c", "-r", capture.to_str().unwrap()],
        )
        .output()
        .unwrap();
        for line in String::from_utf8(output.stdout).unwrap().lines() {
            assert!(
                line.starts_with("\x1b[") && line.ends_with("\x1b[m"),
                "{capture:?}: {line:?}"
            );
        }
    }
}
