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
        let file = std::fs::read(
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("tests/captures")
                .join(name),
        )
        .unwrap();
        let (header, records) = records(&file);
        for lost in 0..records.len() {
            let kept = records
                .iter()
                .enumerate()
                .filter(|(at, _)| *at != lost)
                .flat_map(|(_, record)| record.iter());
            let input: Vec<u8> = header.iter().chain(kept).copied().collect();
            let arguments = ["-q", "-C", "--color", "never", "-r", "-"];
            let text = run_with_input(flowdump().args(arguments), &input).ok().text();
            let about = format!("{name} without packet {}:\n{text}", lost + 1);
            assert!(text.contains("── TLS starts here: "), "{about}");
            for never in ["\\x", "warning", "offered and not used", "not TLS", "refused"] {
                assert!(!text.contains(never), "{never:?} in {about}");
            }
        }
    }
}
