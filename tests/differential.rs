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
    command.arg("-n").arg("-r").arg(path).arg("-q");
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

/// Both directions of each stream, by their ends, the lesser end first; those with the same ends in their
/// order.
type Streams = BTreeMap<[String; 2], Vec<[Vec<u8>; 2]>>;

fn by_ends(streams: Vec<Followed>) -> Streams {
    let mut result = Streams::new();
    for mut stream in streams {
        if stream.ends[0] > stream.ends[1] {
            stream.ends.reverse();
            stream.bytes.reverse();
        }
        result.entry(stream.ends).or_default().push(stream.bytes);
    }
    result
}

/// Captures that tshark may read as one file, because no two have a stream with the same ends: starting it
/// takes longer than all it does.
type Batch = Vec<(PathBuf, Streams)>;

/// Streams in a batch, at the most: each is a pass of tshark over all packets.
const BATCH: usize = 60;

fn batches(paths: Vec<PathBuf>) -> Vec<Batch> {
    let (mut shared, mut alone): (Vec<Batch>, Vec<Batch>) = Default::default();
    for path in paths {
        let replay = replay(&path);
        let streams = by_ends(ours(&replay));
        if !replay.errors.is_empty() || !replay.warnings.is_empty() || reason(&path).is_some() {
            alone.push(vec![(path, streams)]);
            continue;
        }
        let fits = |batch: &&mut Batch| {
            let others = || batch.iter().flat_map(|(_, others)| others.keys());
            others().count() + streams.len() <= BATCH && !others().any(|ends| streams.contains_key(ends))
        };
        match shared.iter_mut().find(fits) {
            Some(batch) => batch.push((path, streams)),
            None => shared.push(vec![(path, streams)]),
        }
    }
    shared.into_iter().chain(alone).collect()
}

/// Why a capture is known to differ.
fn reason(path: &Path) -> Option<&'static str> {
    DIFFERENT
        .iter()
        .find(|(name, _)| path.ends_with(name))
        .map(|(_, why)| *why)
}

/// Captures one behind the other in a file of their own.
fn merged(batch: &Batch, folder: &Path) -> PathBuf {
    if let [(path, _)] = batch.as_slice() {
        return path.clone();
    }
    let file = folder.join("merged.pcapng");
    let paths = batch.iter().map(|(path, _)| path);
    let output = Command::new("mergecap")
        .arg("-a")
        .arg("-w")
        .arg(&file)
        .args(paths)
        .output();
    let output = output.expect("mergecap runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    file
}

/// What differs in each of the captures, in words.
fn differences(batch: &Batch) -> Vec<Vec<String>> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let streams = batch
        .iter()
        .flat_map(|(_, streams)| streams.values())
        .map(Vec::len)
        .sum::<usize>();
    let theirs = by_ends(tshark(&merged(batch, folder.path()), streams + 4));
    let lone_reset = |streams: &[[Vec<u8>; 2]]| streams.len() == 1 && streams[0].iter().all(Vec::is_empty);
    let known: BTreeSet<_> = batch.iter().flat_map(|(_, streams)| streams.keys()).collect();
    for (ends, streams) in theirs.iter().filter(|(ends, _)| !known.contains(ends)) {
        assert!(
            lone_reset(streams),
            "only tshark has {ends:?} in one of {:?}",
            batch.iter().map(|(path, _)| path)
        );
    }
    let lengths = |streams: &[[Vec<u8>; 2]]| -> Vec<[usize; 2]> {
        streams
            .iter()
            .map(|both| [both[0].len(), both[1].len()])
            .collect()
    };
    let compare = |(ends, ours): (&[String; 2], &Vec<[Vec<u8>; 2]>)| {
        let theirs = theirs.get(ends).map(Vec::as_slice).unwrap_or_default();
        (ours != theirs).then(|| {
            format!(
                "{ends:?}: we have {:?} bytes, tshark {:?}",
                lengths(ours),
                lengths(theirs)
            )
        })
    };
    batch
        .iter()
        .map(|(_, streams)| streams.iter().filter_map(compare).collect())
        .collect()
}

#[test]
fn every_stream_is_what_tshark_follows() {
    const NAME: &str = "every_stream_is_what_tshark_follows";
    if !installed("tshark", NAME) || !installed("mergecap", NAME) {
        return;
    }
    let batches = batches(captures().into_iter().chain(corpus()).collect());
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(batch) = batches.get(next.fetch_add(1, Ordering::Relaxed)) {
                    for ((path, _), found) in batch.iter().zip(differences(batch)) {
                        match reason(path) {
                            Some(why) => assert!(!found.is_empty(), "{path:?} no longer differs: {why}"),
                            None => assert!(found.is_empty(), "{path:?}: {found:#?}"),
                        }
                    }
                }
            });
        }
    });
}
