//! One connection that somebody may understand: who reads which direction, and what is told in between.

use memchr::memmem;

use crate::budget::Share;
use crate::event::{ClientKnown, Connection, Direction, Kind, SinkError, Verdict};
use crate::mail::input::{Input, Kept, Out};
use crate::mail::probe::{Outcome, Probe};
use crate::mail::session::Session;
use crate::mail::starttls::{sniff, sniff_hello};
use crate::mail::{Doubt, Flow, ImplicitMismatch, MailEvent, MailWarning, Protocol, port_hint};
use crate::time::Timestamp;
use crate::tls::TlsWatcher;

use super::tls::is_tls;

/// How often a connection that was not understood is looked at again: each time the other side speaks.
const TRIES: u8 = 16;

/// Who reads a direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// It is being found out.
    Probe,
    /// The mail session.
    Mail,
    /// The same, unless TLS begins here: what is missing before it may have been STARTTLS.
    MailOrTls,
    /// The TLS watcher.
    Tls,
    /// Nobody, unless TLS begins here: the side has just begun to speak again.
    TlsDue,
    /// Nobody yet: bytes are missing where TLS is due, or while the other side is in it, so that this one most
    /// likely is, too.
    Resume,
    /// Nobody.
    Pass,
}

/// One connection that somebody may understand.
pub(super) struct Watch {
    stages: [Stage; 2],
    /// Bytes that wait for more, to be understood.
    pub(super) holds: [Kept; 2],
    pub(super) probe: Option<Probe>,
    pub(super) session: Option<Box<Session>>,
    pub(super) tls: Option<Box<TlsWatcher>>,
    /// Who spoke last.
    last: Option<Direction>,
    tries: u8,
    ended: [bool; 2],
    /// Told already that there is clear text again.
    pub(super) plain_told: bool,
    pub(super) hint_told: bool,
    /// Only a little is kept.
    pub(super) tight: bool,
    /// What it keeps.
    pub(super) share: Share,
}

impl Watch {
    pub(super) fn new(connection: &Connection) -> Self {
        let hint = port_hint(connection.server.port).map(|(protocol, _)| protocol);
        let from_start = connection.client_known != ClientKnown::Guessed;
        Self {
            stages: [Stage::Probe; 2],
            holds: [Kept::default(), Kept::default()],
            probe: Some(Probe::new(hint, from_start)),
            session: None,
            tls: None,
            last: None,
            tries: TRIES,
            ended: [false; 2],
            plain_told: false,
            hint_told: false,
            tight: false,
            share: Share::default(),
        }
    }

    /// Whether nobody will understand anything any more.
    pub(super) fn is_over(&self) -> bool {
        let nobody = self.session.is_none() && self.tls.is_none();
        nobody && (self.ended == [true; 2] || self.tries == 0 && self.stages == [Stage::Pass; 2])
    }

    /// Whether nobody wants to look at this direction before the other one has spoken.
    pub(super) fn passes(&self, direction: Direction) -> bool {
        self.last == Some(direction) && self.stages.get(direction.index()) == Some(&Stage::Pass)
    }

    pub(super) fn stage(&mut self, direction: Direction) -> &mut Stage {
        direction.of_mut(&mut self.stages)
    }

    pub(super) fn hold(&mut self, direction: Direction) -> &mut Kept {
        direction.of_mut(&mut self.holds)
    }

    pub(super) fn data(
        &mut self,
        direction: Direction,
        offset: u64,
        time: Timestamp,
        bytes: &[u8],
        out: &mut Out<'_, '_>,
    ) -> Result<(), SinkError> {
        if self.last != Some(direction) {
            self.flush(direction.reverse(), out)?;
            self.last = Some(direction);
            self.look_again(direction);
        }
        if self.hold(direction).is_empty() {
            let times = [(0, time)];
            let mut input = Input::new(direction, offset, bytes, &times);
            self.read(&mut input, out)?;
            let rest = input.rest();
            if !rest.is_empty() {
                let (offset, time) = (input.offset(), input.time());
                self.hold(direction).push(offset, time, rest);
                out.recount = true;
            }
            return Ok(());
        }
        out.recount = true;
        let mut held = std::mem::take(self.hold(direction));
        held.push(offset, time, bytes);
        let mut input = held.input(direction);
        self.read(&mut input, out)?;
        let mut left = Kept::default();
        left.copy(&input, input.rest().len());
        *self.hold(direction) = left;
        Ok(())
    }

    /// Passes on what waits in a direction: nothing more will come to understand it by.
    pub(super) fn flush(&mut self, direction: Direction, out: &mut Out<'_, '_>) -> Result<(), SinkError> {
        if self.hold(direction).is_empty() {
            return Ok(());
        }
        out.recount = true;
        let held = std::mem::take(self.hold(direction));
        let mut input = held.input(direction);
        input.last = true;
        self.read(&mut input, out)?;
        let rest = input.rest().len();
        input.pass(rest, Kind::Plain, out)
    }

    /// The other side has spoken: what nobody understood may now be something.
    fn look_again(&mut self, direction: Direction) {
        if *self.stage(direction) != Stage::Pass || self.session.is_some() {
            return;
        }
        if self.tls.is_some() {
            *self.stage(direction) = Stage::TlsDue;
            return;
        }
        let Some(probe) = self.probe.as_mut().filter(|_| self.tries > 0) else {
            return;
        };
        self.tries -= 1;
        if !probe.from_start {
            probe.restart();
            *self.stage(direction) = Stage::Probe;
        } else if direction == Direction::ToServer {
            *self.stage(direction) = Stage::TlsDue;
        }
    }

    fn read(&mut self, input: &mut Input<'_>, out: &mut Out<'_, '_>) -> Result<(), SinkError> {
        let direction = input.direction;
        while !input.is_empty() {
            match *self.stage(direction) {
                Stage::Pass => {
                    let rest = input.rest().len();
                    return input.pass(rest, Kind::Plain, out);
                }
                Stage::Tls => self.read_tls(input, out)?,
                Stage::TlsDue => {
                    let verdict = if self.tls.is_some() {
                        sniff(input)
                    } else {
                        sniff_hello(input)
                    };
                    match verdict {
                        Verdict::Yes => self.begin_tls(input, out)?,
                        Verdict::Unsure => return Ok(()),
                        Verdict::No => *self.stage(direction) = Stage::Pass,
                    }
                }
                Stage::Resume => match sniff(input) {
                    Verdict::Yes => self.begin_tls(input, out)?,
                    Verdict::Unsure => return Ok(()),
                    // In the middle of a record, or still in what was said in clear.
                    Verdict::No => match text(input) {
                        Verdict::Yes if self.session.is_some() => *self.stage(direction) = Stage::Mail,
                        Verdict::Unsure => return Ok(()),
                        _ => {
                            self.begin_tls(input, out)?;
                            // Its record's start is missing, a byte of it at the least.
                            self.lose_tls(direction, 1, input.time(), out)?;
                        }
                    },
                },
                Stage::MailOrTls => match sniff(input) {
                    Verdict::Yes => self.begin_tls(input, out)?,
                    Verdict::Unsure => return Ok(()),
                    Verdict::No => *self.stage(direction) = Stage::Mail,
                },
                Stage::Mail => {
                    let Some(session) = &mut self.session else {
                        *self.stage(direction) = Stage::Pass;
                        continue;
                    };
                    match session.data(input, out)? {
                        Flow::Go => {}
                        Flow::Hold => return Ok(()),
                        Flow::Tls => self.begin_tls(input, out)?,
                    }
                }
                Stage::Probe => {
                    if self.probe(input, out)? {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// True where what is left must wait.
    fn probe(&mut self, input: &mut Input<'_>, out: &mut Out<'_, '_>) -> Result<bool, SinkError> {
        let direction = input.direction;
        let Some(probe) = &mut self.probe else {
            *self.stage(direction) = Stage::Pass;
            return Ok(false);
        };
        match probe.data(input, out)? {
            Outcome::Wait => {}
            Outcome::Hold => return Ok(true),
            Outcome::SideNot => *self.stage(direction) = Stage::Pass,
            Outcome::Not => {
                drop(probe.take_runs());
                for stage in &mut self.stages {
                    if *stage == Stage::Probe {
                        *stage = Stage::Pass;
                    }
                }
            }
            Outcome::Tls => {
                if probe.from_start || self.tls.is_some() || is_tls(input) {
                    self.begin_tls(input, out)?;
                } else {
                    *self.stage(direction) = Stage::Pass;
                }
            }
            Outcome::Mail(protocol, sure) => self.begin_mail(protocol, sure, input, out)?,
        }
        Ok(false)
    }

    fn begin_mail(
        &mut self,
        protocol: Protocol,
        sure: bool,
        input: &Input<'_>,
        out: &mut Out<'_, '_>,
    ) -> Result<(), SinkError> {
        let Some(mut probe) = self.probe.take() else {
            return Ok(());
        };
        let time = probe.time().unwrap_or(input.time());
        let doubt = match (sure, probe.from_start) {
            (true, _) => None,
            (false, true) => Some(Doubt::NoGreeting),
            (false, false) => Some(Doubt::MidStream),
        };
        out.mail(&MailEvent::Protocol {
            time,
            protocol,
            doubt,
        })?;
        if *self.stage(Direction::ToServer) == Stage::Tls && input.direction == Direction::ToClient {
            let warning = MailWarning::ImplicitMismatch(ImplicitMismatch::ServerIsPlain);
            out.warn(time, Direction::ToServer, 0, warning)?;
        }
        let mut session = Box::new(Session::new(protocol, probe.from_start));
        session.core().doubt = doubt;
        session.core().tight = self.tight;
        if let Some(early) = probe.early_garbage() {
            session.lose_client(early);
        }
        for (direction, kept) in probe.take_runs() {
            session.data(&mut kept.passed(direction), out)?;
        }
        self.session = Some(session);
        for stage in &mut self.stages {
            if matches!(stage, Stage::Probe | Stage::Pass) {
                *stage = Stage::Mail;
            }
        }
        Ok(())
    }

    pub(super) fn gap(
        &mut self,
        direction: Direction,
        len: u64,
        time: Timestamp,
        out: &mut Out<'_, '_>,
    ) -> Result<(), SinkError> {
        self.lose_tls(direction, len, time, out)?;
        let other = *self.stage(direction.reverse());
        if *self.stage(direction) != Stage::Tls && self.tls.is_some() && other == Stage::Tls {
            *self.stage(direction) = Stage::Resume;
        }
        match (*self.stage(direction), &mut self.session, &mut self.tls) {
            (Stage::Tls, ..) => Ok(()),
            (stage, Some(session), _) => {
                if stage == Stage::Mail {
                    *direction.of_mut(&mut self.stages) = Stage::MailOrTls;
                }
                let mut due = session.core().tls_due(direction);
                session.gap(direction, len, out)?;
                // A reply that the gap cut short may have been the agreement.
                due |= session.core().tls_due(direction);
                if due {
                    *direction.of_mut(&mut self.stages) = Stage::Resume;
                }
                Ok(())
            }
            (Stage::Probe, None, _) => {
                if let Some(probe) = &mut self.probe {
                    probe.restart();
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    pub(super) fn end(
        &mut self,
        direction: Direction,
        time: Timestamp,
        out: &mut Out<'_, '_>,
    ) -> Result<(), SinkError> {
        self.flush(direction, out)?;
        *direction.of_mut(&mut self.ended) = true;
        match (*self.stage(direction), &mut self.tls) {
            (Stage::Tls, Some(tls)) => {
                let mut told = Vec::new();
                tls.end(direction, time, &mut |event| told.push(event));
                told.iter().try_for_each(|event| out.tls(event))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn close(&mut self, time: Timestamp, out: &mut Out<'_, '_>) -> Result<(), SinkError> {
        for direction in Direction::BOTH {
            self.flush(direction, out)?;
        }
        if let Some(session) = &mut self.session {
            session.close(time, out)?;
        }
        match &mut self.tls {
            Some(tls) => {
                let mut told = Vec::new();
                tls.close(time, &mut |event| told.push(event));
                told.iter().try_for_each(|event| out.tls(event))
            }
            None => Ok(()),
        }
    }
}

/// Whether what begins here is said in clear: text to the end of its line. Names and addresses in certificates and
/// hellos are text, too, but end in no line; how it was cut must not matter.
fn text(input: &Input<'_>) -> Verdict {
    const ENOUGH: usize = 512;
    let is_text = |byte: &u8| *byte >= b' ' && *byte != 0x7f || matches!(byte, b'\t' | b'\r' | b'\n');
    let rest = input.upcoming(ENOUGH as u64);
    let line = memmem::find(rest, b"\r\n").and_then(|end| rest.get(..end));
    match line.unwrap_or(rest).iter().all(is_text) {
        false => Verdict::No,
        true if line.is_some() || rest.len() >= ENOUGH || input.last => Verdict::Yes,
        true => Verdict::Unsure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The buffers come on top: empty between lines, but for 256 bytes a direction.
    #[test]
    fn a_watched_connection_is_small() {
        let size = size_of::<Watch>() + size_of::<Session>() + size_of::<TlsWatcher>();
        assert!(size < 2560, "{size}");
    }
}
