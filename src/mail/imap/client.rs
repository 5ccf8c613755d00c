//! The client's commands, their literals and secrets.

use crate::event::{Direction, Kind, SinkError, Verdict};
use crate::mail::MailEvent;
use crate::mail::auth::Attempt;
use crate::mail::detect::begins_like_imap;
use crate::mail::input::{Input, Kept, Out};
use crate::mail::line::{Line, split_word, without_end};
use crate::mail::literal::{announced, argument};
use crate::mail::secret::{behind, in_imap, in_sieve};
use crate::mail::shared::{Flow, HIDDEN, command};

use super::{Asked, Building, Imap, Mode, Why};

/// Octets of a literal that are put into its command's text.
const MAX_INLINE: u64 = 256;

impl Imap {
    pub(super) fn client(&mut self, input: &mut Input<'_>, out: &mut Out<'_, '_>) -> Result<Flow, SinkError> {
        let direction = Direction::ToServer;
        if let Mode::Undecided(Why::Literal(left, kind)) = self.mode {
            // Its leave may have been lost; a refusal would have changed the mode.
            self.mode = Mode::Literal(left, kind);
        }
        if let Mode::Literal(left, kind) = self.mode {
            return self.literal_octets(left, kind, input, out);
        }
        if let Some(flow) = self.core.skip(input, begins_like_imap, out)? {
            return Ok(flow);
        }
        if self.core.line(direction).is_fresh() {
            if self.mode != Mode::Secret && self.building.is_none() {
                match self.core.tls(input) {
                    Flow::Go => {}
                    flow => return Ok(flow),
                }
            }
            if self.mode == Mode::Lost {
                match begins_like_imap(input.rest()) {
                    Verdict::Unsure if !input.last => return Ok(Flow::Hold),
                    verdict => self.known = verdict == Verdict::Yes,
                }
            }
            self.core.line(direction).sniffed = true;
        }
        let kind = match self.mode {
            Mode::Secret | Mode::Undecided(Why::Auth) => Kind::Secret,
            Mode::Undecided(Why::Starttls) if self.core.switch.is_agreed() => Kind::Injected,
            Mode::Lost if !self.known => self.core.unknown_kind(),
            _ => Kind::Command,
        };
        let (sieve, goes_on) = (
            self.is_sieve(),
            self.building.as_ref().map(|building| self.wants_secret(building)),
        );
        let secret = |line: &[u8]| match goes_on {
            None if sieve => in_sieve(line),
            None => in_imap(line),
            Some(true) => behind(line, 0),
            Some(false) => None,
        };
        let Some(line) = self.core.pass_line(input, kind, secret, out)? else {
            self.bound_kept();
            return Ok(Flow::Go);
        };
        match self.mode {
            Mode::Secret => self.response(&line, out)?,
            Mode::Lost if !self.known => {}
            Mode::Commands | Mode::Lost => {
                self.mode = Mode::Commands;
                let secret = secret(line.bytes());
                self.command_line(&line, secret, out)?;
            }
            _ => self.bound_kept(),
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

    /// Verb and arguments of a command's text.
    fn split<'t>(&self, text: &'t [u8]) -> (&'t [u8], &'t [u8], &'t [u8]) {
        let (first, rest) = split_word(text);
        if self.is_sieve() || rest.is_empty() {
            return (&[], first, rest);
        }
        let (verb, arguments) = split_word(rest);
        (first, verb, arguments)
    }

    /// Whether what stands behind a literal of this command is a password, or carries one.
    fn wants_secret(&self, building: &Building) -> bool {
        let (_, verb, _) = self.split(&building.text);
        verb.eq_ignore_ascii_case(b"LOGIN") || verb.eq_ignore_ascii_case(b"AUTHENTICATE")
    }

    /// A line of a command is complete, but for a literal that it may announce.
    fn command_line(
        &mut self,
        line: &Line,
        secret: Option<usize>,
        out: &mut Out<'_, '_>,
    ) -> Result<(), SinkError> {
        self.core.odd_line(line, Direction::ToServer, out)?;
        let first = self.building.is_none();
        let mut building = self.building.take().unwrap_or_else(|| {
            Box::new(Building {
                time: line.time,
                offset: line.offset,
                text: Vec::new(),
                secret: None,
                inlining: false,
            })
        });
        let before = building.text.len();
        let room = self.core.max_line().saturating_sub(before);
        let whole = line.len() <= room as u64;
        building.text.extend(line.text().iter().take(room));
        building.secret = building.secret.or(secret.map(|start| before + start));
        let Some(literal) = announced(line.ending()) else {
            return self.obey(*building, line, out);
        };
        let (_, verb, arguments) = self.split(&building.text);
        let names_user = first && verb.eq_ignore_ascii_case(b"LOGIN") && arguments.starts_with(b"{");
        let is = |words: &[&str]| {
            words
                .iter()
                .any(|word| verb.eq_ignore_ascii_case(word.as_bytes()))
        };
        let kind = if is(&["APPEND", "PUTSCRIPT", "CHECKSCRIPT"]) {
            Kind::Body
        } else if self.wants_secret(&building) && !names_user {
            Kind::Secret
        } else {
            Kind::Command
        };
        // A small one takes the place of its announcement.
        if literal.len <= MAX_INLINE
            && kind != Kind::Body
            && whole
            && let Some(open) = building.text.iter().rposition(|byte| *byte == b'{')
        {
            building.text.truncate(open);
            if kind == Kind::Secret {
                building.secret.get_or_insert(open);
            }
            building.text.push(b'"');
            building.inlining = true;
        }
        self.building = Some(building);
        self.mode = if literal.waits && !self.is_sieve() {
            Mode::Undecided(Why::Literal(literal.len, kind))
        } else {
            Mode::Literal(literal.len, kind)
        };
        if literal.len == 0 {
            self.literal_passed(0, 0, kind);
        }
        Ok(())
    }

    fn literal_octets(
        &mut self,
        left: u64,
        kind: Kind,
        input: &mut Input<'_>,
        out: &mut Out<'_, '_>,
    ) -> Result<Flow, SinkError> {
        let bytes = input.upcoming(left);
        if let Some(building) = self.building.as_mut().filter(|building| building.inlining) {
            for byte in bytes {
                if matches!(byte, b'"' | b'\\') {
                    building.text.push(b'\\');
                }
                building.text.push(*byte);
            }
        }
        input.pass(bytes.len(), kind, out)?;
        self.literal_passed(left, bytes.len() as u64, kind);
        Ok(Flow::Go)
    }

    /// So many octets of a literal have passed or are missing.
    pub(super) fn literal_passed(&mut self, left: u64, n: u64, kind: Kind) {
        let left = left.saturating_sub(n);
        self.mode = Mode::Literal(left, kind);
        if left == 0 {
            self.mode = Mode::Commands;
            if let Some(building) = self.building.as_mut().filter(|building| building.inlining) {
                building.text.push(b'"');
                building.inlining = false;
            }
        }
    }

    pub(super) fn undecided(&mut self, why: Why) {
        self.mode = Mode::Undecided(why);
        self.core.kept = Some(Box::new(Kept::default()));
    }

    /// A line that answers a challenge.
    fn response(&mut self, line: &Line, out: &mut Out<'_, '_>) -> Result<(), SinkError> {
        let text = if self.is_sieve() {
            argument(line.text()).0
        } else {
            line.text().to_vec()
        };
        let Some(auth) = &mut self.core.auth else {
            // Of a command that was not seen. One literal of LOGIN announces the other.
            if announced(line.ending()).is_none() {
                self.mode = Mode::Lost;
            }
            return Ok(());
        };
        let password = auth.response(&text);
        self.undecided(Why::Auth);
        if password {
            self.core.clear_password(line.time, line.offset, out)?;
        }
        Ok(())
    }

    /// A command is complete.
    fn obey(&mut self, building: Building, line: &Line, out: &mut Out<'_, '_>) -> Result<(), SinkError> {
        let text = without_end(&building.text);
        let (tag, verb, arguments) = self.split(text);
        let clear = match building.secret {
            Some(start) => self.split(text.get(..start).unwrap_or(text)).2,
            None => arguments,
        };
        let mut told = command(line, tag, verb, clear);
        (told.time, told.offset) = (building.time, building.offset);
        if building.secret.is_some() {
            told.argument = format!("{} {HIDDEN}", told.argument).trim_start().to_owned();
        }
        out.mail(&MailEvent::Command(told.clone()))?;
        if self.queue.len() >= self.core.max_queue() {
            self.queue.pop_front();
        }
        if told.verb != "DONE" {
            self.queue.push_back(Asked {
                tag: told.tag.clone(),
                verb: told.verb.clone(),
                time: told.time,
            });
        }
        match told.verb.as_str() {
            "LOGIN" => {
                self.core.switch.not_used(told.time, self.core.protocol, out)?;
                self.core.tell_auth(None, out)?;
                // A literal too long to be kept leaves its announcement.
                let attempt = match arguments {
                    [b'{', ..] => Attempt::new(told.time, b"LOGIN"),
                    _ => Attempt::of_user(told.time, b"LOGIN", &argument(arguments).0),
                };
                self.core.auth = Some(Box::new(attempt));
                self.core.clear_password(told.time, told.offset, out)?;
            }
            "AUTHENTICATE" => {
                self.core.switch.not_used(told.time, self.core.protocol, out)?;
                let (mechanism, rest) = argument(arguments);
                let mut attempt = Attempt::new(told.time, &mechanism);
                let initial = argument(rest).0;
                let password = !initial.is_empty() && attempt.response(&initial);
                self.core.tell_auth(None, out)?;
                self.core.auth = Some(Box::new(attempt));
                self.undecided(Why::Auth);
                if password {
                    self.core.clear_password(told.time, told.offset, out)?;
                }
            }
            "STARTTLS" => {
                self.core.switch.ask(line.end());
                self.undecided(Why::Starttls);
            }
            _ => {}
        }
        Ok(())
    }
}
