//! A line in the making, and small things that all line protocols share.

use std::borrow::Cow;

use memchr::memchr;

use crate::mail::input::Input;
use crate::time::Timestamp;

/// Bytes of a line that are kept to be understood, if there is memory enough; longer ones are passed on all the same.
pub(crate) const MAX_LINE: usize = 4096;
/// Bytes that are kept of the end of a longer one: enough for the announcement of a literal.
const MAX_ENDING: usize = 32;
/// Capacity that an empty line buffer may keep.
const IDLE_CAPACITY: usize = 256;

/// A line of one direction, as far as it has come.
#[derive(Debug, Default)]
pub(crate) struct Line {
    /// Its first `max`, and behind them its last [`MAX_ENDING`] of the others.
    bytes: Vec<u8>,
    len: u64,
    /// Offset of its first byte.
    pub(crate) offset: u64,
    /// Time of its first byte.
    pub(crate) time: Timestamp,
    /// So many of its bytes are kept.
    max: usize,
    /// Whether its first bytes have been looked at to see what it is.
    pub(crate) sniffed: bool,
}

impl Line {
    /// Whether nothing of it has come.
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether it has not begun, and nobody has looked at what comes.
    pub(crate) fn is_fresh(&self) -> bool {
        self.len == 0 && !self.sniffed
    }

    /// How much of `input` belongs to this line: to its line feed, or all.
    pub(crate) fn extent(input: &Input<'_>) -> usize {
        let rest = input.rest();
        memchr(b'\n', rest).map_or(rest.len(), |i| i + 1)
    }

    /// Takes the next `n` bytes of `input`, which is about to pass them on. True when that made it too long
    /// to be kept whole: longer than `max`, as that was when it began.
    pub(crate) fn push(&mut self, input: &Input<'_>, n: usize, max: usize) -> bool {
        if self.is_empty() {
            self.max = max;
            self.offset = input.offset();
            self.time = input.time();
        }
        let before = self.len;
        self.len = self.len.saturating_add(n as u64);
        let bytes = input.rest().get(..n).unwrap_or_default();
        let room = self.max.saturating_sub(self.bytes.len()).min(bytes.len());
        let (kept, beyond) = bytes.split_at(room);
        self.bytes.extend_from_slice(kept);
        if !beyond.is_empty() {
            self.push_ending(beyond);
        }
        before <= self.max as u64 && self.len > self.max as u64
    }

    fn push_ending(&mut self, beyond: &[u8]) {
        let start = beyond.len().saturating_sub(MAX_ENDING);
        self.bytes.reserve_exact(2 * MAX_ENDING);
        self.bytes
            .extend_from_slice(beyond.get(start..).unwrap_or_default());
        let old = self.bytes.len().saturating_sub(self.max + MAX_ENDING);
        self.bytes.drain(self.max..self.max + old);
    }

    /// Its bytes, as far as they are kept, line end included.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.max).unwrap_or(&self.bytes)
    }

    /// The same without the line end.
    pub(crate) fn text(&self) -> &[u8] {
        without_end(self.bytes())
    }

    /// All of it, or the last bytes of a long one, line end included.
    pub(crate) fn ending(&self) -> &[u8] {
        if self.len <= self.max as u64 {
            return &self.bytes;
        }
        let start = self.bytes.len().saturating_sub(MAX_ENDING);
        self.bytes.get(start..).unwrap_or_default()
    }

    /// Bytes of memory that it takes.
    #[inline]
    pub(crate) fn keeps(&self) -> usize {
        self.bytes.capacity()
    }

    /// So many of its bytes are kept.
    pub(crate) fn max(&self) -> usize {
        self.max
    }

    /// Whether less of it is kept than would be were there memory enough.
    pub(crate) fn is_shortened(&self) -> bool {
        self.max < MAX_LINE && self.len > self.max as u64
    }

    /// Its length so far.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Offset behind it.
    pub(crate) fn end(&self) -> u64 {
        self.offset.saturating_add(self.len)
    }

    /// Takes it out, to make room for the next.
    pub(crate) fn take(&mut self) -> Self {
        std::mem::take(self)
    }

    /// Gives the buffer of a line that is done back for the next.
    pub(crate) fn reuse(&mut self, mut done: Self) {
        if self.bytes.capacity() == 0 && done.bytes.capacity() <= IDLE_CAPACITY {
            done.bytes.clear();
            self.bytes = done.bytes;
        }
    }
}

/// A line without its CRLF or LF.
pub(crate) fn without_end(line: &[u8]) -> &[u8] {
    match line {
        [text @ .., b'\r', b'\n'] | [text @ .., b'\n'] => text,
        text => text,
    }
}

/// Text as shown in events: lossy UTF-8, at most about `max` bytes.
pub(crate) fn shown(bytes: &[u8], max: usize) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes.get(..max).unwrap_or(bytes))
}

/// The same to keep.
pub(crate) fn text(bytes: &[u8], max: usize) -> String {
    shown(bytes, max).into_owned()
}

/// The first word and the rest behind the blanks that follow it.
pub(crate) fn split_word(line: &[u8]) -> (&[u8], &[u8]) {
    let line = line.trim_ascii_start();
    match line.iter().position(u8::is_ascii_whitespace) {
        Some(i) => {
            let (word, rest) = line.split_at(i);
            (word, rest.trim_ascii())
        }
        None => (line, &[]),
    }
}

/// Where the `n`th word (from 0) of a line begins, once its first byte is there.
pub(crate) fn word_start(line: &[u8], n: usize) -> Option<usize> {
    let mut words = 0;
    let mut blank = true;
    for (i, byte) in line.iter().enumerate() {
        let is_blank = byte.is_ascii_whitespace();
        if blank && !is_blank {
            if words == n {
                return Some(i);
            }
            words += 1;
        }
        blank = is_blank;
    }
    None
}

/// What is wrong with a line's end or middle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Oddity {
    BareLf,
    /// At this place of the line.
    BareCr(usize),
}

/// Looks for a bare LF at the end of a line, for a bare CR in it.
pub(crate) fn oddity(line: &[u8]) -> Option<Oddity> {
    if let Some(at) = memchr(b'\r', without_end(line)) {
        Some(Oddity::BareCr(at))
    } else if line.ends_with(b"\n") && !line.ends_with(b"\r\n") {
        Some(Oddity::BareLf)
    } else {
        None
    }
}
