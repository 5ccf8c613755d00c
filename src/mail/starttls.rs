//! The switch from clear text to TLS: asked for, agreed to, and what then comes.
//!
//! It is a fact about bytes: the client's offset behind its command, the server's behind its agreement, and
//! what stands from there to the first TLS record was injected.

use crate::event::{Direction, SinkError, Verdict};
use crate::mail::input::{Input, Out};
use crate::mail::{MailEvent, MailWarning, Protocol, Reply, Starttls, StarttlsOutcome};
use crate::time::Timestamp;
use crate::tls::{Started, TlsHow, looks_like_client_hello, looks_like_record};

/// Bytes after which what looks a little like TLS is none.
const SNIFF: usize = 32;

/// Whether TLS begins at `input`, which is where a line would begin.
pub(crate) fn sniff(input: &Input<'_>) -> Verdict {
    let rest = input.rest();
    match sniff_hello(input) {
        // A header alone: it must not matter whether more is there already.
        Verdict::No => settle(input, looks_like_record(rest.get(..5).unwrap_or(rest))),
        verdict => verdict,
    }
}

/// Whether a client begins TLS at `input`.
pub(crate) fn sniff_hello(input: &Input<'_>) -> Verdict {
    let rest = input.rest();
    match (input.direction, rest.first()) {
        (Direction::ToServer, Some(22 | 0x80..)) => {
            settle(input, looks_like_client_hello(rest.get(..SNIFF).unwrap_or(rest)))
        }
        (_, None) => Verdict::Unsure,
        _ => Verdict::No,
    }
}

/// What is still unsure when nothing more will come is none.
fn settle(input: &Input<'_>, verdict: Verdict) -> Verdict {
    match verdict {
        Verdict::Unsure if input.last || input.rest().len() >= SNIFF => Verdict::No,
        verdict => verdict,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nobody has asked, or it is over.
    Idle,
    /// The client has asked; its TLS is due at this offset.
    Asked { client: u64 },
    /// The server has agreed; TLS is due at these offsets.
    Agreed { client: u64, server: u64 },
}

/// What is known of one session's switch.
#[derive(Debug)]
pub(crate) struct Switch {
    state: State,
    offered: bool,
    asked: bool,
    unused_told: bool,
    stripped_told: bool,
    /// Offsets where TLS has begun.
    began: [Option<u64>; 2],
    /// Where each side's clear text ends, as far as it has come: its TLS is due there. By [`Direction::index`].
    clear_end: [u64; 2],
    /// The server has answered TLS in clear text, and nothing else yet.
    alone: bool,
}

impl Switch {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Idle,
            offered: false,
            asked: false,
            unused_told: false,
            stripped_told: false,
            began: [None; 2],
            clear_end: [0; 2],
            alone: false,
        }
    }

    /// The server offers it.
    pub(crate) fn offer(&mut self) {
        self.offered = true;
    }

    /// The client asks for it; its line ends at `end`.
    pub(crate) fn ask(&mut self, end: u64) {
        self.asked = true;
        self.began = [None; 2];
        self.state = State::Asked { client: end };
    }

    /// Whether the server has agreed, so that the next bytes should be TLS.
    pub(crate) fn is_agreed(&self) -> bool {
        matches!(self.state, State::Agreed { .. })
    }

    /// Bytes are missing: whether TLS most likely begins among them. `waits`: the client has not gone on.
    pub(crate) fn is_due(&self, direction: Direction, waits: bool) -> bool {
        match self.state {
            State::Idle => false,
            // The agreement may be what the capture lacks, too; who does not get it goes on in clear.
            State::Asked { .. } => direction == Direction::ToServer && waits,
            State::Agreed { .. } => true,
        }
    }

    /// Whether TLS has begun in this direction.
    pub(crate) fn has_begun(&self, direction: Direction) -> bool {
        self.began.get(direction.index()).is_some_and(Option::is_some)
    }

    /// The server has agreed; its line ends at `end`.
    pub(crate) fn agree(
        &mut self,
        time: Timestamp,
        protocol: Protocol,
        end: u64,
        out: &mut Out<'_, '_>,
    ) -> Result<(), SinkError> {
        let State::Asked { client } = self.state else {
            return Ok(());
        };
        self.state = State::Agreed { client, server: end };
        match self.began {
            [Some(client_offset), _] => tell(
                time,
                protocol,
                StarttlsOutcome::Accepted {
                    client_offset,
                    server_offset: end,
                },
                out,
            ),
            _ => Ok(()),
        }
    }

    /// The server has refused.
    pub(crate) fn refuse(
        &mut self,
        protocol: Protocol,
        reply: Reply,
        out: &mut Out<'_, '_>,
    ) -> Result<(), SinkError> {
        self.state = State::Idle;
        tell(reply.time, protocol, StarttlsOutcome::Refused(reply), out)
    }

    /// What should have been an offer, an answer or a command came garbled.
    pub(crate) fn garbled(
        &mut self,
        time: Timestamp,
        protocol: Protocol,
        what: &str,
        out: &mut Out<'_, '_>,
    ) -> Result<(), SinkError> {
        if std::mem::replace(&mut self.stripped_told, true) {
            return Ok(());
        }
        tell(time, protocol, StarttlsOutcome::Stripped(what.to_owned()), out)
    }

    /// The session goes on (or ends) in clear text.
    pub(crate) fn not_used(
        &mut self,
        time: Timestamp,
        protocol: Protocol,
        out: &mut Out<'_, '_>,
    ) -> Result<(), SinkError> {
        if !self.offered
            || self.asked
            || self.began != [None; 2]
            || std::mem::replace(&mut self.unused_told, true)
        {
            return Ok(());
        }
        tell(time, protocol, StarttlsOutcome::OfferedNotUsed, out)
    }

    /// Clear text has passed, up to `end`; it may have been read before.
    pub(crate) fn clear_text(&mut self, direction: Direction, end: u64) {
        let clear_end = direction.of_mut(&mut self.clear_end);
        *clear_end = end.max(*clear_end);
        if direction == Direction::ToClient && self.is_agreed() && !self.has_begun(direction) {
            self.alone = self.has_begun(Direction::ToServer);
        }
    }

    /// Both go on in clear text although TLS was agreed.
    pub(crate) fn not_tls(
        &mut self,
        time: Timestamp,
        protocol: Protocol,
        out: &mut Out<'_, '_>,
    ) -> Result<(), SinkError> {
        self.state = State::Idle;
        tell(time, protocol, StarttlsOutcome::AcceptedNoTls, out)
    }

    /// TLS begins in a direction, at this offset.
    ///
    /// Gives what to tell of it if it is the first direction, and how.
    pub(crate) fn begin(
        &mut self,
        input: &Input<'_>,
        protocol: Protocol,
        out: &mut Out<'_, '_>,
    ) -> Result<Option<Started>, SinkError> {
        let (time, offset, direction) = (input.time(), input.offset(), input.direction);
        let first = self.began == [None; 2];
        let [client_offset, server_offset] = self.clear_end;
        if let Some(began) = self.began.get_mut(direction.index()) {
            *began = Some(offset);
        }
        let (how, offsets) = match self.state {
            State::Idle => {
                let mut offsets = [None; 2];
                if let Some(known) = offsets.get_mut(direction.index()) {
                    *known = Some(offset);
                }
                (TlsHow::Found, offsets)
            }
            State::Asked { .. } => match direction {
                Direction::ToServer => (TlsHow::Starttls, [Some(offset), None]),
                Direction::ToClient => (TlsHow::Starttls, [Some(client_offset), Some(offset)]),
            },
            State::Agreed { client, server } => {
                if first {
                    let outcome = StarttlsOutcome::Accepted {
                        client_offset,
                        server_offset,
                    };
                    tell(time, protocol, outcome, out)?;
                }
                if direction == Direction::ToServer && client_offset > client {
                    let len = client_offset - client;
                    out.warn(time, direction, client, MailWarning::CommandInjection { len })?;
                }
                if server_offset > server && (first || direction == Direction::ToClient) {
                    let warning = MailWarning::ResponseInjection {
                        len: server_offset - server,
                    };
                    out.warn(time, Direction::ToClient, server, warning)?;
                    self.state = State::Agreed {
                        client,
                        server: server_offset,
                    };
                }
                (TlsHow::Starttls, [Some(client_offset), Some(server_offset)])
            }
        };
        self.alone &= direction != Direction::ToClient;
        Ok(first.then_some(Started { time, how, offsets }))
    }

    /// TLS is over in this direction: what comes is clear text again.
    pub(crate) fn plain_again(&mut self) {
        self.state = State::Idle;
        self.asked = true;
        self.alone = false;
    }

    /// The connection is over. `client_seen`: all that the client said.
    pub(crate) fn close(
        &mut self,
        time: Timestamp,
        protocol: Protocol,
        client_seen: bool,
        out: &mut Out<'_, '_>,
    ) -> Result<(), SinkError> {
        if let (true, State::Agreed { server, .. }) = (self.alone, self.state) {
            let words = "the server answers TLS in clear text".to_owned();
            out.warn(time, Direction::ToClient, server, MailWarning::Malformed(words))?;
        }
        if let (State::Agreed { client, server }, [None, None]) = (self.state, self.began) {
            let outcome = if self.clear_end == [client, server] {
                StarttlsOutcome::AcceptedNothing
            } else {
                StarttlsOutcome::AcceptedNoTls
            };
            self.state = State::Idle;
            return tell(time, protocol, outcome, out);
        }
        if client_seen {
            self.not_used(time, protocol, out)
        } else {
            Ok(())
        }
    }
}

fn tell(
    time: Timestamp,
    protocol: Protocol,
    outcome: StarttlsOutcome,
    out: &mut Out<'_, '_>,
) -> Result<(), SinkError> {
    out.mail(&MailEvent::Starttls(Starttls {
        time,
        protocol,
        outcome,
    }))
}
