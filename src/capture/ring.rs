//! The ring between the thread that takes packets from the kernel and the rest of the program.
//!
//! The reader must never wait for the writer: while a terminal or a disk is slow, packets gather here, in
//! batches of about a megabyte, up to a bound; beyond it they are dropped and counted. A batch is handed over as
//! soon as the other side has nothing to do, so that a quiet line shows at once and a flood goes in big steps.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};

use super::{CaptureError, LinkType, Packet};
use crate::time::Timestamp;

/// Bytes of a batch, records included.
const BATCH: usize = 1 << 20;

/// Empty batches kept for use again; more are given back to the system after a burst.
const SPARE: usize = 4;

/// Where a packet stands in its batch.
#[derive(Debug, Clone, Copy)]
struct Record {
    time: Timestamp,
    start: usize,
    end: usize,
    wire_len: u32,
}

/// Packets of one link type, in order.
#[derive(Debug)]
struct Batch {
    link_type: LinkType,
    records: Vec<Record>,
    bytes: Vec<u8>,
}

impl Batch {
    fn new(link_type: LinkType) -> Self {
        Self {
            link_type,
            records: Vec::new(),
            bytes: Vec::with_capacity(BATCH),
        }
    }

    fn size(&self) -> usize {
        self.bytes.len() + self.records.len() * size_of::<Record>()
    }

    fn push(&mut self, time: Timestamp, wire_len: u32, captured: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(captured);
        self.records.push(Record {
            time,
            start,
            end: self.bytes.len(),
            wire_len,
        });
    }
}

/// What goes through the ring.
#[derive(Debug)]
enum Message {
    Batch(Batch),
    Warning(String),
    Lost(CaptureError),
    End,
}

/// Makes a ring that holds about `limit` bytes, two batches at least.
pub(super) fn ring(limit: usize) -> (Filler, Drainer) {
    let (messages, inbox) = unbounded();
    let (spare, spares) = bounded(SPARE);
    let queued = Arc::new(AtomicUsize::new(0));
    let filler = Filler {
        messages,
        spares,
        queued: Arc::clone(&queued),
        most: (limit / BATCH).max(2),
        current: None,
    };
    (
        filler,
        Drainer {
            inbox,
            spare,
            queued,
            current: None,
            at: 0,
        },
    )
}

/// The side that the capture thread fills.
#[derive(Debug)]
pub(super) struct Filler {
    messages: Sender<Message>,
    spares: Receiver<Batch>,
    /// Batches given to the other side that it has not finished.
    queued: Arc<AtomicUsize>,
    most: usize,
    current: Option<Batch>,
}

impl Filler {
    /// Takes a packet in. `false`: the ring is full, the packet is not in it.
    #[must_use]
    pub(super) fn push(
        &mut self,
        link_type: LinkType,
        time: Timestamp,
        wire_len: u32,
        captured: &[u8],
    ) -> bool {
        let fits = self.current.as_ref().is_none_or(|batch| {
            batch.link_type == link_type
                && (batch.records.is_empty() || batch.size() + captured.len() + size_of::<Record>() <= BATCH)
        });
        if !fits && !self.send_current() {
            return false;
        }
        let spares = &self.spares;
        let batch = self.current.get_or_insert_with(|| match spares.try_recv() {
            Ok(batch) => Batch { link_type, ..batch },
            Err(_) => Batch::new(link_type),
        });
        batch.push(time, wire_len, captured);
        true
    }

    /// Bytes that surely fit in.
    pub(super) fn room(&self) -> usize {
        // One more is being filled here.
        let batches = self.most - 1;
        batches.saturating_sub(self.queued.load(Ordering::Relaxed)) * BATCH
    }

    /// Hands over what there is if the other side waits for it. `true`: something is left here.
    pub(super) fn hand_over(&mut self) -> bool {
        if self.current.is_some() && self.messages.is_empty() {
            self.send_current();
        }
        self.current.is_some()
    }

    /// Sends a sentence for the user, in its place between the packets.
    pub(super) fn warn(&mut self, sentence: String) {
        self.finish(Message::Warning(sentence));
    }

    /// The last message: the capture is lost.
    pub(super) fn lost(mut self, error: CaptureError) {
        self.finish(Message::Lost(error));
    }

    /// The last message: the capture has ended as asked.
    pub(super) fn end(mut self) {
        self.finish(Message::End);
    }

    fn finish(&mut self, message: Message) {
        if let Some(batch) = self.current.take() {
            // One batch beyond the bound, so that what was taken in is never lost.
            self.queued.fetch_add(1, Ordering::Relaxed);
            let _ = self.messages.send(Message::Batch(batch));
        }
        let _ = self.messages.send(message);
    }

    fn send_current(&mut self) -> bool {
        if self.room() == 0 {
            return false;
        }
        if let Some(batch) = self.current.take() {
            self.queued.fetch_add(1, Ordering::Relaxed);
            // Nobody listens any more: the thread is about to be told so by its flag.
            let _ = self.messages.send(Message::Batch(batch));
        }
        true
    }
}

/// What the draining side was given.
#[derive(Debug)]
pub(super) enum Received {
    /// [`Drainer::packet`] has packets.
    Packets,
    /// A sentence for the user.
    Warning(String),
    /// The capture is lost; nothing comes any more.
    Lost(CaptureError),
    /// The end.
    End,
    /// Nothing within the time.
    Nothing,
    /// The other side went away without a word.
    Abandoned,
}

/// The side that the program reads.
#[derive(Debug)]
pub(super) struct Drainer {
    inbox: Receiver<Message>,
    spare: Sender<Batch>,
    queued: Arc<AtomicUsize>,
    current: Option<Batch>,
    /// Records of the current batch that were given out.
    at: usize,
}

impl Drainer {
    /// Goes on to the next packet of the batch at hand; `false`: there is none.
    pub(super) fn advance(&mut self) -> bool {
        let more = self
            .current
            .as_ref()
            .is_some_and(|batch| self.at < batch.records.len());
        if more {
            self.at += 1;
        } else if let Some(mut batch) = self.current.take() {
            self.queued.fetch_sub(1, Ordering::Relaxed);
            batch.bytes.clear();
            batch.records.clear();
            // A packet larger than a batch made it grow: not kept.
            if batch.bytes.capacity() <= 2 * BATCH {
                let _ = self.spare.try_send(batch);
            }
        }
        more
    }

    /// The packet that `advance` went to.
    pub(super) fn packet(&self) -> Option<Packet<'_>> {
        let batch = self.current.as_ref()?;
        let record = batch.records.get(self.at.checked_sub(1)?)?;
        let captured = batch.bytes.get(record.start..record.end)?;
        let (time, wire_len) = (record.time, record.wire_len);
        // Like a file's: the interface stands in the cooked header where there is one, for the decoder to read.
        Some(Packet {
            time,
            link_type: batch.link_type,
            interface: 0,
            captured,
            wire_len,
        })
    }

    /// Waits for what comes next, so long at the most.
    pub(super) fn receive(&mut self, patience: Duration) -> Received {
        match self.inbox.recv_timeout(patience) {
            Ok(Message::Batch(batch)) => {
                self.current = Some(batch);
                self.at = 0;
                Received::Packets
            }
            Ok(Message::Warning(sentence)) => Received::Warning(sentence),
            Ok(Message::Lost(error)) => Received::Lost(error),
            Ok(Message::End) => Received::End,
            Err(RecvTimeoutError::Timeout) => Received::Nothing,
            Err(RecvTimeoutError::Disconnected) => Received::Abandoned,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ETHERNET: LinkType = LinkType::ETHERNET;

    fn drain(drainer: &mut Drainer, seen: &mut Vec<(i64, usize)>) -> Received {
        loop {
            while drainer.advance() {
                let packet = drainer.packet().unwrap();
                assert!(
                    packet
                        .captured
                        .iter()
                        .all(|byte| i64::from(*byte) == packet.time.nanos() % 251)
                );
                seen.push((packet.time.nanos(), packet.captured.len()));
            }
            match drainer.receive(Duration::from_millis(1)) {
                Received::Packets => {}
                other => return other,
            }
        }
    }

    fn fill(filler: &mut Filler, number: i64, len: usize) -> bool {
        filler.push(
            ETHERNET,
            Timestamp::from_nanos(number),
            9000,
            &vec![(number % 251) as u8; len],
        )
    }

    #[test]
    fn a_single_packet_is_handed_over_at_once() {
        let (mut filler, mut drainer) = ring(8 << 20);
        assert!(fill(&mut filler, 7, 60));
        assert!(!filler.hand_over(), "nothing is left behind");
        let mut seen = Vec::new();
        assert!(matches!(drain(&mut drainer, &mut seen), Received::Nothing));
        assert_eq!(seen, [(7, 60)]);
    }

    #[test]
    fn while_the_other_side_is_busy_small_packets_share_a_batch() {
        let (mut filler, mut drainer) = ring(4 << 20);
        // More hand-overs than the ring has batches, and nobody takes them: nothing is dropped.
        for number in 0..1000 {
            assert!(fill(&mut filler, number, 60));
            filler.hand_over();
        }
        filler.end();
        let mut seen = Vec::new();
        assert!(matches!(drain(&mut drainer, &mut seen), Received::End));
        assert_eq!(seen, (0..1000).map(|number| (number, 60)).collect::<Vec<_>>());
    }

    #[test]
    fn beyond_the_bound_packets_are_refused_and_those_within_stay_in_order() {
        let (mut filler, mut drainer) = ring(4 << 20);
        let mut taken = Vec::new();
        for number in 0..10_000 {
            if fill(&mut filler, number, 1500) {
                taken.push((number, 1500));
            }
        }
        let bytes = taken.len() * 1500;
        assert!(
            (3 << 20..=4 << 20).contains(&bytes),
            "{bytes} bytes in a ring of 4 MiB"
        );
        let mut seen = Vec::new();
        assert!(matches!(drain(&mut drainer, &mut seen), Received::Nothing));
        assert!(fill(&mut filler, 10_001, 60), "there is room again");
        taken.push((10_001, 60));
        filler.lost(CaptureError::Live {
            interface: "e0".into(),
            reason: "went away".into(),
        });
        assert!(matches!(drain(&mut drainer, &mut seen), Received::Lost(_)));
        assert_eq!(seen, taken);
    }

    #[test]
    fn a_packet_larger_than_a_batch_passes() {
        let (mut filler, mut drainer) = ring(4 << 20);
        assert!(fill(&mut filler, 1, 60));
        assert!(fill(&mut filler, 2, 3 << 20));
        assert!(fill(&mut filler, 3, 60));
        filler.end();
        let mut seen = Vec::new();
        assert!(matches!(drain(&mut drainer, &mut seen), Received::End));
        assert_eq!(seen, [(1, 60), (2, 3 << 20), (3, 60)]);
    }

    #[test]
    fn a_warning_stands_where_it_was_said() {
        let (mut filler, mut drainer) = ring(4 << 20);
        assert!(fill(&mut filler, 1, 60));
        filler.warn("e0 went away".into());
        assert!(fill(&mut filler, 2, 60));
        filler.end();
        let mut seen = Vec::new();
        assert!(matches!(drain(&mut drainer, &mut seen), Received::Warning(_)));
        assert_eq!(seen.len(), 1);
        assert!(matches!(drain(&mut drainer, &mut seen), Received::End));
        assert_eq!(seen.len(), 2);
    }
}
