//! The header fields of a message that are worth a column.

use memchr::{memchr, memchr_iter};

use crate::mail::line::{text, without_end};

/// Header bytes looked at; fields behind them are not told.
const MAX_HEADER: usize = 16 * 1024;
/// Bytes of a value.
const MAX_VALUE: usize = 512;
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
    raw: Vec<u8>,
    done: bool,
}

impl Header {
    /// Takes the next bytes of the message.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !self.done && !rest.is_empty() {
            let n = memchr(b'\n', rest).map_or(rest.len(), |i| i + 1);
            let (line, more) = rest.split_at(n.min(MAX_HEADER - self.raw.len().min(MAX_HEADER)));
            self.raw.extend_from_slice(line);
            rest = more;
            self.done = self.raw.len() >= MAX_HEADER
                || self.raw.ends_with(b"\n\r\n")
                || self.raw.ends_with(b"\n\n")
                || matches!(self.raw.as_slice(), b"\r\n" | b"\n");
        }
    }

    /// Whether what comes is of no interest.
    pub(crate) fn is_done(&self) -> bool {
        self.done
    }

    /// Bytes are missing: what comes next can't be told from the body.
    pub(crate) fn stop(&mut self) {
        self.done = true;
    }

    /// The fields, in the message's order: lower-case name, unfolded value.
    pub(crate) fn fields(self) -> Vec<(String, String)> {
        let mut fields: Vec<(String, String)> = Vec::new();
        let mut start = 0;
        let mut wanted = false;
        for end in memchr_iter(b'\n', &self.raw).map(|i| i + 1) {
            let line = without_end(self.raw.get(start..end).unwrap_or_default());
            start = end;
            if line.first().is_some_and(|byte| matches!(byte, b' ' | b'\t')) {
                if let (true, Some((_, value))) = (wanted, fields.last_mut()) {
                    value.push(' ');
                    value.push_str(&text(line.trim_ascii(), MAX_VALUE.saturating_sub(value.len())));
                }
                continue;
            }
            let (name, value) = line.split_at(memchr(b':', line).unwrap_or(0));
            let name = FIELDS
                .iter()
                .find(|field| name.eq_ignore_ascii_case(field.as_bytes()));
            wanted = name.is_some_and(|name| fields.iter().all(|(have, _)| have != name));
            if let (true, Some(name)) = (wanted, name) {
                let value = value.get(1..).unwrap_or_default().trim_ascii();
                fields.push(((*name).to_owned(), text(value, MAX_VALUE)));
            }
        }
        fields
    }
}
