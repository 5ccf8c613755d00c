//! What is said on stderr.

use std::io::Write;

/// Says `text` on stderr, each line with our name before it. Where nobody listens any more, or the disk that it goes to
/// is full, the run goes on: streams matter more.
pub fn tell(text: &str) {
    let lines: String = text.lines().map(|line| format!("flowdump: {line}\n")).collect();
    let _ = std::io::stderr().write_all(lines.as_bytes());
}
