//! Cuts one direction's bytes into records.
//!
//! Payload is handed on as it comes and never kept: a record of application data costs its header and one jump.
//! After a gap that swallowed a header, records are looked for byte by byte, and believed only when another
//! header stands exactly where the first one says that it must: of encrypted bytes, one in 2.5 million looks
//! like a header.

use crate::event::Direction;
use crate::time::Timestamp;

use super::event::Record;
use super::probe::{HEADER, may_be_header, may_be_ssl2_hello, ssl2_len};

/// What comes out.
pub(super) enum Piece<'a> {
    /// Bytes inside the record that is being read, of this content type.
    Payload(u8, &'a [u8]),
    /// A record is over. Whether it is encrypted is for others to say.
    Record(Record),
    /// Bytes are missing here, or what was taken for a record was none: forget the payload of the record at hand.
    Lost,
    /// What follows here is no TLS.
    Broken { offset: u64, first: u8 },
}

/// How records are framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// Nothing was read yet: either.
    Any,
    Tls,
    Ssl2,
}

/// Whether we are where we think we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sync {
    /// Every byte since the beginning, or since proof, is accounted for.
    Sure,
    /// Somewhere behind a gap; looking for a header.
    Looking,
    /// Inside or at the end of what seems to be a record; the next header will tell.
    Guess,
}

/// The record at hand.
#[derive(Debug, Clone, Copy)]
struct Current {
    record: Record,
    /// Payload bytes to come.
    left: u32,
}

/// The records of one direction.
pub(super) struct Records {
    format: Format,
    sync: Sync,
    /// Nothing is told any more.
    over: bool,
    /// Bytes of `header` that are there.
    have: u8,
    header: [u8; HEADER],
    header_offset: u64,
    header_time: Timestamp,
    current: Option<Current>,
    direction: Direction,
}

impl Records {
    pub(super) fn new(direction: Direction) -> Self {
        Self {
            format: Format::Any,
            sync: Sync::Sure,
            over: false,
            have: 0,
            header: [0; HEADER],
            header_offset: 0,
            header_time: Timestamp::default(),
            current: None,
            direction,
        }
    }

    /// The other side turned out to speak SSL 2.0.
    pub(super) fn speak_ssl2(&mut self) {
        self.format = Format::Ssl2;
    }

    /// Whether this side speaks SSL 2.0, as its server hello has shown.
    pub(super) fn speaks_ssl2(&self) -> bool {
        self.format == Format::Ssl2
    }

    /// The next bytes, at `offset`.
    pub(super) fn data(
        &mut self,
        mut offset: u64,
        time: Timestamp,
        bytes: &[u8],
        tell: &mut dyn FnMut(Piece<'_>),
    ) {
        let mut rest = bytes;
        while !rest.is_empty() && !self.over {
            let taken = match &mut self.current {
                Some(current) if current.left > 0 => {
                    let n = rest
                        .len()
                        .min(usize::try_from(current.left).unwrap_or(usize::MAX));
                    let (payload, _) = rest.split_at_checked(n).unwrap_or((rest, &[]));
                    current.left = current.left.saturating_sub(u32::try_from(n).unwrap_or(u32::MAX));
                    let filled = current.left == 0;
                    tell(Piece::Payload(current.record.content_type, payload));
                    if filled {
                        self.payload_over(tell);
                    }
                    n
                }
                _ => {
                    if let Some(&byte) = rest.first() {
                        self.header_byte(offset, time, byte, tell);
                    }
                    1
                }
            };
            offset = offset.wrapping_add(taken as u64);
            rest = rest.get(taken..).unwrap_or_default();
        }
    }

    /// `len` bytes at this point are missing.
    pub(super) fn gap(&mut self, len: u64, tell: &mut dyn FnMut(Piece<'_>)) {
        if self.over || len == 0 {
            return;
        }
        tell(Piece::Lost);
        let mut beyond = len;
        if let Some(current) = &mut self.current {
            let eaten = u64::from(current.left).min(len);
            current.left = current
                .left
                .saturating_sub(u32::try_from(eaten).unwrap_or(u32::MAX));
            current.record.whole = false;
            beyond -= eaten;
            if current.left == 0 && eaten > 0 {
                self.payload_over(tell);
            }
        }
        if beyond > 0 {
            self.current = None;
            self.have = 0;
            self.sync = Sync::Looking;
            match self.format {
                Format::Any => self.format = Format::Tls,
                Format::Tls => {}
                // Its headers have nothing to be known by.
                Format::Ssl2 => self.over = true,
            }
        }
    }

    /// Nothing follows in this direction.
    pub(super) fn end(&mut self, tell: &mut dyn FnMut(Piece<'_>)) {
        if self.over {
            return;
        }
        self.over = true;
        if let Some(Current { mut record, left }) = self.current.take() {
            if left == 0 {
                // A guess that ends exactly where the stream does has been right.
                tell(Piece::Record(record));
            } else if self.sync == Sync::Sure {
                record.whole = false;
                tell(Piece::Record(record));
            }
        }
    }

    fn payload_over(&mut self, tell: &mut dyn FnMut(Piece<'_>)) {
        if self.sync == Sync::Sure
            && let Some(current) = self.current.take()
        {
            tell(Piece::Record(current.record));
        }
    }

    fn header_byte(&mut self, offset: u64, time: Timestamp, byte: u8, tell: &mut dyn FnMut(Piece<'_>)) {
        if self.have == 0 {
            self.header_offset = offset;
            self.header_time = time;
        }
        if let Some(slot) = self.header.get_mut(usize::from(self.have)) {
            *slot = byte;
            self.have += 1;
        }
        while !self.header_fits() {
            if self.sync == Sync::Sure {
                let [first, ..] = self.header;
                self.over = true;
                tell(Piece::Broken {
                    offset: self.header_offset,
                    first,
                });
                return;
            }
            if self.current.take().is_some() {
                tell(Piece::Lost);
            }
            self.sync = Sync::Looking;
            self.header.rotate_left(1);
            self.have -= 1;
            self.header_offset = self.header_offset.wrapping_add(1);
            self.header_time = time;
        }
        if usize::from(self.have) == HEADER {
            self.header_over(tell);
        }
    }

    fn header_fits(&self) -> bool {
        let prefix = self.header.get(..usize::from(self.have)).unwrap_or_default();
        match self.format {
            Format::Any => may_be_header(prefix) || may_be_ssl2_hello(prefix),
            Format::Tls => may_be_header(prefix),
            Format::Ssl2 => true,
        }
    }

    fn header_over(&mut self, tell: &mut dyn FnMut(Piece<'_>)) {
        self.have = 0;
        if let Some(guessed) = self.current.take() {
            tell(Piece::Record(guessed.record));
            self.sync = Sync::Sure;
        } else if self.sync == Sync::Looking {
            self.sync = Sync::Guess;
        }
        let [first, second, third, high, low] = self.header;
        let ssl2 = self.format == Format::Ssl2 || (self.format == Format::Any && first & 0x80 != 0);
        // A header of SSL 2.0 is shorter than what was read: `early` bytes of its payload are here already.
        let (content_type, version, len, early) = if !ssl2 {
            let len = HEADER + usize::from(u16::from_be_bytes([high, low]));
            (first, u16::from_be_bytes([second, third]), len, 0)
        } else if self.format == Format::Any {
            (22, 2, 2 + ssl2_len(first, second), 3)
        } else if first & 0x80 != 0 {
            (23, 2, 2 + ssl2_len(first, second), 3)
        } else {
            (23, 2, 3 + ssl2_len(first & 0x3f, second), 2)
        };
        if self.format == Format::Any {
            self.format = if ssl2 && third == 4 {
                Format::Ssl2
            } else {
                Format::Tls
            };
        }
        let left = u32::try_from(len.saturating_sub(HEADER)).unwrap_or(u32::MAX);
        self.current = Some(Current {
            record: Record {
                time: self.header_time,
                direction: self.direction,
                offset: self.header_offset,
                content_type,
                version,
                len: u32::try_from(len).unwrap_or(u32::MAX),
                encrypted: false,
                whole: true,
            },
            left,
        });
        if early > 0 {
            let payload = self.header.get(HEADER - early..).unwrap_or_default();
            tell(Piece::Payload(content_type, payload));
        }
        if left == 0 {
            self.payload_over(tell);
        }
    }
}
