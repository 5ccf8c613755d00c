//! The first lines of a connection of which nobody knows what it speaks.
//!
//! They are passed on at once, labelled as what they look like, and kept until both sides together have said
//! enough for the session to read them again. What is clearly no mail is given up with its first line.

use crate::event::{Direction, Kind, SinkError, Verdict};
use crate::mail::detect::{Evidence, Judgement, begins, challenges, client_line, judge, server_line};
use crate::mail::input::{Input, Kept, Out};
use crate::mail::line::{Line, without_end};
use crate::mail::preamble::{Preamble, Preambled, secret_in};
use crate::mail::proxied::Proxied;
use crate::mail::secret::{self, answers};
use crate::mail::starttls::sniff;
use crate::mail::{MailEvent, Protocol};
use crate::time::Timestamp;

/// Bytes of a first line that are judged.
const MAX_FIRST: usize = 512;
/// Bytes kept of both sides.
const MAX_KEPT: usize = 2048;

/// Times that the other side spoke in between, at most: what it says then is put to what it said last.
const MAX_RUNS: usize = 64;

/// What came of looking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All has been passed; more must be seen.
    Wait,
    /// What is left is too little to tell what it is.
    Hold,
    /// TLS begins here.
    Tls,
    /// This protocol; whether that is certain.
    Mail(Protocol, bool),
    /// No mail.
    Not,
    /// This side tells nothing; the other one may.
    SideNot,
}

#[derive(Debug, Default)]
struct Side {
    evidence: Option<Evidence>,
    /// Of the line at hand: what it is called. `None` at its start.
    kind: Option<Kind>,
    line: Vec<u8>,
    /// No preamble is to be expected any more.
    begun: bool,
}

/// Both sides, as long as they are not understood.
#[derive(Debug)]
pub(crate) struct Probe {
    sides: [Side; 2],
    runs: Vec<(Direction, Kept)>,
    preamble: Preamble,
    hint: Option<Protocol>,
    /// Nothing came before what is seen.
    pub(crate) from_start: bool,
    /// Who spoke first, preambles apart, when and where.
    first: Option<(Direction, Timestamp, u64)>,
}

impl Probe {
    pub(crate) fn new(hint: Option<Protocol>, from_start: bool) -> Self {
        Self {
            sides: [Side::default(), Side::default()],
            runs: Vec::new(),
            preamble: Preamble::new(),
            hint,
            from_start,
            first: None,
        }
    }

    /// Begins again at `direction`'s next byte, in the middle of a connection.
    pub(crate) fn restart(&mut self) {
        self.sides = [Side::default(), Side::default()];
        self.runs.clear();
        self.from_start = false;
    }

    /// Whether a direction is at its very first byte, preambles apart.
    pub(crate) fn at_start(&self, direction: Direction) -> bool {
        let side = self.sides.get(direction.index());
        self.from_start && side.is_some_and(|side| side.kind.is_none() && side.evidence.is_none())
    }

    /// What was kept, in the order in which it came, to be read by the session.
    pub(crate) fn take_runs(&mut self) -> Vec<(Direction, Kept)> {
        std::mem::take(&mut self.runs)
    }

    /// Time of the first byte kept.
    pub(crate) fn time(&self) -> Option<Timestamp> {
        let (direction, kept) = self.runs.first()?;
        Some(kept.input(*direction).time())
    }

    /// When and where the client spoke before the server did, saying nothing that was understood.
    pub(crate) fn early_garbage(&self) -> Option<(Timestamp, u64)> {
        let [client, _] = &self.sides;
        match self.first {
            Some((Direction::ToServer, time, offset)) if client.evidence == Some(Evidence::Not) => {
                Some((time, offset)).filter(|_| self.from_start)
            }
            _ => None,
        }
    }

    /// Looks at the bytes of one direction.
    pub(crate) fn data(
        &mut self,
        input: &mut Input<'_>,
        out: &mut Out<'_, '_>,
    ) -> Result<Outcome, SinkError> {
        while !input.is_empty() {
            let direction = input.direction;
            let Some(side) = self.sides.get_mut(direction.index()) else {
                return Ok(Outcome::Not);
            };
            let kind = match side.kind {
                Some(kind) => kind,
                None => match self.look(input, out)? {
                    Ok(kind) => kind,
                    Err(Some(outcome)) => return Ok(outcome),
                    Err(None) => continue,
                },
            };
            if let Some(outcome) = self.line(kind, input, out)? {
                return Ok(outcome);
            }
        }
        Ok(Outcome::Wait)
    }

    /// At the start of a line: what it is called, or why not; an `Err(None)` has passed a preamble.
    fn look(
        &mut self,
        input: &mut Input<'_>,
        out: &mut Out<'_, '_>,
    ) -> Result<Result<Kind, Option<Outcome>>, SinkError> {
        let direction = input.direction;
        let Some(side) = self.sides.get_mut(direction.index()) else {
            return Ok(Err(Some(Outcome::Not)));
        };
        if !side.begun && self.from_start {
            match self.preamble.next(direction, input.rest()) {
                Preambled::Skip(n) => {
                    let message = input.rest().get(..n).unwrap_or_default();
                    let (secret, proxied) = match direction {
                        Direction::ToServer => (secret_in(message), Proxied::read(input.time(), message)),
                        Direction::ToClient => (0..0, None),
                    };
                    input.pass(secret.start, Kind::Plain, out)?;
                    input.pass(secret.len(), Kind::Secret, out)?;
                    input.pass(n - secret.end, Kind::Plain, out)?;
                    if let Some(proxied) = proxied {
                        out.mail(&MailEvent::Proxied(proxied))?;
                    }
                    return Ok(Err(None));
                }
                Preambled::More if !input.last => return Ok(Err(Some(Outcome::Hold))),
                Preambled::More | Preambled::Over => {}
            }
        }
        match sniff(input) {
            Verdict::Yes => return Ok(Err(Some(Outcome::Tls))),
            Verdict::Unsure => return Ok(Err(Some(Outcome::Hold))),
            Verdict::No => {}
        }
        let verdict = begins(direction, input.rest());
        if verdict == Verdict::Unsure && !input.last {
            return Ok(Err(Some(Outcome::Hold)));
        }
        // In the middle of a login nothing but the port says what it is.
        if let (Some(protocol), false, Verdict::No, None) =
            (self.hint, self.from_start, verdict, side.evidence)
        {
            let rest = input.rest();
            let secret = match direction {
                Direction::ToServer => answers(rest, input.last),
                Direction::ToClient => challenges(protocol, rest),
            };
            match (secret, direction) {
                (Verdict::Yes, Direction::ToServer) => input.pass(rest.len(), Kind::Secret, out)?,
                (Verdict::Yes, Direction::ToClient) => return Ok(Err(Some(Outcome::Mail(protocol, false)))),
                (Verdict::Unsure, _) if !input.last => return Ok(Err(Some(Outcome::Hold))),
                _ => {}
            }
        }
        side.begun = true;
        self.first
            .get_or_insert((direction, input.time(), input.offset()));
        if verdict != Verdict::Yes && side.evidence.is_none() {
            side.evidence = Some(Evidence::Not);
            return Ok(Err(Some(match self.judge() {
                Judgement::Mail(protocol, sure) => Outcome::Mail(protocol, sure),
                Judgement::Wait => Outcome::SideNot,
                Judgement::Not => Outcome::Not,
            })));
        }
        let kind = match (direction, input.rest().first()) {
            (Direction::ToServer, _) => Kind::Command,
            (_, Some(b'4')) => Kind::TransientReply,
            (_, Some(b'5' | b'-')) => Kind::PermanentReply,
            _ => Kind::Reply,
        };
        side.kind = Some(kind);
        Ok(Ok(kind))
    }

    /// Passes what there is of a line; judges it once it is whole.
    fn line(
        &mut self,
        kind: Kind,
        input: &mut Input<'_>,
        out: &mut Out<'_, '_>,
    ) -> Result<Option<Outcome>, SinkError> {
        let direction = input.direction;
        let greeting = self.from_start && matches!(self.first, Some((Direction::ToClient, ..)));
        let Some(side) = self.sides.get_mut(direction.index()) else {
            return Ok(Some(Outcome::Not));
        };
        let n = Line::extent(input).min(MAX_FIRST - side.line.len().min(MAX_FIRST - 1));
        let bytes = input.rest().get(..n).unwrap_or_default();
        let before = side.line.len();
        side.line.extend_from_slice(bytes);
        let secret = match direction {
            Direction::ToServer => secret::in_any(&side.line),
            Direction::ToClient => None,
        };
        let many = self.runs.len() >= MAX_RUNS;
        let mut runs = self.runs.iter_mut().rev().take(if many { MAX_RUNS } else { 1 });
        match runs.find(|(of, _)| *of == direction) {
            Some((_, kept)) => kept.copy(input, n),
            None => {
                let mut kept = Kept::default();
                kept.copy(input, n);
                self.runs.push((direction, kept));
            }
        }
        let clear = secret.map_or(n, |start| start.saturating_sub(before).min(n));
        input.pass(clear, kind, out)?;
        input.pass(n - clear, Kind::Secret, out)?;
        let whole = side.line.ends_with(b"\n");
        if whole || side.line.len() >= MAX_FIRST {
            let line = std::mem::take(&mut side.line);
            side.kind = (!whole).then_some(kind);
            let line = without_end(&line);
            if matches!(side.evidence, None | Some(Evidence::Any)) {
                side.evidence = Some(match direction {
                    Direction::ToServer => client_line(line),
                    Direction::ToClient => server_line(line, greeting),
                });
            }
        } else {
            return Ok(None);
        }
        Ok(match self.judge() {
            Judgement::Mail(protocol, sure) => Some(Outcome::Mail(protocol, sure)),
            Judgement::Not => Some(Outcome::Not),
            Judgement::Wait => (self.runs.iter().map(|(_, kept)| kept.len()).sum::<usize>() > MAX_KEPT)
                .then_some(Outcome::Not),
        })
    }

    fn judge(&self) -> Judgement {
        let [client, server] = &self.sides;
        judge(client.evidence, server.evidence, self.hint, self.from_start)
    }
}
