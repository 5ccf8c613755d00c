//! POP3: RFC 1939, with CAPA (RFC 2449), STLS (RFC 2595), AUTH (RFC 5034).

use std::collections::VecDeque;

use crate::event::{Direction, Kind, SinkError, Verdict};
use crate::mail::auth::Attempt;
use crate::mail::core::{Core, Flow, HIDDEN, MAX_KEPT, MAX_QUEUE, command};
use crate::mail::detect::{begins_like_pop3, server_begins};
use crate::mail::input::{Input, Kept, Out};
use crate::mail::line::{Line, split_word};
use crate::mail::message::{Body, Found};
use crate::mail::secret::in_pop3;
use crate::mail::{MailEvent, Protocol};
use crate::time::Timestamp;

/// How the client's lines are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Commands,
    /// A line is a command only if it begins like one.
    Lost,
    Secret,
    /// Behind AUTH or STLS: it depends on the reply.
    Undecided(bool),
}

/// What a reply's further lines are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum More {
    None,
    /// A list, ended by a dot.
    List,
    /// CAPA's.
    Capabilities,
    /// A message, ended by a dot.
    Message,
}

#[derive(Debug)]
struct Asked {
    verb: String,
    time: Timestamp,
    more: More,
}

/// One session.
#[derive(Debug)]
pub(crate) struct Pop3 {
    pub(crate) core: Core,
    mode: Mode,
    known: bool,
    queue: VecDeque<Asked>,
    /// The reply whose lines are coming.
    list: Option<Asked>,
    message: Option<Box<Body>>,
}

impl Pop3 {
    pub(crate) fn new(from_start: bool) -> Self {
        let mut core = Core::new(Protocol::Pop3);
        core.greeted = !from_start;
        Self {
            core,
            mode: Mode::Commands,
            known: true,
            queue: VecDeque::new(),
            list: None,
            message: None,
        }
    }

    pub(crate) fn data(&mut self, input: &mut Input<'_>, out: &mut Out<'_, '_>) -> Result<Flow, SinkError> {
        self.core.see(input);
        while !input.is_empty() {
            let flow = match input.direction {
                Direction::ToServer => self.client(input, out)?,
                Direction::ToClient => self.server(input, out)?,
            };
            if flow != Flow::Go {
                return Ok(flow);
            }
        }
        Ok(Flow::Go)
    }

    pub(crate) fn gap(&mut self, direction: Direction, len: u64) {
        match (direction, &mut self.message) {
            (Direction::ToClient, Some(message)) => {
                message.gap(len);
                self.core.gapped(direction);
            }
            (Direction::ToClient, None) => {
                self.core.gap(direction);
                self.core.greeted = true;
                self.queue.clear();
                self.list = None;
            }
            (Direction::ToServer, _) => {
                self.core.gap(direction);
                self.core.kept = None;
                self.mode = Mode::Lost;
                self.queue.clear();
            }
        }
    }

    pub(crate) fn plain_again(&mut self, direction: Direction) {
        self.core.restart(direction);
        self.core.switch.plain_again();
        self.core.greeted = true;
        if direction == Direction::ToServer {
            self.queue.clear();
            self.core.kept = None;
            self.mode = Mode::Commands;
        }
    }

    pub(crate) fn close(&mut self, time: Timestamp, out: &mut Out<'_, '_>) -> Result<(), SinkError> {
        self.core.close_switch(time, out)?;
        if self.mode == Mode::Undecided(true) {
            self.understand_kept(Mode::Commands, out)?;
        }
        self.core.tell_auth(None, out)
    }

    fn understand_kept(&mut self, mode: Mode, out: &mut Out<'_, '_>) -> Result<(), SinkError> {
        self.mode = mode;
        match self.core.take_kept() {
            Some(kept) => self.data(&mut kept.passed(Direction::ToServer), out).map(|_| ()),
            None => Ok(()),
        }
    }

    fn client(&mut self, input: &mut Input<'_>, out: &mut Out<'_, '_>) -> Result<Flow, SinkError> {
        let direction = Direction::ToServer;
        if let Some(flow) = self.core.skip(input, begins_like_pop3, out)? {
            return Ok(flow);
        }
        if self.core.line(direction).is_fresh() {
            if self.mode != Mode::Secret {
                match self.core.tls(input) {
                    Flow::Go => {}
                    flow => return Ok(flow),
                }
            }
            if self.mode == Mode::Lost {
                match begins_like_pop3(input.rest()) {
                    Verdict::Unsure if !input.last => return Ok(Flow::Hold),
                    verdict => self.known = verdict == Verdict::Yes,
                }
            }
            self.core.line(direction).sniffed = true;
        }
        let kind = match self.mode {
            Mode::Secret | Mode::Undecided(false) => Kind::Secret,
            Mode::Undecided(true) if self.core.switch.is_agreed() => Kind::Injected,
            Mode::Lost if !self.known => self.core.unknown_kind(),
            _ => Kind::Command,
        };
        let Some(line) = self.core.pass_line(input, kind, in_pop3, out)? else {
            return Ok(Flow::Go);
        };
        match self.mode {
            Mode::Secret => {
                let password = self
                    .core
                    .auth
                    .as_mut()
                    .is_some_and(|auth| auth.response(line.text()));
                self.undecided(false);
                if password {
                    self.core.clear_password(line.time, line.offset, out)?;
                }
            }
            Mode::Lost if !self.known => {}
            Mode::Commands | Mode::Lost => {
                self.mode = Mode::Commands;
                self.command(&line, out)?;
            }
            Mode::Undecided(_) => {
                if self.core.kept_len() > MAX_KEPT as u64 {
                    self.core.kept = None;
                    self.mode = Mode::Lost;
                }
            }
        }
        self.core.line(direction).reuse(line);
        Ok(Flow::Go)
    }

    fn undecided(&mut self, starttls: bool) {
        self.mode = Mode::Undecided(starttls);
        self.core.kept = Some(Box::new(Kept::default()));
    }

    fn command(&mut self, line: &Line, out: &mut Out<'_, '_>) -> Result<(), SinkError> {
        let (verb, argument) = split_word(line.text());
        let mut told = command(line, b"", verb, argument);
        let secret = in_pop3(line.bytes()).and_then(|start| line.text().get(start..));
        if secret.is_some() {
            let word = split_word(argument).0;
            told.argument = match told.verb.as_str() {
                "PASS" => HIDDEN.to_owned(),
                _ => format!("{} {HIDDEN}", String::from_utf8_lossy(word)),
            };
        }
        // Who asks for more has had all, so the end was missed.
        self.message = self.message.take().filter(|message| !message.gapped);
        out.mail(&MailEvent::Command(told.clone()))?;
        self.core.odd_line(line, Direction::ToServer, out)?;
        let list = |with_argument: bool| {
            if with_argument && !argument.is_empty() {
                More::None
            } else {
                More::List
            }
        };
        let more = match told.verb.as_str() {
            "RETR" | "TOP" => More::Message,
            "CAPA" => More::Capabilities,
            "LIST" | "UIDL" | "AUTH" => list(true),
            _ => More::None,
        };
        if self.queue.len() >= MAX_QUEUE {
            self.queue.pop_front();
        }
        self.queue.push_back(Asked {
            verb: told.verb.clone(),
            time: line.time,
            more,
        });
        match told.verb.as_str() {
            "USER" => {
                self.core.switch.not_used(line.time, Protocol::Pop3, out)?;
                self.core.tell_auth(None, out)?;
                self.core.auth = Some(Box::new(Attempt::of_user(line.time, b"USER", argument)));
            }
            "PASS" => self.core.clear_password(line.time, line.offset, out)?,
            "APOP" => {
                self.core.tell_auth(None, out)?;
                self.core.auth = Some(Box::new(Attempt::of_user(
                    line.time,
                    b"APOP",
                    split_word(argument).0,
                )));
            }
            "AUTH" if !argument.is_empty() => {
                self.core.switch.not_used(line.time, Protocol::Pop3, out)?;
                let mut attempt = Attempt::new(line.time, split_word(argument).0);
                let password = secret.is_some_and(|secret| attempt.response(secret));
                self.core.tell_auth(None, out)?;
                self.core.auth = Some(Box::new(attempt));
                self.undecided(false);
                if password {
                    self.core.clear_password(line.time, line.offset, out)?;
                }
            }
            "STLS" => {
                self.core.switch.ask(line.end());
                self.undecided(true);
            }
            _ => {}
        }
        Ok(())
    }

    fn server(&mut self, input: &mut Input<'_>, out: &mut Out<'_, '_>) -> Result<Flow, SinkError> {
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
        if injected {
            self.core.switch.server_text(line.len());
        }
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
            self.tell(None, out)?;
            return match self.mode {
                Mode::Undecided(_) if !self.core.switch.is_agreed() => self.understand_kept(Mode::Lost, out),
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
        match self.mode {
            Mode::Undecided(false) => self.understand_kept(Mode::Secret, out),
            _ => Ok(()),
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
