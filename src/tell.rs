//! What is said on stderr.

use std::io::Write;

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
