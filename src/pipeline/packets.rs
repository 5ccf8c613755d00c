//! `-w` within a run: where packets go as they came, and what it means for the rest that they can't.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::readers::Readers;
use super::{RunError, say};
use crate::capture::{LinkType, Packet, PacketWriter, WriteError};
use crate::config::{Config, Input};
use crate::tell::tell;
use crate::time::Timestamp;

/// How often the same trouble is told of.
const TELL_AGAIN: Duration = Duration::from_secs(60);

/// The file that packets go to, if they go to one.
pub(super) struct Packets<'c> {
    config: &'c Config,
    /// None, too, once its reader has gone.
    writer: Option<PacketWriter>,
    readers: Readers,
    /// When trouble was told last.
    told: Option<Instant>,
}

impl<'c> Packets<'c> {
    /// Makes the file.
    pub(super) fn new(
        config: &'c Config,
        link_type: Option<LinkType>,
        snaplen: u32,
        readers: Readers,
    ) -> Result<Self, WriteError> {
        let link_type = link_type.unwrap_or(LinkType::ETHERNET);
        let writer = config.write.as_ref();
        let writer = writer.map(|(path, options)| PacketWriter::create(path, link_type, snaplen, *options));
        Ok(Self {
            config,
            writer: writer.transpose()?,
            readers,
            told: None,
        })
    }

    /// The folder that the file and its successors are in; none for stdout.
    pub(super) fn folder(&self) -> Option<PathBuf> {
        let (path, _) = self.config.write.as_ref()?;
        if path.as_os_str() == "-" {
            return None;
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        Some(folder.map_or_else(|| PathBuf::from("."), PathBuf::from))
    }

    /// Times in nanoseconds, or not; to be said before the first packet.
    pub(super) fn nanoseconds(&mut self, yes: bool) {
        self.writer = self.writer.take().map(|writer| writer.nanoseconds(yes));
    }

    pub(super) fn packet(&mut self, packet: &Packet<'_>) -> Result<(), RunError> {
        self.act(|writer| writer.write(packet))
    }

    /// Nothing comes just now: what there is goes into the file.
    pub(super) fn tick(&mut self, now: Timestamp) -> Result<(), RunError> {
        self.act(|writer| writer.tick(now))
    }

    /// The run is over.
    pub(super) fn finish(&mut self) -> Result<(), RunError> {
        self.act(PacketWriter::finish)
    }

    /// Something could not be written, and that was told.
    pub(super) fn failed(&self) -> bool {
        self.told.is_some()
    }

    /// Packets that are in no file, because it could not be written for too long, or at the end.
    pub(super) fn lost(&self) -> u64 {
        self.writer.as_ref().map_or(0, PacketWriter::lost)
    }

    /// Where the packets' reader has gone the rest goes on. A live capture goes on where packets can't be written, and
    /// says so once a minute.
    fn act(&mut self, act: impl FnOnce(&mut PacketWriter) -> Result<(), WriteError>) -> Result<(), RunError> {
        let Some(Err(error)) = self.writer.as_mut().map(act) else {
            return Ok(());
        };
        match (error, &self.config.input) {
            (error @ WriteError::Closed, _) => {
                self.writer = None;
                self.readers.one_gone()?;
                say(self.config, &format!("{error}; going on with the rest"));
                Ok(())
            }
            (error @ WriteError::Io { .. }, Input::Live(_)) => {
                if self.told.is_none_or(|told| told.elapsed() >= TELL_AGAIN) {
                    self.told = Some(Instant::now());
                    tell(&format!("{error}; going on"));
                }
                Ok(())
            }
            (error, _) => Err(error.into()),
        }
    }
}
