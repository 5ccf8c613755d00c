//! Where packets come from: a live interface, a mapped file, a stream.
//!
//! Everything here yields [`Packet`]s in order and knows nothing of TCP.

mod bytes;
mod capturer;
mod device;
mod file;
mod filter;
mod format;
pub mod interfaces;
mod live;
mod ring;
mod write;

pub use file::FileSource;
pub use filter::Filter;
pub use live::{LiveOptions, LiveSource, LiveStats};
pub use write::{PacketWriter, WriteError, WriteOptions};

use std::path::PathBuf;

use crate::time::Timestamp;

/// A link type as numbered by <https://www.tcpdump.org/linktypes.html> (LINKTYPE_, not DLT_).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkType(pub u32);

impl LinkType {
    /// BSD loopback: four bytes of address family in the byte order of the capturing machine.
    pub const NULL: Self = Self(0);
    /// Ethernet.
    pub const ETHERNET: Self = Self(1);
    /// PPP, as RFC 1661 and RFC 1662 have it.
    pub const PPP: Self = Self(9);
    /// Raw IP.
    pub const RAW: Self = Self(101);
    /// Linux "cooked" capture, version 1.
    pub const LINUX_SLL: Self = Self(113);
    /// Linux "cooked" capture, version 2: what `-i any` gives.
    pub const LINUX_SLL2: Self = Self(276);
}

/// One packet as captured. `captured` lives as long as the borrow of its source.
#[derive(Debug, Clone, Copy)]
pub struct Packet<'a> {
    /// When it was captured.
    pub time: Timestamp,
    /// What its first byte is.
    pub link_type: LinkType,
    /// The interface within the capture (pcapng interface index, kernel index of SLL2, else 0).
    pub interface: u32,
    /// The bytes that were kept.
    pub captured: &'a [u8],
    /// How long it was on the wire, in bytes; more than `captured` where the snaplen cut it.
    pub wire_len: u32,
}

/// What a source gives when asked.
#[derive(Debug)]
pub enum Next<'a> {
    /// A packet.
    Packet(Packet<'a>),
    /// A live source or a pipe with nothing to give just now. Lines waiting for their end may be shown.
    Idle(Timestamp),
    /// No more packets will come.
    End,
}

/// A source of packets.
pub trait Source {
    /// The next packet, or why there is none. After an error the next call goes on where that is
    /// possible (with the next file), else gives `End`.
    ///
    /// # Errors
    /// [`CaptureError`] where the capture is broken from here on; what came before is good.
    fn next(&mut self) -> Result<Next<'_>, CaptureError>;

    /// Whether what has not come has not been captured either: of an interface, and of a pipe that gives packets as they
    /// are captured. Asked where there is nothing to give.
    fn is_live(&self) -> bool;

    /// Sentences on what was odd but survivable (a cut last record), told once, in order.
    fn take_warnings(&mut self) -> Vec<String> {
        Vec::new()
    }

    /// Whether times are finer than microseconds, as far as is known before the first packet.
    fn nanoseconds(&self) -> bool {
        false
    }

    /// Bytes read and bytes in all, where both are known, for the progress bar.
    fn progress(&self) -> Option<(u64, u64)> {
        None
    }
}

/// Why a capture can't be read (further).
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The file could not be opened or read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The bytes are no capture, or stop being one.
    #[error("{}: at byte {offset}: {reason}", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// Where in the (decompressed) file.
        offset: u64,
        /// What is wrong there.
        reason: String,
    },
    /// The filter expression does not compile.
    #[error("filter `{expression}`: {reason}")]
    Filter {
        /// As typed.
        expression: String,
        /// libpcap's words.
        reason: String,
    },
    /// A live capture could not be begun or went away.
    #[error("{interface}: {reason}")]
    Live {
        /// The interface.
        interface: String,
        /// What happened, with a hint where there is one.
        reason: String,
    },
}
