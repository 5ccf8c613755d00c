//! A mail session, of whichever protocol.

use crate::event::{Direction, SinkError};
use crate::mail::Protocol;
use crate::mail::imap::Imap;
use crate::mail::input::{Input, Out};
use crate::mail::pop3::Pop3;
use crate::mail::shared::{Core, Flow};
use crate::mail::smtp::Smtp;
use crate::time::Timestamp;

/// Follows both directions of one connection once its protocol is known.
#[derive(Debug)]
pub(crate) enum Session {
    Smtp(Smtp),
    Pop3(Pop3),
    /// And ManageSieve.
    Imap(Imap),
}

impl Session {
    /// `from_start`: the server's first bytes are its greeting.
    pub(crate) fn new(protocol: Protocol, from_start: bool) -> Self {
        match protocol {
            Protocol::Smtp | Protocol::Lmtp => Self::Smtp(Smtp::new(protocol, from_start)),
            Protocol::Pop3 => Self::Pop3(Pop3::new(from_start)),
            Protocol::Imap | Protocol::ManageSieve => Self::Imap(Imap::new(protocol, from_start)),
        }
    }

    /// What all have in common.
    pub(crate) fn core(&mut self) -> &mut Core {
        match self {
            Self::Smtp(smtp) => &mut smtp.core,
            Self::Pop3(pop3) => &mut pop3.core,
            Self::Imap(imap) => &mut imap.core,
        }
    }

    /// Bytes of memory that it keeps and could do without.
    #[inline]
    pub(crate) fn keeps(&self) -> usize {
        match self {
            Self::Smtp(smtp) => smtp.keeps(),
            Self::Pop3(pop3) => pop3.keeps(),
            Self::Imap(imap) => imap.keeps(),
        }
    }

    /// Bytes of one direction: passed on as far as they can be named. Stops where TLS begins.
    pub(crate) fn data(&mut self, input: &mut Input<'_>, out: &mut Out<'_, '_>) -> Result<Flow, SinkError> {
        match self {
            Self::Smtp(smtp) => smtp.data(input, out),
            Self::Pop3(pop3) => pop3.data(input, out),
            Self::Imap(imap) => imap.data(input, out),
        }
    }

    /// The client spoke before the greeting, and nothing that was understood: what follows may be anything.
    pub(crate) fn lose_client(&mut self, early: (Timestamp, u64)) {
        self.core().early = Some(early);
        if let Self::Smtp(smtp) = self {
            smtp.lose_client();
        }
    }

    /// Bytes are missing.
    pub(crate) fn gap(
        &mut self,
        direction: Direction,
        len: u64,
        out: &mut Out<'_, '_>,
    ) -> Result<(), SinkError> {
        match self {
            Self::Smtp(smtp) => smtp.gap(direction, len, out),
            Self::Pop3(pop3) => {
                pop3.gap(direction, len);
                Ok(())
            }
            Self::Imap(imap) => {
                imap.gap(direction, len);
                Ok(())
            }
        }
    }

    /// Clear text follows where TLS was.
    pub(crate) fn plain_again(&mut self, direction: Direction) {
        match self {
            Self::Smtp(smtp) => smtp.plain_again(direction),
            Self::Pop3(pop3) => pop3.plain_again(direction),
            Self::Imap(imap) => imap.plain_again(direction),
        }
    }

    /// The connection is over.
    pub(crate) fn close(&mut self, time: Timestamp, out: &mut Out<'_, '_>) -> Result<(), SinkError> {
        match self {
            Self::Smtp(smtp) => smtp.close(time, out),
            Self::Pop3(pop3) => pop3.close(time, out),
            Self::Imap(imap) => imap.close(time, out),
        }
    }
}
