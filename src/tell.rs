//! What is said on stderr, and what was asked for on stdout.

use std::io::{ErrorKind, Write};

use crate::event::SinkError;

/// Says `text` on stderr, each line with our name before it; what would move a terminal's cursor (in a file's name) is
/// escaped. Where nobody listens any more, or the disk that it goes to is full, the run goes on: streams matter more.
pub fn tell(text: &str) {
    let harmless = |c: char| {
        let escaped = c.is_control().then(|| c.escape_default());
        let itself = escaped.is_none().then_some(c);
        escaped.into_iter().flatten().chain(itself)
    };
    let lines: String = text
        .lines()
        .map(|line| {
            format!(
                "flowdump: {}\n",
                line.chars().flat_map(harmless).collect::<String>()
            )
        })
        .collect();
    let _ = std::io::stderr().write_all(lines.as_bytes());
}

/// Puts text on standard output; a reader that has gone has what it wanted.
///
/// # Errors
/// What the system says.
pub fn print(text: &[u8]) -> Result<(), SinkError> {
    match std::io::stdout().write_all(text) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(SinkError::io("standard output", error)),
        _ => Ok(()),
    }
}
