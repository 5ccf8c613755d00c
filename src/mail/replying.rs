//! Replies in the making, and telling them.

use crate::event::SinkError;
use crate::mail::input::Out;
use crate::mail::line::{Line, shown, text};
use crate::mail::shared::{Core, MAX_TEXT};
use crate::mail::{MailEvent, Reply};
use crate::time::Timestamp;

/// Bytes of a reply's lines that are told.
pub(crate) const MAX_REPLY: usize = 8 * 1024;
/// And how many lines.
const MAX_LINES: usize = 1000;

/// A reply in the making.
#[derive(Debug)]
pub(crate) struct Replying {
    /// All of it but its lines.
    reply: Reply,
    /// They, one behind the other with a line feed between them: so short ones take no more than they are long.
    text: String,
    lines: usize,
    len: usize,
    /// Offset behind its last line.
    pub(crate) end: u64,
}

impl Replying {
    /// Bytes of memory that its lines take.
    pub(crate) fn keeps(&self) -> usize {
        self.text.capacity()
    }
}

impl Core {
    /// Adds a line to the reply in the making. `text` is it without its code.
    pub(crate) fn reply_line(&mut self, line: &Line, code: &[u8], line_text: &[u8]) {
        let most = self.max_reply();
        let replying = self.reply.get_or_insert_with(|| {
            Box::new(Replying {
                reply: Reply {
                    time: line.time,
                    offset: line.offset,
                    code: String::new(),
                    lines: Vec::new(),
                    answers: None,
                    latency: None,
                },
                text: String::new(),
                lines: 0,
                len: 0,
                end: 0,
            })
        });
        replying.end = line.end();
        if replying.reply.code.as_bytes() != code {
            replying.reply.code = text(code, 16);
        }
        if replying.len < most && replying.lines < MAX_LINES {
            if replying.lines > 0 {
                replying.text.push('\n');
            }
            replying.lines += 1;
            replying.len = replying.len.saturating_add(line_text.len());
            replying.text.push_str(&shown(line_text, MAX_TEXT));
        }
    }

    /// Adds a line without a code to the reply in the making.
    pub(crate) fn add_reply_line(&mut self, line: &Line, line_text: &[u8]) {
        let code = self
            .reply
            .as_ref()
            .map(|replying| replying.reply.code.clone())
            .unwrap_or_default();
        self.reply_line(line, code.as_bytes(), line_text);
    }

    /// Whether a reply is in the making.
    pub(crate) fn is_replying(&self) -> bool {
        self.reply.is_some()
    }

    /// The reply in the making is complete: it and the offset behind it.
    pub(crate) fn take_reply(&mut self) -> Option<(Reply, u64)> {
        self.challenged = false;
        let Replying {
            mut reply,
            text,
            lines,
            end,
            ..
        } = *self.reply.take()?;
        reply.lines = match lines {
            1 => vec![text],
            _ => text.split('\n').map(str::to_owned).collect(),
        };
        Some((reply, end))
    }

    /// Tells a reply, `answers` being the verb and the time of the command, if any.
    pub(crate) fn tell_reply(
        &self,
        reply: &mut Reply,
        answers: Option<(&str, Timestamp)>,
        out: &mut Out<'_, '_>,
    ) -> Result<(), SinkError> {
        reply.answers = answers.map(|(verb, _)| verb.to_owned());
        reply.latency = answers.map(|(_, time)| reply.time.since(time));
        // Lent to the event: it has an allocation for each of its lines.
        let event = MailEvent::Reply(std::mem::take(reply));
        let told = out.mail(&event);
        if let MailEvent::Reply(told) = event {
            *reply = told;
        }
        told
    }

    /// Tells a reply of one line, beside the one that may be in the making.
    pub(crate) fn single_reply(
        &mut self,
        line: &Line,
        code: &[u8],
        line_text: &[u8],
        answers: Option<(&str, Timestamp)>,
        out: &mut Out<'_, '_>,
    ) -> Result<(), SinkError> {
        let mut reply = Reply {
            time: line.time,
            offset: line.offset,
            code: text(code, 16),
            lines: vec![text(line_text, MAX_TEXT)],
            answers: None,
            latency: None,
        };
        self.tell_reply(&mut reply, answers, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Direction;
    use crate::mail::Protocol;
    use crate::mail::input::Input;

    /// A reply in the making that has these lines.
    fn reply(lines: &[&str]) -> Core {
        let mut core = Core::new(Protocol::Smtp);
        let mut line = Line::default();
        let input = Input::new(Direction::ToClient, 0, b"250 x\r\n", &[]);
        line.push(&input, 7, MAX_TEXT);
        for text in lines {
            core.reply_line(&line, b"250", text.as_bytes());
        }
        core
    }

    #[test]
    fn lines_are_told_as_they_came() {
        for lines in [&[""][..], &["", ""], &["a", "", "b"], &["x"; 990]] {
            let told = reply(lines).take_reply().map(|(reply, _)| reply.lines);
            assert_eq!(told.unwrap_or_default(), lines);
        }
    }

    #[test]
    fn short_lines_take_no_more_than_long_ones() {
        let core = reply(&["x"; 5000]);
        let replying = core.reply.unwrap();
        assert!(replying.text.capacity() <= MAX_REPLY + MAX_LINES);
        assert_eq!((replying.lines, replying.reply.lines.capacity()), (MAX_LINES, 0));
    }
}
