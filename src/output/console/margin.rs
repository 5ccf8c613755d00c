//! What stands before and behind the text of a line: time, addresses, colours.

use super::ConsoleOptions;
use super::state::State;
use crate::event::{Direction, Kind};
use crate::output::clock::{Clock, TimeStyle};
use crate::time::Timestamp;

/// What stands before and behind the text of a line, made once for all lines of a packet.
#[derive(Debug, Default)]
pub(super) struct Margin {
    made_for: Option<(u64, Direction, Timestamp, Kind)>,
    /// Time and addresses, and the colour of the text.
    pub(super) start: Vec<u8>,
    pub(super) end: Vec<u8>,
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
        self.start.clear();
        write_prefix(options, clock, state, direction, time, &mut self.start);
        self.start
            .extend_from_slice(options.palette.text(direction, kind));
        self.end.clear();
        self.end.extend_from_slice(options.palette.end());
        self.end.push(b'\n');
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
    out.extend_from_slice(options.palette.end());
}
