//! The mails of a session, from MAIL FROM to the reply that decides.

use std::collections::VecDeque;

use crate::event::SinkError;
use crate::mail::input::Out;
use crate::mail::{MailEvent, Reply, Transaction};
use crate::time::Timestamp;

use super::recipients::Recipients;
use crate::mail::message::Body;

/// Mails that wait for their replies.
const MAX_MAILS: usize = 8;
/// Recipients of a mail that are listed; all are counted.
const MAX_RECIPIENTS: usize = 100;
/// Memory for the addresses of a session's mails: a hundred recipients of the usual length.
const MAX_ADDRESSES: usize = 3 * 1024;
/// And for their header fields beside them.
const MAX_KEPT: usize = 5 * 1024;
/// Memory of a header field beside its value.
const FIELD: usize = 96;
/// Bytes of text kept of a reply that decides.
const MAX_REPLY: usize = 512;

/// One mail.
#[derive(Debug)]
struct Mail {
    told: Transaction,
    recipients: Recipients,
    /// Memory for addresses and header fields.
    kept: usize,
    /// The message has been sent, or what there is of it.
    sent: bool,
    /// A refusal of a recipient: decides if all are refused.
    refused: Option<Reply>,
    taken: u32,
    /// LMTP: recipients before this one have had their reply behind the dot.
    delivered: usize,
    /// A reply behind the dot has come.
    decided: bool,
}

/// Mails that have not been told.
#[derive(Debug)]
pub(super) struct Mails {
    list: VecDeque<Mail>,
    depth: u32,
}

impl Mails {
    pub(super) fn new() -> Self {
        Self {
            list: VecDeque::new(),
            depth: 0,
        }
    }

    /// MAIL FROM: its number.
    pub(super) fn begin(
        &mut self,
        time: Timestamp,
        from: Option<String>,
        out: &mut Out<'_, '_>,
    ) -> Result<u32, SinkError> {
        while self.list.len() >= MAX_MAILS || self.kept() >= MAX_ADDRESSES {
            self.finish_front(out)?;
        }
        self.depth = self.depth.saturating_add(1);
        let kept = from.as_ref().map_or(0, String::len);
        self.list.push_back(Mail {
            told: Transaction {
                time,
                depth: self.depth,
                mail_from: from,
                recipients: Vec::new(),
                recipient_count: 0,
                size: 0,
                headers: Vec::new(),
                reply: None,
                accepted: None,
                unfinished: false,
            },
            recipients: Recipients::default(),
            kept,
            sent: false,
            refused: None,
            taken: 0,
            delivered: 0,
            decided: false,
        });
        Ok(self.depth)
    }

    /// Number of the mail that commands now are about: begins one where its MAIL was not seen.
    pub(super) fn current(&mut self, time: Timestamp, out: &mut Out<'_, '_>) -> Result<u32, SinkError> {
        match self.list.back() {
            Some(mail) if !mail.sent => Ok(mail.told.depth),
            _ => self.begin(time, None, out),
        }
    }

    /// Memory for addresses and header fields of all.
    fn kept(&self) -> usize {
        self.list.iter().map(|mail| mail.kept).sum()
    }

    fn get(&mut self, depth: u32) -> Option<&mut Mail> {
        self.list.iter_mut().find(|mail| mail.told.depth == depth)
    }

    /// RCPT TO: its index among the recipients.
    pub(super) fn recipient(&mut self, depth: u32, to: &str) -> u16 {
        let cost = Recipients::cost(to);
        let room = self.kept() + cost <= MAX_ADDRESSES;
        let Some(mail) = self.get(depth) else {
            return u16::MAX;
        };
        mail.told.recipient_count = mail.told.recipient_count.saturating_add(1);
        if !room || mail.recipients.len() >= MAX_RECIPIENTS {
            return u16::MAX;
        }
        mail.kept += cost;
        mail.recipients.push(to)
    }

    /// The reply to a recipient.
    pub(super) fn recipient_reply(&mut self, depth: u32, index: u16, reply: &Reply) {
        let Some(mail) = self.get(depth) else { return };
        mail.recipients.answer(usize::from(index), reply);
        if is_refusal(reply) {
            mail.refused = Some(brief(reply));
        } else {
            mail.taken = mail.taken.saturating_add(1);
        }
    }

    /// How many recipients the server took, at least one.
    pub(super) fn taken(&mut self, depth: u32) -> u32 {
        self.get(depth).map_or(1, |mail| mail.taken.max(1))
    }

    /// LMTP: the reply behind the dot for the next recipient that was taken.
    pub(super) fn delivery_reply(&mut self, depth: u32, reply: &Reply) {
        let Some(mail) = self.get(depth) else { return };
        if let Some(index) = mail.recipients.taken(mail.delivered) {
            mail.recipients.answer(index, reply);
            mail.delivered = index + 1;
        }
    }

    /// The message of the mail at hand is complete.
    pub(super) fn sent(&mut self, body: Body) {
        self.message(body, false);
    }

    /// There will be no more of it.
    pub(super) fn cut_off(&mut self, body: Body) {
        // Its end may be among what is missing.
        let unfinished = !body.gapped;
        self.message(body, unfinished);
    }

    fn message(&mut self, body: Body, unfinished: bool) {
        let mut room = MAX_KEPT.saturating_sub(self.kept());
        if let Some(mail) = self.list.back_mut().filter(|mail| !mail.sent) {
            mail.sent = true;
            mail.told.size = body.size();
            mail.told.unfinished = unfinished;
            mail.told.headers = body.header.fields();
            mail.told.headers.retain(|(_, value)| {
                let cost = FIELD + value.len();
                let fits = cost <= room;
                if fits {
                    room -= cost;
                    mail.kept += cost;
                }
                fits
            });
        }
    }

    /// The server refuses, for good or for now: decides unless an earlier refusal has.
    pub(super) fn refuse(&mut self, depth: u32, reply: &Reply) {
        if let Some(mail) = self.get(depth) {
            mail.told.reply.get_or_insert_with(|| brief(reply));
            mail.told.accepted = Some(false);
        }
    }

    /// The server refuses DATA: decides unless all recipients were refused, which is why.
    pub(super) fn refuse_data(&mut self, depth: u32, reply: &Reply) {
        let cause = self
            .get(depth)
            .filter(|mail| mail.taken == 0)
            .and_then(|mail| mail.refused.take());
        self.refuse(depth, cause.as_ref().unwrap_or(reply));
    }

    /// The server refuses to go on (421): decides what is under way.
    pub(super) fn refuse_current(&mut self, reply: &Reply) {
        if let Some(depth) = self.list.back().map(|mail| mail.told.depth) {
            self.refuse(depth, reply);
        }
    }

    /// A reply behind the dot.
    pub(super) fn decide(&mut self, depth: u32, reply: &Reply) {
        if let Some(mail) = self.get(depth) {
            // LMTP: one recipient's yes is a mail taken; what is shown is the refusal, if there is one.
            let further = std::mem::replace(&mut mail.decided, true);
            if !further || is_refusal(reply) {
                mail.told.reply = Some(brief(reply));
            }
            let before = further && mail.told.accepted == Some(true);
            mail.told.accepted = Some(before || !is_refusal(reply));
        }
    }

    /// Mails up to this number are over.
    pub(super) fn end_until(&mut self, depth: u32, out: &mut Out<'_, '_>) -> Result<(), SinkError> {
        while self.list.front().is_some_and(|mail| mail.told.depth <= depth) {
            self.finish_front(out)?;
        }
        Ok(())
    }

    /// The number of the last mail that was begun.
    pub(super) fn last(&self) -> u32 {
        self.depth
    }

    /// The connection is over: so are all mails.
    pub(super) fn close(&mut self, out: &mut Out<'_, '_>) -> Result<(), SinkError> {
        self.end_until(u32::MAX, out)
    }

    fn finish_front(&mut self, out: &mut Out<'_, '_>) -> Result<(), SinkError> {
        let Some(mut mail) = self.list.pop_front() else {
            return Ok(());
        };
        if mail.told.reply.is_none() && mail.taken == 0 && mail.refused.is_some() {
            mail.told.reply = mail.refused;
            mail.told.accepted = Some(false);
        }
        // 503, bad sequence of commands: there was no mail to which a recipient or a message could belong.
        let none = mail.told.mail_from.is_none() && mail.told.size == 0;
        if none && mail.told.reply.as_ref().is_some_and(|reply| reply.code == "503") {
            return Ok(());
        }
        mail.told.recipients = mail.recipients.list();
        out.mail(&MailEvent::Transaction(mail.told))
    }
}

/// A reply without the lines that are too many to be kept.
pub(super) fn brief(reply: &Reply) -> Reply {
    let mut room = MAX_REPLY;
    let mut fits = |line: &&String| {
        let fits = room > 0;
        room = room.saturating_sub(size_of::<String>() + line.len());
        fits
    };
    Reply {
        lines: reply
            .lines
            .iter()
            .take_while(|line| fits(line))
            .cloned()
            .collect(),
        code: reply.code.clone(),
        answers: reply.answers.clone(),
        ..*reply
    }
}

/// 4xx or 5xx.
pub(super) fn is_refusal(reply: &Reply) -> bool {
    reply.code.starts_with(['4', '5'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Connection, Event};

    /// What is told of mails, each with so many recipients of this length, that nobody answers.
    fn told(mails: usize, recipients: usize, len: usize) -> (usize, Vec<Transaction>) {
        let mut told = Vec::new();
        let mut emit = |_: &Connection, event: &Event<'_>| {
            if let Event::Mail(MailEvent::Transaction(mail)) = event {
                told.push(mail.clone());
            }
            Ok(())
        };
        let connection = crate::mail::tests::connection();
        let mut out = Out::new(&connection, &mut emit);
        let mut list = Mails::new();
        let mut most = 0;
        for _ in 0..mails {
            let depth = list
                .begin(Timestamp::default(), Some("a".repeat(len)), &mut out)
                .unwrap();
            for _ in 0..recipients {
                list.recipient(depth, &"r".repeat(len));
            }
            let mut body = Body::new();
            body.header
                .feed(format!("Subject: {}\r\n\r\n", "s".repeat(512)).as_bytes());
            list.sent(body);
            most = most.max(list.kept());
        }
        list.close(&mut out).unwrap();
        (most, told)
    }

    #[test]
    fn a_hundred_usual_recipients_are_listed_with_the_header() {
        let (_, mails) = told(1, 120, 25);
        assert_eq!((mails[0].recipients.len(), mails[0].recipient_count), (100, 120));
        assert_eq!(mails[0].headers.len(), 1);
    }

    #[test]
    fn what_a_session_keeps_is_bounded_and_all_is_counted() {
        let (most, mails) = told(20, 100, 500);
        assert!(most <= MAX_KEPT, "{most}");
        assert_eq!(mails.len(), 20);
        assert!(
            mails
                .iter()
                .all(|mail| mail.recipient_count == 100 && !mail.recipients.is_empty())
        );
    }
}
