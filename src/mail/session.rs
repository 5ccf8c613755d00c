//! A mail session, of whichever protocol.

use crate::event::{Direction, SinkError};
use crate::mail::Protocol;
use crate::mail::core::{Core, Flow};
use crate::mail::input::{Input, Out};
use crate::mail::smtp::Smtp;
use crate::time::Timestamp;

/// Follows both directions of one connection once its protocol is known.
#[derive(Debug)]
pub(crate) enum Session {
    Smtp(Smtp),
}

impl Session {
    /// `from_start`: the server's first bytes are its greeting.
    pub(crate) fn new(protocol: Protocol, from_start: bool) -> Self {
        Self::Smtp(Smtp::new(protocol, from_start))
    }

    /// What all have in common.
    pub(crate) fn core(&mut self) -> &mut Core {
        match self {
            Self::Smtp(smtp) => &mut smtp.core,
        }
    }

    /// Bytes of one direction: passed on as far as they can be named. Stops where TLS begins.
    pub(crate) fn data(&mut self, input: &mut Input<'_>, out: &mut Out<'_, '_>) -> Result<Flow, SinkError> {
        match self {
            Self::Smtp(smtp) => smtp.data(input, out),
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
        }
    }

    /// Clear text follows where TLS was.
    pub(crate) fn plain_again(&mut self, direction: Direction) {
        match self {
            Self::Smtp(smtp) => smtp.plain_again(direction),
        }
    }

    /// The connection is over.
    pub(crate) fn close(&mut self, time: Timestamp, out: &mut Out<'_, '_>) -> Result<(), SinkError> {
        match self {
            Self::Smtp(smtp) => smtp.close(time, out),
        }
    }
}
