//! What the console knows of a connection: the lines it is in the middle of.

use super::silence::Silence;
use crate::budget::{Budget, Share};
use crate::event::{Direction, Kind};
use crate::output::words::Words;
use crate::time::Timestamp;

/// The line that a direction is in.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// Unfinished; as on the wire, secrets replaced.
    pub(super) bytes: Vec<u8>,
    /// Time of its first byte.
    pub(super) time: Timestamp,
    /// Kind of its first byte.
    pub(super) kind: Kind,
    /// The last bytes were a secret that `[hidden]` stands for.
    pub(super) hidden: bool,
    /// It stands in the queue of lines to be looked after.
    pub(super) queued: bool,
    /// What is to be said once the line is shown.
    pub(super) behind: Vec<Words>,
    /// Lines of the message shown so far.
    pub(super) body_lines: u64,
    /// Lines left out since, their bytes, and the time of the first.
    pub(super) folded: Option<(u64, u64, Timestamp)>,
}

/// TLS records of one kind that come one after the other.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) direction: Direction,
    pub(super) time: Timestamp,
    pub(super) what: &'static str,
    pub(super) records: u64,
    pub(super) bytes: u64,
}

/// What the console knows of a connection.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) id: u64,
    /// Addresses as every line has them, by direction.
    pub(super) addresses: [Vec<u8>; 2],
    pub(super) lines: [Line; 2],
    pub(super) run: Option<Run>,
    pub(super) run_queued: bool,
    /// Time and bytes of handshake records since the last message.
    pub(super) handshake: [Option<(Timestamp, u64)>; 2],
    /// Time of the last bytes of either direction, or of its end.
    pub(super) last: Timestamp,
    /// Live: since when somebody is waited for.
    pub(super) silence: Option<Silence>,
    /// When it is to be looked at.
    pub(super) silence_queued: Option<Timestamp>,
    /// Something of it was shown.
    pub(super) shown: bool,
    /// What its lines take.
    pub(super) share: Share,
}

impl State {
    /// The line that a direction is in.
    pub(super) fn line(&self, direction: Direction) -> &Line {
        direction.of(&self.lines)
    }

    /// The same, to work on.
    pub(super) fn line_mut(&mut self, direction: Direction) -> &mut Line {
        direction.of_mut(&mut self.lines)
    }

    /// Tells the budget what its lines take, or took: their allocations are used again.
    pub(super) fn account(&mut self, budget: &mut Budget) {
        let [to_server, to_client] = &self.lines;
        let bytes = to_server.bytes.capacity() + to_client.bytes.capacity();
        budget.account(&mut self.share, bytes);
    }

    /// Handshake records whose message is to come.
    pub(super) fn handshake_mut(&mut self, direction: Direction) -> &mut Option<(Timestamp, u64)> {
        direction.of_mut(&mut self.handshake)
    }

    /// `SOURCE > DESTINATION`.
    pub(super) fn addresses(&self, direction: Direction) -> &[u8] {
        self.addresses.get(direction.index()).map_or(&[], Vec::as_slice)
    }
}
