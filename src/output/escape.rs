//! Bytes from the wire made harmless for a terminal, and for whoever reads it.
//!
//! Control characters, escape sequences, and Unicode's bidi and invisible controls come out as text;
//! valid UTF-8 stays as it is.

use fearless_simd::{Level, Simd, dispatch};

use super::marks::{BLOCK, Block, ones};
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

/// What each byte becomes on its own: four bytes of text, the first one lowest, and above them its length in bits.
/// Then what each byte is as it is.
type Table = [u64; 512];

static ESCAPED: Table = table(Unprintable::Escape);
static DOTTED: Table = table(Unprintable::Dot);

const fn table(how: Unprintable) -> Table {
    let mut table = [0; 512];
    let mut byte = 0;
    while byte < 256 {
        let character = byte as u8;
        let (text, len) = match (character, how) {
            (b'\t' | 0x20..=0x7e, _) => ([character, 0, 0, 0], 1),
            (_, Unprintable::Dot) => ([b'.', 0, 0, 0], 1),
            (b'\n', Unprintable::Escape) => ([b'\\', b'n', 0, 0], 2),
            (b'\r', Unprintable::Escape) => ([b'\\', b'r', 0, 0], 2),
            (_, Unprintable::Escape) => (hex(character), 4),
        };
        table[byte] = u32::from_le_bytes(text) as u64 | (len * 8) << 32;
        table[byte + 256] = character as u64 | 8 << 32;
        byte += 1;
    }
    table
}

const fn hex(byte: u8) -> [u8; WIDEST] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    [
        b'\\',
        b'x',
        DIGITS[(byte >> 4) as usize],
        DIGITS[(byte & 15) as usize],
    ]
}

/// Appends `bytes` to `out`, made harmless. Tabs stay.
pub fn escape(bytes: &[u8], how: Unprintable, out: &mut Sheet) {
    let (as_it_is, rest) = bytes.split_at(dispatch!(Level::new(), simd => harmless_len(simd, bytes)));
    out.put(as_it_is);
    if !rest.is_empty() {
        escape_each(rest, how, out);
    }
}

/// How many of the first bytes can be shown as they are.
#[inline(always)]
fn harmless_len(simd: impl Simd, bytes: &[u8]) -> usize {
    let mut new = 0;
    let mut block = 0;
    while block < bytes.len() {
        let mut marks = Block::first_of(simd, bytes.get(block..).unwrap_or_default()).marks();
        while marks != 0 {
            let at = block + marks.trailing_zeros() as usize;
            marks &= marks - 1;
            if at < new {
                continue;
            }
            match bytes.get(at..) {
                Some([b'\t', ..]) => {}
                Some(rest) if harmless_width(rest) > 0 => new = at + harmless_width(rest),
                _ => return at,
            }
        }
        block += BLOCK;
    }
    bytes.len()
}

/// The same for what is likely no text.
fn escape_each(bytes: &[u8], how: Unprintable, out: &mut Sheet) {
    let table = match how {
        Unprintable::Escape => &ESCAPED,
        Unprintable::Dot => &DOTTED,
    };
    // Room for the worst: a look at the length for each byte would cost more than all the rest.
    let room = out.room((bytes.len() + 1) * WIDEST);
    let mut filled = 0;
    let mut put = |text: u64, len: usize| {
        if let Some(place) = room.get_mut(filled..filled + 2 * WIDEST) {
            place.copy_from_slice(&text.to_le_bytes());
        }
        filled += len;
    };
    let entry = |index: u16| table.get(usize::from(index & 511)).copied().unwrap_or(0);
    let (text, bits) = (|entry: u64| entry & 0xffff_ffff, |entry: u64| entry >> 32);
    let mut block = 0;
    while block < bytes.len() {
        let rest = bytes.get(block..).unwrap_or_default();
        let Entries {
            entries,
            mut characters,
        } = Entries::new(bytes, block);
        let len = rest.len().min(BLOCK);
        let mut done = 0;
        loop {
            let at = len.min(characters.trailing_zeros() as usize);
            if let Some(entries) = entries.get(done..at) {
                // Two at once: half as many places to be worked out.
                let (pairs, last) = entries.as_chunks();
                for [first, second] in pairs {
                    let (first, second) = (entry(*first), entry(*second));
                    let both = text(first) | text(second).wrapping_shl(bits(first) as u32);
                    put(both, (bits(first) + bits(second)) as usize / 8);
                }
                for last in last {
                    put(text(entry(*last)), bits(entry(*last)) as usize / 8);
                }
                done = at;
            }
            if at == len {
                break;
            }
            characters &= characters - 1;
            let Some(character) = leading_character(rest.get(at..).unwrap_or_default()) else {
                continue;
            };
            done = at + character.len_utf8();
            if is_harmless(character) {
                let mut text = [0; 2 * WIDEST];
                character.encode_utf8(&mut text);
                put(u64::from_le_bytes(text), character.len_utf8());
            } else if how == Unprintable::Dot {
                (at..done).for_each(|_| put(u64::from(b'.'), 1));
            } else {
                let text = format!("\\u{{{:x}}}", u32::from(character));
                for part in text.as_bytes().chunks(WIDEST) {
                    let text = part
                        .iter()
                        .rev()
                        .fold(0, |text, byte| text << 8 | u64::from(*byte));
                    put(text, part.len());
                }
            }
        }
        // The last character may have gone on for longer.
        block += done;
    }
    out.keep(filled);
}

/// Some bytes and what becomes of them. In what is no text, every twentieth byte seems to begin a character, and
/// a branch taken that seldom costs more than to work out for each byte whether it belongs to one.
struct Entries {
    /// Of each byte, in a [`Table`].
    entries: [u16; BLOCK],
    /// Where a character may begin that is not shown as it is, or is longer than two bytes.
    characters: u64,
}

impl Entries {
    /// The bytes from `begin` on.
    fn new(bytes: &[u8], begin: usize) -> Self {
        // With the byte before and two behind them.
        const WINDOW: usize = BLOCK + 3;
        let before = begin.checked_sub(1).and_then(|before| bytes.get(before..));
        let padded: [u8; WINDOW];
        let window = match before.and_then(<[u8]>::first_chunk::<WINDOW>) {
            Some(window) => window,
            None => {
                padded = around(bytes, begin);
                &padded
            }
        };
        let continues = |byte: u8| u8::from((byte as i8) < -0x40);
        let begins_two = |byte: u8| u8::from(byte.wrapping_sub(0xc2) < 0x1e);
        let begins_more = |byte: u8| u8::from(byte.wrapping_sub(0xe0) < 0x15);
        let suspect = |byte: u8| u8::from(byte == 0xc2) | u8::from(byte == 0xcd) | u8::from(byte == 0xd8);
        let mut in_two = [0; BLOCK];
        let mut flags = [0; BLOCK];
        let (block, next, third) = (
            window.iter().skip(1),
            window.iter().skip(2),
            window.iter().skip(3),
        );
        for ((((before, byte), next), third), (in_two, flag)) in window
            .iter()
            .zip(block.clone())
            .zip(next)
            .zip(third)
            .zip(in_two.iter_mut().zip(&mut flags))
        {
            *in_two = begins_two(*before) & continues(*byte) | begins_two(*byte) & continues(*next);
            *flag = (suspect(*byte) | begins_more(*byte) & continues(*third)) & continues(*next);
        }
        // In a loop of its own: vectors of wider elements take fewer.
        let mut entries = [0; BLOCK];
        for ((entry, byte), in_two) in entries.iter_mut().zip(block).zip(&in_two) {
            *entry = u16::from(*byte) | u16::from(*in_two) << 8;
        }
        Self {
            entries,
            characters: ones(&flags),
        }
    }
}

/// What stands around `begin`, zeros where nothing does.
#[cold]
fn around<const WINDOW: usize>(bytes: &[u8], begin: usize) -> [u8; WINDOW] {
    let mut window = [0; WINDOW];
    let (_, rest) = bytes.split_at(begin.saturating_sub(1));
    let skipped = usize::from(begin == 0);
    for (to, from) in window.iter_mut().skip(skipped).zip(rest) {
        *to = *from;
    }
    window
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

    proptest::proptest! {
        #[test]
        fn nothing_that_controls_a_terminal_comes_through(bytes: Vec<u8>) {
            for how in [Unprintable::Escape, Unprintable::Dot] {
                let text = shown(&bytes, how);
                proptest::prop_assert!(text.chars().all(|c| c == '\t' || !c.is_control()));
            }
        }
    }
}
