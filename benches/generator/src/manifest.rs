//! What a perfect reader gets from a capture: one line a stream, tab-separated, in the order of their ends.
//!
//! `name  length  tls_at  sha256  lost`: the name that flowdump gives the stream's file; its length in
//! bytes; where it turns to TLS, or `-`; the sum of its bytes, those that the capture lacks taken as
//! zeros; and where it lacks them, as `offset+length,…` or `-`. Streams without bytes are not listed.

use std::fmt;
use std::io::{self, Write};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::capture::START;
use crate::frame::Endpoint;

/// A run of missing bytes.
pub type Lost = (u64, u64);

/// The head of every manifest.
pub const HEAD: &str = "name\tlength\ttls_at\tsha256\tlost";

/// One stream, as far as it has been sent.
#[derive(Debug, Clone, Default)]
pub struct Stream {
    sum: Sha256,
    len: u64,
    lost: Vec<Lost>,
    tls_at: Option<u64>,
}

impl Stream {
    /// How many bytes so far.
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// No byte so far.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes that are in the capture.
    pub fn sent(&mut self, bytes: &[u8]) {
        self.sum.update(bytes);
        self.len += bytes.len() as u64;
    }

    /// Bytes that were sent but are not in the capture.
    pub fn lost(&mut self, len: usize) {
        let len64 = len as u64;
        match self.lost.last_mut() {
            Some((start, run)) if *start + *run == self.len => *run += len64,
            _ => self.lost.push((self.len, len64)),
        }
        self.sum.update(vec![0; len]);
        self.len += len64;
    }

    /// TLS starts with the next byte.
    pub const fn tls_starts(&mut self) {
        self.tls_at = Some(self.len);
    }

    /// Its line in the manifest.
    ///
    /// # Errors
    /// What writing to `out` gave.
    pub fn write(
        self,
        out: &mut impl Write,
        first: u64,
        source: Endpoint,
        destination: Endpoint,
    ) -> io::Result<()> {
        if self.len == 0 {
            return Ok(());
        }
        let name = Name {
            first,
            source,
            destination,
        };
        write!(out, "{name}\t{}\t", self.len)?;
        match self.tls_at {
            Some(at) if at < self.len => write!(out, "{at}\t")?,
            _ => write!(out, "-\t")?,
        }
        write!(out, "{}\t", hex(&self.sum.finalize()))?;
        if self.lost.is_empty() {
            write!(out, "-")?;
        }
        for (index, (offset, len)) in self.lost.iter().enumerate() {
            write!(out, "{}{offset}+{len}", if index == 0 { "" } else { "," })?;
        }
        writeln!(out)
    }
}

/// Bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// flowdump's default file name of a stream.
struct Name {
    first: u64,
    source: Endpoint,
    destination: Endpoint,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.first - START;
        let seconds = micros / 1_000_000;
        // Captures are far shorter than a day.
        let (h, m, s, fraction) = (
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60,
            micros % 1_000_000,
        );
        write!(
            f,
            "20261121T{h:02}{m:02}{s:02}.{fraction:06}Z_{}.{}-{}.{}",
            self.source.address, self.source.port, self.destination.address, self.destination.port
        )
    }
}

/// One line of a manifest, read back.
#[derive(Debug, PartialEq, Eq)]
pub struct Line<'a> {
    pub name: &'a str,
    pub length: u64,
    pub tls_at: Option<u64>,
    pub sha256: &'a str,
    pub lost: Vec<Lost>,
}

impl<'a> Line<'a> {
    /// Reads a line.
    ///
    /// # Errors
    /// The line is no manifest's.
    pub fn parse(line: &'a str) -> Result<Self> {
        let mut fields = line.split('\t');
        let mut next = || {
            fields
                .next()
                .with_context(|| format!("not a line of a manifest: {line}"))
        };
        let (name, length, tls_at, sha256, lost) = (next()?, next()?, next()?, next()?, next()?);
        if sha256.len() != 64 {
            bail!("not a line of a manifest: {line}");
        }
        Ok(Self {
            name,
            length: length.parse()?,
            tls_at: if tls_at == "-" {
                None
            } else {
                Some(tls_at.parse()?)
            },
            sha256,
            lost: if lost == "-" {
                Vec::new()
            } else {
                lost.split(',').map(run).collect::<Result<_>>()?
            },
        })
    }
}

fn run(text: &str) -> Result<Lost> {
    let (offset, len) = text.split_once('+').context("a lost range is offset+length")?;
    Ok((offset.parse()?, len.parse()?))
}
