//! What stands before and behind the text of a line: time, addresses, colours.

use super::ConsoleOptions;
use super::state::State;
use crate::event::{Direction, Kind};
use crate::output::clock::Clock;
use crate::output::sheet::SHORT;
use crate::time::Timestamp;

/// Margins of lines, kept from packet to packet: what is another in the next one of a connection is a fraction of a
/// second.
#[derive(Debug)]
pub(super) struct Margins {
    /// Those of many connections at a time, each at a place that its number says.
    kept: [Margin; PLACES],
    /// For pieces of text made elsewhere, on their way out.
    pub(super) scratch: Vec<u8>,
}

/// Margins kept: of so many connections that take turns, and so few that the processor's nearest cache has room.
const PLACES: usize = 64;

/// What stands before and behind the text of a line.
#[derive(Debug, Default)]
pub(super) struct Margin {
    made_for: Option<(u64, Direction, Kind)>,
    time: Timestamp,
    /// What stands between two lines: a bare LF; the end of the one; time, addresses and the colour of the text of
    /// the other. Behind it so much more that it can be copied as a short piece.
    bytes: Vec<u8>,
    /// How much of it is the bare LF.
    bare: usize,
    /// Where the other begins.
    start: usize,
    /// Where its time begins.
    time_at: usize,
    /// How much of it is meant.
    len: usize,
}

impl Default for Margins {
    fn default() -> Self {
        Self {
            kept: std::array::from_fn(|_| Margin::default()),
            scratch: Vec::new(),
        }
    }
}

impl Margins {
    /// That of these lines.
    pub(super) fn of(
        &mut self,
        options: &ConsoleOptions,
        clock: &mut Clock,
        state: &State,
        direction: Direction,
        time: Timestamp,
        kind: Kind,
    ) -> &Margin {
        let place = (state.id as usize * 2 + direction.index()) % PLACES;
        let margin = &mut self.kept[place];
        let wanted = Some((state.id, direction, kind));
        let text = margin.bytes.get_mut(margin.time_at..).unwrap_or_default();
        let stays = margin.made_for == wanted && (!options.prefix || clock.rewrite(margin.time, time, text));
        if !stays {
            margin.made_for = wanted;
            margin.fill(options, clock, state, direction, time, kind);
        }
        margin.time = time;
        margin
    }
}

impl Margin {
    fn fill(
        &mut self,
        options: &ConsoleOptions,
        clock: &mut Clock,
        state: &State,
        direction: Direction,
        time: Timestamp,
        kind: Kind,
    ) {
        self.bytes.clear();
        self.bytes
            .extend_from_slice(options.show.unprintable().line_feed());
        self.bare = self.bytes.len();
        self.bytes.extend_from_slice(options.palette.end());
        self.bytes.push(b'\n');
        self.start = self.bytes.len();
        self.time_at = self.start + options.palette.prefix(direction).len();
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::output::clock::TimeStyle;
    use crate::output::console::testing;
    use crate::output::palette::Palette;

    proptest! {
        #[test]
        fn a_margin_kept_says_what_a_new_one_would(
            style in prop::sample::select(vec![
                TimeStyle::Utc, TimeStyle::Local, TimeStyle::Relative, TimeStyle::Delta, TimeStyle::None,
            ]),
            prefix in prop::bool::weighted(0.9),
            // Connections that share a place, and one that has its own; times within a second and beyond.
            lines in prop::collection::vec(
                (prop::sample::select(vec![1, 2, 33]), any::<bool>(), any::<bool>(), 0_i64..3_000_000_000),
                1..50,
            ),
        ) {
            let options = ConsoleOptions { time: style, prefix, palette: Palette::colours(), ..testing::options() };
            let mut clocks = [Clock::new(style), Clock::new(style)];
            let [clock, other_clock] = &mut clocks;
            let mut kept = Margins::default();
            for (id, to_server, body, nanos) in lines {
                let addresses = [format!("c{id} > s"), format!("s > c{id}")].map(String::into_bytes);
                let state = State { id, addresses, ..State::default() };
                let direction = if to_server { Direction::ToServer } else { Direction::ToClient };
                let kind = if body { Kind::Body } else { Kind::Plain };
                let time = Timestamp::from_nanos(1_700_000_000_000_000_000 + nanos);
                let kept = kept.of(&options, clock, &state, direction, time, kind);
                let mut fresh = Margins::default();
                let fresh = fresh.of(&options, other_clock, &state, direction, time, kind);
                prop_assert_eq!(kept.between(), fresh.between());
                prop_assert_eq!(kept.start(), fresh.start());
            }
        }
    }
}
