//! The capture file, classic pcap with microseconds, and the clock of its packets.

use std::io::{self, Write};

use crate::frame::{self, Segment};

/// 2026-11-21T00:00:00Z, in microseconds: every capture starts here.
pub const START: u64 = 1_795_219_200_000_000;

/// A capture that is being written.
pub struct Capture<W> {
    out: W,
    frame: Vec<u8>,
    written: u64,
    packets: u64,
    now: u64,
    slower: u64,
}

impl<W: Write> Capture<W> {
    /// Writes the file header.
    ///
    /// # Errors
    /// What writing to `out` gave.
    pub fn new(mut out: W) -> io::Result<Self> {
        for field in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 262_144, 1] {
            out.write_all(&field.to_le_bytes())?;
        }
        Ok(Self {
            out,
            frame: Vec::with_capacity(2048),
            written: 24,
            packets: 0,
            now: START,
            slower: 1,
        })
    }

    /// Lets so many times as much time pass between packets.
    #[must_use]
    pub fn slower(self, slower: u64) -> Self {
        Self { slower, ..self }
    }

    /// Microseconds since the epoch.
    pub const fn now(&self) -> u64 {
        self.now
    }

    /// Lets time pass.
    pub const fn wait(&mut self, micros: u64) {
        self.now += micros * self.slower;
    }

    /// Bytes written so far.
    pub const fn written(&self) -> u64 {
        self.written
    }

    /// Packets written so far.
    pub const fn packets(&self) -> u64 {
        self.packets
    }

    /// Writes one packet with the time of now.
    ///
    /// # Errors
    /// What writing gave.
    pub fn segment(&mut self, segment: &Segment<'_>) -> io::Result<()> {
        frame::write(segment, &mut self.frame);
        let len = self.frame.len() as u32;
        let mut header = [0; 16];
        let fields = [
            (self.now / 1_000_000) as u32,
            (self.now % 1_000_000) as u32,
            len,
            len,
        ];
        for (place, field) in header.chunks_exact_mut(4).zip(fields) {
            place.copy_from_slice(&field.to_le_bytes());
        }
        self.out.write_all(&header)?;
        self.out.write_all(&self.frame)?;
        self.written += 16 + u64::from(len);
        self.packets += 1;
        Ok(())
    }

    /// Writes out what is buffered.
    ///
    /// # Errors
    /// What writing gave.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }
}
