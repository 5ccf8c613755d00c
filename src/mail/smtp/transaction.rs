//! The mails of a session, from MAIL FROM to the reply that decides.

use std::collections::VecDeque;

use crate::event::SinkError;
use crate::mail::input::Out;
use crate::mail::{MailEvent, Reply, Transaction};
use crate::time::Timestamp;

use crate::mail::message::Body;

/// Recipients that are listed; all are counted.
const MAX_RECIPIENTS: usize = 100;
/// Mails that wait for their replies.
const MAX_MAILS: usize = 8;

/// One mail.
#[derive(Debug)]
struct Mail {
    told: Transaction,
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
        if self.list.len() >= MAX_MAILS {
            self.finish_front(out)?;
        }
        self.depth = self.depth.saturating_add(1);
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
            },
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

    fn get(&mut self, depth: u32) -> Option<&mut Mail> {
        self.list.iter_mut().find(|mail| mail.told.depth == depth)
    }

    /// RCPT TO: its index among the recipients.
    pub(super) fn recipient(&mut self, depth: u32, to: String) -> usize {
        let Some(mail) = self.get(depth) else { return 0 };
        mail.told.recipient_count = mail.told.recipient_count.saturating_add(1);
        let index = mail.told.recipients.len();
        if index >= MAX_RECIPIENTS {
            return usize::MAX;
        }
        mail.told.recipients.push((to, None));
        index
    }

    /// The reply to a recipient.
    pub(super) fn recipient_reply(&mut self, depth: u32, index: usize, reply: &Reply) {
        let Some(mail) = self.get(depth) else { return };
        if let Some((_, code)) = mail.told.recipients.get_mut(index) {
            *code = Some(reply.code.clone());
        }
        if is_refusal(reply) {
            mail.refused = Some(reply.clone());
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
        let mut rest = mail.told.recipients.iter_mut().enumerate().skip(mail.delivered);
        let taken = rest.find(|(_, (_, code))| code.as_ref().is_some_and(|code| code.starts_with('2')));
        if let Some((index, (_, code))) = taken {
            *code = Some(reply.code.clone());
            mail.delivered = index + 1;
        }
    }

    /// The message of the mail at hand is complete, or there will be no more of it.
    pub(super) fn sent(&mut self, body: Body) {
        if let Some(mail) = self.list.back_mut().filter(|mail| !mail.sent) {
            mail.sent = true;
            mail.told.size = body.size();
            mail.told.headers = body.header.fields();
        }
    }

    /// The server refuses, for good or for now: decides unless an earlier refusal has.
    pub(super) fn refuse(&mut self, depth: u32, reply: &Reply) {
        if let Some(mail) = self.get(depth) {
            mail.told.reply.get_or_insert_with(|| reply.clone());
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
                mail.told.reply = Some(reply.clone());
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
        out.mail(&MailEvent::Transaction(mail.told))
    }
}

/// 4xx or 5xx.
pub(super) fn is_refusal(reply: &Reply) -> bool {
    reply.code.starts_with(['4', '5'])
}
