//! JSON text that can be looked at on a terminal: characters that could harm it, or mislead whoever reads, are `\u`
//! escapes, which mean the same.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::Formatter;

use crate::text::is_harmless;

/// Appends `value` to `out`.
///
/// # Errors
/// What serde says of `value`.
pub fn write(out: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) -> serde_json::Result<()> {
    value.serialize(&mut Serializer::with_formatter(out, Harmless))
}

struct Harmless;

impl Formatter for Harmless {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        // Nearly all of them.
        if fragment.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            return writer.write_all(fragment.as_bytes());
        }
        let mut rest = fragment;
        while let Some(harmful) = rest.chars().find(|character| !is_harmless(*character)) {
            let (before, after) = rest.split_once(harmful).unwrap_or((rest, ""));
            writer.write_all(before.as_bytes())?;
            for unit in harmful.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
            rest = after;
        }
        writer.write_all(rest.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_harm_a_terminal_is_escaped_and_means_the_same() {
        let text = "Grüße \u{9b}31m \x1b[2J \u{202e}fdp \u{7f} \u{e0041} \"日本\"\n";
        let mut json = Vec::new();
        write(&mut json, &text).unwrap();
        let json = String::from_utf8(json).unwrap();
        assert_eq!(
            json,
            r#""Grüße \u009b31m \u001b[2J \u202efdp \u007f \udb40\udc41 \"日本\"\n""#
        );
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
    }
}
