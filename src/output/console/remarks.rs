//! What flowdump says itself, among the lines of the wire: gaps, mail, TLS, how connections end.

use super::page::Page;
use super::state::{Run, State};
use super::{Show, TlsStyle};
use crate::event::{CloseReason, Closing, Connection, Direction, GapReason};
use crate::mail::MailEvent;
use crate::output::words::{self, Weight, Words};
use crate::time::Timestamp;
use crate::tls::TlsEvent;

/// Remarks that wait for the end of a line.
const BEHIND: usize = 16;

impl Page<'_> {
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
            self.out.put(self.options.palette.own());
            self.out.put(missing.as_bytes());
            self.end();
        } else {
            // It stands where it is missing.
            text.bytes.extend_from_slice(missing.as_bytes());
            self.give_line(state, direction, false);
        }
    }

    /// What the mail watcher tells.
    pub(super) fn mail(&mut self, connection: &Connection, state: &mut State, event: &MailEvent) {
        match event {
            MailEvent::Transaction(_) => self.unfold(state, Direction::ToServer),
            // What follows such a header is a line of its own.
            MailEvent::Proxied(_) => self.give_line(state, Direction::ToServer, false),
            _ => {}
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

    pub(super) fn words(&mut self, state: &State, words: &Words) {
        if self.options.show == Show::Raw {
            return;
        }
        let time = words.time.unwrap_or(state.last);
        if words.weight == Weight::Warning {
            self.begin(state, words.direction, time);
            self.out.put(self.options.palette.marker());
            self.out.put(b"[warning: ");
            self.out.put(words.text.as_bytes());
            self.out.put(b"]");
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
        self.out.put(self.options.palette.marker());
        self.out.put(format!("{rule} {text} {rule}").as_bytes());
        self.end();
    }

    /// What flowdump says itself.
    pub(super) fn remark(&mut self, state: &State, direction: Direction, time: Timestamp, text: &str) {
        // Raw output is the streams' bytes and nothing else; the totals tell the rest.
        if self.options.show == Show::Raw {
            return;
        }
        self.begin(state, direction, time);
        self.out.put(self.options.palette.own());
        self.out.put(b"[");
        self.out.put(text.as_bytes());
        self.out.put(b"]");
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

    /// The end of a connection.
    pub(super) fn closed(&mut self, connection: &Connection, state: &mut State, closing: &Closing) {
        self.finish_run(state);
        for direction in Direction::BOTH {
            // A CR whose LF never came.
            self.cut_line(state, direction);
            self.unfold(state, direction);
        }
        for direction in Direction::BOTH {
            if let Some(text) = words::unacknowledged(direction.of(&closing.totals), closing.reason) {
                self.remark(state, direction, closing.last_time, &text);
            }
        }
        let [client, server] = &closing.totals;
        let text = match closing.reason {
            CloseReason::Reset(_) if !state.shown => "connection reset, no data".to_owned(),
            _ if !state.shown && client.syn && server.packets == 0 => words::unanswered(client.packets),
            _ if !state.shown && client.syn => words::silent(connection, closing),
            _ if self.options.verbose => format!("closed: {}", words::end(closing)),
            _ => return,
        };
        let direction = closing.first_fin.unwrap_or(Direction::ToServer);
        self.remark(state, direction, closing.last_time, &text);
    }
}
