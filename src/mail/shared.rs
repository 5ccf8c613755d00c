//! What the sessions of all mail protocols have in common.

use crate::budget::SMALL;
use crate::event::{Direction, Kind, SinkError, Verdict};
use crate::mail::auth::Attempt;
use crate::mail::input::{Input, Kept, Out};
use crate::mail::line::{Line, MAX_LINE, Oddity, oddity, text};
use crate::mail::replying::{MAX_REPLY, Replying};
use crate::mail::resync::Skip;
use crate::mail::starttls::{Switch, sniff};
use crate::mail::{Command, Doubt, ImplicitMismatch, MailEvent, MailWarning, Protocol};
use crate::time::Timestamp;
use crate::tls::{Started, TlsHow};

/// Bytes kept that can't be understood before the other side answers.
const MAX_KEPT: usize = 16 * 1024;
/// How often a client's bytes may be read again, all in all: each refusal has what is kept
/// behind it read anew, and it is a client's choice how many commands wait for one.
const MAX_AGAIN: u64 = 16;
/// And so many bytes beside that.
const FREE_AGAIN: u64 = 4 * MAX_KEPT as u64;
/// Commands outstanding.
const MAX_QUEUE: usize = 256;
/// And where memory is short.
const SMALL_QUEUE: usize = 16;
/// Bytes of an argument, of a reply's line.
pub(crate) const MAX_TEXT: usize = 1024;
/// Bytes of a verb.
const MAX_VERB: usize = 32;

/// Why a parser stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    /// Go on.
    Go,
    /// What is left is too little to tell what it is.
    Hold,
    /// TLS begins here.
    Tls,
}

/// What was kept is not understood any more.
#[derive(Debug)]
pub(crate) struct Forgotten;

/// Shared state of a session.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) protocol: Protocol,
    /// Lines in the making, by [`Direction::index`].
    lines: [Line; 2],
    /// Client's bytes whose meaning the server's answer decides.
    pub(crate) kept: Option<Box<Kept>>,
    /// So many bytes may still be read again.
    again: u64,
    /// Bytes kept were given up: which commands they held, AUTH for one, is not known.
    pub(crate) forgot: bool,
    pub(crate) switch: Switch,
    pub(crate) auth: Option<Box<Attempt>>,
    /// The greeting has been seen, or will not be.
    pub(crate) greeted: bool,
    /// Where the client spoke first, if that was before the server did.
    pub(crate) early: Option<(Timestamp, u64)>,
    /// Why the protocol is not certain.
    pub(crate) doubt: Option<Doubt>,
    /// Bytes were seen, by direction.
    pub(crate) seen: [bool; 2],
    /// Bytes are missing, by direction: what they held is not known.
    pub(crate) gapped: [bool; 2],
    /// Looking for the start of a line.
    pub(crate) skip: [Skip; 2],
    /// The server's last reply was a challenge of a command that was not seen, and no line has answered it yet.
    pub(crate) challenged: bool,
    /// Warnings given, once each and direction.
    warned: u8,
    pub(crate) reply: Option<Box<Replying>>,
    /// Memory is short: only a little is kept.
    pub(crate) tight: bool,
}

impl Core {
    pub(crate) fn new(protocol: Protocol) -> Self {
        Self {
            protocol,
            lines: [Line::default(), Line::default()],
            kept: None,
            again: FREE_AGAIN,
            forgot: false,
            switch: Switch::new(),
            auth: None,
            greeted: true,
            early: None,
            doubt: Some(Doubt::MidStream),
            seen: [false; 2],
            gapped: [false; 2],
            skip: [Skip::No; 2],
            challenged: false,
            warned: 0,
            reply: None,
            tight: false,
        }
    }

    /// Bytes of memory that lines, what waits and the reply in the making take.
    #[inline]
    pub(crate) fn keeps(&self) -> usize {
        let [client, server] = &self.lines;
        let kept = self.kept.as_ref().map_or(0, |kept| kept.keeps());
        let reply = self.reply.as_ref().map_or(0, |reply| reply.keeps());
        client.keeps() + server.keeps() + kept + reply
    }

    /// Bytes of a line that are kept to be understood.
    pub(crate) fn max_line(&self) -> usize {
        if self.tight { SMALL } else { MAX_LINE }
    }

    /// Bytes that are kept of a reply in the making.
    pub(crate) fn max_reply(&self) -> usize {
        if self.tight { SMALL } else { MAX_REPLY }
    }

    /// Commands that may be outstanding.
    pub(crate) fn max_queue(&self) -> usize {
        if self.tight { SMALL_QUEUE } else { MAX_QUEUE }
    }

    /// Whether more is kept than may be, without an answer.
    pub(crate) fn keeps_too_much(&self) -> bool {
        self.kept_len() > if self.tight { SMALL } else { MAX_KEPT } as u64
    }

    pub(crate) fn line(&mut self, direction: Direction) -> &mut Line {
        direction.of_mut(&mut self.lines)
    }

    /// Notes who has spoken, and how much.
    pub(crate) fn see(&mut self, input: &Input<'_>) {
        if input.direction == Direction::ToServer && !input.is_again() {
            let new = MAX_AGAIN.saturating_mul(input.rest().len() as u64);
            self.again = self.again.saturating_add(new);
        }
        let [client, server] = &mut self.seen;
        match input.direction {
            Direction::ToServer => {
                if !*client && !*server && !self.greeted {
                    self.early = Some((input.time(), input.offset()));
                }
                *client = true;
            }
            Direction::ToClient => *server = true,
        }
    }

    /// The greeting has passed: says who did not wait for it, and that the protocol is certain now.
    pub(crate) fn greet(&mut self, out: &mut Out<'_, '_>) -> Result<(), SinkError> {
        let Some((time, offset)) = self.early.take() else {
            return Ok(());
        };
        if self.doubt.take().is_some() {
            out.mail(&MailEvent::Protocol {
                time,
                protocol: self.protocol,
                doubt: None,
            })?;
        }
        out.warn(time, Direction::ToServer, offset, MailWarning::EarlyTalker)
    }

    /// The server answers what the client said in clear text behind STARTTLS: there will be no TLS.
    pub(crate) fn goes_on_in_clear(&self) -> bool {
        let begun = Direction::BOTH
            .iter()
            .any(|direction| self.switch.has_begun(*direction));
        self.switch.is_agreed() && self.kept_len() > 0 && !begun
    }

    /// Clear text of the server now would stand where its TLS should be.
    pub(crate) fn server_injects(&self) -> bool {
        self.switch.is_agreed() && !self.switch.has_begun(Direction::ToClient)
    }

    /// At the start of a line: whether TLS begins there instead.
    pub(crate) fn tls(&mut self, input: &Input<'_>) -> Flow {
        match sniff(input) {
            Verdict::Yes => Flow::Tls,
            Verdict::Unsure => Flow::Hold,
            Verdict::No => Flow::Go,
        }
    }

    /// Takes what `input` has of the current line and passes it on; from byte `secret` of the line on it
    /// is a secret, if that says so. The line, if it is complete.
    pub(crate) fn pass_line(
        &mut self,
        input: &mut Input<'_>,
        kind: Kind,
        secret: impl Fn(&[u8]) -> Option<usize>,
        out: &mut Out<'_, '_>,
    ) -> Result<Option<Line>, SinkError> {
        let direction = input.direction;
        out.recount = true;
        let n = Line::extent(input);
        let done = input.rest().get(..n).is_some_and(|line| line.ends_with(b"\n"));
        let max = self.max_line();
        let line = self.line(direction);
        let before = line.len();
        let too_long = line.push(input, n, max);
        let (offset, time) = (line.offset, line.time);
        let clear = match secret(line.bytes()) {
            Some(start) => usize::try_from((start as u64).saturating_sub(before))
                .unwrap_or(n)
                .min(n),
            // Where memory is short a secret may begin where the line is not looked at any more.
            None if direction == Direction::ToServer && kind != Kind::Body && line.is_shortened() => {
                let looked_at = (line.bytes().len() as u64).saturating_sub(before);
                usize::try_from(looked_at).unwrap_or(n).min(n)
            }
            None => n,
        };
        let max = line.max();
        if let (Direction::ToServer, Some(kept)) = (direction, &mut self.kept) {
            kept.copy(input, n);
        }
        input.pass(clear, kind, out)?;
        input.pass(n - clear, Kind::Secret, out)?;
        if too_long && kind != Kind::Body {
            let words = format!("a line longer than {max} bytes");
            out.warn(time, direction, offset, MailWarning::Malformed(words))?;
        }
        self.switch.clear_text(direction, input.offset());
        if done && direction == Direction::ToServer {
            self.challenged = false;
        }
        Ok(done.then(|| self.line(direction).take()))
    }

    /// Whether both sides have been seen without anything missing.
    pub(crate) fn whole(&self) -> bool {
        self.seen == [true; 2] && self.gapped == [false; 2]
    }

    /// Warns of what is odd with a line's end, once for each direction.
    pub(crate) fn odd_line(
        &mut self,
        line: &Line,
        direction: Direction,
        out: &mut Out<'_, '_>,
    ) -> Result<(), SinkError> {
        let (warning, bit, offset) = match oddity(line.bytes()) {
            None => return Ok(()),
            Some(Oddity::BareLf) => (MailWarning::BareLf, 1, line.end().saturating_sub(1)),
            Some(Oddity::BareCr(at)) => (MailWarning::BareCr, 4, line.offset.saturating_add(at as u64)),
        };
        if self.first(bit << direction.index()) {
            out.warn(line.time, direction, offset, warning)?;
        }
        Ok(())
    }

    /// Warns once in a connection that something is malformed; not where bytes are missing, which make anything
    /// look so.
    pub(crate) fn malformed_reply(&mut self, line: &Line, out: &mut Out<'_, '_>) -> Result<(), SinkError> {
        if self.gapped == [false; 2] && self.first(16) {
            let words = "a reply line without a code".to_owned();
            out.warn(
                line.time,
                Direction::ToClient,
                line.offset,
                MailWarning::Malformed(words),
            )?;
        }
        Ok(())
    }

    /// Warns that a password goes over the wire in clear, once in a connection.
    pub(crate) fn clear_password(
        &mut self,
        time: Timestamp,
        offset: u64,
        out: &mut Out<'_, '_>,
    ) -> Result<(), SinkError> {
        if self.first(32) {
            out.warn(time, Direction::ToServer, offset, MailWarning::ClearTextAuth)?;
        }
        Ok(())
    }

    fn first(&mut self, bit: u8) -> bool {
        let first = self.warned & bit == 0;
        self.warned |= bit;
        first
    }

    /// The client's bytes kept so far, taken out to be understood. `Err` where they have been read so often that
    /// they are forgotten instead: what the client sends is not known then, though its line in the making goes on.
    pub(crate) fn take_kept(&mut self) -> Result<Option<Box<Kept>>, Forgotten> {
        match self.again.checked_sub(self.kept_len()) {
            Some(left) => self.again = left,
            None => {
                self.forget();
                return Err(Forgotten);
            }
        }
        self.restart(Direction::ToServer);
        Ok(self.kept.take().filter(|kept| !kept.is_empty()))
    }

    /// Gives up what is kept.
    pub(crate) fn forget(&mut self) {
        self.kept = None;
        self.forgot = true;
    }

    /// Bytes are missing: whether TLS most likely begins among them.
    pub(crate) fn tls_due(&self, direction: Direction) -> bool {
        self.switch.is_due(direction, self.kept.is_some())
    }

    /// Clear text behind STARTTLS.
    pub(crate) fn kept_len(&self) -> u64 {
        self.kept.as_ref().map_or(0, |kept| kept.len() as u64)
    }

    /// TLS begins at `input`. Gives what to tell of it, if it is the first direction.
    pub(crate) fn begin_tls(
        &mut self,
        input: &Input<'_>,
        out: &mut Out<'_, '_>,
    ) -> Result<Option<Started>, SinkError> {
        let started = self.switch.begin(input, self.protocol, out)?;
        let (direction, first) = (input.direction, input.offset() == 0);
        let [client, server] = self.seen;
        let warning = match direction {
            _ if started
                .as_ref()
                .is_none_or(|started| started.how != TlsHow::Found) =>
            {
                None
            }
            Direction::ToServer if first && server => {
                Some(MailWarning::ImplicitMismatch(ImplicitMismatch::ServerIsPlain))
            }
            Direction::ToClient if first && client => {
                Some(MailWarning::ImplicitMismatch(ImplicitMismatch::ClientIsPlain))
            }
            // No server begins: what the client said before is what the capture lacks, told of or not yet.
            Direction::ToClient => None,
            Direction::ToServer => self.whole().then_some(MailWarning::TlsWithoutStarttls),
        };
        if let Some(warning) = warning {
            out.warn(input.time(), direction, input.offset(), warning)?;
        }
        if direction == Direction::ToServer {
            self.kept = None;
        }
        self.restart(direction);
        Ok(started)
    }

    /// The connection is over: what became of STARTTLS, as far as both sides were seen.
    pub(crate) fn close_switch(&mut self, time: Timestamp, out: &mut Out<'_, '_>) -> Result<(), SinkError> {
        let asked_unseen = self.seen != [true; 2] || self.gapped == [true, false] || self.gapped == [true; 2];
        self.switch.close(time, self.protocol, !asked_unseen, out)
    }

    /// Tells an authentication's outcome.
    pub(crate) fn tell_auth(
        &mut self,
        accepted: Option<bool>,
        out: &mut Out<'_, '_>,
    ) -> Result<(), SinkError> {
        match self.auth.take() {
            Some(attempt) => out.mail(&MailEvent::Auth(attempt.finish(accepted))),
            None => Ok(()),
        }
    }
}

/// A command as told.
pub(crate) fn command(line: &Line, tag: &[u8], verb: &[u8], argument: &[u8]) -> Command {
    let mut verb = text(verb, MAX_VERB);
    verb.make_ascii_uppercase();
    Command {
        time: line.time,
        offset: line.offset,
        tag: text(tag, MAX_VERB),
        verb,
        argument: text(argument, MAX_TEXT),
    }
}

/// What stands for a secret.
pub(crate) const HIDDEN: &str = "[hidden]";
