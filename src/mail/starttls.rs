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
    /// Clear text of the server where its TLS should be.
    server_text: u64,
    /// The same of the client, before a gap.
    client_text: u64,
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
            server_text: 0,
            client_text: 0,
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
        self.server_text = 0;
        self.client_text = 0;
        self.began = [None; 2];
        self.state = State::Asked { client: end };
    }

    /// Whether the server has agreed, so that the next bytes should be TLS.
    pub(crate) fn is_agreed(&self) -> bool {
        matches!(self.state, State::Agreed { .. })
    }

    /// Bytes from `offset` on are missing: whether TLS most likely begins among them. `client_text` as in
    /// [`Switch::begin`].
    pub(crate) fn is_due(&self, direction: Direction, offset: u64, client_text: u64) -> bool {
        match self.state {
            State::Idle => false,
            // The agreement may be what the capture lacks, too; who does not get it goes on in clear.
            State::Asked { client } => {
                direction == Direction::ToServer && offset == client.saturating_add(client_text)
            }
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

    /// Clear text of the server behind its agreement has passed.
    pub(crate) fn server_text(&mut self, len: u64) {
        self.server_text = self.server_text.saturating_add(len);
        self.alone = self.has_begun(Direction::ToServer);
    }

    /// So much clear text of the client has passed, before bytes are missing.
    pub(crate) fn client_text(&mut self, len: u64) {
        if self.is_agreed() {
            self.client_text = self.client_text.saturating_add(len);
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

    /// TLS begins in a direction, at this offset. `client_text`: bytes in clear behind the command.
    ///
    /// Gives what to tell of it if it is the first direction, and how.
    pub(crate) fn begin(
        &mut self,
        input: &Input<'_>,
        protocol: Protocol,
        client_text: u64,
        out: &mut Out<'_, '_>,
    ) -> Result<Option<Started>, SinkError> {
        let (time, offset, direction) = (input.time(), input.offset(), input.direction);
        let first = self.began == [None; 2];
        let client_text = client_text.saturating_add(self.client_text);
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
            State::Asked { client } => match direction {
                Direction::ToServer => (TlsHow::Starttls, [Some(offset), None]),
                Direction::ToClient => (
                    TlsHow::Starttls,
                    [Some(client.saturating_add(client_text)), Some(offset)],
                ),
            },
            State::Agreed { client, server } => {
                let client_offset = client.saturating_add(client_text);
                let server_offset = server.saturating_add(self.server_text);
                if first {
                    let outcome = StarttlsOutcome::Accepted {
                        client_offset,
                        server_offset,
                    };
                    tell(time, protocol, outcome, out)?;
                }
                if direction == Direction::ToServer && client_text > 0 {
                    let warning = MailWarning::CommandInjection { len: client_text };
                    out.warn(time, Direction::ToServer, client, warning)?;
                }
                if self.server_text > 0 && (first || direction == Direction::ToClient) {
                    let len = std::mem::take(&mut self.server_text);
                    out.warn(
                        time,
                        Direction::ToClient,
                        server,
                        MailWarning::ResponseInjection { len },
                    )?;
                    self.state = State::Agreed {
                        client,
                        server: server.saturating_add(len),
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

    /// The connection is over. `client_text` as in [`Switch::begin`]; `client_seen`: all that the client said.
    pub(crate) fn close(
        &mut self,
        time: Timestamp,
        protocol: Protocol,
        client_text: u64,
        client_seen: bool,
        out: &mut Out<'_, '_>,
    ) -> Result<(), SinkError> {
        if let (true, State::Agreed { server, .. }) = (self.alone, self.state) {
            let words = "the server answers TLS in clear text".to_owned();
            out.warn(time, Direction::ToClient, server, MailWarning::Malformed(words))?;
        }
        if self.is_agreed() && self.began == [None; 2] {
            let outcome = if client_text > 0 || self.client_text > 0 || self.server_text > 0 {
                StarttlsOutcome::AcceptedNoTls
            } else {
                StarttlsOutcome::AcceptedNothing
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
