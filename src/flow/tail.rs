//! The last bytes given out of a stream, kept so that a retransmission can be compared with them.
//!
//! Bounded and small, because every connection has two: what comes again later than [`KEPT`] bytes is
//! compared by sample only (`recent.rs`), or not at all.

/// So many of the last bytes are kept.
const KEPT: usize = 4096;

/// The last bytes of one direction.
#[derive(Debug, Default)]
pub(super) struct Tail {
    /// The byte at offset `o` is at `o % KEPT`, once it is full; before, in order.
    ring: Vec<u8>,
    /// Offset of the first byte that is kept, and behind the last one.
    begin: u64,
    end: u64,
}

impl Tail {
    /// Memory accounted.
    pub(super) fn cost(&self) -> usize {
        self.ring.capacity()
    }

    /// Takes bytes that were given out up to offset `end`. A jump (a gap) forgets what was before it.
    pub(super) fn push(&mut self, bytes: &[u8], end: u64) {
        let bytes = bytes.get(bytes.len().saturating_sub(KEPT)..).unwrap_or_default();
        let start = end - bytes.len() as u64;
        if self.end != start {
            self.begin = start;
        }
        self.end = end;
        self.begin = self.begin.max(end.saturating_sub(KEPT as u64));
        let at = place(start);
        let (head, rest) = bytes.split_at(bytes.len().min(KEPT - at));
        self.write(at, head);
        self.write(0, rest);
    }

    fn write(&mut self, at: usize, bytes: &[u8]) {
        if self.ring.len() < at + bytes.len() {
            self.ring.resize(at + bytes.len(), 0);
        }
        if let Some(place) = self.ring.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    }

    /// How many of `bytes`, which claim to lie at `offset`, differ from what was given out there, as a
    /// run from the first to the last difference: its offset and length.
    pub(super) fn conflict(&self, offset: u64, bytes: &[u8]) -> Option<(u64, u64)> {
        let mut from = offset.max(self.begin);
        let to = (offset + bytes.len() as u64).min(self.end);
        let mut found: Option<(u64, u64)> = None;
        while from < to {
            let at = place(from);
            let len = ((to - from) as usize).min(KEPT - at);
            let ours = self.ring.get(at..at + len)?;
            let theirs = bytes.get((from - offset) as usize..)?.get(..len)?;
            if ours != theirs {
                let differs = |(one, other): (&u8, &u8)| one != other;
                let first = from + ours.iter().zip(theirs).position(differs)? as u64;
                let last = from + ours.iter().zip(theirs).rposition(differs)? as u64;
                found = Some((found.map_or(first, |(first, _)| first), last));
            }
            from += len as u64;
        }
        found.map(|(first, last)| (first, last - first + 1))
    }

    /// Whether all of a range is still here to be compared.
    pub(super) fn covers(&self, offset: u64, len: u64) -> bool {
        self.begin <= offset && offset + len <= self.end
    }
}

/// Where the byte at `offset` is kept.
fn place(offset: u64) -> usize {
    (offset % KEPT as u64) as usize
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
        assert_eq!(
            tail.conflict(4090, b"bbbbbXbbbbX"),
            Some((4095, 6)),
            "over the ring's end"
        );
        assert_eq!(tail.conflict(5990, &[b'x'; 100]), Some((5990, 10)));
        assert!(tail.covers(1904, 4096) && !tail.covers(1903, 4096));
        tail.push(&[b'c'; 5000], 11000);
        assert_eq!(tail.conflict(2998, b"XX"), None, "forgotten by now");
        assert_eq!(tail.conflict(10_999, b"d"), Some((10_999, 1)));
    }

    #[test]
    fn a_gap_forgets_what_was_before_it() {
        let mut tail = Tail::default();
        tail.push(b"before", 6);
        tail.push(b"behind", 106);
        assert_eq!(tail.conflict(0, b"BEFORE"), None);
        assert_eq!(tail.conflict(100, b"Behind"), Some((100, 1)));
        assert!(!tail.covers(0, 6));
    }
}
