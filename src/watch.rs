//! The watchers of all connections: finds out what a connection speaks and hands its bytes to who understands.
//!
//! Bytes are passed on exactly as they come, cut and labelled; what is told of them follows them. What nobody
//! understands passes uncopied.

use crate::event::{ClientKnown, Connection, Direction, Emit, Event, Kind, SinkError, Verdict};
use crate::mail::input::{Input, Kept, Out};
use crate::mail::probe::{Outcome, Probe};
use crate::mail::session::Session;
use crate::mail::starttls::{sniff, sniff_hello};
use crate::mail::{Flow, ImplicitMismatch, MailEvent, MailWarning, Protocol, port_hint};
use crate::time::Timestamp;
use crate::tls::{Started, TlsEvent, TlsHow, TlsWatcher, looks_like_chain, looks_like_client_hello};

/// How often a connection that was not understood is looked at again: each time the other side speaks.
const TRIES: u8 = 16;

/// State of all connections, by their slots.
#[derive(Default)]
pub struct Watchers {
    slots: Vec<Slot>,
}

/// One connection.
enum Slot {
    /// Somebody may understand it; `None` before the first byte.
    Watched(Option<Box<Watch>>),
    /// Nobody does.
    Passing,
}

impl Default for Slot {
    fn default() -> Self {
        Self::Watched(None)
    }
}

impl Watchers {
    /// No connections.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes one event of the flow table, passes it on, cut and labelled, and adds what watchers tell.
    ///
    /// # Errors
    /// Those of `emit`.
    pub fn event(
        &mut self,
        connection: &Connection,
        event: &Event<'_>,
        emit: &mut Emit<'_>,
    ) -> Result<(), SinkError> {
        let index = connection.slot as usize;
        if index >= self.slots.len() {
            self.slots.resize_with(index + 1, Slot::default);
        }
        let Some(slot) = self.slots.get_mut(index) else {
            return emit(connection, event);
        };
        let mut out = Out { connection, emit };
        let watched = match (event, slot) {
            (Event::Opened, slot) => {
                *slot = Slot::default();
                return out.event(event);
            }
            (_, Slot::Passing) => return out.event(event),
            (_, Slot::Watched(watched)) => watched,
        };
        match event {
            Event::Data {
                direction,
                offset,
                time,
                bytes,
                ..
            } => {
                let watch = watched.get_or_insert_with(|| Box::new(Watch::new(connection)));
                watch.data(*direction, *offset, *time, bytes, &mut out)?;
                if watch.is_over() {
                    self.pass(index);
                }
                return Ok(());
            }
            Event::Gap {
                direction,
                offset,
                len,
                time,
                ..
            } => {
                let watch = watched.get_or_insert_with(|| Box::new(Watch::new(connection)));
                watch.flush(*direction, &mut out)?;
                out.event(event)?;
                return watch.gap(*direction, *offset, *len, *time, &mut out);
            }
            Event::End { direction, time, .. } => {
                if let Some(watch) = watched {
                    watch.end(*direction, *time, &mut out)?;
                }
            }
            Event::Closed(closing) => {
                if let Some(mut watch) = watched.take() {
                    watch.close(closing.last_time, &mut out)?;
                }
            }
            _ => {}
        }
        out.event(event)
    }

    fn pass(&mut self, index: usize) {
        if let Some(slot) = self.slots.get_mut(index) {
            *slot = Slot::Passing;
        }
    }
}

/// Who reads a direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It is being found out.
    Probe,
    /// The mail session.
    Mail,
    /// The TLS watcher.
    Tls,
    /// Nobody, unless TLS begins here: the side has just begun to speak again.
    TlsDue,
    /// Nobody.
    Pass,
}

/// One connection that somebody may understand.
struct Watch {
    stages: [Stage; 2],
    /// Bytes that wait for more, to be understood.
    holds: [Kept; 2],
    probe: Option<Box<Probe>>,
    session: Option<Session>,
    tls: Option<Box<TlsWatcher>>,
    /// Who spoke last.
    last: Option<Direction>,
    tries: u8,
    /// Told already that there is clear text again.
    plain_told: bool,
    hint_told: bool,
}

impl Watch {
    fn new(connection: &Connection) -> Self {
        let hint = port_hint(connection.server.port).map(|(protocol, _)| protocol);
        let from_start = connection.client_known != ClientKnown::Guessed;
        Self {
            stages: [Stage::Probe; 2],
            holds: [Kept::default(), Kept::default()],
            probe: Some(Box::new(Probe::new(hint, from_start))),
            session: None,
            tls: None,
            last: None,
            tries: TRIES,
            plain_told: false,
            hint_told: false,
        }
    }

    /// Whether nobody will understand anything any more.
    fn is_over(&self) -> bool {
        self.session.is_none() && self.tls.is_none() && self.tries == 0 && self.stages == [Stage::Pass; 2]
    }

    fn stage(&mut self, direction: Direction) -> &mut Stage {
        let [client, server] = &mut self.stages;
        match direction {
            Direction::ToServer => client,
            Direction::ToClient => server,
        }
    }

    fn hold(&mut self, direction: Direction) -> &mut Kept {
        let [client, server] = &mut self.holds;
        match direction {
            Direction::ToServer => client,
            Direction::ToClient => server,
        }
    }

    fn data(
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
            }
            return Ok(());
        }
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
    fn flush(&mut self, direction: Direction, out: &mut Out<'_, '_>) -> Result<(), SinkError> {
        if self.hold(direction).is_empty() {
            return Ok(());
        }
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
        out.mail(&MailEvent::Protocol { time, protocol, sure })?;
        if *self.stage(Direction::ToServer) == Stage::Tls && input.direction == Direction::ToClient {
            let warning = MailWarning::ImplicitMismatch(ImplicitMismatch::ServerIsPlain);
            out.warn(time, Direction::ToServer, 0, warning)?;
        }
        let mut session = Session::new(protocol, probe.from_start);
        session.core().sure = sure;
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

    fn begin_tls(&mut self, input: &Input<'_>, out: &mut Out<'_, '_>) -> Result<(), SinkError> {
        let direction = input.direction;
        let started = match &mut self.session {
            Some(session) => session.core().begin_tls(input, out)?,
            None if self.tls.is_some() => None,
            None => Some(self.unasked_tls(input, out)?),
        };
        if let Some(started) = started {
            out.tls(&TlsEvent::Started(started.clone()))?;
            self.tls = Some(Box::new(TlsWatcher::new(started)));
            self.plain_told = false;
        }
        *self.stage(direction) = Stage::Tls;
        let other = self.stage(direction.reverse());
        if *other == Stage::Pass {
            *other = Stage::TlsDue;
        }
        Ok(())
    }

    /// TLS from the first byte, or found where nobody understood what came before.
    fn unasked_tls(&mut self, input: &Input<'_>, out: &mut Out<'_, '_>) -> Result<Started, SinkError> {
        let direction = input.direction;
        let at_start = self.probe.as_ref().is_some_and(|probe| probe.at_start(direction));
        let implicit = at_start && *self.stage(direction) == Stage::Probe && direction == Direction::ToServer;
        let mut offsets = [None; 2];
        if let Some(offset) = offsets.get_mut(direction.index()) {
            *offset = Some(input.offset());
        }
        if implicit && input.offset() == 0 {
            offsets = [Some(0); 2];
        }
        let hint = port_hint(out.connection.server.port).filter(|(_, tls)| *tls && implicit);
        if let (Some((protocol, _)), false) = (hint, std::mem::replace(&mut self.hint_told, true)) {
            out.mail(&MailEvent::Protocol {
                time: input.time(),
                protocol,
                sure: false,
            })?;
        }
        Ok(Started {
            time: input.time(),
            how: if implicit { TlsHow::Implicit } else { TlsHow::Found },
            offsets,
        })
    }

    fn read_tls(&mut self, input: &mut Input<'_>, out: &mut Out<'_, '_>) -> Result<(), SinkError> {
        let direction = input.direction;
        let Some(tls) = &mut self.tls else {
            *self.stage(direction) = Stage::Pass;
            return Ok(());
        };
        let (offset, time, bytes) = (input.offset(), input.time(), input.packet());
        let mut told = Vec::new();
        tls.data(direction, offset, time, bytes, &mut |event| told.push(event));
        let broken = told.iter().find_map(|event| match event {
            TlsEvent::Broken {
                direction: of,
                offset,
                ..
            } if *of == direction => Some(*offset),
            _ => None,
        });
        let len = broken.map_or(bytes.len(), |at| {
            usize::try_from(at.saturating_sub(offset))
                .unwrap_or(bytes.len())
                .min(bytes.len())
        });
        input.pass(len, Kind::Tls, out)?;
        for event in &told {
            out.tls(event)?;
        }
        if broken.is_some() {
            self.plain_again(input, out)?;
        }
        Ok(())
    }

    /// What follows TLS is none: the session goes on in clear text, if it is text.
    fn plain_again(&mut self, input: &Input<'_>, out: &mut Out<'_, '_>) -> Result<(), SinkError> {
        let direction = input.direction;
        let text = input
            .rest()
            .first()
            .is_none_or(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace());
        match &mut self.session {
            Some(session) if text => {
                session.plain_again(direction);
                if !std::mem::replace(&mut self.plain_told, true) {
                    out.warn(
                        input.time(),
                        direction,
                        input.offset(),
                        MailWarning::PlaintextAfterTls,
                    )?;
                }
                *self.stage(direction) = Stage::Mail;
            }
            _ => *self.stage(direction) = Stage::Pass,
        }
        Ok(())
    }

    fn gap(
        &mut self,
        direction: Direction,
        offset: u64,
        len: u64,
        time: Timestamp,
        out: &mut Out<'_, '_>,
    ) -> Result<(), SinkError> {
        match (*self.stage(direction), &mut self.session, &mut self.tls) {
            (Stage::Tls, _, Some(tls)) => {
                let mut told = Vec::new();
                tls.gap(direction, offset, len, time, &mut |event| told.push(event));
                told.iter().try_for_each(|event| out.tls(event))
            }
            (_, Some(session), _) => session.gap(direction, len, out),
            (Stage::Probe, None, _) => {
                if let Some(probe) = &mut self.probe {
                    probe.restart();
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn end(&mut self, direction: Direction, time: Timestamp, out: &mut Out<'_, '_>) -> Result<(), SinkError> {
        self.flush(direction, out)?;
        match (*self.stage(direction), &mut self.tls) {
            (Stage::Tls, Some(tls)) => {
                let mut told = Vec::new();
                tls.end(direction, time, &mut |event| told.push(event));
                told.iter().try_for_each(|event| out.tls(event))
            }
            _ => Ok(()),
        }
    }

    fn close(&mut self, time: Timestamp, out: &mut Out<'_, '_>) -> Result<(), SinkError> {
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

/// In the middle of a stream a header alone proves too little.
fn is_tls(input: &Input<'_>) -> bool {
    let packet = input.packet();
    let exact = match packet {
        [_, _, _, high, low, rest @ ..] => rest.len() == usize::from(u16::from_be_bytes([*high, *low])),
        _ => false,
    };
    exact || looks_like_chain(packet) || looks_like_client_hello(packet) == Verdict::Yes
}
