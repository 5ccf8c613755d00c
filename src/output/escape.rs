//! Bytes from the wire made harmless for a terminal, and for whoever reads it.
//!
//! Control characters, escape sequences, and Unicode's bidi and invisible controls come out as text;
//! valid UTF-8 stays as it is.

use super::sheet::Sheet;

/// What stands for a byte that can't be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unprintable {
    /// `\x1b`, `\r`, `\u{202e}`.
    #[default]
    Escape,
    /// `.` for each byte, as tcpflow does.
    Dot,
}

/// The most that a byte becomes: `\x1b`, and `\u{e0001}` for four of them.
const WIDEST: usize = 4;

/// What each byte becomes on its own: four bytes of text, the first one lowest, and above them its length.
type Table = [u64; 256];

static ESCAPED: Table = table(Unprintable::Escape);
static DOTTED: Table = table(Unprintable::Dot);

const fn table(how: Unprintable) -> Table {
    let mut table = [0; 256];
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
        table[byte] = u32::from_le_bytes(text) as u64 | len << 32;
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
    if is_plain(bytes) {
        out.put(bytes);
        return;
    }
    let table = match how {
        Unprintable::Escape => &ESCAPED,
        Unprintable::Dot => &DOTTED,
    };
    // Room for the worst: a look at the length for each byte would cost more than all the rest.
    let room = out.room(bytes.len() * WIDEST);
    let mut at = 0;
    let mut put = |text: u32, len: usize| {
        if let Some(place) = room.get_mut(at..at + WIDEST) {
            place.copy_from_slice(&text.to_le_bytes());
        }
        at += len;
    };
    let mut rest = bytes;
    while let [first, after @ ..] = rest {
        let next = after.first().copied().unwrap_or(0);
        // One branch that is seldom taken, also in binary data.
        let may_begin = (*first >= 0xc2) & (*first <= 0xf4) & (next & 0xc0 == 0x80);
        if may_begin && let Some(character) = leading_character(rest) {
            let width = character.len_utf8();
            rest = rest.get(width..).unwrap_or_default();
            if is_harmless(character) {
                let mut text = [0; WIDEST];
                character.encode_utf8(&mut text);
                put(u32::from_le_bytes(text), width);
            } else if how == Unprintable::Dot {
                (0..width).for_each(|_| put(u32::from(b'.'), 1));
            } else {
                for part in format!("\\u{{{:x}}}", u32::from(character))
                    .as_bytes()
                    .chunks(WIDEST)
                {
                    let text = part
                        .iter()
                        .rev()
                        .fold(0, |text, byte| text << 8 | u32::from(*byte));
                    put(text, part.len());
                }
            }
            continue;
        }
        let entry = table.get(usize::from(*first)).copied().unwrap_or(0);
        put(entry as u32, (entry >> 32) as usize);
        rest = after;
    }
    out.keep(at);
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

/// Whether all bytes are printable ASCII or tabs. Without an early exit within a part, so that it is vectorised.
fn is_plain(bytes: &[u8]) -> bool {
    let odd = |byte: &u8| u8::from(byte.wrapping_sub(0x20) >= 0x5f) & u8::from(*byte != b'\t');
    bytes
        .chunks(256)
        .all(|part| part.iter().fold(0, |any, byte| any | odd(byte)) == 0)
}

/// Whether text can be shown as it is as far as it is beyond ASCII: valid UTF-8 in which no character but
/// controls of ASCII would be escaped.
pub fn is_harmless_beyond_ascii(text: &[u8]) -> bool {
    let Ok(valid) = simdutf8::basic::from_utf8(text) else {
        return false;
    };
    // Each character that is escaped begins with one of these; of most texts none does.
    let suspect = |byte: &u8| {
        let begins = [0xc2, 0xcd, 0xd8, 0xe1, 0xe2, 0xe3, 0xef, 0xf0, 0xf3];
        begins.iter().fold(0, |any, begin| any | u8::from(byte == begin))
    };
    let suspicious = text
        .chunks(256)
        .any(|part| part.iter().fold(0, |any, byte| any | suspect(byte)) != 0);
    !suspicious
        || valid
            .chars()
            .all(|character| character.is_ascii() || is_harmless(character))
}

/// Whether a character can neither harm a terminal nor mislead its reader.
pub fn is_harmless(character: char) -> bool {
    match character {
        '\t' => true,
        // C0, delete, C1 (which holds CSI as one character).
        '\0'..='\x1f' | '\x7f'..='\u{9f}' => false,
        // Soft hyphen, Arabic letter mark, Hangul and Mongolian fillers: invisible.
        '\u{ad}'
        | '\u{34f}'
        | '\u{61c}'
        | '\u{115f}'
        | '\u{1160}'
        | '\u{17b4}'
        | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' => false,
        // Zero width, bidi marks, line and paragraph separators, bidi embeddings, invisible operators, isolates.
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' => false,
        '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' => false,
        // Musical controls, tags, variation selectors.
        '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}' => false,
        _ => true,
    }
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
            assert_eq!(
                is_harmless_beyond_ascii(text),
                character.is_ascii() || is_harmless(character),
                "{character:?}"
            );
            let shown_as_it_is = !character.is_ascii() && is_harmless(character);
            let width = if shown_as_it_is { text.len() } else { 0 };
            assert_eq!(harmless_width(text), width, "{character:?}");
        }
        assert!(!is_harmless_beyond_ascii(b"caf\xe9"));
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
