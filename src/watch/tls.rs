//! Where TLS begins, passes and ends in one connection.

use crate::event::{Direction, Kind, SinkError, Verdict};
use crate::mail::input::{Input, Out};
use crate::mail::{Doubt, MailEvent, MailWarning, port_hint};
use crate::time::Timestamp;
use crate::tls::{Started, TlsEvent, TlsHow, TlsWatcher, looks_like_chain, looks_like_client_hello};

use super::one::{Stage, Watch};

impl Watch {
    pub(super) fn begin_tls(&mut self, input: &Input<'_>, out: &mut Out<'_, '_>) -> Result<(), SinkError> {
        let direction = input.direction;
        let started = match &mut self.session {
            Some(session) => session.core().begin_tls(input, out)?,
            None if self.tls.is_some() => None,
            None => Some(self.unasked_tls(input, out)?),
        };
        // Whatever was asked for meanwhile: it is the same TLS as the other side's.
        let goes_on = self.tls.is_some() && *self.stage(direction.reverse()) == Stage::Tls;
        if let Some(started) = started.filter(|_| !goes_on) {
            out.tls(&TlsEvent::Started(started.clone()))?;
            let mut tls = Box::new(TlsWatcher::new(started));
            tls.tighten(self.tight);
            self.tls = Some(tls);
            self.plain_told = false;
        }
        *self.stage(direction) = Stage::Tls;
        let other = self.stage(direction.reverse());
        match *other {
            Stage::Pass => *other = Stage::TlsDue,
            // Nothing came yet behind its gap: had that come now, it would be the same.
            Stage::MailOrTls => *other = Stage::Resume,
            _ => {}
        }
        Ok(())
    }

    /// Bytes are missing in a direction, for whoever follows its TLS.
    pub(super) fn lose_tls(
        &mut self,
        direction: Direction,
        len: u64,
        time: Timestamp,
        out: &mut Out<'_, '_>,
    ) -> Result<(), SinkError> {
        let mut told = Vec::new();
        if let Some(tls) = &mut self.tls {
            tls.gap(direction, len, time, &mut |event| told.push(event));
        }
        told.iter().try_for_each(|event| out.tls(event))
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
                doubt: Some(Doubt::Hidden),
            })?;
        }
        Ok(Started {
            time: input.time(),
            how: if implicit { TlsHow::Implicit } else { TlsHow::Found },
            offsets,
        })
    }

    pub(super) fn read_tls(&mut self, input: &mut Input<'_>, out: &mut Out<'_, '_>) -> Result<(), SinkError> {
        let direction = input.direction;
        let Some(tls) = &mut self.tls else {
            *self.stage(direction) = Stage::Pass;
            return Ok(());
        };
        out.recount |= tls.is_shaking_hands();
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
}

/// In the middle of a stream a header alone proves too little.
pub(super) fn is_tls(input: &Input<'_>) -> bool {
    let packet = input.packet();
    let exact = match packet {
        [_, _, _, high, low, rest @ ..] => rest.len() == usize::from(u16::from_be_bytes([*high, *low])),
        _ => false,
    };
    exact || looks_like_chain(packet) || looks_like_client_hello(packet) == Verdict::Yes
}
