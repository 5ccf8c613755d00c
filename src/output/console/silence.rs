//! Live, a silence is shown while it lasts: who watches mail that does not go through would otherwise see nothing, and
//! not why, until one side gives up. Packets' times do not tell it (through a pipe may come what was captured long ago),
//! only a live source that has nothing to give.
//!
//! Silence of a client that owes nothing (a kept connection, IDLE) is none. In a file it would say what times say.

use std::time::Duration;

use super::page::Page;
use super::state::State;
use crate::event::{ClientKnown, Connection, Direction, Kind};
use crate::time::Timestamp;

/// Of one silence is told so many times, when it has lasted for so long.
const TOLD_AFTER: [(Duration, &str); 3] = [
    (Duration::from_secs(10), "10 s"),
    (Duration::from_secs(60), "1 min"),
    (Duration::from_secs(300), "5 min"),
];

/// What nobody says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Awaited {
    /// The first byte of all.
    Data,
    /// What the server says to the client's last.
    Answer,
    /// The rest of a message.
    More,
}

/// A silence that lasts.
#[derive(Debug)]
pub(super) struct Silence {
    since: Timestamp,
    awaited: Awaited,
    /// How often it was told of.
    told: usize,
}

impl Silence {
    const fn new(since: Timestamp, awaited: Awaited) -> Self {
        let told = 0;
        Self { since, awaited, told }
    }

    /// After a handshake nobody has said anything.
    pub(super) fn at_first(connection: &Connection) -> Option<Self> {
        (connection.client_known == ClientKnown::Syn)
            .then_some(Self::new(connection.first_time, Awaited::Data))
    }

    /// Behind these bytes.
    pub(super) fn behind(direction: Direction, time: Timestamp, kind: Kind, bytes: &[u8]) -> Option<Self> {
        let awaited = match direction {
            Direction::ToClient => return None,
            Direction::ToServer if kind == Kind::Body && !bytes.ends_with(b".\r\n") => Awaited::More,
            Direction::ToServer => Awaited::Answer,
        };
        Some(Self::new(time, awaited))
    }

    /// When it is to be told of next.
    pub(super) fn due(&self) -> Option<Timestamp> {
        TOLD_AFTER.get(self.told).map(|(after, _)| self.since + *after)
    }
}

impl Page<'_> {
    /// Tells of a silence that was to be looked at at this time, if it has lasted for long enough. The time to look
    /// again.
    pub(super) fn silence(&mut self, state: &mut State, at: Timestamp, now: Timestamp) -> Option<Timestamp> {
        if state.silence_queued != Some(at) {
            // A newer one is to be looked at sooner.
            return None;
        }
        state.silence_queued = None;
        let silence = state.silence.as_mut()?;
        let due = silence.due()?;
        if due <= now {
            let (_, long) = TOLD_AFTER.get(silence.told)?;
            silence.told += 1;
            let (direction, what) = match silence.awaited {
                Awaited::Data => (Direction::ToClient, "no data"),
                Awaited::Answer => (Direction::ToClient, "no answer"),
                Awaited::More => (Direction::ToServer, "nothing more"),
            };
            self.finish_run(state);
            self.remark(state, direction, due, &format!("{what} in {long}, still open"));
        }
        state.silence_queued = state.silence.as_ref().and_then(Silence::due);
        state.silence_queued
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EndHow, Event, Sink};
    use crate::output::console::{Console, ConsoleOptions, testing};

    const CLIENT: Direction = Direction::ToServer;
    const SERVER: Direction = Direction::ToClient;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_nanos(seconds * 1_000_000_000)
    }

    fn said(direction: Direction, seconds: i64, kind: Kind, bytes: &'static [u8]) -> Event<'static> {
        Event::Data {
            direction,
            offset: 0,
            time: at(seconds),
            kind,
            bytes,
        }
    }

    /// What flowdump says itself of these, with a tick each second, and in the end.
    fn remarks(live: bool, events: &[Event<'_>], until: i64) -> Vec<String> {
        let options = ConsoleOptions {
            live: true,
            ..testing::options()
        };
        let connection = testing::connection();
        let mut console = Console::new(Vec::new(), options);
        console.event(&connection, &Event::Opened).unwrap();
        let mut events = events.iter().peekable();
        for second in 0..until {
            let time = |event: &&Event<'_>| match event {
                Event::Data { time, .. } | Event::End { time, .. } => *time,
                _ => at(0),
            };
            while let Some(event) = events.next_if(|event| time(event) <= at(second)) {
                console.event(&connection, event).unwrap();
            }
            console.tick(at(second)).unwrap();
            if live {
                console.silent(at(second)).unwrap();
            }
        }
        console.tick(Timestamp::NEVER).unwrap();
        console.finish().unwrap();
        let shown = String::from_utf8(console.writer).unwrap();
        let own = shown.lines().filter_map(|line| line.split_once("  ["));
        own.map(|(from, text)| {
            let client = from.starts_with("127.0.0.1:1025");
            format!(
                "{}: {}",
                if client { "client" } else { "server" },
                text.trim_end_matches(']')
            )
        })
        .collect()
    }

    #[test]
    fn a_server_that_says_nothing_is_told_of_while_it_does() {
        let told = [
            "server: no data in 10 s, still open",
            "server: no data in 1 min, still open",
            "server: no data in 5 min, still open",
        ];
        assert_eq!(remarks(true, &[], 10), told[..0]);
        assert_eq!(remarks(true, &[], 11), told[..1]);
        assert_eq!(remarks(true, &[], 61), told[..2]);
        assert_eq!(remarks(true, &[], 4000), told);
        assert_eq!(remarks(false, &[], 4000), told[..0]);
    }

    #[test]
    fn an_answer_is_waited_for_and_a_client_s_idleness_is_its_own_affair() {
        let greeting = said(SERVER, 5, Kind::Reply, b"220 mx\r\n");
        let ehlo = said(CLIENT, 100, Kind::Command, b"EHLO a\r\n");
        let answer = said(SERVER, 111, Kind::Reply, b"250 mx\r\n");
        let told = ["server: no answer in 10 s, still open"];
        assert_eq!(remarks(true, std::slice::from_ref(&greeting), 4000), told[..0]);
        assert_eq!(remarks(true, &[greeting, ehlo, answer], 4000), told);
    }

    #[test]
    fn a_message_that_stops_is_its_client_s_affair_unless_it_is_over() {
        let middle = said(CLIENT, 1, Kind::Body, b"Dear Sir,\r\n");
        let end = said(CLIENT, 20, Kind::Body, b"yours\r\n.\r\n");
        let closed = Event::End {
            direction: SERVER,
            time: at(40),
            how: EndHow::Fin,
        };
        let told = [
            "client: nothing more in 10 s, still open",
            "server: no answer in 10 s, still open",
        ];
        assert_eq!(remarks(true, &[middle, end, closed], 4000), told);
    }
}
