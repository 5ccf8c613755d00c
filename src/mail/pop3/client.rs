//! The client's commands and secrets.

use crate::event::{Direction, Kind, SinkError, Verdict};
use crate::mail::auth::Attempt;
use crate::mail::detect::begins_like_pop3;
use crate::mail::input::{Input, Kept, Out};
use crate::mail::line::{Line, split_word};
use crate::mail::secret::in_pop3;
use crate::mail::shared::{Flow, HIDDEN, command};
use crate::mail::{MailEvent, Protocol};

use super::{Asked, Mode, More, Pop3};

impl Pop3 {
    pub(super) fn client(&mut self, input: &mut Input<'_>, out: &mut Out<'_, '_>) -> Result<Flow, SinkError> {
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
            self.bound_kept();
            return Ok(Flow::Go);
        };
        match self.mode {
            Mode::Secret => match &mut self.core.auth {
                Some(auth) => {
                    let password = auth.response(line.text());
                    self.undecided(false);
                    if password {
                        self.core.clear_password(line.time, line.offset, out)?;
                    }
                }
                // Of an AUTH that was not seen: what comes behind it is not known.
                None => self.mode = Mode::Lost,
            },
            Mode::Lost if !self.known => {}
            Mode::Commands | Mode::Lost => {
                self.mode = Mode::Commands;
                self.command(&line, out)?;
            }
            Mode::Undecided(_) => self.bound_kept(),
        }
        self.core.line(direction).reuse(line);
        Ok(Flow::Go)
    }

    /// What waits for an answer is bounded, however long its lines are.
    fn bound_kept(&mut self) {
        if matches!(self.mode, Mode::Undecided(_)) && self.core.keeps_too_much() {
            self.core.forget();
            self.lose_client();
        }
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
        if self.queue.len() >= self.core.max_queue() {
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
}
