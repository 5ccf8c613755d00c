//! What two hosts say to each other: the seam between applications and TCP.

use crate::random::Random;

/// One of the two hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Client,
    Server,
}

impl Side {
    /// The other one.
    pub const fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }

    /// For arrays of two.
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// Who speaks, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    pub side: Side,
    /// The first byte of this turn is the first of this side's TLS.
    pub tls_starts: bool,
}

impl Turn {
    /// Nothing special.
    pub const fn of(side: Side) -> Self {
        Self {
            side,
            tls_starts: false,
        }
    }
}

/// An application: what is said next.
pub trait Script {
    /// Puts the next thing said into `bytes`, which comes empty. `written` is how large the capture is by
    /// now. `None` when all is said.
    fn next(&mut self, random: &mut Random, written: u64, bytes: &mut Vec<u8>) -> Option<Turn>;
}
