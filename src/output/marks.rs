//! A look at 64 bytes at once: which of them need a closer one.

use wide::u8x16;

/// Bytes looked at at once.
pub const BLOCK: usize = u64::BITS as usize;

/// 64 bytes, looked at together. Every answer has a bit for each of them, the first one lowest.
#[derive(Debug, Clone, Copy)]
pub struct Block([u8x16; 4]);

impl Block {
    /// The first 64 of `bytes`; spaces behind them where they are fewer.
    #[inline]
    pub fn first_of(bytes: &[u8]) -> Self {
        match bytes.first_chunk() {
            Some(block) => Self::new(block),
            None => Self::new(&padded(bytes)),
        }
    }

    #[inline]
    fn new(block: &[u8; BLOCK]) -> Self {
        let mut lanes = [u8x16::ZERO; 4];
        for (lane, bytes) in lanes.iter_mut().zip(block.as_chunks().0) {
            *lane = u8x16::new(*bytes);
        }
        Self(lanes)
    }

    /// Which are controls or beyond ASCII.
    #[inline]
    pub fn marks(self) -> u64 {
        // Delete, what is beyond ASCII, and, going round, what is below the space.
        self.within(0x7f, 0xff - 0x7f + 1 + 0x20)
    }

    /// Which belong to characters beyond ASCII that are shown as they are, as far as their first two bytes tell, and
    /// as they are whole within the block: most of the letters and punctuation of the world.
    // Out of the way of the usual, for whose sake the compiler keeps the block in registers.
    #[cold]
    #[inline(never)]
    pub fn harmless_characters(self) -> u64 {
        let follows = self.within(0x80, 0x40);
        let second = |byte| self.equal(byte) >> 1;
        let two = self.within(0xc3, 0x1d) & !self.equal(0xcd) & !self.equal(0xd8);
        // General punctuation: of U+2000 to U+203F only what stands between the controls; no U+2040 to U+207F.
        let punctuation = second(0x80) & !(self.within(0x90, 0x18) >> 2) | second(0x81);
        let three = self.within(0xe4, 0x0b) & !self.equal(0xed)
            | self.equal(0xe3) & !second(0x85)
            | self.equal(0xe2) & !punctuation;
        let two = two & follows >> 1;
        let three = three & follows >> 1 & follows >> 2;
        two | two << 1 | three | three << 1 | three << 2
    }

    /// Which are `byte`.
    #[inline]
    pub fn equal(self, byte: u8) -> u64 {
        let byte = u8x16::splat(byte);
        self.bits(|lane| lane.cmp_eq(byte))
    }

    /// Which are one of the `count` bytes from `first` on; behind 255 comes 0.
    #[inline]
    fn within(self, first: u8, count: u8) -> u64 {
        let (first, last) = (u8x16::splat(first), u8x16::splat(count - 1));
        self.bits(|lane| (lane - first).min(last).cmp_eq(lane - first))
    }

    #[inline]
    fn bits(self, are_marked: impl Fn(u8x16) -> u8x16) -> u64 {
        let lanes = self.0.iter().rev();
        lanes.fold(0, |bits, lane| {
            bits << 16 | u64::from(are_marked(*lane).move_mask().cast_unsigned())
        })
    }
}

/// What is left where there is too little for a block.
#[cold]
fn padded(bytes: &[u8]) -> [u8; BLOCK] {
    let mut block = [b' '; BLOCK];
    for (to, from) in block.iter_mut().zip(bytes) {
        *to = *from;
    }
    block
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::is_harmless;

    #[test]
    fn a_character_of_which_one_bit_is_given_is_harmless_and_whole() {
        let mut known = 0;
        for character in '\u{80}'..='\u{10fff}' {
            for before in [0, BLOCK - 3] {
                let text = format!("{}{character}", " ".repeat(before));
                let harmless = Block::first_of(text.as_bytes()).harmless_characters();
                if harmless != 0 {
                    assert!(is_harmless(character), "{character:?}");
                    let all = ((1 << character.len_utf8()) - 1) << before;
                    assert_eq!(harmless, all, "{character:?}");
                    known += 1;
                }
            }
        }
        assert!(known > 2 * 40_000, "{known}");
        for broken in [
            &b"\xc3"[..],
            b"\xc3 ",
            b"\xe4\xb8",
            b"\xe4 \xb8",
            b"\xa4\xc3",
            b"\xe2\x80\xae",
        ] {
            assert_eq!(Block::first_of(broken).harmless_characters(), 0, "{broken:x?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_bit_stands_for_a_byte(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..80)) {
            let block = Block::first_of(&bytes);
            let wanted = |is: fn(u8) -> bool| {
                let bits = bytes.iter().take(BLOCK).enumerate();
                bits.fold(0, |bits, (at, byte)| bits | u64::from(is(*byte)) << at)
            };
            proptest::prop_assert_eq!(block.marks(), wanted(|byte| !(b' '..=b'~').contains(&byte)));
            proptest::prop_assert_eq!(block.equal(b'e'), wanted(|byte| byte == b'e'));
        }
    }
}
