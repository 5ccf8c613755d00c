//! A message that ends with a dot on a line of its own (SMTP DATA, POP3 RETR), across any cut of its bytes.
//!
//! Lines are found by `memchr`; only what stands at their ends is looked at a byte at a time.

use memchr::{memchr, memchr_iter, memmem};

use crate::mail::MailWarning;
use crate::mail::header::Header;
use crate::mail::input::Input;
use crate::mail::plain::seen_in;

/// Fewer bytes are looked at line by line.
const MIN_PLAIN: usize = 128;

/// Where in a line we are. `crlf` is how the line before ended: by CRLF, or by a bare LF.
#[derive(Debug, Clone, Copy)]
enum State {
    Start {
        crlf: bool,
    },
    Dot {
        crlf: bool,
    },
    DotCr {
        crlf: bool,
    },
    Mid {
        cr: bool,
    },
    /// Behind a gap, anywhere.
    Gap,
}

/// A message as it passes.
#[derive(Debug)]
pub(crate) struct Body {
    state: State,
    size: u64,
    pub(crate) header: Header,
    /// Bytes are missing: its end may be among them.
    pub(crate) gapped: bool,
    bare_lf: bool,
    bare_cr: bool,
    smuggling: bool,
    /// Its size if it ends where some servers may see its end.
    maybe_size: Option<u64>,
}

/// What stands behind the next `n` bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing: they are all there is.
    Nothing,
    /// Too little to tell what it is.
    Hold,
    /// The dot that ends the message, so many bytes long.
    End(usize),
    /// These bytes hold something odd at this offset.
    Odd(u64, MailWarning),
    /// They hold, at this offset, what other servers may take for the end of the message.
    MaybeEnd(u64, &'static str),
}

impl Body {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Start { crlf: true },
            size: 0,
            header: Header::default(),
            gapped: false,
            bare_lf: false,
            bare_cr: false,
            smuggling: false,
            maybe_size: None,
        }
    }

    /// Bytes as transferred, dot-stuffing undone, those in gaps counted.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Octets of a chunk, which stand as they are.
    pub(crate) fn octets(&mut self, bytes: &[u8]) {
        self.take(bytes);
    }

    pub(crate) fn gap(&mut self, len: u64) {
        self.size = self.size.saturating_add(len);
        self.state = State::Gap;
        self.gapped = true;
        self.header.stop();
    }

    /// Looks for what matters first. The number says how many bytes are of the message before it.
    pub(crate) fn scan(&mut self, input: &Input<'_>) -> (usize, Found) {
        let rest = input.rest();
        let mut at = self.skip_plain(rest);
        loop {
            let here = rest.get(at..).unwrap_or_default();
            let Some(first) = here.first() else {
                return (at, Found::Nothing);
            };
            match self.state {
                State::Gap => match here {
                    // A dot alone would be odd elsewhere.
                    [b'.', b'\r', b'\n', ..] => return (at, Found::End(3)),
                    [b'.'] | [b'.', b'\r'] if !input.last => return (at, Found::Hold),
                    [b'\n', ..] => {
                        self.size = self.size.saturating_add(1);
                        self.state = State::Start { crlf: true };
                        at += 1;
                    }
                    _ => self.state = State::Mid { cr: false },
                },
                State::Start { crlf } => match here {
                    [b'.', b'\r', b'\n', ..] if crlf => return (at, Found::End(3)),
                    [b'.'] | [b'.', b'\r'] if !input.last => return (at, Found::Hold),
                    [b'.', ..] => {
                        self.state = State::Dot { crlf };
                        at += 1;
                    }
                    _ => self.state = State::Mid { cr: false },
                },
                State::Dot { crlf } => match first {
                    b'\r' => {
                        self.state = State::DotCr { crlf };
                        at += 1;
                    }
                    b'\n' => return self.maybe_end(input, at + 1, if crlf { "CRLF.LF" } else { "LF.LF" }),
                    _ => self.state = State::Mid { cr: false },
                },
                State::DotCr { crlf: true } if *first == b'\n' => return (at, Found::End(1)),
                State::DotCr { crlf: false } if *first == b'\n' => {
                    return self.maybe_end(input, at + 1, "LF.CRLF");
                }
                State::DotCr { .. } => {
                    self.size = self.size.saturating_add(1);
                    self.state = State::Mid { cr: true };
                }
                State::Mid { cr } => {
                    let feed = memchr(b'\n', here);
                    let line = here.get(..feed.unwrap_or(here.len())).unwrap_or_default();
                    if let Some(bare) = self.bare_cr_in(cr, line) {
                        self.take(here.get(..bare).unwrap_or_default());
                        self.state = State::Mid { cr: false };
                        let offset = input
                            .offset()
                            .saturating_add((at + bare) as u64)
                            .saturating_sub(1);
                        return (at + bare, Found::Odd(offset, MailWarning::BareCr));
                    }
                    let ends_in_cr = line.last().map_or(cr, |last| *last == b'\r');
                    let n = feed.map_or(here.len(), |i| i + 1);
                    self.take(here.get(..n).unwrap_or_default());
                    at += n;
                    if feed.is_none() {
                        self.state = State::Mid { cr: ends_in_cr };
                        continue;
                    }
                    self.state = State::Start { crlf: ends_in_cr };
                    if !ends_in_cr && !self.bare_lf {
                        self.bare_lf = true;
                        let offset = input.offset().saturating_add(at as u64).saturating_sub(1);
                        return (at, Found::Odd(offset, MailWarning::BareLf));
                    }
                }
            }
        }
    }

    /// Passes over whole lines and parts of them in which nothing matters: every CR has its LF, every LF its CR,
    /// and no line begins with a dot. How many bytes that are.
    fn skip_plain(&mut self, rest: &[u8]) -> usize {
        let cr = match (self.state, rest.first()) {
            (State::Start { crlf: true }, Some(first)) if !matches!(first, b'.' | b'\n') => false,
            (State::Mid { cr }, Some(_)) => cr,
            _ => return 0,
        };
        if rest.len() < MIN_PLAIN || !self.header.is_done() {
            return 0;
        }
        let mut plain = rest;
        let mut seen = seen_in(plain);
        if seen.dot
            && let Some(at) = memmem::find(plain, b"\n.")
        {
            plain = plain.get(..=at).unwrap_or_default();
            seen = seen_in(plain);
        }
        let (Some(first), Some(last)) = (plain.first(), plain.last()) else {
            return 0;
        };
        if seen.odd || cr != (*first == b'\n') {
            return 0;
        }
        self.size = self.size.saturating_add(plain.len() as u64);
        self.state = match last {
            b'\n' => State::Start { crlf: true },
            last => State::Mid { cr: *last == b'\r' },
        };
        plain.len()
    }

    fn take(&mut self, bytes: &[u8]) {
        self.size = self.size.saturating_add(bytes.len() as u64);
        self.header.feed(bytes);
    }

    /// Where the first bare CR of a message ends, if it is in this part of a line: a count of its bytes.
    /// `cr`: the byte before it was a CR. One at the part's end is left: a line feed may follow.
    fn bare_cr_in(&mut self, cr: bool, line: &[u8]) -> Option<usize> {
        if self.bare_cr {
            return None;
        }
        let before = (cr && !line.is_empty()).then_some(0);
        let inside = || {
            memchr_iter(b'\r', line)
                .map(|i| i + 1)
                .find(|end| *end < line.len())
        };
        let bare = before.or_else(inside)?;
        self.bare_cr = true;
        Some(bare)
    }

    fn maybe_end(&mut self, input: &Input<'_>, at: usize, how: &'static str) -> (usize, Found) {
        self.state = State::Start {
            crlf: how.ends_with("CRLF"),
        };
        self.maybe_size.get_or_insert(self.size);
        let offset = input.offset().saturating_add(at as u64);
        (at, Found::MaybeEnd(offset, how))
    }

    /// The server has taken the first place that may be its end for the end.
    pub(crate) fn end_where_it_may(&mut self) {
        self.size = self.maybe_size.unwrap_or(self.size);
    }

    /// Whether this is the first of its kind in the message: one warning is enough.
    pub(crate) fn first_smuggling(&mut self) -> bool {
        !std::mem::replace(&mut self.smuggling, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Connection, Direction, Event, Kind};
    use crate::mail::input::{Kept, Out};
    use proptest::prelude::*;

    /// What is found in a message that comes in pieces of these sizes, where, and its size at the end.
    fn found(message: &[u8], mut size: impl FnMut() -> usize) -> (Vec<String>, u64) {
        let mut body = Body::new();
        let mut told = Vec::new();
        let mut held = Kept::default();
        let mut at = 0;
        let mut emit = |_: &Connection, _: &Event<'_>| Ok(());
        let connection = crate::mail::tests::connection();
        let mut out = Out::new(&connection, &mut emit);
        while at < message.len() {
            let n = size().clamp(1, message.len() - at);
            held.push(at as u64, Default::default(), &message[at..at + n]);
            at += n;
            let bytes = std::mem::take(&mut held);
            let mut input = bytes.input(Direction::ToServer);
            while !input.is_empty() {
                let (n, what) = body.scan(&input);
                input.pass(n, Kind::Body, &mut out).unwrap();
                match what {
                    Found::Nothing => {}
                    Found::Hold => break,
                    Found::End(n) => {
                        told.push(format!("end at {}", input.offset()));
                        input.pass(n, Kind::Body, &mut out).unwrap();
                        return (told, body.size());
                    }
                    odd => told.push(format!("{odd:?}")),
                }
            }
            held.copy(&input, input.rest().len());
        }
        (told, body.size())
    }

    #[test]
    fn the_end_is_found_and_dots_are_undone() {
        let (told, size) = found(b"a\r\n..b\r\n.c\r\n.\r\nQUIT\r\n", || usize::MAX);
        assert_eq!((told, size), (vec!["end at 12".to_owned()], 10));
        let (told, size) = found(b".\r\n", || usize::MAX);
        assert_eq!((told, size), (vec!["end at 0".to_owned()], 0));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

        /// Long stretches are passed over as a whole; that must not be seen.
        #[test]
        fn any_cut_finds_the_same(
            words in prop::collection::vec(prop_oneof![
                6 => Just(&b"a line of a message that is as long as lines of messages are, about so\r\n"[..]),
                2 => Just(&b"another\r\n"[..]), 1 => Just(&b"\n"[..]), 1 => Just(&b"\r"[..]), 1 => Just(&b"."[..]),
                1 => Just(&b"\r\n"[..]), 1 => Just(&b".\r\n"[..]), 1 => Just(&b"\n.\n"[..]),
            ], 0..60),
            size in 1..400usize,
        ) {
            let message = [&b"\r\n"[..], &words.concat()].concat();
            let whole = found(&message, || usize::MAX);
            prop_assert_eq!(&whole, &found(&message, || 1));
            prop_assert_eq!(&whole, &found(&message, || size));
        }
    }
}
