//! Each of our captures, and what the watchers tell of it, commands and replies left out.

mod mail_support;

use std::fmt::Write as _;
use std::path::Path;

use mail_support::ours;

#[test]
fn each_capture_and_what_is_told_of_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures");
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".pcap") || name.ends_with(".pcapng"))
        .collect();
    names.sort();
    let mut told = String::new();
    for name in names {
        writeln!(told, "{name}").unwrap();
        for (seen, number) in ours(&name).iter().zip(1..) {
            writeln!(told, "  connection {number}").unwrap();
            for line in seen.told.iter().filter(|line| !line.starts_with(['>', '<'])) {
                writeln!(told, "    {line}").unwrap();
            }
        }
    }
    insta::assert_snapshot!(told);
}
