//! Writes the lines of one connection.

use memchr::{memchr, memrchr};

use super::due::Waits;
use super::margin::{Margins, write_prefix};
use super::state::{Line, State};
use super::{Body, ConsoleOptions, Show, TlsStyle};
use crate::event::{Direction, Kind};
use crate::output::clock::{Clock, TimeStyle};
use crate::output::escape::{Unprintable, escape};
use crate::output::hex;
use crate::output::sheet::Sheet;
use crate::time::Timestamp;

/// A line that goes on for longer than this is shown in parts.
const LONGEST_LINE: usize = 16 << 10;

/// Whose bytes came last, and whether they ended a line; for raw output.
pub(super) type Last = Option<(u64, Direction, bool)>;

/// Where lines go.
pub(super) struct Page<'a> {
    pub(super) options: &'a ConsoleOptions,
    pub(super) clock: &'a mut Clock,
    pub(super) margins: &'a mut Margins,
    pub(super) out: &'a mut Sheet,
}

impl Page<'_> {
    /// Stream bytes.
    #[expect(clippy::too_many_arguments, reason = "the fields of Event::Data")]
    pub(super) fn data(
        &mut self,
        state: &mut State,
        direction: Direction,
        offset: u64,
        time: Timestamp,
        kind: Kind,
        bytes: &[u8],
        last: &mut Last,
    ) {
        state.shown = true;
        state.last = time;
        if kind == Kind::Tls && self.options.tls != TlsStyle::Raw {
            return;
        }
        self.finish_run(state);
        match self.options.show {
            Show::Lines(_) => self.lines(state, direction, time, kind, bytes),
            Show::Hex => {
                let stars;
                let bytes = if kind == Kind::Secret && !self.options.secrets {
                    stars = bytes.iter().map(star).collect::<Vec<_>>();
                    &stars
                } else {
                    bytes
                };
                // The time since the row before is another for the first one.
                let first = match self.options.time {
                    TimeStyle::Delta => bytes.len().min(hex::ROW),
                    _ => 0,
                };
                let (first, rest) = bytes.split_at(first);
                self.rows(state, direction, offset, time, kind, first);
                self.rows(state, direction, offset + first.len() as u64, time, kind, rest);
            }
            Show::Raw => self.raw(state, direction, time, kind, bytes, last),
        }
    }

    /// Rows of a hex dump.
    fn rows(
        &mut self,
        state: &State,
        direction: Direction,
        offset: u64,
        time: Timestamp,
        kind: Kind,
        bytes: &[u8],
    ) {
        if bytes.is_empty() {
            return;
        }
        let margin = self
            .margins
            .of(self.options, self.clock, state, direction, time, kind);
        self.out.put(margin.start());
        let [between, _] = margin.between();
        for (row, at) in bytes.chunks(hex::ROW).zip((offset..).step_by(hex::ROW)) {
            self.out.put_firsts(hex::Row::new(at, row).text(), between);
        }
        // The one that follows no row.
        self.out.take_back(margin.start().len());
    }

    fn raw(
        &mut self,
        state: &State,
        direction: Direction,
        time: Timestamp,
        kind: Kind,
        bytes: &[u8],
        last: &mut Last,
    ) {
        if self.options.prefix && last.is_none_or(|(id, of, _)| (id, of) != (state.id, direction)) {
            if last.is_some_and(|(_, _, ended)| !ended) {
                self.out.put(b"\n");
            }
            self.begin(state, direction, time);
        }
        let style = self.options.palette.text(direction, kind);
        self.out.put(style);
        self.out.put(bytes);
        self.out.put(self.options.palette.end());
        *last = Some((state.id, direction, bytes.ends_with(b"\n")));
    }

    fn lines(&mut self, state: &mut State, direction: Direction, time: Timestamp, kind: Kind, bytes: &[u8]) {
        self.finish_line(state, direction.reverse());
        self.tell_folded(state, direction.reverse());
        if kind != Kind::Body && state.line(direction).kind == Kind::Body {
            // A chunk of a message (BDAT) may end within a line; the command behind it is no part of that.
            self.cut_line(state, direction);
        }
        let mut rest = bytes;
        if !state.line(direction).bytes.is_empty()
            && let Some(end) = memchr(b'\n', rest)
        {
            let (line, after) = rest.split_at(end + 1);
            rest = after;
            self.extend(state, direction, time, kind, line);
            self.give_line(state, direction, false);
        }
        let hides = kind == Kind::Secret && !self.options.secrets;
        let folds = kind == Kind::Body && self.options.body != Body::All;
        let unfinished = if !hides && !folds {
            // The time since the line before is another for the first one.
            if self.options.time == TimeStyle::Delta
                && let Some(end) = memchr(b'\n', rest)
            {
                let (first, others) = rest.split_at(end + 1);
                self.whole_lines(state, direction, time, kind, first);
                rest = others;
            }
            self.whole_lines(state, direction, time, kind, rest)
        } else {
            let (whole, unfinished) = rest.split_at(memrchr(b'\n', rest).map_or(0, |end| end + 1));
            for line in whole.split_inclusive(|byte| *byte == b'\n') {
                if hides {
                    self.extend(state, direction, time, kind, line);
                    self.give_line(state, direction, false);
                } else {
                    self.line(state, direction, time, kind, line, false);
                }
            }
            unfinished
        };
        if !unfinished.is_empty() {
            self.extend(state, direction, time, kind, unfinished);
            if state.line(direction).bytes.len() >= LONGEST_LINE {
                self.give_line(state, direction, true);
            }
        }
    }

    /// Adds to a line that is not finished.
    fn extend(&self, state: &mut State, direction: Direction, time: Timestamp, kind: Kind, bytes: &[u8]) {
        let line = state.line_mut(direction);
        if line.bytes.is_empty() {
            line.time = time;
            line.kind = kind;
            line.hidden = false;
        }
        if kind == Kind::Secret && !self.options.secrets {
            let content = bytes.strip_suffix(b"\n").unwrap_or(bytes);
            let content = content.strip_suffix(b"\r").unwrap_or(content);
            if !content.is_empty() && !std::mem::replace(&mut line.hidden, true) {
                line.bytes.extend_from_slice(b"[hidden]");
            }
            line.bytes
                .extend_from_slice(bytes.get(content.len()..).unwrap_or_default());
        } else {
            line.bytes.extend_from_slice(bytes);
            line.hidden = false;
        }
    }

    /// Gives out the line that a direction is in, as far as it has come.
    pub(super) fn give_line(&mut self, state: &mut State, direction: Direction, unfinished: bool) {
        let line = state.line_mut(direction);
        let (bytes, time, kind) = (std::mem::take(&mut line.bytes), line.time, line.kind);
        // The LF of a CRLF may be in the next packet.
        let (now, later) = match bytes.strip_suffix(b"\r") {
            Some(content) if unfinished => (content, &b"\r"[..]),
            _ => (&bytes[..], &b""[..]),
        };
        if !now.is_empty() {
            self.line(state, direction, time, kind, now, unfinished);
        }
        // The allocation is used again, unless a packet of many megabytes was in it.
        let mut bytes = bytes;
        let keep = !later.is_empty();
        bytes.clear();
        bytes.shrink_to(4 * LONGEST_LINE);
        if keep {
            bytes.push(b'\r');
        }
        let line = state.line_mut(direction);
        line.bytes = bytes;
        for words in std::mem::take(&mut line.behind) {
            self.words(state, &words);
        }
    }

    /// Shows what there is of a line because the other side speaks, or time is up.
    pub(super) fn finish_line(&mut self, state: &mut State, direction: Direction) {
        if !state.line(direction).bytes.is_empty() {
            self.give_line(state, direction, true);
        }
    }

    /// Takes as little memory as can be: shows what there is of lines.
    pub(super) fn let_go(&mut self, state: &mut State) {
        for direction in Direction::BOTH {
            self.finish_line(state, direction);
            state.line_mut(direction).bytes.shrink_to_fit();
        }
    }

    /// Shows what there is of a line that does not go on.
    pub(super) fn cut_line(&mut self, state: &mut State, direction: Direction) {
        let line = state.line_mut(direction);
        let (bytes, time, kind) = (std::mem::take(&mut line.bytes), line.time, line.kind);
        if !bytes.is_empty() {
            self.line(state, direction, time, kind, &bytes, true);
        }
        for words in std::mem::take(&mut state.line_mut(direction).behind) {
            self.words(state, &words);
        }
    }

    /// A whole line with its end, or a part of one without.
    pub(super) fn line(
        &mut self,
        state: &mut State,
        direction: Direction,
        time: Timestamp,
        kind: Kind,
        line: &[u8],
        unfinished: bool,
    ) {
        if kind == Kind::Body {
            let line_state = state.line_mut(direction);
            line_state.body_lines += 1;
            if let Body::Lines(most) = self.options.body
                && line_state.body_lines > most
            {
                let (lines, bytes, _) = line_state.folded.get_or_insert((0, 0, time));
                *lines += 1;
                *bytes += line.len() as u64;
                return;
            }
        } else {
            self.unfold(state, direction);
        }
        let margin = self
            .margins
            .of(self.options, self.clock, state, direction, time, kind);
        self.out.put(margin.start());
        put_harmless(line, self.options.show.unprintable(), self.out);
        if unfinished {
            self.out.put(self.options.palette.own());
            self.out.put(b" [unfinished]");
        }
        self.end();
    }

    /// A message is over: says how much of it was left out.
    pub(super) fn unfold(&mut self, state: &mut State, direction: Direction) {
        state.line_mut(direction).body_lines = 0;
        self.tell_folded(state, direction);
    }

    /// Says how much was left out so far.
    pub(super) fn tell_folded(&mut self, state: &mut State, direction: Direction) {
        if let Some((lines, bytes, time)) = state.line_mut(direction).folded.take() {
            let ellipsis = if self.options.unicode { "…" } else { "..." };
            let s = if lines == 1 { "" } else { "s" };
            let text = format!("{ellipsis} {lines} more line{s} of the message, {bytes} bytes");
            self.remark(state, direction, time, &text);
        }
    }

    /// Shows what waited for too long; the time to look again where it is not that old.
    pub(super) fn overdue(&mut self, state: &mut State, waits: Waits, now: Timestamp) -> Option<Timestamp> {
        let due = |time: Timestamp| time + self.options.patience;
        let direction = match waits {
            Waits::Line(direction) => direction,
            Waits::Run => {
                match &state.run {
                    Some(run) if due(run.time) > now => return Some(due(run.time)),
                    _ => state.run_queued = false,
                }
                self.finish_run(state);
                return None;
            }
        };
        let Line {
            bytes, time, queued, ..
        } = state.line_mut(direction);
        if !bytes.is_empty() && due(*time) > now {
            return Some(due(*time));
        }
        *queued = false;
        self.finish_line(state, direction);
        // It has been quiet for a while.
        state.line_mut(direction).bytes.shrink_to_fit();
        None
    }

    /// Time and addresses.
    pub(super) fn begin(&mut self, state: &State, direction: Direction, time: Timestamp) {
        let text = &mut self.margins.scratch;
        text.clear();
        write_prefix(self.options, self.clock, state, direction, time, text);
        self.out.put(text);
    }

    pub(super) fn end(&mut self) {
        self.out.put(self.options.palette.end());
        self.out.put(b"\n");
    }
}

/// What a hex dump has for a byte of a secret.
const fn star(byte: &u8) -> u8 {
    match *byte {
        end @ (b'\r' | b'\n') => end,
        _ => b'*',
    }
}

/// What a line says, made harmless. Whether it is as long as before, as it is where nothing was harmful.
pub(super) fn put_harmless(line: &[u8], unprintable: Unprintable, out: &mut Sheet) -> bool {
    let (content, bare) = match line {
        [content @ .., b'\r', b'\n'] => (content, false),
        [content @ .., b'\n'] => (content, true),
        content => (content, false),
    };
    let before = out.len();
    escape(content, unprintable, out);
    let len = out.len() - before;
    if bare {
        out.put(unprintable.line_feed());
    }
    len == content.len()
}
