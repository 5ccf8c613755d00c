//! The watchers of one connection under any bytes and gaps: they must not panic, must pass on every byte once and
//! in order, and must tell the same however the bytes are cut.
//!
//! The first byte of the input chooses the port and whether the start was seen. Behind it stands a dialogue:
//! 0xff lets the other side speak, 0xfe and a byte is a gap so long, 0xfd ends a packet; all else is said.
//! A dictionary helps: `cargo +nightly fuzz run mail -- -dict=fuzz/mail.dict`.
#![no_main]

use std::net::{IpAddr, Ipv4Addr};

use flowdump::decode::{Endpoint, Scope};
use flowdump::event::{
    ClientKnown, CloseReason, Closing, Connection, Direction, EndHow, Event, GapReason, Kind,
};
use flowdump::mail::MailEvent;
use flowdump::time::Timestamp;
use flowdump::tls::TlsEvent;
use flowdump::watch::Watchers;
use libfuzzer_sys::fuzz_target;

/// One time for all: a time later in the input would depend on the cut.
const NOW: Timestamp = Timestamp::from_nanos(1_800_000_000_000_000_000);

enum Step {
    Data(Direction, Vec<u8>),
    Gap(Direction, u64),
}

fn connection(port: u16, from_start: bool) -> Connection {
    let endpoint = |port| Endpoint { address: IpAddr::V4(Ipv4Addr::LOCALHOST), port };
    Connection {
        id: 1,
        slot: 0,
        client: endpoint(40000),
        server: endpoint(port),
        client_known: if from_start { ClientKnown::Syn } else { ClientKnown::Guessed },
        first_time: NOW,
        scope: Scope(0),
        vlan: None,
        mac: None,
    }
}

/// `cut`: packets end where the input says so, else only where the other side speaks.
fn steps(input: &[u8], cut: bool) -> Vec<Step> {
    let mut steps = vec![];
    let mut direction = Direction::ToClient;
    let mut data = vec![];
    let mut bytes = input.iter();
    let say = |direction, data: &mut Vec<u8>, steps: &mut Vec<Step>| {
        if !data.is_empty() {
            steps.push(Step::Data(direction, std::mem::take(data)));
        }
    };
    while let Some(byte) = bytes.next() {
        match byte {
            0xff => {
                say(direction, &mut data, &mut steps);
                direction = direction.reverse();
            }
            0xfe => {
                say(direction, &mut data, &mut steps);
                steps.push(Step::Gap(direction, 1 + u64::from(*bytes.next().unwrap_or(&0))));
            }
            0xfd if cut => say(direction, &mut data, &mut steps),
            0xfd => {}
            byte => data.push(*byte),
        }
    }
    say(direction, &mut data, &mut steps);
    steps
}

fn run(connection: &Connection, steps: &[Step]) -> (Vec<MailEvent>, Vec<TlsEvent>) {
    let (mut mail, mut tls) = (vec![], vec![]);
    let mut passed = [0u64; 2];
    let mut last = false;
    let mut emit = |_: &Connection, event: &Event<'_>| {
        assert!(!last, "something behind the last event");
        match event {
            Event::Data { direction, offset, bytes, .. } => {
                assert_eq!(passed[direction.index()], *offset);
                assert!(!bytes.is_empty());
                passed[direction.index()] += bytes.len() as u64;
            }
            Event::Gap { direction, offset, len, .. } => {
                assert_eq!(passed[direction.index()], *offset);
                passed[direction.index()] += len;
            }
            Event::Mail(event) => mail.push((*event).clone()),
            Event::Tls(event) => tls.push((*event).clone()),
            Event::Closed(_) => last = true,
            _ => {}
        }
        Ok(())
    };
    let mut watchers = Watchers::new();
    let mut offsets = [0u64; 2];
    let _ = watchers.event(connection, &Event::Opened, &mut emit);
    for step in steps {
        match step {
            Step::Data(direction, bytes) => {
                let (direction, offset) = (*direction, offsets[direction.index()]);
                offsets[direction.index()] += bytes.len() as u64;
                let data = Event::Data { direction, offset, time: NOW, kind: Kind::Plain, bytes };
                let _ = watchers.event(connection, &data, &mut emit);
            }
            Step::Gap(direction, len) => {
                let (direction, offset) = (*direction, offsets[direction.index()]);
                offsets[direction.index()] += len;
                let gap = Event::Gap { direction, offset, len: *len, time: NOW, reason: GapReason::Lost };
                let _ = watchers.event(connection, &gap, &mut emit);
            }
        }
    }
    for direction in Direction::BOTH {
        let _ = watchers.event(connection, &Event::End { direction, time: NOW, how: EndHow::Fin }, &mut emit);
    }
    let closing = Closing {
        reason: CloseReason::Fin,
        last_time: NOW,
        handshake: true,
        first_fin: None,
        totals: Default::default(),
    };
    let _ = watchers.event(connection, &Event::Closed(&closing), &mut emit);
    assert_eq!(passed, offsets, "bytes lost or doubled");
    (mail, tls)
}

fuzz_target!(|input: &[u8]| {
    let Some((first, dialogue)) = input.split_first() else { return };
    let port = [25, 110, 143, 4190, 465, 9999, 24, 587][usize::from(first & 7)];
    let from_start = first & 8 == 0;
    let connection = connection(port, from_start);
    let cut = run(&connection, &steps(dialogue, true));
    let whole = run(&connection, &steps(dialogue, false));
    // In mid-stream, a gap's far side included, a packet's end is evidence for TLS: there the cut may matter.
    if from_start && !dialogue.contains(&0xfe) {
        assert_eq!(cut.0, whole.0);
        assert_eq!(cut.1, whole.1);
    }
});
