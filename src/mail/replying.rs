//! Replies in the making, and telling them.

use crate::event::SinkError;
use crate::mail::input::Out;
use crate::mail::line::{Line, text};
use crate::mail::shared::{Core, MAX_TEXT};
use crate::mail::{MailEvent, Reply};
use crate::time::Timestamp;

/// Bytes of a reply's lines that are told.
const MAX_REPLY: usize = 8 * 1024;
/// And how many lines.
const MAX_LINES: usize = 1000;

/// A reply in the making.
#[derive(Debug)]
pub(crate) struct Replying {
    reply: Reply,
    len: usize,
    /// Offset behind its last line.
    pub(crate) end: u64,
}

impl Core {
    /// Adds a line to the reply in the making. `text` is it without its code.
    pub(crate) fn reply_line(&mut self, line: &Line, code: &[u8], line_text: &[u8]) {
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
                len: 0,
                end: 0,
            })
        });
        replying.end = line.end();
        if replying.reply.code.as_bytes() != code {
            replying.reply.code = text(code, 16);
        }
        if replying.len < MAX_REPLY && replying.reply.lines.len() < MAX_LINES {
            replying.len = replying.len.saturating_add(line_text.len());
            replying.reply.lines.push(text(line_text, MAX_TEXT));
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
        self.reply.take().map(|replying| (replying.reply, replying.end))
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
