//! What stands before and behind the text of a line: time, addresses, colours.

use super::ConsoleOptions;
use super::state::State;
use crate::event::{Direction, Kind};
use crate::output::clock::{Clock, TimeStyle};
use crate::output::sheet::{SHORT, Sheet};
use crate::time::Timestamp;

/// What stands before and behind the text of a line, made once for all lines of a packet.
#[derive(Debug, Default)]
pub(super) struct Margin {
    made_for: Option<(u64, Direction, Timestamp, Kind)>,
    /// What stands between two lines: the end of the one; time, addresses and the colour of the text of the other.
    /// Behind it so much more that it can be copied as a short piece.
    between: Vec<u8>,
    /// How much of it is the end of the one.
    end: usize,
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
        self.between.clear();
        self.between.extend_from_slice(options.palette.end());
        self.between.push(b'\n');
        self.end = self.between.len();
        write_prefix(options, clock, state, direction, time, &mut self.between);
        self.between
            .extend_from_slice(options.palette.text(direction, kind));
        self.len = self.between.len();
        self.between.resize(self.len.max(SHORT), 0);
    }

    /// Time, addresses and the colour of the text.
    pub(super) fn start(&self) -> &[u8] {
        self.between.get(self.end..self.len).unwrap_or_default()
    }

    /// Ends a line and starts the next.
    #[inline]
    pub(super) fn put_between(&self, out: &mut Sheet) {
        out.put_first(&self.between, self.len);
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
