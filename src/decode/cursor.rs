//! What is left of a packet while its layers come off: the bytes that were captured, how many there
//! were on the wire, and what the layers so far said.

use super::Scope;
use super::ip::Ip;

/// The rest of a packet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'a> {
    /// Captured.
    pub(super) bytes: &'a [u8],
    /// On the wire; never less than captured.
    pub(super) wire: usize,
}

impl<'a> Cursor<'a> {
    /// Takes a header of `len` bytes off; `None` where less was captured.
    pub(super) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (header, rest) = self.bytes.split_at_checked(len)?;
        self.bytes = rest;
        self.wire = self.wire.saturating_sub(len);
        Some(header)
    }

    /// Takes a header of `N` bytes off.
    pub(super) fn array<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        let (header, rest) = self.bytes.split_first_chunk::<N>()?;
        self.bytes = rest;
        self.wire = self.wire.saturating_sub(N);
        Some(header)
    }

    /// The next byte, left where it is.
    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.first().copied()
    }

    /// Forgets what lies behind the next `len` bytes of the wire.
    pub(super) fn limit(&mut self, len: usize) {
        self.wire = self.wire.min(len);
        self.bytes = self.bytes.get(..len).unwrap_or(self.bytes);
    }

    /// Whether the snaplen cut it.
    pub(super) fn cut(&self) -> bool {
        self.bytes.len() < self.wire
    }
}

/// What the layers around the TCP segment said.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Around {
    pub(super) scope: Scope,
    pub(super) vlan: Option<u16>,
    pub(super) mac: Option<([u8; 6], [u8; 6])>,
    pub(super) interface: u32,
    /// An 802.11 header is followed by bytes up to a multiple of four.
    pub(super) padded: bool,
    /// Layers taken off so far: nesting is bounded.
    pub(super) depth: u8,
    /// The innermost IP header so far.
    pub(super) ip: Ip,
}

impl Around {
    /// Folds a VLAN or tunnel into the scope; order counts, and the result is the same in every run.
    pub(super) fn enter(&mut self, kind: u8, id: u32) {
        let step = u64::from(kind) << 32 | u64::from(id);
        self.scope = Scope((self.scope.0.rotate_left(23) ^ step).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    }
}

/// Big-endian 16 bits at `at`.
pub(super) fn be16(bytes: &[u8], at: usize) -> u16 {
    bytes
        .get(at..)
        .and_then(|rest| rest.first_chunk())
        .map_or(0, |chunk| u16::from_be_bytes(*chunk))
}

/// Big-endian 32 bits at `at`.
pub(super) fn be32(bytes: &[u8], at: usize) -> u32 {
    bytes
        .get(at..)
        .and_then(|rest| rest.first_chunk())
        .map_or(0, |chunk| u32::from_be_bytes(*chunk))
}

/// Big-endian 24 bits at `at`.
pub(super) fn be24(bytes: &[u8], at: usize) -> u32 {
    be32(bytes, at) >> 8
}
