//! A filter lets pass what it lets pass in tcpdump, in every capture and for every link type.

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::{capture, captures, corpus, flowdump, installed, run};
use flowdump::capture::{FileSource, Filter, Next, Source};

const EXPRESSIONS: &[&str] = &[
    "tcp port 25",
    "greater 200",
    "ip6",
    "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0",
    "vlan and tcp",
    "not tcp",
];

/// Packets of a capture that pass; `None` where the expression means nothing for its link type.
fn ours(path: &Path, expression: &str) -> Option<usize> {
    let mut source = FileSource::open(&[path.to_owned()]).ok()?;
    let mut filter = Filter::compile(expression, source.link_types()).ok()?;
    let mut passed = 0;
    loop {
        match source.next() {
            Ok(Next::Packet(packet)) => passed += usize::from(filter.matches(&packet)),
            Ok(Next::Idle(_)) => {}
            // tcpdump stops there too.
            Ok(Next::End) | Err(_) => return Some(passed),
        }
    }
}

/// The same by tcpdump, which refuses some files that we read.
fn tcpdumps(path: &Path, expression: &str) -> Option<usize> {
    let output = Command::new("tcpdump")
        .args(["-n", "-w", "-", "-r"])
        .arg(path)
        .arg(expression)
        .output();
    let output = output.expect("tcpdump runs");
    // What it writes is a pcap file: 24 bytes, then 16 and the packet for each.
    let mut rest = output.status.success().then_some(output.stdout)?.split_off(24);
    let mut count = 0;
    while let Some(captured) = rest.get(8..12).and_then(|length| length.first_chunk()) {
        rest = rest.split_off(16 + u32::from_ne_bytes(*captured) as usize);
        count += 1;
    }
    Some(count)
}

#[test]
fn tagged_packets_that_a_filter_does_not_look_into_are_named() {
    let said = |expression: &str| {
        let mut command = flowdump();
        command
            .args(["-C", "-r"])
            .arg(capture("smtp-vlan.pcap"))
            .arg(expression);
        run(&mut command).ok().stderr
    };
    let port = said("port 25");
    assert!(
        port.contains("`port 25` looks behind no tag, `vlan and (port 25)` does"),
        "{port}"
    );
    let vlan = said("vlan and (port 25)");
    assert!(!vlan.contains("tag"), "{vlan}");
}

#[test]
fn what_passes_is_what_passes_in_tcpdump() {
    if !installed("tcpdump", "what_passes_is_what_passes_in_tcpdump") {
        return;
    }
    let mut compared = 0;
    // libpcap has its own ideas of what to make of broken files.
    let sound = |path: &PathBuf| path.parent().is_none_or(|folder| !folder.ends_with("broken"));
    for path in captures().into_iter().chain(corpus()).filter(sound) {
        for expression in EXPRESSIONS {
            let Some(theirs) = tcpdumps(&path, expression) else {
                continue;
            };
            assert_eq!(
                ours(&path, expression),
                Some(theirs),
                "{expression} in {}",
                path.display()
            );
            compared += 1;
        }
    }
    assert!(compared > 300, "tcpdump reads most of them: {compared}");
}
