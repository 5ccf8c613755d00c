//! Any TCP segments of two connections through the flow table: lost, early, late, again, forged, far off, with
//! acknowledgements of whatever, and with time that stands still or goes back. What comes out must be what the
//! senders said (`flow/oracle.rs`), in the order that `event.rs` promises (the tests' `Watch` looks), under the
//! bounds, and the same whether time goes on between packets or only with them.
//!
//! `flow/wire.rs` says how an input is read. No seeds are needed.
#![no_main]

#[allow(dead_code)]
#[path = "../../tests/common"]
mod common {
    pub mod packets;
    pub mod replay;
}
#[path = "flow/oracle.rs"]
mod oracle;
#[path = "flow/wire.rs"]
mod wire;

use std::fmt;

use common::replay::Watch;
use flowdump::event::{Closing, Connection, Direction, EndHow, Event, GapReason, TcpNote};
use flowdump::flow::{FlowOptions, FlowTable};
use flowdump::time::Timestamp;
use libfuzzer_sys::fuzz_target;
use wire::{Script, Step};

/// Accounted for a connection that is over, or never began.
const ENTRY: usize = 200;

/// Accounted for one that lives, beside what it holds out of order.
const ALIVE: usize = 24 << 10;

/// What came out, and during which call of the table. The call behind the last step is the end.
#[derive(Debug, PartialEq)]
pub struct Told {
    call: usize,
    /// Whose: number of the connection, its client's port (by our own notion of clients), and which side of it flow
    /// takes for the client.
    id: u64,
    client: u16,
    client_side: usize,
    what: What,
}

#[derive(Debug, PartialEq)]
enum What {
    Data {
        direction: Direction,
        offset: u64,
        time: Timestamp,
        bytes: Bytes,
    },
    Gap {
        direction: Direction,
        offset: u64,
        len: u64,
        time: Timestamp,
        reason: GapReason,
    },
    Note(Direction, Timestamp, TcpNote),
    End(Direction, Timestamp, EndHow),
    Closed(Closing),
}

/// Bytes that are not worth reading: their length is.
#[derive(PartialEq)]
struct Bytes(Vec<u8>);

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

fn what(event: &Event<'_>) -> Option<What> {
    Some(match *event {
        Event::Data {
            direction,
            offset,
            time,
            bytes,
            ..
        } => What::Data {
            direction,
            offset,
            time,
            bytes: Bytes(bytes.to_vec()),
        },
        Event::Gap {
            direction,
            offset,
            len,
            time,
            reason,
        } => What::Gap {
            direction,
            offset,
            len,
            time,
            reason,
        },
        Event::Note {
            direction,
            time,
            note,
        } => What::Note(direction, time, note),
        Event::End { direction, time, how } => What::End(direction, time, how),
        Event::Closed(closing) => What::Closed(closing.clone()),
        _ => return None,
    })
}

fn options(tight: bool) -> FlowOptions {
    if !tight {
        return FlowOptions::default();
    }
    FlowOptions {
        memory: 48 << 10,
        max_connections: 2,
        hold_per_direction: 4 << 10,
        ..FlowOptions::default()
    }
}

/// Everything that the table tells. `ticks`: time goes on between packets.
fn run(script: &Script, ticks: bool) -> Vec<Told> {
    let options = options(script.tight);
    let mut table = FlowTable::new(options.clone());
    let mut watch = Watch::default();
    let mut told = Vec::new();
    for call in 0..=script.steps.len() {
        let mut emit = |connection: &Connection, event: &Event<'_>| {
            watch.event(connection, event);
            let (id, client) = (connection.id, connection.client.port.max(connection.server.port));
            let client_side = usize::from(connection.client.port == wire::SERVER);
            told.extend(what(event).map(|what| Told {
                call,
                id,
                client,
                client_side,
                what,
            }));
            Ok(())
        };
        let done = match script.steps.get(call) {
            Some(Step::Segment(sent)) => table.segment(&sent.segment(), &mut emit),
            Some(Step::Tick(now)) if ticks => table.tick(*now, &mut emit),
            Some(Step::Tick(_)) => Ok(()),
            None => table
                .tick(script.end, &mut emit)
                .and_then(|()| table.finish(&mut emit)),
        };
        done.expect("the watch never fails");
        let stats = table.stats();
        assert!(
            stats.memory <= options.memory,
            "more memory than allowed: {stats:?}"
        );
        let held = 2 * options.hold_per_direction;
        let most = stats.open as usize * (ALIVE + held) + ENTRY * script.steps.len();
        assert!(stats.memory <= most, "{most} for {stats:?}");
    }
    watch.end();
    let stats = table.stats();
    assert_eq!((stats.open, stats.opened), (0, stats.closed));
    assert_eq!(stats.closed, watch.connections.len() as u64);
    assert!(
        stats.memory <= ENTRY * watch.connections.len(),
        "kept at the end: {stats:?}"
    );
    let sum = |of: fn(&flowdump::event::Totals) -> u64| -> u64 {
        watch
            .connections
            .iter()
            .flat_map(|seen| &seen.closed().totals)
            .map(of)
            .sum()
    };
    assert_eq!(
        (stats.bytes, stats.gap_bytes),
        (sum(|one| one.bytes), sum(|one| one.gap_bytes))
    );
    assert_eq!(stats.outside_bytes, sum(|one| one.outside_bytes));
    told
}

fuzz_target!(|input: &[u8]| {
    let Some(script) = wire::script(input) else { return };
    let live = run(&script, true);
    oracle::check(&script, &live);
    if script.steady {
        let without_calls = |told: Vec<Told>| {
            told.into_iter()
                .map(|told| (told.id, told.what))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            without_calls(live),
            without_calls(run(&script, false)),
            "live and from a file: {script:#?}"
        );
    }
});
