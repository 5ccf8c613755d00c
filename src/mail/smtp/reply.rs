//! What the server sends: replies, each matched to the command that it answers.

use crate::event::{Direction, Kind, SinkError};
use crate::mail::detect::server_begins;
use crate::mail::input::{Input, Out};
use crate::mail::line::Line;
use crate::mail::shared::{Flow, Forgotten};
use crate::mail::{MailWarning, Protocol, Reply};

use super::transaction::{brief, is_refusal};
use super::{Asked, Mode, Smtp, What, Why};

/// Replies kept that came before what they answer.
const MAX_EARLY: usize = 8;

/// Code, whether the reply goes on behind this line, and the text.
fn parse(line: &[u8]) -> Option<(&[u8], bool, &[u8])> {
    let (code, rest) = line.split_at_checked(3)?;
    let plausible =
        matches!(code, [b'2'..=b'5', second, third] if second.is_ascii_digit() && third.is_ascii_digit());
    match rest {
        _ if !plausible => None,
        [] => Some((code, false, rest)),
        [b' ', text @ ..] => Some((code, false, text)),
        [b'-', text @ ..] => Some((code, true, text)),
        _ => None,
    }
}

impl Smtp {
    pub(super) fn server(&mut self, input: &mut Input<'_>, out: &mut Out<'_, '_>) -> Result<Flow, SinkError> {
        if let Some(flow) = self.core.skip(input, server_begins, out)? {
            // It may have been the end of a reply: to which command the next one belongs is not known.
            if flow == Flow::Go {
                self.queue.clear();
            }
            return Ok(flow);
        }
        if self.core.line(Direction::ToClient).is_fresh() {
            match self.core.tls(input) {
                Flow::Go => {}
                flow => return Ok(flow),
            }
            self.core.line(Direction::ToClient).sniffed = true;
            if self.core.goes_on_in_clear() {
                self.core.switch.not_tls(input.time(), self.core.protocol, out)?;
                self.understand_kept(Mode::Commands, out)?;
            }
        }
        let injected = self.core.server_injects();
        let first = match self.core.line(Direction::ToClient).bytes() {
            [] => input.rest().first(),
            [first, ..] => Some(first),
        };
        let kind = match first {
            _ if injected => Kind::Injected,
            Some(b'4') => Kind::TransientReply,
            Some(b'5') => Kind::PermanentReply,
            _ => Kind::Reply,
        };
        let Some(line) = self.core.pass_line(input, kind, |_| None, out)? else {
            return Ok(Flow::Go);
        };
        self.reply_line(&line, out)?;
        self.core.line(Direction::ToClient).reuse(line);
        Ok(Flow::Go)
    }

    pub(super) fn reply_line(&mut self, line: &Line, out: &mut Out<'_, '_>) -> Result<(), SinkError> {
        match parse(line.text()) {
            Some((code, more, text)) => {
                self.core.reply_line(line, code, text);
                self.core.odd_line(line, Direction::ToClient, out)?;
                match (more, self.core.is_replying()) {
                    (false, true) => self.replied(out),
                    _ => Ok(()),
                }
            }
            None => self.core.malformed_reply(line, out),
        }
    }

    /// A reply is complete.
    fn replied(&mut self, out: &mut Out<'_, '_>) -> Result<(), SinkError> {
        let Some((mut reply, end)) = self.core.take_reply() else {
            return Ok(());
        };
        if !std::mem::replace(&mut self.core.greeted, true) {
            return self.greeting(&mut reply, out);
        }
        self.end_lost_message(&reply, out)?;
        let Some(asked) = self.answered(&reply) else {
            return self.unasked(&mut reply, out);
        };
        self.core
            .tell_reply(&mut reply, Some((&asked.verb, asked.time)), out)?;
        self.consequence(asked, &reply, end, out)
    }

    fn greeting(&mut self, reply: &mut Reply, out: &mut Out<'_, '_>) -> Result<(), SinkError> {
        self.core.tell_reply(reply, None, out)?;
        self.core.greet(out)?;
        let stars = |line: &String| line.bytes().filter(|byte| *byte == b'*').count() >= 4;
        if reply.code == "220" && reply.lines.iter().any(stars) {
            let words = "the greeting was garbled on its way, as firewalls do".to_owned();
            out.warn(
                reply.time,
                Direction::ToClient,
                reply.offset,
                MailWarning::Malformed(words),
            )?;
        }
        Ok(())
    }

    /// A reply while a message passes whose end may have been missed, or may have been where only the server
    /// saw one: it was there.
    fn end_lost_message(&mut self, reply: &Reply, out: &mut Out<'_, '_>) -> Result<(), SinkError> {
        let Some(body) = self
            .body
            .as_ref()
            .filter(|_| self.mode == Mode::Body && self.queue.is_empty())
        else {
            return Ok(());
        };
        if (!body.gapped && self.core.kept.is_none()) || reply.code == "354" {
            return Ok(());
        }
        let gapped = body.gapped;
        let kept = self.core.take_kept();
        if let Some(body) = &mut self.body {
            body.end_where_it_may();
        }
        self.end_message(reply.time, out)?;
        self.mode = if gapped { Mode::Lost } else { Mode::Commands };
        match kept {
            Ok(Some(kept)) => self.data(&mut kept.passed(Direction::ToServer), out).map(|_| ()),
            Ok(None) => Ok(()),
            Err(Forgotten) => {
                self.lose_client();
                Ok(())
            }
        }
    }

    /// Which command a reply answers.
    fn answered(&mut self, reply: &Reply) -> Option<Asked> {
        let [no_data, no_auth] = &mut self.lacks;
        let (lacking, fits): (_, fn(&What) -> bool) = match reply.code.as_str() {
            "354" => (no_data, |what| matches!(what, What::Data(_))),
            "334" => (no_auth, |what| matches!(what, What::Auth)),
            _ => {
                // Where not all has been seen, a reply may be older than any command that was.
                let older = self.queue.front().is_some_and(|asked| asked.time > reply.time);
                return if older && self.core.doubt.is_some() {
                    None
                } else {
                    self.queue.pop_front()
                };
            }
        };
        // These codes answer one command only: those before it have lost their replies.
        let at = match *lacking {
            false => self.queue.iter().position(|asked| fits(&asked.what)),
            true => None,
        };
        *lacking = at.is_none();
        self.queue.drain(..at?);
        self.queue.pop_front()
    }

    /// A reply to no command that was seen: 421 and 451 at any time, and any behind a gap.
    fn unasked(&mut self, reply: &mut Reply, out: &mut Out<'_, '_>) -> Result<(), SinkError> {
        self.core.tell_reply(reply, None, out)?;
        // These answer nothing but AUTH.
        if matches!(reply.code.as_str(), "235" | "535") {
            self.core.tell_auth(Some(reply.code == "235"), out)?;
        }
        match (reply.code.as_str(), self.mode) {
            ("354", Mode::Lost | Mode::Commands | Mode::Undecided(Why::Data)) => self.begin_body(out),
            ("334", Mode::Commands | Mode::Lost | Mode::Secret | Mode::Undecided(Why::Auth)) => {
                match self.core.challenge(self.mode != Mode::Commands) {
                    true => self.understand_kept(Mode::Secret, out),
                    false => Ok(()),
                }
            }
            ("421", _) => {
                self.mails.refuse_current(reply);
                Ok(())
            }
            (_, Mode::Body | Mode::Chunk { .. }) => {
                if is_refusal(reply) && self.early.is_empty() {
                    self.mails.refuse_current(reply);
                }
                if self.early.len() < MAX_EARLY {
                    self.early.push_back(brief(reply));
                }
                Ok(())
            }
            (_, Mode::Secret | Mode::Undecided(_)) if !self.core.switch.is_agreed() => {
                self.understand_kept(Mode::Lost, out)
            }
            _ => Ok(()),
        }
    }

    pub(super) fn consequence(
        &mut self,
        asked: Asked,
        reply: &Reply,
        end: u64,
        out: &mut Out<'_, '_>,
    ) -> Result<(), SinkError> {
        let refused = is_refusal(reply);
        match asked.what {
            What::Other => Ok(()),
            // A mail outlives what was refused.
            What::Hello(_) | What::Ends(_) if refused => Ok(()),
            What::Ends(last) => self.mails.end_until(last, out),
            What::Hello(last) => {
                self.mails.end_until(last, out)?;
                self.keywords(reply, out)
            }
            What::Mail(depth) if refused => {
                self.mails.refuse(depth, reply);
                Ok(())
            }
            What::Mail(depth) => self.mails.end_until(depth.saturating_sub(1), out),
            What::Recipient(depth, index) => {
                self.mails.recipient_reply(depth, index, reply);
                Ok(())
            }
            What::Data(_) if reply.code == "354" => match self.mode {
                Mode::Undecided(Why::Data) => self.begin_body(out),
                _ => Ok(()),
            },
            What::Data(depth) => {
                if refused {
                    self.mails.refuse_data(depth, reply);
                }
                match self.mode {
                    Mode::Undecided(Why::Data) => self.understand_kept(Mode::Commands, out),
                    Mode::Body => {
                        self.body = None;
                        self.mode = Mode::Lost;
                        Ok(())
                    }
                    _ => Ok(()),
                }
            }
            What::Dot(depth, left) => self.delivered(asked, depth, left, reply, out),
            What::Chunk(depth, true) if self.core.protocol == Protocol::Lmtp => {
                self.delivered(asked, depth, None, reply, out)
            }
            What::Chunk(depth, last) => {
                if refused {
                    self.mails.refuse(depth, reply);
                    // Unless the client has gone on to the next mail, or to DATA.
                    if depth == self.mails.last() && self.mode != Mode::Body {
                        self.body = None;
                    }
                } else if last {
                    self.mails.decide(depth, reply);
                }
                if last {
                    self.mails.end_until(depth, out)
                } else {
                    Ok(())
                }
            }
            What::Auth if reply.code == "334" => {
                self.queue.push_front(asked);
                match self.mode {
                    Mode::Undecided(Why::Auth) => self.understand_kept(Mode::Secret, out),
                    _ => Ok(()),
                }
            }
            What::Auth => {
                self.core.tell_auth(Some(!refused), out)?;
                match self.mode {
                    Mode::Undecided(Why::Auth) | Mode::Secret => self.understand_kept(Mode::Commands, out),
                    _ => Ok(()),
                }
            }
            What::Starttls if refused => {
                self.core.switch.refuse(self.core.protocol, reply.clone(), out)?;
                match self.mode {
                    Mode::Undecided(Why::Starttls) => self.understand_kept(Mode::Commands, out),
                    _ => Ok(()),
                }
            }
            What::Starttls => self.core.switch.agree(reply.time, self.core.protocol, end, out),
            What::Garbled if refused => {
                self.core
                    .switch
                    .garbled(reply.time, self.core.protocol, &asked.verb, out)
            }
            What::Garbled => Ok(()),
        }
    }

    /// The reply behind the dot; with LMTP one for each recipient that was taken.
    fn delivered(
        &mut self,
        asked: Asked,
        depth: u32,
        left: Option<u32>,
        reply: &Reply,
        out: &mut Out<'_, '_>,
    ) -> Result<(), SinkError> {
        self.mails.decide(depth, reply);
        if self.core.protocol == Protocol::Lmtp {
            self.mails.delivery_reply(depth, reply);
            let left = left.unwrap_or_else(|| self.mails.taken(depth)).saturating_sub(1);
            if left > 0 {
                let what = What::Dot(depth, Some(left));
                self.queue.push_front(Asked { what, ..asked });
                return Ok(());
            }
        }
        self.mails.end_until(depth, out)
    }

    /// The lines of the reply to EHLO.
    fn keywords(&mut self, reply: &Reply, out: &mut Out<'_, '_>) -> Result<(), SinkError> {
        for line in reply.lines.iter().skip(1) {
            let word = line.split(' ').next().unwrap_or_default();
            if word.eq_ignore_ascii_case("STARTTLS") {
                self.core.switch.offer();
            } else if word.len() >= 4 && word.bytes().take(4).all(|byte| byte == b'X') && garbled(word) {
                self.core
                    .switch
                    .garbled(reply.time, self.core.protocol, line, out)?;
            }
        }
        Ok(())
    }
}

/// `XXXX`, `XXXXXXXA`: no keyword that anybody has registered.
fn garbled(word: &str) -> bool {
    word.trim_end_matches(['A', 'B', 'C', 'D'])
        .bytes()
        .all(|byte| byte == b'X')
}
