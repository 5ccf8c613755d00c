//! Bytes from the wire made harmless for a terminal, and for whoever reads it.
//!
//! Control characters, escape sequences, and Unicode's bidi and invisible controls come out as text;
//! valid UTF-8 stays as it is.

/// What stands for a byte that can't be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unprintable {
    /// `\x1b`, `\r`, `\u{202e}`.
    #[default]
    Escape,
    /// `.` for each byte, as tcpflow does.
    Dot,
}

/// Appends `bytes` to `out`, made harmless. Tabs stay.
pub fn escape(bytes: &[u8], how: Unprintable, out: &mut Vec<u8>) {
    if is_plain(bytes) {
        out.extend_from_slice(bytes);
        return;
    }
    for chunk in bytes.utf8_chunks() {
        let text = chunk.valid();
        let mut shown = 0;
        for (at, character) in text.char_indices() {
            if is_harmless(character) {
                continue;
            }
            out.extend_from_slice(text.get(shown..at).unwrap_or_default().as_bytes());
            shown = at + character.len_utf8();
            match how {
                Unprintable::Dot => out.resize(out.len() + character.len_utf8(), b'.'),
                Unprintable::Escape => control(character, out),
            }
        }
        out.extend_from_slice(text.get(shown..).unwrap_or_default().as_bytes());
        for byte in chunk.invalid() {
            match how {
                Unprintable::Dot => out.push(b'.'),
                Unprintable::Escape => hex(*byte, out),
            }
        }
    }
}

/// The same as a string, for texts of ours that quote the wire.
pub fn escaped(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    escape(text.as_bytes(), Unprintable::Escape, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// Whether all bytes are printable ASCII or tabs. Written without an early exit, so that it is vectorised.
fn is_plain(bytes: &[u8]) -> bool {
    bytes.chunks(64).all(|chunk| {
        chunk.iter().fold(true, |plain, byte| {
            plain & (byte.wrapping_sub(0x20) < 0x5f || *byte == b'\t')
        })
    })
}

fn control(character: char, out: &mut Vec<u8>) {
    match character {
        '\n' => out.extend_from_slice(b"\\n"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\0'..='\u{7f}' => hex(character as u8, out),
        other => out.extend_from_slice(format!("\\u{{{:x}}}", u32::from(other)).as_bytes()),
    }
}

fn hex(byte: u8, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'?');
    out.extend_from_slice(&[b'\\', b'x', digit(byte >> 4), digit(byte & 15)]);
}

/// Whether a character can neither harm a terminal nor mislead its reader.
fn is_harmless(character: char) -> bool {
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
        let mut out = Vec::new();
        escape(bytes, how, &mut out);
        String::from_utf8(out).unwrap()
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
