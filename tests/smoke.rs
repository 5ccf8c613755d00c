//! Every capture there is, ours and other projects', goes through the spine: nothing panics, every packet
//! is counted, and what could not be read is what is known to be unreadable.

mod common;

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use common::replay::{Replay, replay};
use common::{captures, corpus, corpus_folder};

/// What a capture is known to hold that we can't read; all else must be read in full.
const UNREADABLE: &[(&str, &str)] = &[
    ("link/arkime-synthetic.pcap", "encrypted by IPsec (ESP)"),
    ("link/ppp-dlt9.cap", "compressed headers"),
    (
        "tcp/tcpflow-simson-caplen0.pcap",
        "cut by the snaplen before the end of the TCP header",
    ),
    ("broken/caplen-ffffffff.pcap", "broken IP header"),
    (
        "broken/trunc-ip4.pcap",
        "cut by the snaplen before the end of the IP header",
    ),
];

/// Files that are broken or odd, and the words that say so: an error, or a warning where all is used.
const BROKEN: &[(&str, &str)] = &[
    (
        "broken/caplen-ffffffff.pcap",
        "at byte 111: a packet claims 4294967295 captured bytes",
    ),
    (
        "broken/header-only-44.pcap",
        "at byte 24: a packet claims 538976288 captured bytes",
    ),
    (
        "broken/pcapng-shb-option-too-long.pcapng",
        "at byte 0: a block's lengths differ",
    ),
    (
        "broken/truncated-record-header.pcap",
        "cut short in its last record, at byte 8877",
    ),
    ("format/time-invalid-nano.pcap", "a fraction of a second or more"),
    ("link/rawip-dlt12-tcpflow.pcap", "a fraction of a second or more"),
];

/// Where the index counts as packets what is none: tshark lists pcapng's custom blocks among them.
const CUSTOM_BLOCKS: &[(&str, u64)] = &[
    ("format/pcapng-3sections-mixed-endian.pcapng", 3),
    ("format/pcapng-le-unknown-blocks.pcapng", 4),
];

fn known<'k>(list: &[(&str, &'k str)], name: &str) -> Vec<&'k str> {
    list.iter()
        .filter(|(file, _)| *file == name)
        .map(|(_, words)| *words)
        .collect()
}

/// Everything that is not mere UDP, ARP and the like must be on the list, and the other way round.
fn check(name: &str, replay: &Replay) {
    let unread: Vec<_> = replay
        .unread
        .iter()
        .map(|(reason, _)| reason.as_str())
        .filter(|reason| !["not IP", "not TCP"].contains(reason))
        .collect();
    assert_eq!(unread, known(UNREADABLE, name), "{name}");
    let complaints: Vec<_> = replay.errors.iter().chain(&replay.warnings).collect();
    for words in known(BROKEN, name) {
        assert!(
            complaints.iter().any(|complaint| complaint.contains(words)),
            "{name}: {complaints:?}"
        );
    }
    if known(BROKEN, name).is_empty() {
        assert!(complaints.is_empty(), "{name}: {complaints:?}");
    }
    let told: u64 = replay
        .connections
        .iter()
        .flat_map(|seen| &seen.closed().totals)
        .map(|totals| totals.bytes)
        .sum();
    assert_eq!(told, replay.stats.bytes, "{name}");
}

#[test]
fn every_capture_of_ours_is_read_in_full() {
    for path in captures() {
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        let replay = replay(&path);
        check(&name, &replay);
        assert!(replay.packets > 0 && !replay.connections.is_empty(), "{name}");
    }
}

#[test]
fn every_capture_of_the_corpus_is_read_as_far_as_it_is_sound() {
    let counts = index();
    for path in corpus() {
        let name = name_in_corpus(&path);
        let replay = replay(&path);
        check(&name, &replay);
        let custom = CUSTOM_BLOCKS
            .iter()
            .find(|(file, _)| *file == name)
            .map_or(0, |(_, count)| *count);
        assert_eq!(Some(&(replay.packets + custom)), counts.get(&name), "{name}");
    }
}

/// Packets by file, from the corpus's own index.
fn index() -> HashMap<String, u64> {
    let text = fs::read_to_string(corpus_folder().join("INDEX.tsv")).unwrap_or_default();
    text.lines()
        .filter_map(|line| {
            let mut columns = line.split('\t');
            Some((columns.next()?.to_owned(), columns.nth(3)?.parse().ok()?))
        })
        .collect()
}

fn name_in_corpus(path: &Path) -> String {
    path.strip_prefix(corpus_folder())
        .unwrap_or(path)
        .to_string_lossy()
        .into_owned()
}
