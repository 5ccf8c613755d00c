//! What stands before and behind the text of a line: time, addresses, colours.

use super::ConsoleOptions;
use super::state::State;
use crate::event::{Direction, Kind};
use crate::output::clock::{Clock, TimeStyle};
use crate::output::sheet::SHORT;
use crate::time::Timestamp;

/// What stands before and behind the text of a line, made once for all lines of a packet.
#[derive(Debug, Default)]
pub(super) struct Margin {
    made_for: Option<(u64, Direction, Timestamp, Kind)>,
    /// What stands between two lines: a bare LF; the end of the one; time, addresses and the colour of the text of
    /// the other. Behind it so much more that it can be copied as a short piece.
    bytes: Vec<u8>,
    /// How much of it is the bare LF.
    bare: usize,
    /// Where the other begins.
    start: usize,
    /// How much of it is meant.
    len: usize,
    /// For pieces of text made elsewhere, on their way out.
    pub(super) scratch: Vec<u8>,
}

impl Margin {
    /// Makes it for these lines, unless it was made for them already.
    pub(super) fn fill(
        &mut self,
        options: &ConsoleOptions,
        clock: &mut Clock,
        state: &State,
        direction: Direction,
        time: Timestamp,
        kind: Kind,
    ) {
        let wanted = Some((state.id, direction, time, kind));
        if self.made_for == wanted && options.time != TimeStyle::Delta {
            return;
        }
        self.made_for = wanted;
        self.bytes.clear();
        self.bytes
            .extend_from_slice(options.show.unprintable().line_feed());
        self.bare = self.bytes.len();
        self.bytes.extend_from_slice(options.palette.end());
        self.bytes.push(b'\n');
        self.start = self.bytes.len();
        write_prefix(options, clock, state, direction, time, &mut self.bytes);
        self.bytes
            .extend_from_slice(options.palette.text(direction, kind));
        self.len = self.bytes.len();
        self.bytes.resize(self.len.max(self.bare + SHORT), 0);
    }

    /// Time, addresses and the colour of the text.
    pub(super) fn start(&self) -> &[u8] {
        self.bytes.get(self.start..self.len).unwrap_or_default()
    }

    /// What ends a line and starts the next, and how much of it is meant; the same for a line that ended without a CR.
    pub(super) fn between(&self) -> [(&[u8], usize); 2] {
        let from = |begin: usize| (self.bytes.get(begin..).unwrap_or_default(), self.len - begin);
        [from(self.bare), from(0)]
    }
}

/// Time and addresses.
pub(super) fn write_prefix(
    options: &ConsoleOptions,
    clock: &mut Clock,
    state: &State,
    direction: Direction,
    time: Timestamp,
    out: &mut Vec<u8>,
) {
    if !options.prefix {
        return;
    }
    out.extend_from_slice(options.palette.prefix(direction));
    let before = out.len();
    clock.write(time, out);
    if out.len() > before {
        out.push(b' ');
    }
    out.extend_from_slice(state.addresses(direction));
    out.extend_from_slice(b"  ");
}
