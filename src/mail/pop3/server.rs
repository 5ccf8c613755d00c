//! The server's replies, lists and messages.

use crate::event::{Direction, Kind, SinkError};
use crate::mail::Protocol;
use crate::mail::detect::server_begins;
use crate::mail::input::{Input, Out};
use crate::mail::line::{Line, split_word};
use crate::mail::message::{Body, Found};
use crate::mail::shared::Flow;

use super::{Asked, Mode, More, Pop3};

impl Pop3 {
    pub(super) fn server(&mut self, input: &mut Input<'_>, out: &mut Out<'_, '_>) -> Result<Flow, SinkError> {
        let direction = Direction::ToClient;
        if self.message.is_some() {
            return self.message(input, out);
        }
        if let Some(flow) = self.core.skip(input, server_begins, out)? {
            return Ok(flow);
        }
        if self.core.line(direction).is_fresh() {
            match self.core.tls(input) {
                Flow::Go => {}
                flow => return Ok(flow),
            }
            self.core.line(direction).sniffed = true;
            if self.core.goes_on_in_clear() {
                self.core.switch.not_tls(input.time(), Protocol::Pop3, out)?;
                self.understand_kept(Mode::Commands, out)?;
            }
        }
        let injected = self.core.server_injects();
        let first = self.core.line(direction).bytes().first().or(input.rest().first());
        let kind = match first {
            _ if injected => Kind::Injected,
            Some(b'-') if self.list.is_none() => Kind::PermanentReply,
            Some(b'+') => Kind::Reply,
            _ if self.list.is_some() => Kind::Reply,
            _ => Kind::Plain,
        };
        let Some(line) = self.core.pass_line(input, kind, |_| None, out)? else {
            return Ok(Flow::Go);
        };
        self.server_line(&line, out)?;
        self.core.line(direction).reuse(line);
        Ok(Flow::Go)
    }

    fn server_line(&mut self, line: &Line, out: &mut Out<'_, '_>) -> Result<(), SinkError> {
        let text = line.text();
        self.core.odd_line(line, Direction::ToClient, out)?;
        if let Some(asked) = &self.list {
            if text == b"." {
                let asked = self.list.take();
                return self.tell(asked, out);
            }
            let word = split_word(text).0;
            if asked.more == More::Capabilities {
                if word.eq_ignore_ascii_case(b"STLS") {
                    self.core.switch.offer();
                } else if word.len() >= 4 && word.iter().all(|byte| *byte == b'X') {
                    let word = String::from_utf8_lossy(word).into_owned();
                    self.core.switch.garbled(line.time, Protocol::Pop3, &word, out)?;
                }
            }
            self.core.add_reply_line(line, text);
            return Ok(());
        }
        let (code, rest) = split_word(text);
        match code {
            b"+OK" | b"-ERR" => self.core.reply_line(line, code, rest),
            b"+" => return self.challenge(line, rest, out),
            _ => return self.core.malformed_reply(line, out),
        }
        if !std::mem::replace(&mut self.core.greeted, true) {
            self.tell(None, out)?;
            return self.core.greet(out);
        }
        let Some(asked) = self.queue.pop_front() else {
            // No server answers what nobody asked: the capture lacks it, though its gap may not be told of yet.
            self.core.gapped(Direction::ToServer);
            self.tell(None, out)?;
            return match self.mode {
                Mode::Secret | Mode::Undecided(_) if !self.core.switch.is_agreed() => {
                    self.understand_kept(Mode::Lost, out)
                }
                _ => Ok(()),
            };
        };
        match asked.more {
            More::List | More::Capabilities if code == b"+OK" => {
                self.list = Some(asked);
                Ok(())
            }
            More::Message if code == b"+OK" => {
                self.message = Some(Box::new(Body::new()));
                self.tell(Some(asked), out)
            }
            _ => self.tell(Some(asked), out),
        }
    }

    /// `+ …`: the next line of the client answers it.
    fn challenge(&mut self, line: &Line, text: &[u8], out: &mut Out<'_, '_>) -> Result<(), SinkError> {
        self.core.reply_line(line, b"+", text);
        if let Some((mut reply, _)) = self.core.take_reply() {
            let asked = self.queue.front().map(|asked| (asked.verb.as_str(), asked.time));
            self.core.tell_reply(&mut reply, asked, out)?;
        }
        // Nothing else is answered by `+`: the AUTH before it is what was not seen.
        let answered = match self.mode {
            Mode::Undecided(false) => true,
            Mode::Commands | Mode::Lost if self.queue.is_empty() => {
                self.core.challenge(self.mode == Mode::Lost)
            }
            _ => false,
        };
        match answered {
            true => self.understand_kept(Mode::Secret, out),
            false => Ok(()),
        }
    }

    /// A reply is complete: tells it and does what follows from it.
    fn tell(&mut self, asked: Option<Asked>, out: &mut Out<'_, '_>) -> Result<(), SinkError> {
        let Some((mut reply, end)) = self.core.take_reply() else {
            return Ok(());
        };
        let answers = asked.as_ref().map(|asked| (asked.verb.as_str(), asked.time));
        self.core.tell_reply(&mut reply, answers, out)?;
        let accepted = reply.code == "+OK";
        match answers.map(|(verb, _)| verb) {
            Some("USER") if accepted => Ok(()),
            Some("USER" | "PASS" | "APOP") => self.core.tell_auth(Some(accepted), out),
            Some("AUTH") => {
                self.core.tell_auth(Some(accepted), out)?;
                match self.mode {
                    Mode::Undecided(false) | Mode::Secret => self.understand_kept(Mode::Commands, out),
                    _ => Ok(()),
                }
            }
            Some("STLS") if accepted => self.core.switch.agree(reply.time, Protocol::Pop3, end, out),
            Some("STLS") => {
                self.core.switch.refuse(Protocol::Pop3, reply, out)?;
                match self.mode {
                    Mode::Undecided(true) => self.understand_kept(Mode::Commands, out),
                    _ => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    /// A message passes, from the server to the client.
    fn message(&mut self, input: &mut Input<'_>, out: &mut Out<'_, '_>) -> Result<Flow, SinkError> {
        let Some(message) = &mut self.message else {
            return Ok(Flow::Go);
        };
        let (n, found) = message.scan(input);
        input.pass(n, Kind::Body, out)?;
        match found {
            Found::Hold => return Ok(Flow::Hold),
            Found::End(n) => {
                input.pass(n, Kind::Reply, out)?;
                self.message = None;
            }
            Found::Nothing | Found::Odd(..) | Found::MaybeEnd(..) => {}
        }
        Ok(Flow::Go)
    }
}
