//! A packet that the capture lacks changes what is known, never what is true: each capture of a switch to TLS,
//! with each of its packets left out in turn.

mod common;

use std::path::Path;

use common::{flowdump, run_with_input};

/// A pcap file as its header and its records.
fn records(file: &[u8]) -> (&[u8], Vec<&[u8]>) {
    let (header, mut rest) = file.split_at(24);
    let mut records = Vec::new();
    while !rest.is_empty() {
        let len = 16 + u32::from_le_bytes(rest[8..12].try_into().unwrap()) as usize;
        let (record, after) = rest.split_at(len);
        records.push(record);
        rest = after;
    }
    (header, records)
}

/// The conversation of a capture.
fn shown(input: &[u8]) -> String {
    let arguments = ["-q", "-C", "--color", "never", "-r", "-"];
    run_with_input(flowdump().args(arguments), input).ok().text()
}

fn capture(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures");
    std::fs::read(folder.join(name)).unwrap()
}

/// The conversation of a capture that lacks one packet, for each of them.
fn without_each_packet(name: &str) -> impl Iterator<Item = (usize, String)> {
    let file = capture(name);
    (0..records(&file).1.len()).map(move |lost| {
        let (header, records) = records(&file);
        let kept = records.iter().enumerate().filter(|(at, _)| *at != lost);
        let input = [header].into_iter().chain(kept.map(|(_, record)| *record));
        (lost, shown(&input.collect::<Vec<_>>().concat()))
    })
}

#[test]
fn questions_and_answers_keep_their_order() {
    for name in ["smtp-plain.pcap", "pop3.pcap", "lmtp.pcap"] {
        let whole = shown(&capture(name));
        for (lost, text) in without_each_packet(name) {
            let mut wanted = whole.lines();
            for line in text.lines().filter(|line| !line.ends_with(']')) {
                assert!(
                    wanted.any(|wanted| wanted == line),
                    "{line:?} has lost its place in {name} without packet {}:\n{text}",
                    lost + 1
                );
            }
        }
    }
}

#[test]
fn no_lost_packet_makes_tls_look_like_text_or_the_other_way_round() {
    for name in [
        "smtp-starttls-tls12.pcap",
        "smtp-starttls-tls13.pcap",
        "smtp-starttls-openssl.pcap",
        "imap-starttls.pcap",
        "pop3-stls.pcap",
        "managesieve-starttls.pcap",
    ] {
        for (lost, text) in without_each_packet(name) {
            let about = format!("{name} without packet {}:\n{text}", lost + 1);
            assert!(text.contains("── TLS starts here: "), "{about}");
            for never in ["\\x", "warning", "offered and not used", "not TLS", "refused"] {
                assert!(!text.contains(never), "{never:?} in {about}");
            }
        }
    }
}
