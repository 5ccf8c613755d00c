//! How bytes are cut into pieces does not matter, and what is missing makes nothing be told that is not so.

use flowdump::event::Direction;
use flowdump::time::Timestamp;
use flowdump::tls::{Handshake, Record, TlsEvent};
use proptest::prelude::*;

use crate::common::capture;
use crate::feed::{Feed, Step, feeds};

const CAPTURES: &[&str] = &[
    "smtp-starttls-tls12.pcap",
    "smtp-starttls-tls13.pcap",
    "smtp-starttls-unknown-ca.pcap",
    "smtp-clear-after-tls.pcap",
    "smtps-465.pcap",
    "imaps.pcap",
    "pop3-stls.pcap",
];

/// With one time for all: when a byte came depends on the cut, by its nature.
fn timeless() -> Vec<Feed> {
    let now = Timestamp::from_nanos(1_800_000_000_000_000_000);
    let mut feeds: Vec<Feed> = CAPTURES.iter().flat_map(|name| feeds(&capture(name))).collect();
    for step in feeds.iter_mut().flat_map(|feed| &mut feed.steps) {
        match step {
            Step::Data(_, _, time, _) | Step::Gap(_, _, time) | Step::End(_, time) | Step::Close(time) => {
                *time = now;
            }
        }
    }
    feeds
}

/// The same bytes in the same order, in pieces of these sizes (used in turn).
fn cut(feed: &Feed, sizes: &[usize]) -> Feed {
    let mut sizes = sizes.iter().cycle();
    let mut steps = Vec::new();
    let mut waiting: Option<(Direction, u64, Timestamp, Vec<u8>)> = None;
    let mut flush = |waiting: &mut Option<(Direction, u64, Timestamp, Vec<u8>)>, steps: &mut Vec<Step>| {
        let Some((direction, mut offset, time, bytes)) = waiting.take() else {
            return;
        };
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let (now, later) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
            steps.push(Step::Data(direction, offset, time, now.to_vec()));
            offset += now.len() as u64;
            rest = later;
        }
    };
    for step in &feed.steps {
        match (step, &mut waiting) {
            (Step::Data(direction, _, _, bytes), Some((before, _, _, held))) if direction == before => {
                held.extend_from_slice(bytes);
            }
            (Step::Data(direction, offset, time, bytes), _) => {
                flush(&mut waiting, &mut steps);
                waiting = Some((*direction, *offset, *time, bytes.clone()));
            }
            _ => {
                flush(&mut waiting, &mut steps);
                steps.push(step.clone());
            }
        }
    }
    flush(&mut waiting, &mut steps);
    Feed {
        steps,
        ..feed.clone()
    }
}

/// Loses `len` bytes from the `start`th of a direction on, counted from where TLS begins.
fn lose(feed: &Feed, direction: Direction, start: u64, len: u64) -> Feed {
    let first = feed.started.offsets[direction.index()].expect("known") + start;
    let lost = first..first + len;
    let mut steps = Vec::new();
    for step in &feed.steps {
        match step {
            Step::Data(of, offset, time, bytes) if *of == direction => {
                let mut at = *offset;
                for piece in bytes.chunk_by(|_, _| {
                    at += 1;
                    lost.contains(&at) == lost.contains(&(at - 1))
                }) {
                    let offset = offset + (piece.as_ptr() as usize - bytes.as_ptr() as usize) as u64;
                    steps.push(if lost.contains(&offset) {
                        Step::Gap(direction, piece.len() as u64, *time)
                    } else {
                        Step::Data(direction, offset, *time, piece.to_vec())
                    });
                }
            }
            other => steps.push(other.clone()),
        }
    }
    Feed {
        steps,
        ..feed.clone()
    }
}

fn message(event: &TlsEvent) -> Option<(Direction, Handshake)> {
    match event {
        // Without the client's offer less is known of the answer.
        TlsEvent::Handshake {
            message: Handshake::ServerHello(_),
            ..
        } => None,
        TlsEvent::Handshake {
            message: Handshake::Certificates(_),
            ..
        } => None,
        TlsEvent::Handshake {
            message: Handshake::ServerKeyExchange { .. },
            ..
        } => None,
        TlsEvent::Handshake {
            direction, message, ..
        } => Some((*direction, message.clone())),
        _ => None,
    }
}

fn place(event: &TlsEvent) -> Option<(Direction, u64, u8, u16, u32)> {
    match event {
        TlsEvent::Record(Record {
            direction,
            offset,
            content_type,
            version,
            len,
            ..
        }) => Some((*direction, *offset, *content_type, *version, *len)),
        _ => None,
    }
}

#[test]
fn byte_by_byte_is_the_same_as_all_at_once() {
    for feed in timeless() {
        assert_eq!(cut(&feed, &[1]).events(), cut(&feed, &[usize::MAX]).events());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_cut_does_not_matter(sizes in prop::collection::vec(1usize..300, 1..20)) {
        for feed in timeless() {
            prop_assert_eq!(cut(&feed, &sizes).events(), feed.events());
        }
    }

    #[test]
    fn with_bytes_missing_the_cut_does_not_matter_either(
        sizes in prop::collection::vec(1usize..300, 1..20), start in 0u64..1500, len in 1u64..600, server: bool,
    ) {
        let direction = if server { Direction::ToClient } else { Direction::ToServer };
        for feed in timeless() {
            let lossy = lose(&feed, direction, start, len);
            // Neighbouring gaps are one, as flow tells them.
            prop_assert_eq!(cut(&lossy, &sizes).events(), cut(&lossy, &[usize::MAX]).events());
        }
    }

    #[test]
    fn damaged_bytes_break_nothing_and_the_cut_does_not_matter(
        sizes in prop::collection::vec(1usize..300, 1..20),
        damage in prop::collection::vec((0usize..3000, any::<u8>()), 1..8),
    ) {
        for mut feed in timeless() {
            let mut all: Vec<&mut u8> = feed.steps.iter_mut().flat_map(|step| match step {
                Step::Data(_, _, _, bytes) => bytes.iter_mut(),
                _ => [].iter_mut(),
            }).collect();
            let len = all.len();
            for (at, byte) in &damage {
                *all[at % len] = *byte;
            }
            prop_assert_eq!(cut(&feed, &sizes).events(), feed.events());
        }
    }

    #[test]
    fn what_is_missing_makes_nothing_untrue_be_told(start in 0u64..1500, len in 1u64..600, server: bool) {
        let direction = if server { Direction::ToClient } else { Direction::ToServer };
        for feed in timeless() {
            let truth = feed.events();
            let places: Vec<_> = truth.iter().filter_map(place).collect();
            let messages: Vec<_> = truth.iter().filter_map(message).collect();
            let finished = truth.iter().any(|event| matches!(event, TlsEvent::Established { .. }));
            for event in lose(&feed, direction, start, len).events() {
                if let Some(place) = place(&event) {
                    prop_assert!(places.contains(&place), "{:?}", event);
                }
                if let Some(message) = message(&event) {
                    prop_assert!(messages.contains(&message), "{:?}", event);
                }
                match event {
                    TlsEvent::Broken { .. } => prop_assert!(truth.contains(&event), "{:?}", event),
                    TlsEvent::Established { .. } => prop_assert!(finished, "{:?}", event),
                    TlsEvent::Unfinished { .. } => prop_assert!(!finished, "{:?}", event),
                    _ => {}
                }
            }
        }
    }
}
