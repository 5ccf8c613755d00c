//! The one vocabulary that flow, watchers and sinks share: what happens to connections.
//!
//! Bytes and times, never packets, files or colours.

use crate::decode::{Endpoint, Scope};
use crate::mail::MailEvent;
use crate::time::Timestamp;
use crate::tls::TlsEvent;

/// One of the two streams of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// Client → server.
    ToServer,
    /// Server → client.
    ToClient,
}

impl Direction {
    /// Both, the client's first.
    pub const BOTH: [Self; 2] = [Self::ToServer, Self::ToClient];

    /// The other one.
    pub const fn reverse(self) -> Self {
        match self {
            Self::ToServer => Self::ToClient,
            Self::ToClient => Self::ToServer,
        }
    }

    /// This direction's of two, the client's first.
    pub const fn of<T>(self, both: &[T; 2]) -> &T {
        let [client, server] = both;
        match self {
            Self::ToServer => client,
            Self::ToClient => server,
        }
    }

    /// The same, to work on.
    pub const fn of_mut<T>(self, both: &mut [T; 2]) -> &mut T {
        let [client, server] = both;
        match self {
            Self::ToServer => client,
            Self::ToClient => server,
        }
    }

    /// 0 for client → server, 1 for server → client: for arrays of two.
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// How it is known who the client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientKnown {
    /// It sent the SYN.
    Syn,
    /// The other side sent the SYN-ACK.
    SynAck,
    /// Guessed from the ports: no SYN was seen.
    Guessed,
}

/// What is fixed about a connection for as long as it lives; handed out with each event.
#[derive(Debug, Clone)]
pub struct Connection {
    /// Serial number within the run, from 1, in order of first packets.
    pub id: u64,
    /// A small number that no other open connection has: index for a sink's or watcher's own state.
    /// Free for reuse after `Closed`.
    pub slot: u32,
    /// Who opened it.
    pub client: Endpoint,
    /// Who was called.
    pub server: Endpoint,
    /// How we know.
    pub client_known: ClientKnown,
    /// Time of its first packet.
    pub first_time: Timestamp,
    /// VLANs and tunnels of its first packet.
    pub scope: Scope,
    /// The outermost VLAN of its first packet.
    pub vlan: Option<u16>,
    /// Link-layer addresses of client and server, where known.
    pub mac: Option<([u8; 6], [u8; 6])>,
}

impl Connection {
    /// Source and destination of a direction.
    pub const fn endpoints(&self, direction: Direction) -> (Endpoint, Endpoint) {
        match direction {
            Direction::ToServer => (self.client, self.server),
            Direction::ToClient => (self.server, self.client),
        }
    }
}

/// Whether bytes belong to a watcher, before it parses them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// They do.
    Yes,
    /// Too few of them to tell.
    Unsure,
    /// They do not.
    No,
}

/// What a run of bytes is, as far as a watcher can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    /// Nobody has said.
    #[default]
    Plain,
    /// A client's command, its line end included.
    Command,
    /// A server's positive reply (2xx, 3xx, +OK, OK), its line end included; also one not yet told.
    Reply,
    /// A server's transient refusal (4xx).
    TransientReply,
    /// A server's refusal (5xx, -ERR, NO, BAD).
    PermanentReply,
    /// Of a message's header or body.
    Body,
    /// A password or what carries one: to be hidden on a console unless asked for.
    Secret,
    /// Inside TLS records.
    Tls,
    /// Clear text where TLS should be: bytes behind an agreed switch that are no TLS.
    Injected,
}

/// Why bytes are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GapReason {
    /// The capture lacks their packets.
    Lost,
    /// The snaplen cut them off.
    Snaplen,
    /// They might still come, but no more can be held behind them.
    Bound,
}

/// What is worth telling of TCP itself. Counted in [`Totals`] too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TcpNote {
    /// `len` bytes at `offset` came again, with the same content.
    Retransmission { offset: u64, len: u64 },
    /// The same packet, captured twice.
    DuplicateCapture,
    /// A segment came before its time and is held. Not told of those that follow it without another hole.
    OutOfOrder { offset: u64, len: u64 },
    /// Bytes came again with other content; the first copy stands.
    Conflict { offset: u64, len: u64 },
    /// The receiver of the other direction closed its window.
    ZeroWindow,
    /// A keep-alive probe.
    KeepAlive,
    /// So many SYNs have come, and no answer.
    Unanswered { syns: u16 },
    /// A reset that does not fit the sequence space and was not believed.
    ResetIgnored,
    /// Another answer to the same SYN, with another sequence number, that was not believed.
    SynIgnored,
    /// A FIN far outside the window, that was not believed.
    FinIgnored,
    /// Bytes before the stream's known start, or past its FIN, or outside any window: not part of it.
    OutsideStream { len: u64 },
}

/// How a direction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndHow {
    /// FIN, and all before it delivered or declared missing.
    Fin,
    /// RST.
    Reset,
    /// RST as the only answer to a SYN.
    Refused,
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// FIN in both directions.
    Fin,
    /// RST from the sender of this direction.
    Reset(Direction),
    /// A SYN with a new sequence number took its addresses.
    Reused,
    /// Nothing came for long enough.
    Timeout,
    /// Closed to stay within limits.
    Evicted,
    /// The capture ended first.
    CaptureEnd,
}

/// Counts of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Packets, duplicate captures excluded.
    pub packets: u64,
    /// Stream bytes given out.
    pub bytes: u64,
    /// Gaps declared.
    pub gaps: u64,
    /// Bytes in them.
    pub gap_bytes: u64,
    /// Segments whose bytes had come before.
    pub retransmissions: u64,
    /// Bytes in them.
    pub retransmitted_bytes: u64,
    /// Segments that came before their time.
    pub out_of_order: u64,
    /// Copies of packets.
    pub duplicate_captures: u64,
    /// Overlaps with other content.
    pub conflicts: u64,
    /// Bytes in them.
    pub conflict_bytes: u64,
    /// Zero windows announced by this direction's sender.
    pub zero_windows: u64,
    /// Keep-alive probes.
    pub keep_alives: u64,
    /// Bytes that fit nowhere in the stream.
    pub outside_bytes: u64,
    /// Bytes at the end of the stream that the other side, where it was seen, never acknowledged.
    pub unacknowledged: u64,
    /// FIN seen.
    pub fin: bool,
    /// RST seen and believed.
    pub reset: bool,
    /// SYN seen.
    pub syn: bool,
}

/// What the whole run knows of a connection at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closing {
    /// How it ended.
    pub reason: CloseReason,
    /// Time of its last packet.
    pub last_time: Timestamp,
    /// SYN, SYN-ACK and the ACK to it were all seen.
    pub handshake: bool,
    /// Whose FIN came first, if there was one.
    pub first_fin: Option<Direction>,
    /// Counts, by [`Direction::index`].
    pub totals: [Totals; 2],
}

/// One thing that happened to a connection.
#[derive(Debug, Clone)]
pub enum Event<'a> {
    /// First event of every connection.
    Opened,
    /// Stream bytes, in order, each once.
    Data {
        /// Which stream.
        direction: Direction,
        /// Where in it: 0 is the byte after the SYN, or the first one seen.
        offset: u64,
        /// Time of the packet that brought them.
        time: Timestamp,
        /// What they are, as far as watchers can tell. Flow says [`Kind::Plain`].
        kind: Kind,
        /// The bytes, never empty.
        bytes: &'a [u8],
    },
    /// Stream bytes that the capture lacks. Offsets run on across it.
    Gap {
        /// Which stream.
        direction: Direction,
        /// Where.
        offset: u64,
        /// How many bytes.
        len: u64,
        /// Time when it was declared.
        time: Timestamp,
        /// Why.
        reason: GapReason,
    },
    /// What follows in this direction was left out on request (`--max-bytes`). Told once.
    Cut {
        /// Which stream.
        direction: Direction,
        /// The first byte left out.
        offset: u64,
        /// When.
        time: Timestamp,
    },
    /// Something about TCP.
    Note {
        /// Which stream's sender it is about.
        direction: Direction,
        /// When.
        time: Timestamp,
        /// What.
        note: TcpNote,
    },
    /// A direction is over: nothing follows in it.
    End {
        /// Which stream.
        direction: Direction,
        /// When.
        time: Timestamp,
        /// How.
        how: EndHow,
    },
    /// From the mail watcher.
    Mail(&'a MailEvent),
    /// From the TLS watcher.
    Tls(&'a TlsEvent),
    /// Last event of every connection.
    Closed(&'a Closing),
}

/// Why a sink can't go on. It ends the run.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// Whoever read our output has gone: the quiet end of a run.
    #[error("output closed by its reader")]
    Closed,
    /// Writing failed.
    #[error("{what}: {source}")]
    Io {
        /// The file, or `standard output`.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
}

impl SinkError {
    /// Wraps what the system said; a broken pipe becomes [`SinkError::Closed`].
    pub fn io(what: impl Into<String>, source: std::io::Error) -> Self {
        if source.kind() == std::io::ErrorKind::BrokenPipe {
            Self::Closed
        } else {
            Self::Io {
                what: what.into(),
                source,
            }
        }
    }
}

/// Where events go: the next stage downstream.
pub type Emit<'e> = dyn FnMut(&Connection, &Event<'_>) -> Result<(), SinkError> + 'e;

/// Takes every event and writes what concerns it. Never calls back up the stream.
pub trait Sink {
    /// One event.
    ///
    /// # Errors
    /// [`SinkError`] ends the run.
    fn event(&mut self, connection: &Connection, event: &Event<'_>) -> Result<(), SinkError>;

    /// Packet time has come this far with nothing for anyone (live, idle), or a good moment to
    /// show what waits: unfinished lines, buffers due to be on disk.
    ///
    /// # Errors
    /// [`SinkError`] ends the run.
    fn tick(&mut self, now: Timestamp) -> Result<(), SinkError> {
        let _ = now;
        Ok(())
    }

    /// Nobody has said anything until now: a live source has nothing at hand.
    ///
    /// # Errors
    /// [`SinkError`] ends the run.
    fn silent(&mut self, now: Timestamp) -> Result<(), SinkError> {
        let _ = now;
        Ok(())
    }

    /// The source has nothing at hand, or a moment has passed: whoever watches should see now what there is.
    ///
    /// # Errors
    /// [`SinkError`] ends the run.
    fn flush(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    /// Sentences on what went wrong but does not end the run, told once.
    fn take_warnings(&mut self) -> Vec<String> {
        Vec::new()
    }

    /// The run is over, all connections are closed: flush.
    ///
    /// # Errors
    /// [`SinkError`]: something could not be written.
    fn finish(&mut self) -> Result<(), SinkError>;
}
