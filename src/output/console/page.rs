//! Writes the lines of one connection.

use memchr::{memchr, memchr2, memrchr};

use super::state::{Line, Run, State};
use super::{Body, ConsoleOptions, Show, TlsStyle};
use crate::event::{CloseReason, Closing, Connection, Direction, GapReason, Kind};
use crate::mail::MailEvent;
use crate::output::clock::{Clock, TimeStyle};
use crate::output::escape::{Unprintable, escape, is_harmless_text};
use crate::output::facts::end_name;
use crate::output::hex;
use crate::output::words::{self, Weight, Words};
use crate::time::Timestamp;
use crate::tls::TlsEvent;

/// A line that goes on for longer than this is shown in parts.
const LONGEST_LINE: usize = 16 << 10;

/// Remarks that wait for the end of a line.
const BEHIND: usize = 16;

/// Whose bytes came last, and whether they ended a line; for raw output.
pub(super) type Last = Option<(u64, Direction, bool)>;

/// Where lines go.
pub(super) struct Page<'a> {
    pub(super) options: &'a ConsoleOptions,
    pub(super) clock: &'a mut Clock,
    pub(super) margin: &'a mut Margin,
    pub(super) out: &'a mut Vec<u8>,
}

/// What stands before and behind the text of a line, made once for all lines of a packet.
#[derive(Debug, Default)]
pub(super) struct Margin {
    made_for: Option<(u64, Direction, Timestamp, Kind)>,
    /// Time and addresses, and the colour of the text.
    start: Vec<u8>,
    end: Vec<u8>,
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
fn write_prefix(
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
                let mut at = offset;
                for row in bytes.chunks(hex::ROW) {
                    self.begin(state, direction, time);
                    self.out
                        .extend_from_slice(self.options.palette.text(direction, kind));
                    hex::row(at, row, self.out);
                    self.end();
                    at += row.len() as u64;
                }
            }
            Show::Raw => self.raw(state, direction, time, kind, bytes, last),
        }
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
                self.out.push(b'\n');
            }
            self.begin(state, direction, time);
        }
        let style = self.options.palette.text(direction, kind);
        self.out.extend_from_slice(style);
        self.out.extend_from_slice(bytes);
        self.out.extend_from_slice(self.options.palette.end());
        *last = Some((state.id, direction, bytes.ends_with(b"\n")));
    }

    fn lines(&mut self, state: &mut State, direction: Direction, time: Timestamp, kind: Kind, bytes: &[u8]) {
        self.finish_line(state, direction.reverse());
        let mut rest = bytes;
        if !state.line(direction).bytes.is_empty()
            && let Some(end) = memchr(b'\n', rest)
        {
            let (line, after) = rest.split_at(end + 1);
            rest = after;
            self.extend(state, direction, time, kind, line);
            self.give_line(state, direction, false);
        }
        let whole = memrchr(b'\n', rest).map_or(0, |end| end + 1);
        let (mut whole, unfinished) = rest.split_at(whole);
        let hides = kind == Kind::Secret && !self.options.secrets;
        let folds = kind == Kind::Body && self.options.body != Body::All;
        // The time since the line before is another for each line.
        let alike = self.options.time != TimeStyle::Delta;
        if !whole.is_empty() && alike && !hides && !folds && is_harmless_text(whole) {
            whole = self.harmless_lines(state, direction, time, kind, whole);
        }
        while let Some(end) = memchr(b'\n', whole) {
            let (line, after) = whole.split_at(end + 1);
            whole = after;
            if hides {
                self.extend(state, direction, time, kind, line);
                self.give_line(state, direction, false);
            } else {
                self.line(state, direction, time, kind, line, false);
            }
        }
        if !unfinished.is_empty() {
            self.extend(state, direction, time, kind, unfinished);
            if state.line(direction).bytes.len() >= LONGEST_LINE {
                self.give_line(state, direction, true);
            }
        }
    }

    /// The hot path: lines that can be shown as they are. Returns what is left for the careful way: all from a
    /// line on that has a bare CR.
    fn harmless_lines<'b>(
        &mut self,
        state: &mut State,
        direction: Direction,
        time: Timestamp,
        kind: Kind,
        lines: &'b [u8],
    ) -> &'b [u8] {
        if kind != Kind::Body {
            self.unfold(state, direction);
        }
        self.margin
            .fill(self.options, self.clock, state, direction, time, kind);
        let mut rest = lines;
        while let Some(end) = memchr2(b'\r', b'\n', rest) {
            let (content, end) = rest.split_at(end);
            let (after, bare) = match end {
                [b'\r', b'\n', after @ ..] => (after, false),
                [b'\n', after @ ..] => (after, true),
                _ => break,
            };
            rest = after;
            self.out.extend_from_slice(&self.margin.start);
            self.out.extend_from_slice(content);
            if bare {
                escape(b"\n", self.unprintable(), self.out);
            }
            self.out.extend_from_slice(&self.margin.end);
        }
        rest
    }

    fn unprintable(&self) -> Unprintable {
        match self.options.show {
            Show::Lines(unprintable) => unprintable,
            Show::Hex | Show::Raw => Unprintable::Escape,
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
            let content = bytes.trim_ascii_end();
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
    fn give_line(&mut self, state: &mut State, direction: Direction, unfinished: bool) {
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
        // The allocation is used again.
        let mut bytes = bytes;
        let keep = !later.is_empty();
        bytes.clear();
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

    /// A whole line with its end, or a part of one without.
    fn line(
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
        let unprintable = self.unprintable();
        self.margin
            .fill(self.options, self.clock, state, direction, time, kind);
        self.out.extend_from_slice(&self.margin.start);
        let (content, bare) = match line {
            [content @ .., b'\r', b'\n'] => (content, false),
            [content @ .., b'\n'] => (content, true),
            content => (content, false),
        };
        escape(content, unprintable, self.out);
        if bare {
            escape(b"\n", unprintable, self.out);
        }
        if unfinished {
            self.out.extend_from_slice(self.options.palette.end());
            self.out.extend_from_slice(self.options.palette.own());
            self.out.extend_from_slice(b" [unfinished]");
        }
        self.end();
    }

    /// Says how much of a message was left out, at its end.
    fn unfold(&mut self, state: &mut State, direction: Direction) {
        let line = state.line_mut(direction);
        line.body_lines = 0;
        if let Some((lines, bytes, time)) = line.folded.take() {
            let ellipsis = if self.options.unicode { "…" } else { "..." };
            let text = format!("{ellipsis} {lines} more lines of the message, {bytes} bytes");
            self.remark(state, direction, time, &text);
        }
    }

    /// Bytes that the capture lacks.
    pub(super) fn gap(
        &mut self,
        state: &mut State,
        direction: Direction,
        len: u64,
        time: Timestamp,
        reason: GapReason,
    ) {
        state.shown = true;
        self.finish_run(state);
        self.finish_line(state, direction.reverse());
        let why = match reason {
            GapReason::Lost => "",
            GapReason::Snaplen => ", cut by the snaplen",
            GapReason::Bound => ", not kept: memory",
        };
        let (s, text) = (if len == 1 { "" } else { "s" }, state.line_mut(direction));
        let missing = format!("[{len} byte{s} missing{why}]");
        if self.options.show == Show::Raw {
            return;
        }
        if text.bytes.is_empty() {
            self.begin(state, direction, time);
            self.out.extend_from_slice(self.options.palette.own());
            self.out.extend_from_slice(missing.as_bytes());
            self.end();
        } else {
            // It stands where it is missing.
            text.bytes.extend_from_slice(missing.as_bytes());
            self.give_line(state, direction, false);
        }
    }

    /// What the mail watcher tells.
    pub(super) fn mail(&mut self, connection: &Connection, state: &mut State, event: &MailEvent) {
        if let MailEvent::Transaction(_) = event {
            self.unfold(state, Direction::ToServer);
        }
        if let Some(words) = words::mail(connection, event) {
            self.say(state, words);
        }
    }

    /// What the TLS watcher tells.
    pub(super) fn tls(&mut self, connection: &Connection, state: &mut State, event: &TlsEvent) {
        if let TlsEvent::Record(record) = event {
            if self.options.tls != TlsStyle::Records {
                return;
            }
            let what = words::record(record);
            let same = |run: &Run| run.direction == record.direction && run.what == what;
            if what.is_empty() {
                // A handshake in clear: its messages follow.
                let handshake = state
                    .handshake_mut(record.direction)
                    .get_or_insert((record.time, 0));
                handshake.1 += u64::from(record.len);
            } else if let Some(run) = state.run.as_mut().filter(|run| same(run)) {
                run.records += 1;
                run.bytes += u64::from(record.len);
            } else {
                self.finish_run(state);
                state.run = Some(Run {
                    direction: record.direction,
                    time: record.time,
                    what,
                    records: 1,
                    bytes: u64::from(record.len),
                });
            }
            return;
        }
        let hidden = matches!(event, TlsEvent::Handshake { .. } | TlsEvent::Established { .. })
            && self.options.tls != TlsStyle::Records;
        if hidden {
            return;
        }
        let mut bytes = None;
        if let TlsEvent::Handshake { direction, .. } = event {
            bytes = state.handshake_mut(*direction).take();
        }
        if let Some(words) = words::tls(connection, event, bytes) {
            self.say(state, words);
        }
    }

    fn say(&mut self, state: &mut State, words: Words) {
        self.finish_run(state);
        if words.weight == Weight::Marker {
            for direction in Direction::BOTH {
                self.finish_line(state, direction);
            }
            return self.marker(&words.text);
        }
        // A remark on a line that is not finished stands behind it.
        let line = state.line_mut(words.direction);
        if !line.bytes.is_empty() && line.behind.len() < BEHIND {
            line.behind.push(words);
        } else {
            self.words(state, &words);
        }
    }

    fn words(&mut self, state: &State, words: &Words) {
        if self.options.show == Show::Raw {
            return;
        }
        let time = words.time.unwrap_or(state.last);
        if words.weight == Weight::Warning {
            self.begin(state, words.direction, time);
            self.out.extend_from_slice(self.options.palette.marker());
            self.out.extend_from_slice(b"[warning: ");
            self.out.extend_from_slice(words.text.as_bytes());
            self.out.push(b']');
            self.end();
        } else {
            self.remark(state, words.direction, time, &words.text);
        }
    }

    /// A line of its own across the page.
    fn marker(&mut self, text: &str) {
        if self.options.show == Show::Raw {
            return;
        }
        let rule = if self.options.unicode { "──" } else { "--" };
        self.out.extend_from_slice(self.options.palette.marker());
        self.out
            .extend_from_slice(format!("{rule} {text} {rule}").as_bytes());
        self.end();
    }

    /// What flowdump says itself.
    pub(super) fn remark(&mut self, state: &State, direction: Direction, time: Timestamp, text: &str) {
        // Raw output is the streams' bytes and nothing else; the totals tell the rest.
        if self.options.show == Show::Raw {
            return;
        }
        self.begin(state, direction, time);
        self.out.extend_from_slice(self.options.palette.own());
        self.out.push(b'[');
        self.out.extend_from_slice(text.as_bytes());
        self.out.push(b']');
        self.end();
    }

    /// Shows the run of records at hand.
    pub(super) fn finish_run(&mut self, state: &mut State) {
        if let Some(Run {
            direction,
            time,
            what,
            records,
            bytes,
        }) = state.run.take()
        {
            let s = if records == 1 { "" } else { "s" };
            self.remark(
                state,
                direction,
                time,
                &format!("TLS {what}, {records} record{s}, {bytes} bytes"),
            );
        }
    }

    /// Shows what waited for too long; the time to look again where it is not that old.
    pub(super) fn overdue(
        &mut self,
        state: &mut State,
        direction: Option<Direction>,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let due = |time: Timestamp| time + self.options.patience;
        let Some(direction) = direction else {
            match &state.run {
                Some(run) if due(run.time) > now => return Some(due(run.time)),
                _ => state.run_queued = false,
            }
            self.finish_run(state);
            return None;
        };
        let Line {
            bytes, time, queued, ..
        } = state.line_mut(direction);
        if !bytes.is_empty() && due(*time) > now {
            return Some(due(*time));
        }
        *queued = false;
        self.finish_line(state, direction);
        None
    }

    /// The end of a connection.
    pub(super) fn closed(&mut self, state: &mut State, closing: &Closing) {
        self.finish_run(state);
        for direction in Direction::BOTH {
            // A CR whose LF never came.
            let line = state.line_mut(direction);
            let (bytes, time, kind) = (std::mem::take(&mut line.bytes), line.time, line.kind);
            if !bytes.is_empty() {
                self.line(state, direction, time, kind, &bytes, true);
            }
            for words in std::mem::take(&mut state.line_mut(direction).behind) {
                self.words(state, &words);
            }
            self.unfold(state, direction);
        }
        let [client, server] = &closing.totals;
        let text = match closing.reason {
            CloseReason::Reset(Direction::ToClient) if client.syn && !server.syn => "connection refused",
            CloseReason::Reset(_) if !state.shown => "connection reset, no data",
            _ if !state.shown && client.syn && server.packets == 0 => "no answer to the SYN",
            reason if self.options.verbose => {
                return self.remark(
                    state,
                    Direction::ToServer,
                    closing.last_time,
                    &format!("closed: {}", end_name(reason)),
                );
            }
            _ => return,
        };
        self.remark(state, Direction::ToServer, closing.last_time, text);
    }

    /// Time and addresses.
    fn begin(&mut self, state: &State, direction: Direction, time: Timestamp) {
        write_prefix(self.options, self.clock, state, direction, time, self.out);
    }

    fn end(&mut self) {
        self.out.extend_from_slice(self.options.palette.end());
        self.out.push(b'\n');
    }
}
