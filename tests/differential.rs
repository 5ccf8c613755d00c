//! What we put together equals what `tshark -z follow,tcp,raw` puts together, for every direction of every
//! connection of every capture there is; where it does not, the reason stands here by name.

mod common;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::replay::{Replay, Run, Seen, replay};
use common::{captures, corpus, corpus_folder, installed};
use flowdump::event::GapReason;

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

#[test]
fn look() {
    if !installed("tshark", "differential") {
        return;
    }
    let paths: Vec<PathBuf> = captures().into_iter().chain(corpus()).collect();
    let next = AtomicUsize::new(0);
    let out = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(path) = paths.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let ours = replay(path);
                    if ours.connections.is_empty() {
                        continue;
                    }
                    let theirs = tshark(path, ours.connections.len() + 4);
                    let mut lines = Vec::new();
                    compare(&ours, &theirs, &mut lines);
                    out.lock().unwrap().push((path.display().to_string(), lines));
                }
            });
        }
    });
    let mut all = out.into_inner().unwrap();
    all.sort();
    for (path, lines) in all {
        for line in lines {
            println!("{path}: {line}");
        }
    }
}

fn compare(ours: &Replay, theirs: &[Followed], lines: &mut Vec<String>) {
    let mut by_ends: HashMap<[String; 2], Vec<&Seen>> = HashMap::new();
    for seen in &ours.connections {
        by_ends
            .entry(key([name(seen, 0), name(seen, 1)]))
            .or_default()
            .push(seen);
    }
    let mut theirs_by: HashMap<[String; 2], Vec<&Followed>> = HashMap::new();
    for one in theirs {
        theirs_by.entry(key(one.ends.clone())).or_default().push(one);
    }
    if ours.connections.len() != theirs.len() {
        lines.push(format!("we {} they {}", ours.connections.len(), theirs.len()));
    }
    for (ends, seen) in &by_ends {
        let Some(other) = theirs_by.get(ends) else {
            lines.push(format!("{ends:?} is not theirs"));
            continue;
        };
        for (a, b) in seen.iter().zip(other) {
            for side in 0..2 {
                let node = usize::from(b.ends[0] != name(a, side));
                let mine = marked(a, side);
                if mine != b.bytes[node] {
                    let at = mine
                        .iter()
                        .zip(&b.bytes[node])
                        .position(|(x, y)| x != y)
                        .unwrap_or(mine.len().min(b.bytes[node].len()));
                    lines.push(format!(
                        "{} > : {} vs {} differ at {at} gaps {:?}: {:?} vs {:?}",
                        name(a, side),
                        mine.len(),
                        b.bytes[node].len(),
                        a.streams[side].gaps(),
                        String::from_utf8_lossy(&mine[at..mine.len().min(at + 50)]),
                        String::from_utf8_lossy(&b.bytes[node][at..b.bytes[node].len().min(at + 50)]),
                    ));
                }
            }
        }
    }
}

fn key(mut ends: [String; 2]) -> [String; 2] {
    ends.sort();
    ends
}

fn name(seen: &Seen, side: usize) -> String {
    let (client, server) = (seen.connection.client, seen.connection.server);
    let end = if side == 0 { client } else { server };
    SocketAddr::new(end.address, end.port).to_string()
}

fn marked(seen: &Seen, side: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let runs = &seen.streams[side].runs;
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
