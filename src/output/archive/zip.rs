//! Records of a ZIP archive, as PKWARE's APPNOTE.TXT 6.3.10 has them; sections are named there.
//!
//! The zip crate keeps 220 bytes of each member in memory, and goes back to each local header to fill it in: a
//! million small members take it 8.8 s, 2.6 s with data descriptors. Here all is known before a member is written.

use std::io;

use chrono::{Datelike, Timelike};

use crate::output::clock::utc;
use crate::time::Timestamp;

/// Made by Unix (4.4.2), so that attributes are a mode.
const MADE_BY: u16 = 3 << 8 | 45;

/// What a reader must know (4.4.3): nothing, deflate, or ZIP64.
const PLAIN: u16 = 10;
const DEFLATE: u16 = 20;
const ZIP64: u16 = 45;

/// A regular file, 0640 (4.4.15).
const ATTRIBUTES: u32 = 0o100_640 << 16;

/// In the place of a number that stands in the ZIP64 record instead.
const ELSEWHERE: u32 = u32::MAX;

/// How a member is kept (4.4.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Stored = 0,
    Deflated = 8,
}

/// A member.
#[derive(Debug, Clone, Copy)]
pub struct Member<'n> {
    pub name: &'n str,
    pub time: Dos,
    pub method: Method,
    /// Bytes of its content, and their CRC-32.
    pub len: u64,
    pub crc: u32,
    /// Bytes that it takes in the archive.
    pub packed: u64,
    /// Where its local header stands.
    pub offset: u64,
}

impl Member<'_> {
    /// What stands before its bytes (4.3.7).
    ///
    /// # Errors
    /// A name of more than 65,535 bytes.
    pub fn local_header(&self, out: &mut Vec<u8>) -> io::Result<()> {
        if self.name.len() > usize::from(u16::MAX) {
            return Err(io::ErrorKind::InvalidFilename.into());
        }
        let mut extra = Vec::new();
        if self.is_long() {
            extra.extend([self.len, self.packed]);
        }
        out.extend_from_slice(b"PK\x03\x04");
        out.extend_from_slice(self.common(extra.len()).as_flattened());
        out.extend_from_slice(self.name.as_bytes());
        zip64_extra(&extra, out);
        Ok(())
    }

    /// What stands of it in the central directory (4.3.12).
    pub fn central_header(&self, out: &mut Vec<u8>) {
        let mut extra = Vec::new();
        if self.is_long() {
            extra.extend([self.len, self.packed]);
        }
        if self.offset >= u64::from(ELSEWHERE) {
            extra.push(self.offset);
        }
        out.extend_from_slice(b"PK\x01\x02");
        out.extend_from_slice(&MADE_BY.to_le_bytes());
        out.extend_from_slice(self.common(extra.len()).as_flattened());
        // No comment, on the first disk, no internal attributes.
        out.extend_from_slice(&[0; 6]);
        out.extend_from_slice(&ATTRIBUTES.to_le_bytes());
        out.extend_from_slice(&short(self.offset).to_le_bytes());
        out.extend_from_slice(self.name.as_bytes());
        zip64_extra(&extra, out);
    }

    /// Whether both sizes stand in the ZIP64 record: a local header has both there, or none (4.5.3).
    fn is_long(&self) -> bool {
        self.len.max(self.packed) >= u64::from(ELSEWHERE)
    }

    /// From the version needed to the length of the extra fields, which both headers have.
    fn common(&self, extra: usize) -> [[u8; 2]; 13] {
        let version = match self.method {
            _ if extra > 0 => ZIP64,
            Method::Stored => PLAIN,
            Method::Deflated => DEFLATE,
        };
        // Bit 11: the name is UTF-8 (4.4.4).
        let flags = if self.name.is_ascii() { 0 } else { 1 << 11 };
        let [packed, len] = if self.is_long() {
            [ELSEWHERE; 2]
        } else {
            [short(self.packed), short(self.len)]
        };
        let [[c0, c1], [p0, p1], [l0, l1]] = [self.crc, packed, len].map(halves);
        let extra = if extra == 0 { 0 } else { 4 + 8 * extra };
        let [name, extra] = [self.name.len(), extra].map(|len| u16::try_from(len).unwrap_or(u16::MAX));
        let Dos { time, date } = self.time;
        let method = self.method as u16;
        [
            version, flags, method, time, date, c0, c1, p0, p1, l0, l1, name, extra,
        ]
        .map(u16::to_le_bytes)
    }
}

/// The end of an archive whose central directory has `members`, and `len` bytes from `offset` on.
pub fn end(members: u64, len: u64, offset: u64, out: &mut Vec<u8>) {
    let many = members >= u64::from(u16::MAX);
    if many || len >= u64::from(ELSEWHERE) || offset >= u64::from(ELSEWHERE) {
        // 4.3.14; its length counts what follows the length.
        out.extend(0x0606_4b50_u32.to_le_bytes());
        out.extend(44_u64.to_le_bytes());
        out.extend(MADE_BY.to_le_bytes());
        out.extend(ZIP64.to_le_bytes());
        out.extend([0; 8]);
        for field in [members, members, len, offset] {
            out.extend(field.to_le_bytes());
        }
        // 4.3.15: where that record is, on the one disk.
        out.extend(0x0706_4b50_u32.to_le_bytes());
        out.extend(0_u32.to_le_bytes());
        out.extend(offset.saturating_add(len).to_le_bytes());
        out.extend(1_u32.to_le_bytes());
    }
    // 4.3.16
    let members = u16::try_from(members).unwrap_or(u16::MAX);
    out.extend(0x0605_4b50_u32.to_le_bytes());
    out.extend([0; 4]);
    out.extend(members.to_le_bytes());
    out.extend(members.to_le_bytes());
    out.extend(short(len).to_le_bytes());
    out.extend(short(offset).to_le_bytes());
    out.extend([0; 2]);
}

/// 4.5.3
fn zip64_extra(fields: &[u64], out: &mut Vec<u8>) {
    if fields.is_empty() {
        return;
    }
    out.extend(1_u16.to_le_bytes());
    out.extend(u16::try_from(8 * fields.len()).unwrap_or(u16::MAX).to_le_bytes());
    for field in fields {
        out.extend(field.to_le_bytes());
    }
}

fn short(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(ELSEWHERE)
}

/// The lower one first.
const fn halves(number: u32) -> [u16; 2] {
    [number as u16, (number >> 16) as u16]
}

/// Date and time as MS-DOS has them (4.4.6): two seconds fine, 1980 to 2107; UTC here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dos {
    time: u16,
    date: u16,
}

impl From<Timestamp> for Dos {
    fn from(time: Timestamp) -> Self {
        let time = utc(time);
        let field = |number: u32| u16::try_from(number).unwrap_or(0);
        match u16::try_from(time.year() - 1980) {
            Ok(year @ 0..128) => Self {
                date: year << 9 | field(time.month()) << 5 | field(time.day()),
                time: field(time.hour()) << 11 | field(time.minute()) << 5 | field(time.second() / 2),
            },
            _ => Self {
                date: 1 << 5 | 1,
                time: 0,
            },
        }
    }
}
