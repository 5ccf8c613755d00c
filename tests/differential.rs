//! What we put together equals what `tshark -z follow,tcp,raw` puts together, for every direction of every
//! connection of every capture there is; where it does not, the reason stands here by name.
//!
//! Three differences are tshark's way and hold for all captures: what the snaplen cut off and what is missing
//! at a stream's very end leave no mark in its output, and a lone RST is a stream.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::replay::{Replay, Run, Seen, replay};
use common::{captures, corpus, installed};
use flowdump::decode::Endpoint;
use flowdump::event::GapReason;

/// Captures for which we say something else, and why.
const DIFFERENT: &[(&str, &str)] = &[
    (
        "link/ppp-dlt9.cap",
        "Van Jacobson compression: tshark reads the packet that begins a compressed connection, we only count it",
    ),
    (
        "tcp/dupack-fast-retransmit.pcapng",
        "begins within a stream, and then earlier bytes come: they are first for us; tshark begins with the packet that is first in the file",
    ),
    (
        "tcp/tcpflow-lines-randomized.pcapng",
        "all packets shuffled, SYNs last: tshark begins a stream with each SYN and has no bytes; we have them all",
    ),
    (
        "tcp/unidirectional-missing.pcap",
        "one direction only, a packet missing: tshark waits for an acknowledgement for ever and stops there",
    ),
    (
        "tcp/zeek-reassembly.pcap",
        "copies of the same bytes with other content: the first one stands for us, the last one for tshark",
    ),
];

/// One stream as tshark follows it: both ends, and what each sent.
#[derive(Debug, Default, Clone, PartialEq)]
struct Followed {
    number: usize,
    ends: [String; 2],
    bytes: [Vec<u8>; 2],
}

/// The hex dump that follows `Node 1:`; what the second node sent is indented.
fn parse(output: &str) -> Vec<Followed> {
    let mut all = Vec::new();
    for section in output.split("Follow: tcp,raw").skip(1) {
        let mut one = Followed::default();
        for line in section.lines() {
            if let Some(number) = line.strip_prefix("Filter: tcp.stream eq ") {
                one.number = number.parse().expect("tshark numbers streams");
            } else if let Some(end) = line.strip_prefix("Node 0: ") {
                one.ends[0] = end.to_owned();
            } else if let Some(end) = line.strip_prefix("Node 1: ") {
                one.ends[1] = end.to_owned();
            } else if !one.ends[1].is_empty() && !line.starts_with('=') {
                let node = usize::from(line.starts_with('\t'));
                one.bytes[node].extend(unhex(line.trim()));
            }
        }
        if one.ends[0] != ":0" {
            all.push(one);
        }
    }
    all.sort_by_key(|one| one.number);
    all
}

fn unhex(text: &str) -> impl Iterator<Item = u8> {
    text.as_bytes().chunks(2).map(|pair| {
        let text = std::str::from_utf8(pair).expect("tshark writes hexadecimal digits");
        u8::from_str_radix(text, 16).expect("tshark writes hexadecimal digits")
    })
}

fn tshark(path: &Path, streams: usize) -> Vec<Followed> {
    let mut command = Command::new("tshark");
    command.arg("-r").arg(path).arg("-q");
    for stream in 0..streams {
        command.arg("-z").arg(format!("follow,tcp,raw,{stream}"));
    }
    let output = command.output().expect("tshark runs");
    parse(&String::from_utf8_lossy(&output.stdout))
}

/// Bytes as tshark shows them.
fn marked(seen: &Seen, side: usize) -> Vec<u8> {
    let runs = &seen.streams[side].runs;
    let mut bytes = Vec::new();
    for (index, run) in runs.iter().enumerate() {
        match run {
            Run::Data(data) => bytes.extend_from_slice(data),
            Run::Gap(_, GapReason::Snaplen) => {}
            Run::Gap(..) if index + 1 == runs.len() => {}
            Run::Gap(len, _) => bytes.extend(format!("[{len} bytes missing in capture file]\0").bytes()),
        }
    }
    bytes
}

/// Our connections in tshark's shape.
fn ours(replay: &Replay) -> Vec<Followed> {
    let end = |end: Endpoint| SocketAddr::new(end.address, end.port).to_string();
    replay
        .connections
        .iter()
        .map(|seen| Followed {
            number: 0,
            ends: [end(seen.connection.client), end(seen.connection.server)],
            bytes: [marked(seen, 0), marked(seen, 1)],
        })
        .collect()
}

/// Streams by their ends, the lesser end first; those with the same ends in their order.
fn by_ends(streams: Vec<Followed>) -> BTreeMap<[String; 2], Vec<[Vec<u8>; 2]>> {
    let mut result: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for mut stream in streams {
        if stream.ends[0] > stream.ends[1] {
            stream.ends.reverse();
            stream.bytes.reverse();
        }
        result.entry(stream.ends).or_default().push(stream.bytes);
    }
    result
}

/// What differs, in words.
fn differences(path: &Path) -> Vec<String> {
    let replay = replay(path);
    let theirs = by_ends(tshark(path, replay.connections.len() + 4));
    let ours = by_ends(ours(&replay));
    let mut found = Vec::new();
    for ends in ours.keys().chain(theirs.keys()).collect::<BTreeSet<_>>() {
        let (ours, theirs) = (ours.get(ends), theirs.get(ends));
        let nothing: [Vec<u8>; 2] = [Vec::new(), Vec::new()];
        let lone_reset =
            ours.is_none() && theirs.is_some_and(|streams| streams == std::slice::from_ref(&nothing));
        if ours == theirs || lone_reset {
            continue;
        }
        let lengths = |streams: Option<&Vec<[Vec<u8>; 2]>>| -> Vec<Vec<usize>> {
            streams
                .into_iter()
                .flatten()
                .map(|both| both.iter().map(Vec::len).collect())
                .collect()
        };
        found.push(format!(
            "{ends:?}: we have {:?} bytes, tshark {:?}",
            lengths(ours),
            lengths(theirs)
        ));
    }
    found
}

#[test]
fn every_stream_is_what_tshark_follows() {
    if !installed("tshark", "every_stream_is_what_tshark_follows") {
        return;
    }
    let paths: Vec<PathBuf> = captures().into_iter().chain(corpus()).collect();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(path) = paths.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let found = differences(path);
                    match DIFFERENT.iter().find(|(name, _)| path.ends_with(name)) {
                        Some((name, why)) => assert!(!found.is_empty(), "{name}: no longer different: {why}"),
                        None => assert!(found.is_empty(), "{}: {found:#?}", path.display()),
                    }
                }
            });
        }
    });
}
