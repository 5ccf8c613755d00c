//! The same arguments give the same capture, on every machine and in every version: figures of one day can
//! be compared with those of another.

use std::fs;
use std::process::Command;

use clap::ValueEnum;
use flowdump_bench::capture::Capture;
use flowdump_bench::kinds::{Amount, Kind, generate};
use flowdump_bench::manifest::{HEAD, Line, hex};
use sha2::{Digest, Sha256};

fn small(kind: Kind, seed: u64) -> (Vec<u8>, String) {
    let mut capture = Capture::new(Vec::new()).unwrap();
    let mut manifest = Vec::new();
    let amount = Amount {
        size: 2_000_000,
        connections: 2_000,
    };
    generate(kind, amount, seed, &mut capture, &mut manifest).unwrap();
    (capture.finish().unwrap(), String::from_utf8(manifest).unwrap())
}

#[test]
fn captures_never_change() {
    let sums: Vec<String> = Kind::value_variants()
        .iter()
        .map(|&kind| {
            let (capture, manifest) = small(kind, 1);
            let mut sum = Sha256::new();
            sum.update(capture);
            sum.update(manifest);
            format!("{kind:?} {}", &hex(&sum.finalize())[..16])
        })
        .collect();
    assert_eq!(sums, SUMS);
}

#[test]
fn another_seed_gives_another_capture() {
    assert_ne!(small(Kind::Mail, 1), small(Kind::Mail, 2));
}

#[test]
fn lossy_lacks_bytes_and_says_which() {
    let (_, manifest) = small(Kind::Lossy, 1);
    let lines: Vec<Line<'_>> = manifest.lines().map(|line| Line::parse(line).unwrap()).collect();
    assert!(lines.iter().any(|line| !line.lost.is_empty()));
    for line in lines {
        assert!(
            line.lost
                .iter()
                .all(|(offset, len)| *len > 0 && offset + len <= line.length)
        );
    }
}

/// A folder as flowdump should write it is accepted; with one byte changed, or one file more, it is not.
#[test]
fn a_wrong_byte_fails_the_check() {
    let dir = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("check");
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(dir.join("out")).unwrap();
    let name = "20261121T000000.000000Z_10.0.0.1.1024-10.0.0.2.25";
    let sum = hex(&Sha256::digest(b"STARTTLS\r\n\x16\x03"));
    fs::write(
        dir.join("manifest.tsv"),
        format!("{HEAD}\n{name}\t12\t10\t{sum}\t-\n"),
    )
    .unwrap();
    fs::write(dir.join("out").join("flows.jsonl"), "").unwrap();
    fs::write(dir.join("out").join(name), "STARTTLS\r\n").unwrap();
    let tls = dir.join("out").join(format!("{name}.tls"));
    let passes = || {
        let check = env!("CARGO_BIN_EXE_bench-check");
        Command::new(check)
            .arg(dir.join("manifest.tsv"))
            .arg(dir.join("out"))
            .status()
            .unwrap()
            .success()
    };

    assert!(!passes(), "the TLS part is missing");
    fs::write(&tls, "\x16\x03").unwrap();
    assert!(passes());
    fs::write(&tls, "\x16\x04").unwrap();
    assert!(!passes(), "a byte is wrong");
    fs::write(&tls, "\x16\x03\x03").unwrap();
    assert!(!passes(), "a byte too much");
    fs::write(&tls, "\x16\x03").unwrap();
    fs::write(dir.join("out").join("stray"), "").unwrap();
    assert!(!passes(), "a file too many");
}

/// SHA-256 of capture and manifest, its first 16 digits. To be changed only with the figures in docs/benchmarks.md.
const SUMS: &[&str] = &[
    "Bulk f65f9aee40457fd3",
    "BulkText 3c9f640cd43c6a26",
    "Mail 75a57b7e1f269ce8",
    "Swarm 71309830c621f99c",
    "Synflood 7a8ba34960644bb3",
    "Lossy 469be838478e66fe",
];
