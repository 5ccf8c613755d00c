//! A look at 64 bytes at once: which of them need a closer one.
//!
//! What a processor can do with vectors is asked when the program runs, and the loops around these looks are there
//! once for each kind ([`fearless_simd::dispatch`]): all of this is generic, and inlined into them.

use fearless_simd::prelude::*;
use fearless_simd::{Simd, u8x64};

/// Bytes looked at at once.
pub const BLOCK: usize = u64::BITS as usize;

/// 64 bytes, looked at together. Every answer has a bit for each of them, the first one lowest.
#[derive(Debug, Clone, Copy)]
pub struct Block<S: Simd> {
    simd: S,
    bytes: u8x64<S>,
}

impl<S: Simd> Block<S> {
    /// The first 64 of `bytes`; spaces behind them where they are fewer.
    #[inline(always)]
    pub fn first_of(simd: S, bytes: &[u8]) -> Self {
        match bytes.first_chunk() {
            Some(block) => Self::new(simd, block),
            None => Self::new(simd, &padded(bytes)),
        }
    }

    #[inline(always)]
    fn new(simd: S, block: &[u8; BLOCK]) -> Self {
        Self {
            simd,
            bytes: u8x64::simd_from(simd, *block),
        }
    }

    /// Which are controls or beyond ASCII.
    #[inline(always)]
    pub fn marks(self) -> u64 {
        // Delete, what is beyond ASCII, and, going round, what is below the space.
        self.within(0x7f, 0xff - 0x7f + 1 + 0x20)
    }

    /// Which belong to Latin letters beyond ASCII that are whole within the block: U+00C0 to U+017F, a few in many a line
    /// of many languages. [`Self::harmless_characters`] knows these and others, for several times the time.
    #[inline(always)]
    pub fn latin_letters(self) -> u64 {
        let letter = self.within(0xc3, 3) & self.within(0x80, 0x40) >> 1;
        letter | letter << 1
    }

    /// Which belong to characters beyond ASCII that are shown as they are, as far as their first two bytes tell, and
    /// as they are whole within the block: most of the letters and punctuation of the world.
    #[inline(always)]
    pub fn harmless_characters(self) -> u64 {
        let follows = self.within(0x80, 0x40);
        let second = |byte| self.equal(byte) >> 1;
        let upper = self.upper_second();
        // No controls and soft hyphen, and two others that are not seen.
        let two = self.equal(0xc2) & upper & !second(0xad)
            | self.within(0xc3, 0x1d)
                & !(self.equal(0xcd) & second(0x8f))
                & !(self.equal(0xd8) & second(0x9c));
        // General punctuation: of U+2000 to U+203F only what stands between the controls; no U+2040 to U+207F.
        let punctuation = second(0x80) & !(self.within(0x90, 0x18) >> 2) | second(0x81);
        let three = self.within(0xe4, 0x0b) & !self.equal(0xed)
            | self.equal(0xe0) & upper
            | self.equal(0xed) & !upper
            | self.equal(0xe3) & !second(0x85)
            | self.equal(0xe2) & !punctuation;
        let two = two & follows >> 1;
        let three = three & follows >> 1 & follows >> 2;
        two | two << 1 | three | three << 1 | three << 2
    }

    /// The same of others: Vietnamese and Greek letters with accents, Chinese commas, pictures. Noise and most texts
    /// have too few of them to look for them everywhere.
    #[inline(always)]
    pub fn rarer_harmless_characters(self) -> u64 {
        let follows = self.within(0x80, 0x40);
        let second = |byte| self.equal(byte) >> 1;
        let fillers = second(0x85) | second(0x9e) | second(0xa0);
        let half_width = second(0xb8) | second(0xbb) | self.within(0xbe, 2) >> 1;
        let three = self.equal(0xe1) & !fillers | self.equal(0xef) & !half_width;
        let three = three & follows >> 1 & follows >> 2;
        let four = self.equal(0xf0) & second(0x9f) & follows >> 2 & follows >> 3;
        three | three << 1 | three << 2 | four | four << 1 | four << 2 | four << 3
    }

    /// Which begin what looks like a character beyond ASCII that is whole within the block.
    #[inline(always)]
    pub fn characters(self) -> u64 {
        let follows = self.within(0x80, 0x40);
        let second = follows >> 1;
        let third = second & follows >> 2;
        let upper = self.upper_second();
        // What could be written with less, and surrogates.
        let none = self.equal(0xe0) & !upper | self.equal(0xed) & upper;
        self.within(0xc2, 0x1e) & second
            | self.within(0xe0, 0x10) & third & !none
            | self.within(0xf0, 5) & third & follows >> 3
    }

    /// Which stand before a byte of the upper half of those that may follow a first one.
    #[inline(always)]
    fn upper_second(self) -> u64 {
        self.within(0xa0, 0x20) >> 1
    }

    /// How many of the bytes stand before a character that may go on behind the block.
    #[inline(always)]
    pub fn whole_characters(self) -> usize {
        let cut = self.within(0xc2, 0x33) & 1 << 63
            | self.within(0xe0, 0x15) & 1 << 62
            | self.within(0xf0, 5) & 1 << 61;
        BLOCK.min(cut.trailing_zeros() as usize)
    }

    /// The bytes.
    #[inline(always)]
    pub fn bytes(self) -> u8x64<S> {
        self.bytes
    }

    /// Which are `byte`.
    #[inline(always)]
    pub fn equal(self, byte: u8) -> u64 {
        self.bytes.simd_eq(u8x64::splat(self.simd, byte)).to_bitmask()
    }

    /// Which are one of the `count` bytes from `first` on; behind 255 comes 0.
    #[inline(always)]
    fn within(self, first: u8, count: u8) -> u64 {
        let first = u8x64::splat(self.simd, first);
        let last = u8x64::splat(self.simd, count - 1);
        (self.bytes - first).simd_le(last).to_bitmask()
    }
}

/// The lowest so many bits.
#[inline(always)]
pub const fn bits_below(count: usize) -> u64 {
    if count < BLOCK { (1 << count) - 1 } else { u64::MAX }
}

/// What is left where there is too little for a block.
#[cold]
fn padded(bytes: &[u8]) -> [u8; BLOCK] {
    let mut block = [b' '; BLOCK];
    if let Some(to) = block.get_mut(..bytes.len()) {
        to.copy_from_slice(bytes);
    }
    block
}

#[cfg(test)]
mod tests {
    use fearless_simd::{Level, dispatch};

    use super::*;
    use crate::text::is_harmless;

    /// By each kind of vectors that this processor has.
    fn by_each(look: impl Fn(Level) -> u64) -> u64 {
        let baseline = look(Level::baseline());
        assert_eq!(look(Level::new()), baseline);
        #[cfg(target_arch = "x86_64")]
        if let Some(avx2) = Level::new().as_avx2() {
            assert_eq!(look(Level::Avx2(avx2)), baseline);
        }
        baseline
    }

    fn harmless_characters(bytes: &[u8]) -> u64 {
        by_each(|level| {
            dispatch!(level, simd => {
                let block = Block::first_of(simd, bytes);
                let harmless = block.harmless_characters();
                assert_eq!(block.latin_letters() & !harmless, 0);
                harmless | block.rarer_harmless_characters()
            })
        })
    }

    #[test]
    fn a_character_of_which_one_bit_is_given_is_harmless_and_whole() {
        let mut missed = 0;
        for character in '\u{80}'..='\u{1ffff}' {
            for before in [0, BLOCK - character.len_utf8()] {
                let text = format!("{}{character}", " ".repeat(before));
                let harmless = harmless_characters(text.as_bytes());
                if harmless != 0 {
                    assert!(is_harmless(character), "{character:?}");
                    let all = bits_below(character.len_utf8()) << before;
                    assert_eq!(harmless, all, "{character:?}");
                } else if is_harmless(character) && character < '\u{10000}' {
                    missed += 1;
                }
            }
        }
        // Of 61,000.
        assert!(missed < 2 * 600, "{missed}");
        for broken in [
            &b"\xc3"[..],
            b"\xc3 ",
            b"\xe4\xb8",
            b"\xe4 \xb8",
            b"\xa4\xc3",
            b"\xe2\x80\xae",
            b"\xc2\x9b",
            b"\xe0\x9f\xbf",
            b"\xed\xa0\x80",
            b"\xf0\x9f\x98",
            b"\xf0\x9f\x98 ",
        ] {
            assert_eq!(harmless_characters(broken), 0, "{broken:x?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_bit_stands_for_a_byte(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..80)) {
            let marks = by_each(|level| dispatch!(level, simd => Block::first_of(simd, &bytes).marks()));
            let equal = by_each(|level| dispatch!(level, simd => Block::first_of(simd, &bytes).equal(b'e')));
            let wanted = |is: fn(u8) -> bool| {
                let bits = bytes.iter().take(BLOCK).enumerate();
                bits.fold(0, |bits, (at, byte)| bits | u64::from(is(*byte)) << at)
            };
            proptest::prop_assert_eq!(marks, wanted(|byte| !(b' '..=b'~').contains(&byte)));
            proptest::prop_assert_eq!(equal, wanted(|byte| byte == b'e'));
        }
    }
}
