//! The server's lines: replies, data, leave to go on.

use memchr::memchr;

use crate::event::{Direction, Kind, SinkError};
use crate::mail::MailEvent;
use crate::mail::detect::server_begins;
use crate::mail::input::{Input, Out};
use crate::mail::line::{Line, split_word};
use crate::mail::literal::{announced, is_string};
use crate::mail::shared::Flow;

use super::{Asked, Imap, Mode, Why};

/// Bytes of a tag, and some more, that must be there to tell a refusal.
const HEAD: usize = 40;

/// A base64 challenge has so many characters, `Username:` for one.
const LONG_WORD: usize = 12;

/// What a line is.
#[derive(Debug, PartialEq, Eq)]
enum Said<'a> {
    /// The end of a reply: its tag (empty in ManageSieve), its code, its text.
    Done(&'a [u8], &'a [u8], &'a [u8]),
    /// Leave to go on, or a challenge.
    GoOn(&'a [u8]),
    /// Data, or what nobody asked for.
    Data(&'a [u8]),
}

fn is_code(word: &[u8]) -> bool {
    [&b"OK"[..], b"NO", b"BAD", b"BYE", b"PREAUTH"]
        .iter()
        .any(|code| word.eq_ignore_ascii_case(code))
}

/// A word with `idl` in it, in whichever language: in base64, which is one long word, the letters mean nothing.
fn speaks_of_idling(text: &[u8]) -> bool {
    let idl = |word: &[u8]| word.windows(3).any(|three| three.eq_ignore_ascii_case(b"idl"));
    text.split(u8::is_ascii_whitespace)
        .any(|word| word.len() < LONG_WORD && idl(word))
}

impl Imap {
    fn said<'t>(&self, text: &'t [u8]) -> Said<'t> {
        let (first, rest) = split_word(text);
        if self.is_sieve() {
            let challenge = match self.core.auth {
                Some(_) => matches!(text.first(), Some(b'"' | b'{')),
                None => is_string(text) && self.may_challenge(),
            };
            return match first {
                code if is_code(code) => Said::Done(&[], code, rest),
                _ if challenge => Said::GoOn(text),
                _ => Said::Data(text),
            };
        }
        match (first, split_word(rest)) {
            (b"*", _) => Said::Data(rest),
            (b"+", _) => Said::GoOn(rest),
            (tag, (code, text)) if is_code(code) => Said::Done(tag, code, text),
            _ => Said::Data(text),
        }
    }

    /// ManageSieve: nobody has asked for what the server says, and it is at the start of it.
    fn may_challenge(&self) -> bool {
        self.core.greeted && self.queue.is_empty() && !self.core.is_replying()
    }

    /// What a line that begins so is called; `None` where it is too short to tell.
    fn call(&self, rest: &[u8]) -> Option<Kind> {
        let line = memchr(b'\n', rest).map_or(rest, |end| rest.get(..=end).unwrap_or(rest));
        let head = line.get(..HEAD).unwrap_or(line);
        let word = if self.is_sieve() {
            match head {
                [b'"' | b'{', ..] => return Some(Kind::Reply),
                _ => head,
            }
        } else {
            match head.iter().position(|byte| *byte == b' ') {
                _ if matches!(head.first(), Some(b'*' | b'+')) => return Some(Kind::Reply),
                Some(blank) => head.get(blank + 1..)?,
                None if head.len() >= HEAD || head.ends_with(b"\n") => return Some(Kind::Plain),
                None => return None,
            }
        };
        let end = word.iter().position(|byte| matches!(byte, b' ' | b'\r' | b'\n'));
        match end.and_then(|end| word.get(..end)) {
            Some(word) if word.eq_ignore_ascii_case(b"NO") || word.eq_ignore_ascii_case(b"BAD") => {
                Some(Kind::PermanentReply)
            }
            Some(_) => Some(Kind::Reply),
            None if word.len() > 7 || head.len() >= HEAD => Some(Kind::Reply),
            None => None,
        }
    }

    pub(super) fn server(&mut self, input: &mut Input<'_>, out: &mut Out<'_, '_>) -> Result<Flow, SinkError> {
        let direction = Direction::ToClient;
        if let Some(left) = self.literal {
            let n = input.upcoming(left).len();
            let left = left - n as u64;
            self.literal = (left > 0).then_some(left);
            input.pass(n, Kind::Body, out)?;
            return Ok(Flow::Go);
        }
        if let Some(flow) = self.core.skip(input, server_begins, out)? {
            return Ok(flow);
        }
        if self.core.line(direction).is_fresh() && !self.goes_on {
            match self.core.tls(input) {
                Flow::Go => {}
                flow => return Ok(flow),
            }
            match self.call(input.rest()) {
                None if !input.last => return Ok(Flow::Hold),
                kind => self.kind = kind.unwrap_or(Kind::Reply),
            }
            self.core.line(direction).sniffed = true;
            if self.core.goes_on_in_clear() {
                self.core.switch.not_tls(input.time(), self.core.protocol, out)?;
                self.understand_kept(Mode::Commands, out)?;
            }
        }
        let injected = self.core.server_injects();
        let kind = if injected { Kind::Injected } else { self.kind };
        let Some(line) = self.core.pass_line(input, kind, |_| None, out)? else {
            return Ok(Flow::Go);
        };
        let goes_on = std::mem::take(&mut self.goes_on);
        if let Some(literal) = announced(line.ending()) {
            self.goes_on = true;
            self.literal = (literal.len > 0).then_some(literal.len);
        }
        self.core.odd_line(&line, direction, out)?;
        if goes_on {
            self.core.add_reply_line(&line, line.text());
        } else {
            self.server_line(&line, out)?;
        }
        self.core.line(direction).reuse(line);
        Ok(Flow::Go)
    }

    fn server_line(&mut self, line: &Line, out: &mut Out<'_, '_>) -> Result<(), SinkError> {
        self.look_for_starttls(line, out)?;
        match self.said(line.text()) {
            Said::Done(tag, code, text) => {
                self.core.reply_line(line, &code.to_ascii_uppercase(), text);
                let tag = String::from_utf8_lossy(tag).into_owned();
                self.done(&tag, out)
            }
            Said::GoOn(text) => self.go_on(line, text, out),
            Said::Data(text) => {
                let (code, rest) = split_word(text);
                let greeting = !self.core.greeted && !self.is_sieve();
                if !self.is_sieve() && (greeting || code.eq_ignore_ascii_case(b"BYE")) {
                    self.core.greeted = true;
                    self.core
                        .single_reply(line, &code.to_ascii_uppercase(), rest, None, out)?;
                    return self.core.greet(out);
                }
                self.core.add_reply_line(line, text);
                Ok(())
            }
        }
    }

    /// STARTTLS among the capabilities, or what stands in its place.
    fn look_for_starttls(&mut self, line: &Line, out: &mut Out<'_, '_>) -> Result<(), SinkError> {
        let text = line.text();
        if self.is_sieve() {
            if text
                .get(..10)
                .is_some_and(|word| word.eq_ignore_ascii_case(b"\"STARTTLS\""))
            {
                self.core.switch.offer();
            }
            return Ok(());
        }
        let words = || text.split(|byte| matches!(byte, b' ' | b'[' | b']'));
        if !words().any(|word| word.eq_ignore_ascii_case(b"CAPABILITY")) {
            return Ok(());
        }
        for word in words() {
            if word.eq_ignore_ascii_case(b"STARTTLS") {
                self.core.switch.offer();
            } else if word.len() >= 4 && word.iter().all(|byte| *byte == b'X') {
                let word = String::from_utf8_lossy(word).into_owned();
                self.core
                    .switch
                    .garbled(line.time, self.core.protocol, &word, out)?;
            }
        }
        Ok(())
    }

    fn go_on(&mut self, line: &Line, text: &[u8], out: &mut Out<'_, '_>) -> Result<(), SinkError> {
        let asked = self.queue.back().map(|asked| (asked.verb.as_str(), asked.time));
        // Of a command that was not seen: to log in, most likely, unless it is to wait (IDLE, RFC 2177).
        let not_seen = asked.is_none() && !speaks_of_idling(text);
        self.core.single_reply(line, b"+", text, asked, out)?;
        match self.mode {
            Mode::Commands | Mode::Lost if not_seen => match self.core.challenge(self.mode == Mode::Lost) {
                true => self.understand_kept(Mode::Secret, out),
                false => Ok(()),
            },
            Mode::Undecided(Why::Auth) => self.understand_kept(Mode::Secret, out),
            Mode::Undecided(Why::Literal(left, kind)) => {
                self.mode = Mode::Literal(left, kind);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A reply is complete. IMAP: only one with the same tag answers a command.
    fn done(&mut self, tag: &str, out: &mut Out<'_, '_>) -> Result<(), SinkError> {
        let Some((mut reply, end)) = self.core.take_reply() else {
            return Ok(());
        };
        if self.is_sieve() && !std::mem::replace(&mut self.core.greeted, true) {
            self.core.tell_reply(&mut reply, None, out)?;
            return self.core.greet(out);
        }
        let at = match self.is_sieve() {
            true => (!self.queue.is_empty()).then_some(0),
            false => self.queue.iter().position(|asked| asked.tag == tag),
        };
        let asked: Option<Asked> = at.and_then(|at| self.queue.remove(at));
        let answers = asked.as_ref().map(|asked| (asked.verb.as_str(), asked.time));
        self.core.tell_reply(&mut reply, answers, out)?;
        let accepted = reply.code == "OK";
        match answers.map(|(verb, _)| verb) {
            Some("LOGIN") => self.core.tell_auth(Some(accepted), out),
            Some("AUTHENTICATE") => {
                self.core.tell_auth(Some(accepted), out)?;
                match self.mode {
                    Mode::Undecided(Why::Auth) | Mode::Secret => self.understand_kept(Mode::Commands, out),
                    _ => Ok(()),
                }
            }
            Some("STARTTLS") if accepted => self.core.switch.agree(reply.time, self.core.protocol, end, out),
            Some("STARTTLS") => {
                self.core.switch.refuse(self.core.protocol, reply, out)?;
                match self.mode {
                    Mode::Undecided(Why::Starttls) => self.understand_kept(Mode::Commands, out),
                    _ => Ok(()),
                }
            }
            Some("COMPRESS") if accepted => {
                self.compressed = true;
                out.mail(&MailEvent::Compressed { time: reply.time })
            }
            // Of the command that was not seen.
            None if self.queue.is_empty()
                && matches!(self.mode, Mode::Undecided(Why::Auth) | Mode::Secret) =>
            {
                self.understand_kept(Mode::Lost, out)
            }
            // A literal that the server did not want: its command is over without it.
            None if !accepted && matches!(self.mode, Mode::Undecided(Why::Literal(..))) => {
                self.building = None;
                self.mode = Mode::Commands;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
