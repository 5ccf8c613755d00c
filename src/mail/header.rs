//! The header fields of a message that are worth a column.

use memchr::memchr;

use crate::mail::line::{text, without_end};

/// Header bytes looked at; fields behind them are not told.
const MAX_HEADER: usize = 16 * 1024;
/// Bytes of a line that are looked at.
const MAX_LINE: usize = 640;
/// Bytes of a value.
const MAX_VALUE: usize = 512;
/// Bytes of all values: a session waits with them until its server has answered.
const MAX_VALUES: usize = 2048;
/// Their names, in lower case.
const FIELDS: [&str; 10] = [
    "date",
    "from",
    "to",
    "cc",
    "reply-to",
    "subject",
    "message-id",
    "in-reply-to",
    "user-agent",
    "x-mailer",
];

/// Collects a message's header as it passes.
#[derive(Debug, Default)]
pub(crate) struct Header {
    /// The line at hand.
    line: Vec<u8>,
    seen: usize,
    fields: Vec<(&'static str, String)>,
    /// The field at hand is told.
    wanted: bool,
    done: bool,
}

impl Header {
    /// Takes the next bytes of the message.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !self.done && !rest.is_empty() {
            let n = memchr(b'\n', rest).map_or(rest.len(), |i| i + 1);
            let (part, more) = rest.split_at(n);
            rest = more;
            self.seen = self.seen.saturating_add(n);
            let room = MAX_LINE.saturating_sub(self.line.len());
            self.line.extend(part.iter().take(room));
            if self.seen > MAX_HEADER {
                self.stop();
            } else if part.ends_with(b"\n") {
                self.end_line();
            }
        }
    }

    fn end_line(&mut self) {
        let mut kept = std::mem::take(&mut self.line);
        let line = without_end(&kept);
        let room = MAX_VALUES.saturating_sub(self.fields.iter().map(|(_, value)| value.len()).sum());
        match line {
            [] => self.stop(),
            [b' ' | b'\t', ..] => {
                let field = self.fields.last_mut().filter(|_| self.wanted && room > 0);
                if let Some((_, value)) = field.filter(|(_, value)| value.len() < MAX_VALUE) {
                    value.push(' ');
                    let room = room.min(MAX_VALUE - value.len());
                    value.push_str(&text(line.trim_ascii(), room));
                }
            }
            _ => {
                let (name, value) = line.split_at(memchr(b':', line).unwrap_or(0));
                let name = FIELDS
                    .into_iter()
                    .find(|field| name.eq_ignore_ascii_case(field.as_bytes()))
                    .filter(|name| self.fields.iter().all(|(have, _)| have != name));
                self.wanted = name.is_some();
                if let Some(name) = name {
                    let value = value.get(1..).unwrap_or_default().trim_ascii();
                    self.fields.push((name, text(value, room.min(MAX_VALUE))));
                }
            }
        }
        if !self.done {
            kept.clear();
            self.line = kept;
        }
    }

    /// Whether what comes is of no interest.
    pub(crate) fn is_done(&self) -> bool {
        self.done
    }

    /// The header is over, or bytes are missing: what comes next can't be told from the body.
    pub(crate) fn stop(&mut self) {
        self.done = true;
        self.line = Vec::new();
    }

    /// The fields, in the message's order: lower-case name, unfolded value.
    pub(crate) fn fields(self) -> Vec<(String, String)> {
        let named = |(name, value): (&str, String)| (name.to_owned(), value);
        self.fields.into_iter().map(named).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(header: &str) -> Vec<(String, String)> {
        let whole = {
            let mut fed = Header::default();
            fed.feed(header.as_bytes());
            fed.fields()
        };
        let mut fed = Header::default();
        header.bytes().for_each(|byte| fed.feed(&[byte]));
        assert_eq!(fed.fields(), whole);
        whole
    }

    #[test]
    fn fields_are_unfolded_and_the_first_of_a_name_counts() {
        let told = fields(
            "From: a\r\nX-Other: no\r\n more\r\nSUBJECT: one\r\n two\r\nfrom: b\r\n c\r\n\r\nTo: body\r\n",
        );
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(told, [pair("from", "a"), pair("subject", "one two")]);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let long = FIELDS
            .map(|name| format!("{name}: {}\r\n", "x".repeat(1000)))
            .concat();
        let kept: usize = fields(&long).iter().map(|(_, value)| value.len()).sum();
        assert_eq!(kept, MAX_VALUES);
        let folded =
            FIELDS.map(|name| format!("{name}: x\r\n{}", format!(" {}\r\n", "x".repeat(90)).repeat(9)));
        let kept: usize = fields(&folded.concat())
            .iter()
            .map(|(_, value)| value.len())
            .sum();
        assert!(kept <= MAX_VALUES + 90, "{kept}");
        let blank = format!("Subject: x\r\n{}", "  \r\n".repeat(3000));
        assert_eq!(fields(&blank)[0].1.len(), MAX_VALUE);
    }
}
