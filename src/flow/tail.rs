//! The last bytes given out of a stream, kept so that a retransmission can be compared with them.
//!
//! Bounded and small: what comes again later than [`KEPT`] bytes is compared by sample only
//! (`recent.rs`), or not at all.

/// At least so many of the last bytes are kept.
const KEPT: usize = 4096;

/// The last bytes of one direction.
#[derive(Debug, Default)]
pub(super) struct Tail {
    bytes: Vec<u8>,
    /// Offset behind the last byte.
    end: u64,
}

impl Tail {
    /// Memory accounted.
    pub(super) fn cost(&self) -> usize {
        self.bytes.capacity()
    }

    /// Takes bytes that were given out up to offset `end`. A jump (a gap) forgets what was before it.
    pub(super) fn push(&mut self, bytes: &[u8], end: u64) {
        if self.end + bytes.len() as u64 != end {
            self.bytes.clear();
        }
        self.end = end;
        if bytes.len() >= KEPT {
            self.bytes.clear();
        } else if self.bytes.len() + bytes.len() > 2 * KEPT {
            let surplus = self.bytes.len() + bytes.len() - KEPT;
            self.bytes.drain(..surplus.min(self.bytes.len()));
        }
        self.bytes
            .extend_from_slice(bytes.get(bytes.len().saturating_sub(KEPT)..).unwrap_or_default());
    }

    /// How many of `bytes`, which claim to lie at `offset`, differ from what was given out there, as a
    /// run from the first to the last difference: its offset and length.
    pub(super) fn conflict(&self, offset: u64, bytes: &[u8]) -> Option<(u64, u64)> {
        let begin = self.end - self.bytes.len() as u64;
        let from = offset.max(begin);
        let to = (offset + bytes.len() as u64).min(self.end);
        if from >= to {
            return None;
        }
        let ours = self.bytes.get((from - begin) as usize..(to - begin) as usize)?;
        let theirs = bytes.get((from - offset) as usize..(to - offset) as usize)?;
        if ours == theirs {
            return None;
        }
        let differs = |(one, other): (&u8, &u8)| one != other;
        let first = ours.iter().zip(theirs).position(differs)?;
        let last = ours.iter().zip(theirs).rposition(differs)?;
        Some((from + first as u64, (last - first + 1) as u64))
    }

    /// Whether all of a range is still here to be compared.
    pub(super) fn covers(&self, offset: u64, len: u64) -> bool {
        self.end - self.bytes.len() as u64 <= offset && offset + len <= self.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_byte_is_found_while_it_is_kept() {
        let mut tail = Tail::default();
        tail.push(&[b'a'; 3000], 3000);
        tail.push(&[b'b'; 3000], 6000);
        assert_eq!(tail.conflict(2999, b"ab"), None);
        assert_eq!(tail.conflict(2998, b"aXb"), Some((2999, 1)));
        assert_eq!(tail.conflict(5990, &[b'x'; 100]), Some((5990, 10)));
        tail.push(&[b'c'; 5000], 11000);
        assert_eq!(tail.conflict(2998, b"XX"), None, "forgotten by now");
        assert_eq!(tail.conflict(10_999, b"d"), Some((10_999, 1)));
    }
}
