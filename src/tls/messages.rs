//! Puts one direction's handshake messages together from the payloads of its clear handshake records.
//!
//! A message may be spread over records, and a record may hold several (RFC 8446, section 5.1). What is kept is
//! bounded: a message longer than [`MAX_MESSAGE`] is skipped, and told by its number only.

use super::names::handshake_exists;
use crate::budget::SMALL;

/// Bytes kept of a direction at most: there may be many handshakes that stop half-way. A record with the rest of a
/// long message in it may hold more; what does not fit is skipped, too.
const MAX_KEPT: usize = 20 * 1024;

/// Longest message that is kept. Chains of certificates have some 5 KB, very long ones.
const MAX_MESSAGE: usize = 16 * 1024;

/// A message out of the buffer.
pub(super) enum Message<'a> {
    /// Number and content.
    Whole(u8, &'a [u8]),
    /// It was too long to be kept.
    Skipped(u8),
}

/// Messages of one direction in the making.
#[derive(Default)]
pub(super) struct Messages {
    kept: Vec<u8>,
    /// Bytes of a long message still to come, and its number.
    skip: usize,
    skipped: Option<u8>,
    /// Bytes behind what is kept that found no room.
    dropped: usize,
    /// What is kept begins in the middle of a message, as far as we know: behind a gap.
    lost: bool,
}

impl Messages {
    /// More payload of handshake records. `tight`: only a little is kept.
    pub(super) fn payload(&mut self, bytes: &[u8], tight: bool) {
        let n = self.skip.min(bytes.len());
        self.skip -= n;
        let bytes = bytes.get(n..).unwrap_or_default();
        let room = match (tight, self.dropped) {
            (false, 0) => MAX_KEPT,
            (true, 0) => SMALL,
            // What there was room for again would not follow what is kept.
            _ => 0,
        };
        let room = room.saturating_sub(self.kept.len()).min(bytes.len());
        self.kept.extend_from_slice(bytes.get(..room).unwrap_or_default());
        // A message in many small records makes it grow in steps, which may go beyond what is ever filled.
        self.kept.shrink_to(MAX_KEPT);
        self.dropped = self.dropped.saturating_add(bytes.len() - room);
    }

    /// Payload is missing, or what came was none.
    pub(super) fn lose(&mut self) {
        *self = Self {
            lost: true,
            ..Self::default()
        };
    }

    /// Whether what is kept begins like a message. Otherwise it is encrypted, or we are not where we think.
    /// Asked at the end of a record.
    pub(super) fn plausible(&self) -> bool {
        if self.lost {
            self.tiles()
        } else {
            self.first().is_none_or(handshake_exists)
        }
    }

    /// Whether whole, plausible messages fill exactly what is kept.
    pub(super) fn tiles(&self) -> bool {
        let mut rest = self.kept.as_slice();
        while let Some((number, _, behind)) = cut(rest) {
            if !handshake_exists(number) {
                return false;
            }
            rest = behind;
        }
        rest.is_empty() && !self.kept.is_empty() && self.dropped == 0
    }

    /// Number of the first message kept.
    pub(super) fn first(&self) -> Option<u8> {
        self.kept.first().copied()
    }

    /// Bytes of memory that it takes.
    #[inline]
    pub(super) fn keeps(&self) -> usize {
        self.kept.capacity()
    }

    /// What is kept.
    pub(super) fn kept(&self) -> &[u8] {
        &self.kept
    }

    /// Takes what is kept out of sight: it is not readable.
    pub(super) fn clear(&mut self) {
        *self = Self {
            lost: self.lost,
            ..Self::default()
        };
    }

    /// Hands out the first message only, and forgets what stands behind it: the MAC of a record that is not
    /// encrypted but protected.
    pub(super) fn take_first(&mut self, mut tell: impl FnMut(Message<'_>)) {
        if let Some((number, body, _)) = cut(&self.kept) {
            tell(Message::Whole(number, body));
        }
        self.clear();
    }

    /// Hands out the whole messages, in order.
    pub(super) fn drain(&mut self, mut tell: impl FnMut(Message<'_>)) {
        self.lost = false;
        if self.skip == 0
            && let Some(number) = self.skipped.take()
        {
            tell(Message::Skipped(number));
        }
        let mut rest = self.kept.as_slice();
        while let Some((number, body, behind)) = cut(rest) {
            if !handshake_exists(number) {
                self.lose();
                return;
            }
            tell(Message::Whole(number, body));
            rest = behind;
        }
        if let Some(&[number, a, b, c]) = rest.first_chunk::<4>() {
            let len = len24([a, b, c]);
            if !handshake_exists(number) {
                self.lose();
                return;
            }
            if len > MAX_MESSAGE || self.dropped > 0 {
                let Some(skip) = (4 + len).checked_sub(rest.len() + self.dropped) else {
                    self.lose();
                    return;
                };
                self.skip = skip;
                self.skipped = Some(number);
                self.dropped = 0;
                rest = &[];
            }
        }
        if self.dropped > 0 {
            self.lose();
        } else if rest.len() < self.kept.len() {
            self.kept = rest.to_vec();
        }
    }
}

/// The first message: its number, its content, and what stands behind it.
fn cut(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[number, a, b, c], rest) = bytes.split_first_chunk::<4>()?;
    let (body, behind) = rest.split_at_checked(len24([a, b, c]))?;
    Some((number, body, behind))
}

fn len24([a, b, c]: [u8; 3]) -> usize {
    usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hello_that_is_never_finished_costs_little() {
        let hello = [&[1, 0, 0xb3, 0xb0][..], &[0; 45_000]].concat();
        let mut messages = Messages::default();
        for record in hello.chunks(15_000) {
            messages.payload(record, false);
            assert!(messages.kept().len() <= MAX_KEPT);
            messages.drain(|_| ());
            assert_eq!(messages.kept.capacity(), 0);
        }
    }

    #[test]
    fn a_message_in_tiny_records_is_not_copied_for_each() {
        let certificate = [&[11, 0, 0x3e, 0x80][..], &[7; 16_000]].concat();
        let mut messages = Messages::default();
        let (mut copies, mut told, mut before) = (0, Vec::new(), 0);
        for byte in &certificate {
            messages.payload(&[*byte], false);
            messages.drain(|message| {
                told.extend(match message {
                    Message::Whole(number, body) => Some((number, body.len())),
                    Message::Skipped(_) => None,
                });
            });
            copies += usize::from(messages.kept.capacity() != before);
            before = messages.kept.capacity();
            assert!(before <= MAX_KEPT);
        }
        assert_eq!(told, [(11, 16_000)]);
        assert!(copies < 20, "{copies}");
    }
}
