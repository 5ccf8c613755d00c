//! Bytes from the wire made harmless for a terminal, and for whoever reads it.
//!
//! Control characters, escape sequences, and Unicode's bidi and invisible controls come out as text;
//! valid UTF-8 stays as it is.

use fearless_simd::prelude::*;
use fearless_simd::{Level, Simd, dispatch, mask8x64, u8x64, u16x32};

use super::digits::{hex_u8, hex_u32};
use super::marks::{BLOCK, Block, bits_below};
use super::sheet::Sheet;
use crate::text::is_harmless;

/// What stands for a byte that can't be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unprintable {
    /// `\x1b`, `\r`, `\u{202e}`.
    #[default]
    Escape,
    /// `.` for each byte, as tcpflow does.
    Dot,
}

impl Unprintable {
    /// What stands for an LF without a CR.
    pub const fn line_feed(self) -> &'static [u8] {
        match self {
            Self::Escape => b"\\n",
            Self::Dot => b".",
        }
    }
}

/// The most that a byte becomes: `\x1b`, and `\u{e0001}` for four of them.
const WIDEST: usize = 4;

/// What each byte becomes on its own: four bytes of text, the first one lowest, and above them how many are meant.
/// Then what each byte is as it is.
static TABLE: [u64; 512] = table();

const fn table() -> [u64; 512] {
    let mut table = [0; 512];
    let mut byte = 0;
    while byte < 256 {
        let [high, low] = hex_u8(byte as u8);
        let (text, len) = match byte as u8 {
            b'\n' => ([b'\\', b'n', 0, 0], 2),
            b'\r' => ([b'\\', b'r', 0, 0], 2),
            _ => ([b'\\', b'x', high, low], 4),
        };
        table[byte] = u32::from_le_bytes(text) as u64 | len << 32;
        table[byte + 256] = byte as u64 | 1 << 32;
        byte += 1;
    }
    table
}

/// Appends `bytes` to `out`, made harmless. Tabs stay.
pub fn escape(bytes: &[u8], how: Unprintable, out: &mut Sheet) {
    escape_by(Level::new(), bytes, how, out);
}

fn escape_by(level: Level, bytes: &[u8], how: Unprintable, out: &mut Sheet) {
    // Room for the worst: a look at the length for each piece would cost more than the rest.
    let room = out.room((bytes.len() + BLOCK + 2) * WIDEST);
    let filled = dispatch!(level, simd => Text { room, filled: 0 }.put(simd, bytes, how));
    out.keep(filled);
}

/// What becomes of bytes, on its way to a sheet.
struct Text<'a> {
    room: &'a mut [u8],
    filled: usize,
}

impl Text<'_> {
    /// In what is no text nothing can be foreseen, and a branch foreseen wrongly costs as much as a block. What is
    /// left of them: characters that begin as harmful ones do, one in 250 bytes of noise. Returns how much there is.
    #[inline(always)]
    fn put<S: Simd>(mut self, simd: S, bytes: &[u8], how: Unprintable) -> usize {
        let mut rest = bytes;
        while !rest.is_empty() {
            let block = Block::first_of(simd, rest);
            let mut len = rest.len().min(BLOCK);
            let marks = block.marks() & !(block.equal(b'\t') | block.latin_letters());
            if marks == 0 {
                self.put_first(block.bytes(), len);
                rest = rest.get(len..).unwrap_or_default();
                continue;
            }
            if rest.len() > BLOCK {
                len = block.whole_characters();
            }
            let mut as_it_is = !marks | block.harmless_characters();
            let mut unknown = block.characters() & !as_it_is & bits_below(len);
            let mut harmful = None;
            while unknown != 0 {
                let at = unknown.trailing_zeros() as usize;
                unknown &= unknown - 1;
                let Some(character) = leading_character(rest.get(at..).unwrap_or_default()) else {
                    continue;
                };
                if is_harmless(character) {
                    as_it_is |= bits_below(character.len_utf8()) << at;
                } else if how == Unprintable::Escape {
                    (len, harmful) = (at, Some(character));
                    break;
                }
            }
            let meant = bits_below(len);
            if as_it_is & meant == meant {
                self.put_first(block.bytes(), len);
            } else if how == Unprintable::Dot {
                let dots = u8x64::splat(simd, b'.');
                self.put_first(mask(simd, as_it_is).select(block.bytes(), dots), len);
            } else if compresses(simd) {
                self.put_compressed(block, as_it_is, meant);
            } else {
                self.put_each(block, as_it_is, len);
            }
            let mut done = len;
            if let Some(character) = harmful {
                self.put_text(b"\\u{");
                let zeros = u32::from(character).leading_zeros() / 4;
                self.put_text(
                    hex_u32(character.into())
                        .get(zeros as usize..)
                        .unwrap_or_default(),
                );
                self.put_text(b"}");
                done += character.len_utf8();
            }
            rest = rest.get(done..).unwrap_or_default();
        }
        self.filled
    }

    /// The first `len` bytes, as they are where the bits of `as_it_is` stand and escaped where not.
    #[inline(always)]
    fn put_each<S: Simd>(&mut self, block: Block<S>, as_it_is: u64, len: usize) {
        let bytes = block.bytes();
        let all = |byte| u8x64::splat(bytes.token(), byte);
        let as_it_is = mask(bytes.token(), as_it_is).select(all(1), all(0));
        let mut entries = [[0; 2]; BLOCK];
        let (one, other) = bytes.interleave(as_it_is);
        let (begin, end) = entries.as_flattened_mut().split_at_mut(BLOCK);
        one.store_slice(begin);
        other.store_slice(end);
        let room = self.room.get_mut(self.filled..).unwrap_or_default();
        let Some(room) = room.first_chunk_mut::<{ (BLOCK + 2) * WIDEST }>() else {
            return;
        };
        let mut filled = 0;
        for entry in entries.iter().take(len) {
            let entry = usize::from(u16::from_le_bytes(*entry));
            let entry = TABLE.get(entry % TABLE.len()).copied().unwrap_or(0);
            // What the compiler can see need not be checked.
            filled %= BLOCK * WIDEST;
            if let Some(place) = room.get_mut(filled..filled + 2 * WIDEST) {
                place.copy_from_slice(&entry.to_le_bytes());
            }
            filled += (entry >> 32) as usize;
        }
        self.filled += filled;
    }

    /// The same of the bytes for which the bits of `meant` stand, by vectors: each becomes four, of which those count
    /// that are not zero.
    #[inline(always)]
    fn put_compressed<S: Simd>(&mut self, block: Block<S>, as_it_is: u64, meant: u64) {
        let bytes = block.bytes();
        let simd = bytes.token();
        let all = |byte| u8x64::splat(simd, byte);
        let (lf, cr) = (block.equal(b'\n'), block.equal(b'\r'));
        let escaped = meant & !as_it_is;
        let digit = |of: u8x64<S>| of + of.simd_gt(all(9)).select(all(b'a' - 10), all(b'0'));
        let or_none = |bits, bytes: u8x64<S>| mask(simd, bits).select(bytes, all(0));
        let first = or_none(meant, mask(simd, as_it_is).select(bytes, all(b'\\')));
        let letter = mask(simd, lf).select(all(b'n'), mask(simd, cr).select(all(b'r'), all(b'x')));
        let second = or_none(escaped, letter);
        let third = or_none(escaped & !(lf | cr), digit(bytes >> 4));
        let fourth = or_none(escaped & !(lf | cr), digit(bytes & all(15)));
        let (begin, begin_2) = first.interleave(second);
        let (end, end_2) = third.interleave(fourth);
        for (begin, end) in [(begin, end), (begin_2, end_2)] {
            let (one, other) = begin
                .bitcast::<u16x32<S>>()
                .interleave(end.bitcast::<u16x32<S>>());
            for text in [one.bitcast::<u8x64<S>>(), other.bitcast::<u8x64<S>>()] {
                let counts = text.simd_ne(all(0));
                let len = counts.to_bitmask().count_ones() as usize;
                self.put_first(text.compress(counts), len);
            }
        }
    }

    /// So many of these bytes.
    #[inline(always)]
    fn put_first(&mut self, bytes: u8x64<impl Simd>, len: usize) {
        if let Some(place) = self.room.get_mut(self.filled..self.filled + BLOCK) {
            bytes.store_slice(place);
        }
        self.filled += len;
    }

    #[inline(always)]
    fn put_text(&mut self, text: &[u8]) {
        if let Some(place) = self.room.get_mut(self.filled..self.filled + text.len()) {
            place.copy_from_slice(text);
        }
        self.filled += text.len();
    }
}

/// Whether the processor has an instruction that leaves out bytes of a vector. What does without one is slower than a
/// look at each byte.
#[inline(always)]
fn compresses(simd: impl Simd) -> bool {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    return matches!(simd.level(), Level::Avx512(_));
    #[cfg(not(any(target_arch = "x86", target_arch = "x86_64")))]
    return false;
}

#[inline(always)]
fn mask<S: Simd>(simd: S, bits: u64) -> mask8x64<S> {
    mask8x64::from_bitmask(simd, bits)
}

/// The character beyond ASCII that `bytes` begin with, if they begin with one.
fn leading_character(bytes: &[u8]) -> Option<char> {
    let width = match bytes.first()? {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => return None,
    };
    std::str::from_utf8(bytes.get(..width)?).ok()?.chars().next()
}

/// How many bytes the character beyond ASCII has that `bytes` begin with; none unless it can be shown as it is.
#[inline]
pub fn harmless_width(bytes: &[u8]) -> usize {
    match *bytes {
        // What begins like this is never escaped.
        [0xc3..=0xcc | 0xce..=0xd7 | 0xd9..=0xdf, 0x80..=0xbf, ..] => 2,
        [0xe4..=0xec | 0xee, 0x80..=0xbf, 0x80..=0xbf, ..] => 3,
        _ => leading_character(bytes)
            .filter(|character| is_harmless(*character))
            .map_or(0, char::len_utf8),
    }
}

/// The same as a string, for texts of ours that quote the wire.
pub fn escaped(text: &str) -> String {
    let mut out = Sheet::default();
    escape(text.as_bytes(), Unprintable::Escape, &mut out);
    String::from_utf8_lossy(out.as_slice()).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(bytes: &[u8], how: Unprintable) -> String {
        let mut out = Sheet::default();
        escape(bytes, how, &mut out);
        String::from_utf8(out.as_slice().to_vec()).unwrap()
    }

    #[test]
    fn text_stays_as_it_is() {
        assert_eq!(
            shown(
                "220 mx.ex\u{e4}mple.test\tESMTP \u{1f4e7}".as_bytes(),
                Unprintable::Escape
            ),
            "220 mx.ex\u{e4}mple.test\tESMTP \u{1f4e7}"
        );
    }

    #[test]
    fn what_could_harm_is_spelled_out() {
        assert_eq!(
            shown(b"a\x1b[31mb\x07\x00\xff\r", Unprintable::Escape),
            "a\\x1b[31mb\\x07\\x00\\xff\\r"
        );
        assert_eq!(
            shown("exe\u{202e}fdp\u{200b}".as_bytes(), Unprintable::Escape),
            "exe\\u{202e}fdp\\u{200b}"
        );
        // The one-character CSI of C1, in UTF-8.
        assert_eq!(shown("\u{9b}2J".as_bytes(), Unprintable::Escape), "\\u{9b}2J");
    }

    #[test]
    fn or_is_a_dot_for_each_byte() {
        assert_eq!(shown(b"a\x1b[31mb\xff\xfe", Unprintable::Dot), "a.[31mb..");
        assert_eq!(shown("\u{202e}x".as_bytes(), Unprintable::Dot), "...x");
    }

    #[test]
    fn what_begins_harmlessly_is_harmless() {
        for character in '\0'..=char::MAX {
            let mut bytes = [0; 4];
            let text = character.encode_utf8(&mut bytes).as_bytes();
            let shown_as_it_is = !character.is_ascii() && is_harmless(character);
            let width = if shown_as_it_is { text.len() } else { 0 };
            assert_eq!(harmless_width(text), width, "{character:?}");
        }
    }

    /// By each kind of vectors that this processor has.
    fn levels() -> Vec<Level> {
        let mut levels = vec![Level::new(), Level::baseline()];
        #[cfg(target_arch = "x86_64")]
        {
            levels.extend(Level::new().as_sse4_2().map(Level::Sse4_2));
            levels.extend(Level::new().as_avx2().map(Level::Avx2));
        }
        levels
    }

    /// The same a character at a time.
    fn plainly(bytes: &[u8], how: Unprintable) -> String {
        let escaped = |text: String, width: usize| match how {
            Unprintable::Escape => text,
            Unprintable::Dot => ".".repeat(width),
        };
        let mut out = String::new();
        for chunk in bytes.utf8_chunks() {
            for character in chunk.valid().chars() {
                out += &match character {
                    _ if is_harmless(character) => character.to_string(),
                    '\n' => escaped("\\n".to_owned(), 1),
                    '\r' => escaped("\\r".to_owned(), 1),
                    '\0'..='\x7f' => escaped(format!("\\x{:02x}", u32::from(character)), 1),
                    _ => escaped(format!("\\u{{{:x}}}", u32::from(character)), character.len_utf8()),
                };
            }
            for byte in chunk.invalid() {
                out += &escaped(format!("\\x{byte:02x}"), 1);
            }
        }
        out
    }

    /// Noise, text, and characters of which each is one in its own way.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            "[ -~\t\r\n]{0,100}".prop_map(String::into_bytes),
            "[\u{80}-\u{800}\u{2000}-\u{2070}\u{fe00}-\u{ffff}\u{e0000}-\u{e1000}]{0,20}"
                .prop_map(String::into_bytes),
            prop::collection::vec(any::<char>(), 0..20).prop_map(|text| String::from_iter(text).into_bytes()),
            prop::sample::select(vec![
                &b"\xe0\x80\x80"[..],
                b"\xed\xa0\x80",
                b"\xf4\x90\x80\x80",
                b"\xf0\x9f",
                b"\xe2"
            ])
            .prop_map(<[u8]>::to_vec),
        ];
        prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn each_processor_shows_what_one_would_write(bytes in bytes()) {
            for how in [Unprintable::Escape, Unprintable::Dot] {
                let wanted = plainly(&bytes, how);
                for level in levels() {
                    let mut out = Sheet::default();
                    escape_by(level, &bytes, how, &mut out);
                    prop_assert_eq!(String::from_utf8_lossy(out.as_slice()), wanted.as_str(), "{:?}", level);
                }
            }
        }

        #[test]
        fn nothing_that_controls_a_terminal_comes_through(bytes: Vec<u8>) {
            for how in [Unprintable::Escape, Unprintable::Dot] {
                let text = shown(&bytes, how);
                prop_assert!(text.chars().all(|c| c == '\t' || !c.is_control()));
            }
        }
    }
}
