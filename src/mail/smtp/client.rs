//! What the client sends: lines, messages, chunks, secrets.

use crate::event::{Direction, Kind, SinkError, Verdict};
use crate::mail::detect::{Evidence, begins_like_smtp, client_line};
use crate::mail::input::{Input, Kept, Out};
use crate::mail::line::{Line, split_word};
use crate::mail::message::{Body, Found};
use crate::mail::secret::in_auth;
use crate::mail::shared::{Flow, HIDDEN, command};
use crate::mail::{MailWarning, Protocol};
use crate::time::Timestamp;

use super::{Asked, Mode, Smtp, What, Why};

/// Whether a line can be nothing else than a command, not even what answers a challenge.
fn begins_a_mail(line: &[u8]) -> bool {
    matches!(
        client_line(line),
        Evidence::Strong(Protocol::Smtp | Protocol::Lmtp)
    )
}

impl Smtp {
    pub(super) fn client(&mut self, input: &mut Input<'_>, out: &mut Out<'_, '_>) -> Result<Flow, SinkError> {
        match self.mode {
            Mode::Body => self.message(input, out),
            Mode::Chunk { left, last } => self.chunk(left, last, input, out),
            _ => self.client_line(input, out),
        }
    }

    fn client_line(&mut self, input: &mut Input<'_>, out: &mut Out<'_, '_>) -> Result<Flow, SinkError> {
        if let Some(flow) = self.core.skip(input, begins_like_smtp, out)? {
            return Ok(flow);
        }
        if self.core.line(Direction::ToServer).is_fresh() {
            match self.look(input) {
                Flow::Go => {}
                flow => return Ok(flow),
            }
        }
        let kind = self.kind();
        let Some(line) = self.core.pass_line(input, kind, in_auth, out)? else {
            return self.bound_kept(out).map(|()| Flow::Go);
        };
        let alone = self.core.seen == [true, false];
        match self.mode {
            Mode::Secret => self.secret(&line, out)?,
            Mode::Lost if !self.known => {}
            Mode::Commands | Mode::Lost => {
                self.mode = Mode::Commands;
                self.command(&line, out)?;
            }
            // The client has gone on: its reply was not seen (one side only, or a broken capture).
            Mode::Undecided(Why::Auth) if self.known && (alone || begins_a_mail(line.text())) => {
                self.unseen = line.end();
                self.understand_kept(Mode::Lost, out)?;
            }
            Mode::Undecided(_) => {
                self.looks_like_body &= !matches!(line.text(), b".");
                self.bound_kept(out)?;
            }
            Mode::Body | Mode::Chunk { .. } => {}
        }
        self.core.line(Direction::ToServer).reuse(line);
        Ok(Flow::Go)
    }

    /// At the start of a line: what it is, as far as the next bytes can tell.
    fn look(&mut self, input: &Input<'_>) -> Flow {
        let in_body = self.mode == Mode::Undecided(Why::Data) && self.looks_like_body;
        if in_body {
            self.known = match input.rest() {
                [b'.'] | [b'.', b'\r'] if !input.last => return Flow::Hold,
                rest => rest.starts_with(b".\r\n"),
            };
        } else if self.mode != Mode::Secret {
            match self.core.tls(input) {
                Flow::Go => {}
                flow => return flow,
            }
        }
        if matches!(self.mode, Mode::Lost | Mode::Undecided(Why::Data | Why::Auth)) && !in_body {
            let verdict = begins_like_smtp(input.rest());
            if verdict == Verdict::Unsure && !input.last {
                return Flow::Hold;
            }
            self.known = verdict == Verdict::Yes;
            self.looks_like_body = self.mode == Mode::Undecided(Why::Data) && !self.known;
        }
        self.core.line(Direction::ToServer).sniffed = true;
        Flow::Go
    }

    /// What the line at hand is called.
    fn kind(&self) -> Kind {
        match self.mode {
            Mode::Secret => Kind::Secret,
            Mode::Undecided(Why::Data) if self.looks_like_body && !self.known => Kind::Body,
            Mode::Undecided(Why::Auth) if !self.known => Kind::Secret,
            Mode::Undecided(Why::Starttls) if self.core.switch.is_agreed() => Kind::Injected,
            Mode::Lost if !self.known => self.core.unknown_kind(),
            _ => Kind::Command,
        }
    }

    /// What waits for a reply is bounded: beyond that, the likely reply is taken for given.
    fn bound_kept(&mut self, out: &mut Out<'_, '_>) -> Result<(), SinkError> {
        match self.mode {
            Mode::Undecided(why) if self.core.keeps_too_much() => match why {
                // All that is kept is read now, once: were another DATA in it to wait, it would be read again
                // as soon as the bound is passed again, which takes a few bytes.
                Why::Data => {
                    self.given = self.core.kept.as_ref().map_or(0, |kept| kept.end());
                    self.begin_body(out)
                }
                Why::Auth | Why::Starttls => {
                    self.core.forget();
                    self.lose_client();
                    Ok(())
                }
            },
            _ => Ok(()),
        }
    }

    /// From here on, bytes wait for the reply to be understood.
    pub(super) fn undecided(&mut self, why: Why) {
        self.mode = Mode::Undecided(why);
        self.looks_like_body = false;
        self.core.kept = Some(Box::new(Kept::default()));
    }

    /// A message begins, or has begun with the bytes kept.
    pub(super) fn begin_body(&mut self, out: &mut Out<'_, '_>) -> Result<(), SinkError> {
        self.body = Some(Box::new(Body::new()));
        self.understand_kept(Mode::Body, out)
    }

    fn message(&mut self, input: &mut Input<'_>, out: &mut Out<'_, '_>) -> Result<Flow, SinkError> {
        let Some(body) = &mut self.body else {
            self.mode = Mode::Lost;
            return Ok(Flow::Go);
        };
        let (n, found) = body.scan(input);
        let first_smuggling = matches!(found, Found::MaybeEnd(..)) && body.first_smuggling();
        // What may be behind the end of the message, if the server takes it so, waits for the reply.
        let (time, offset) = (input.time(), input.offset());
        if let Some(kept) = &mut self.core.kept {
            kept.copy(input, n);
            out.recount = true;
        }
        if self.core.keeps_too_much() {
            self.core.kept = None;
        }
        input.pass(n, Kind::Body, out)?;
        match found {
            Found::Nothing => {}
            Found::Hold => return Ok(Flow::Hold),
            Found::Odd(at, warning) => out.warn(time, Direction::ToServer, at, warning)?,
            Found::MaybeEnd(at, how) => {
                if first_smuggling {
                    self.core.kept = Some(Box::new(Kept::default()));
                    out.warn(
                        time,
                        Direction::ToServer,
                        at.max(offset),
                        MailWarning::Smuggling(how.to_owned()),
                    )?;
                }
            }
            Found::End(n) => {
                let time = input.time();
                input.pass(n, Kind::Command, out)?;
                self.end_message(time, out)?;
            }
        }
        Ok(Flow::Go)
    }

    /// The final dot has passed.
    pub(super) fn end_message(&mut self, time: Timestamp, out: &mut Out<'_, '_>) -> Result<(), SinkError> {
        self.mode = Mode::Commands;
        self.core.kept = None;
        self.core.restart(Direction::ToServer);
        let depth = self.mails.current(time, out)?;
        if let Some(body) = self.body.take() {
            if body.gapped {
                self.mode = Mode::Lost;
            }
            self.mails.sent(*body);
        }
        let asked = Asked {
            verb: ".".into(),
            time,
            what: What::Dot(depth, None),
        };
        match self.early.pop_front() {
            Some(reply) => self.consequence(asked, &reply, 0, out),
            None => {
                self.ask(asked);
                Ok(())
            }
        }
    }

    pub(super) fn begin_chunk(&mut self, left: u64, last: bool) {
        self.body.get_or_insert_with(|| Box::new(Body::new()));
        self.mode = Mode::Chunk { left, last };
        self.end_chunk(0);
    }

    fn chunk(
        &mut self,
        left: u64,
        last: bool,
        input: &mut Input<'_>,
        out: &mut Out<'_, '_>,
    ) -> Result<Flow, SinkError> {
        let bytes = input.upcoming(left);
        if let Some(body) = &mut self.body {
            body.octets(bytes);
        }
        input.pass(bytes.len(), Kind::Body, out)?;
        self.mode = Mode::Chunk { left, last };
        self.end_chunk(bytes.len() as u64);
        Ok(Flow::Go)
    }

    /// So many octets of the chunk have passed or are missing.
    fn end_chunk(&mut self, n: u64) {
        let Mode::Chunk { left, last } = self.mode else {
            return;
        };
        let left = left.saturating_sub(n);
        self.mode = if left > 0 {
            Mode::Chunk { left, last }
        } else {
            Mode::Commands
        };
        if left == 0
            && last
            && let Some(body) = self.body.take()
        {
            self.mails.sent(*body);
        }
    }

    fn secret(&mut self, line: &Line, out: &mut Out<'_, '_>) -> Result<(), SinkError> {
        let Some(auth) = &mut self.core.auth else {
            // Of an AUTH that was not seen: what comes behind it is not known.
            self.mode = Mode::Lost;
            return Ok(());
        };
        let password = auth.response(line.text());
        self.undecided(Why::Auth);
        if password {
            self.core.clear_password(line.time, line.offset, out)?;
        }
        Ok(())
    }

    /// Bytes of the client are missing.
    pub(super) fn client_gap(&mut self, len: u64, out: &mut Out<'_, '_>) -> Result<(), SinkError> {
        while self.mode == Mode::Undecided(Why::Data) && self.looks_like_body {
            self.begin_body(out)?;
        }
        match self.mode {
            Mode::Body => {
                if let Some(body) = &mut self.body {
                    body.gap(len);
                }
                self.core.kept = None;
            }
            Mode::Chunk { left, .. } => {
                if let Some(body) = &mut self.body {
                    body.gap(len);
                }
                self.end_chunk(len);
                if len > left {
                    self.core.gap(Direction::ToServer);
                    self.mode = Mode::Lost;
                }
            }
            Mode::Commands | Mode::Lost | Mode::Secret | Mode::Undecided(_) => {
                self.core.gap(Direction::ToServer);
                self.core.kept = None;
                self.queue.clear();
                self.mode = Mode::Lost;
            }
        }
        self.core.gapped(Direction::ToServer);
        Ok(())
    }

    /// A command line is complete.
    fn command(&mut self, line: &Line, out: &mut Out<'_, '_>) -> Result<(), SinkError> {
        let (verb, argument) = split_word(line.text());
        let mut told = command(line, b"", verb, argument);
        if let Some(start) = in_auth(line.bytes()) {
            let mechanism = split_word(argument).0;
            told.argument = format!("{} {HIDDEN}", String::from_utf8_lossy(mechanism));
            let secret = line.text().get(start..).unwrap_or_default();
            self.obey(&told, line, argument, Some(secret), out)
        } else {
            self.obey(&told, line, argument, None, out)
        }
    }
}
