//! What in a stretch of a message may matter, 64 bytes at once: most of a body is passed over by this alone.

use fearless_simd::prelude::*;
use fearless_simd::{Level, Simd, dispatch, mask8x64, u8x64};

/// Bytes looked at at once, each with the one behind it.
const BLOCK: usize = 64;

/// What stands somewhere in a stretch, between its first byte and its last.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// A CR without its LF, or an LF without its CR.
    pub(super) odd: bool,
    /// A line that begins with a dot.
    pub(super) dot: bool,
}

/// Looks at all pairs of neighbours.
pub(super) fn seen_in(bytes: &[u8]) -> Seen {
    dispatch!(Level::new(), simd => seen_by(simd, bytes))
}

#[inline(always)]
fn seen_by<S: Simd>(simd: S, bytes: &[u8]) -> Seen {
    let (Some(last), Some((_, next))) = (bytes.last_chunk::<{ BLOCK + 1 }>(), bytes.split_first()) else {
        return few(bytes);
    };
    let mut pairs = Pairs::new(simd);
    for (block, next) in bytes.as_chunks().0.iter().zip(next.as_chunks().0) {
        pairs.look(block, next);
    }
    // Some of them a second time.
    if let (Some(block), Some(next)) = (last.first_chunk(), last.last_chunk()) {
        pairs.look(block, next);
    }
    Seen {
        odd: pairs.odd.any_true(),
        dot: pairs.dot.any_true(),
    }
}

/// The same where there is no block.
fn few(bytes: &[u8]) -> Seen {
    let pairs = bytes.iter().zip(bytes.iter().skip(1));
    pairs.fold(Seen::default(), |seen, (byte, next)| Seen {
        odd: seen.odd | ((*byte == b'\r') != (*next == b'\n')),
        dot: seen.dot | (*byte == b'\n' && *next == b'.'),
    })
}

struct Pairs<S: Simd> {
    simd: S,
    odd: mask8x64<S>,
    dot: mask8x64<S>,
}

impl<S: Simd> Pairs<S> {
    #[inline(always)]
    fn new(simd: S) -> Self {
        let none = mask8x64::splat(simd, false);
        Self {
            simd,
            odd: none,
            dot: none,
        }
    }

    #[inline(always)]
    fn look(&mut self, block: &[u8; BLOCK], next: &[u8; BLOCK]) {
        let of = |bytes: &[u8; BLOCK]| u8x64::simd_from(self.simd, *bytes);
        let is = |bytes: u8x64<S>, byte| bytes.simd_eq(u8x64::splat(self.simd, byte));
        let (block, next) = (of(block), of(next));
        self.odd |= is(block, b'\r') ^ is(next, b'\n');
        self.dot |= is(block, b'\n') & is(next, b'.');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_look_at_many_sees_what_a_look_at_each_sees(
            text in proptest::collection::vec(prop_oneof![Just("\r\n"), Just("abcdefgh"), Just("."), Just("\r"), Just("\n")], 0..40),
            lines in 0..40_usize,
        ) {
            let bytes = ["0123456789\r\n".repeat(lines), text.concat()].concat().into_bytes();
            for len in bytes.len().saturating_sub(70)..=bytes.len() {
                let bytes = &bytes[..len];
                prop_assert_eq!(seen_in(bytes), few(bytes));
                prop_assert_eq!(dispatch!(Level::baseline(), simd => seen_by(simd, bytes)), few(bytes));
            }
        }
    }
}
