//! The connection table: finds the connection of a segment, and keeps the number of them bounded.
//!
//! # Which connection a segment belongs to
//!
//! The key is the unordered pair of endpoints. Several connections may have it: in different VLANs or
//! tunnels (*scopes*), or one after the other. Each direction of a connection is bound to the scope in
//! which it is first seen. A segment belongs to the connection whose direction is bound to its scope; else
//! to one whose direction is not bound yet and whose other direction has the same scope; else to one whose
//! direction is not bound yet and whose sequence numbers it fits. So two conversations with equal
//! addresses in two VLANs stay apart, and one whose directions run through different VLANs stays one. A
//! packet that was seen already in another scope is a copy, and opens nothing.
//!
//! A SYN with a new sequence number is a new connection. The old one is closed as soon as the new one is
//! answered, so that a lone forged SYN does not cut a conversation in two.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hash::BuildHasher;

use hashbrown::HashTable;

use super::clock::Clock;
use super::entry::{Active, ENTRY_COST, Entry, State};
use super::lru::{Links, List};
use super::options::{FlowOptions, FlowStats};
use super::out::Out;
use super::recent::Fingerprint;
use super::slab::Slab;
use super::stream::Stream;
use crate::decode::{Endpoint, Flags, Segment};
use crate::event::{ClientKnown, CloseReason, Closing, Emit, Event, SinkError, TcpNote, Totals};
use crate::time::Timestamp;

/// How long a closed connection is remembered, to absorb late segments.
const TOMBSTONE: std::time::Duration = std::time::Duration::from_secs(120);

/// Finished connections that wait for late segments, at the most.
const LINGERING: usize = 4096;

/// The connection table.
#[derive(Debug)]
pub struct FlowTable {
    options: FlowOptions,
    hasher: foldhash::quality::RandomState,
    sampler: foldhash::fast::FixedState,
    index: HashTable<u32>,
    slab: Slab,
    lists: [List; 4],
    /// When streams want to be asked, with slot and connection id.
    deadlines: BinaryHeap<Reverse<(Timestamp, u32, u64)>>,
    /// Nothing is due before this.
    next_due: Option<Timestamp>,
    clock: Clock,
    next_id: u64,
    memory: usize,
    stats: FlowStats,
}

/// What a look into the table finds.
enum Found {
    Nothing,
    Entry(u32),
    /// The packet was captured before, in another scope, for this connection.
    Copy(u32),
}

impl FlowTable {
    /// An empty table.
    pub fn new(options: FlowOptions) -> Self {
        Self {
            options,
            hasher: foldhash::quality::RandomState::default(),
            sampler: foldhash::fast::FixedState::default(),
            index: HashTable::new(),
            slab: Slab::default(),
            lists: [List::default(); 4],
            deadlines: BinaryHeap::new(),
            next_due: None,
            clock: Clock::default(),
            next_id: 1,
            memory: 0,
            stats: FlowStats::default(),
        }
    }

    /// Counts so far.
    pub fn stats(&self) -> FlowStats {
        FlowStats {
            open: (self.list_len(State::HalfOpen) + self.list_len(State::Active)) as u64,
            memory: self.memory,
            ..self.stats
        }
    }

    /// Takes a segment and tells what comes of it.
    ///
    /// # Errors
    /// What `emit` returns.
    pub fn segment(&mut self, segment: &Segment<'_>, emit: &mut Emit<'_>) -> Result<(), SinkError> {
        self.stats.segments += 1;
        let now = self.clock.advance(segment.time);
        self.expire(now, emit)?;
        let key = Entry::key_of(segment);
        let side = Entry::side_of(segment);
        let hash = self.hasher.hash_one(key);
        let fingerprint = Fingerprint::of(segment, &self.sampler);
        match self.find(hash, &key, side, segment, &fingerprint) {
            Found::Nothing => self.fresh(hash, key, side, segment, fingerprint, emit)?,
            Found::Entry(slot) => self.known(slot, hash, side, segment, fingerprint, emit)?,
            Found::Copy(slot) => self.copy(slot, side, segment.time, emit)?,
        }
        self.bound(emit)
    }

    /// Packet time has come to `now` without a packet.
    ///
    /// # Errors
    /// What `emit` returns.
    pub fn tick(&mut self, now: Timestamp, emit: &mut Emit<'_>) -> Result<(), SinkError> {
        let now = self.clock.advance(now);
        self.expire(now, emit)
    }

    /// The capture is over: everything held is given out, every connection closed.
    ///
    /// # Errors
    /// What `emit` returns.
    pub fn finish(&mut self, emit: &mut Emit<'_>) -> Result<(), SinkError> {
        let mut open: Vec<(u64, u32)> = self.slab.iter().map(|(slot, entry)| (entry.id, slot)).collect();
        open.sort_unstable();
        for (_, slot) in open {
            let reason = match self
                .slab
                .get(slot)
                .map(|entry| (entry.state, entry.close_reason()))
            {
                Some((State::Closing, reason)) => reason,
                Some((State::Tombstone, _)) | None => continue,
                Some(_) => CloseReason::CaptureEnd,
            };
            self.close(slot, reason, emit)?;
        }
        Ok(())
    }

    fn find(
        &self,
        hash: u64,
        key: &[Endpoint; 2],
        side: usize,
        segment: &Segment<'_>,
        fingerprint: &Fingerprint,
    ) -> Found {
        let mut best: Option<((u8, bool, u8, u64), u32)> = None;
        let mut copy = None;
        let mut candidates = self
            .index
            .iter_hash(hash)
            .filter_map(|slot| Some((*slot, self.slab.get(*slot)?)))
            .filter(|(_, entry)| entry.ends == *key)
            .peekable();
        while let Some((slot, entry)) = candidates.next() {
            let class = match (entry.scope_of(side), entry.scope_of(1 - side)) {
                (Some(scope), _) => 3 * u8::from(scope == segment.scope),
                (None, Some(other)) if other != segment.scope => u8::from(entry.fit(side, segment) >= 2),
                (None, _) => 2,
            };
            if class == 0 {
                if entry.has_seen(side, fingerprint) {
                    copy = Some(slot);
                }
                continue;
            }
            let alone = best.is_none() && candidates.peek().is_none();
            if alone {
                return Found::Entry(slot);
            }
            let rank = (
                class,
                entry.state != State::Tombstone,
                entry.fit(side, segment),
                entry.id,
            );
            if best.is_none_or(|(other, _)| rank > other) {
                best = Some((rank, slot));
            }
        }
        match (best, copy) {
            (Some((_, slot)), _) => Found::Entry(slot),
            (None, Some(slot)) => Found::Copy(slot),
            (None, None) => Found::Nothing,
        }
    }

    /// A segment of no connection that is known.
    fn fresh(
        &mut self,
        hash: u64,
        key: [Endpoint; 2],
        side: usize,
        segment: &Segment<'_>,
        fingerprint: Fingerprint,
        emit: &mut Emit<'_>,
    ) -> Result<(), SinkError> {
        let flags = segment.flags;
        if flags.has(Flags::RST) {
            // Nothing to reset: an answer to something that the capture lacks.
            self.stats.late_segments += 1;
            return Ok(());
        }
        let mut entry = Entry {
            ends: key,
            id: self.next_id,
            state: State::HalfOpen,
            links: Links::default(),
            scopes: [None; 2],
            isn: [None; 2],
            ended_at: [None; 2],
            first_time: segment.time,
            last_time: segment.time,
            syns: 0,
            copies: 0,
            vlan: segment.vlan,
            mac: segment.mac,
            window_scale: 0,
            fingerprint,
            active: None,
        };
        entry.bind(side, segment.scope);
        self.next_id += 1;
        let lone_syn = flags.has(Flags::SYN) && !flags.has(Flags::ACK) && segment.payload_wire_len == 0;
        if lone_syn {
            entry.set_isn(side, segment.seq);
            entry.syns = 1;
            entry.window_scale = segment.window_scale.unwrap_or(0);
        }
        let slot = self.slab.insert(entry);
        self.memory += ENTRY_COST;
        let (slab, hasher) = (&self.slab, &self.hasher);
        self.index.insert_unique(hash, slot, |slot| {
            slab.get(*slot).map_or(0, |entry| hasher.hash_one(entry.ends))
        });
        self.push(slot, State::HalfOpen);
        if lone_syn {
            return Ok(());
        }
        self.promote(slot, side, segment);
        self.active(slot, side, segment, fingerprint, emit)
    }

    /// A segment of a connection that is in the table.
    fn known(
        &mut self,
        slot: u32,
        hash: u64,
        side: usize,
        segment: &Segment<'_>,
        fingerprint: Fingerprint,
        emit: &mut Emit<'_>,
    ) -> Result<(), SinkError> {
        let Some(entry) = self.slab.get_mut(slot) else {
            return Ok(());
        };
        let key = entry.ends;
        let syn = segment.flags.has(Flags::SYN);
        let lone_syn = syn && !segment.flags.has(Flags::ACK);
        match entry.state {
            State::Tombstone => {
                if (lone_syn && entry.isn_of(side) != Some(segment.seq))
                    || (!syn
                        && segment.payload_wire_len > 0
                        && entry.fit_tombstone(side, segment) == Some(false))
                {
                    self.remove(slot);
                    return self.fresh(hash, key, side, segment, fingerprint, emit);
                }
                self.stats.late_segments += 1;
                Ok(())
            }
            State::HalfOpen => {
                if entry.has_seen(side, &fingerprint) {
                    entry.copies = entry.copies.saturating_add(1);
                    return Ok(());
                }
                if lone_syn && entry.isn_of(side).is_some() && segment.payload_wire_len == 0 {
                    if entry.isn_of(side) != Some(segment.seq) {
                        self.close(slot, CloseReason::Reused, emit)?;
                        return self.fresh(hash, key, side, segment, fingerprint, emit);
                    }
                    entry.syns = entry.syns.saturating_add(1);
                    entry.fingerprint = fingerprint;
                    entry.last_time = segment.time;
                    self.touch(slot, State::HalfOpen);
                    return Ok(());
                }
                self.promote(slot, side, segment);
                self.supersede(slot, hash, emit)?;
                self.active(slot, side, segment, fingerprint, emit)
            }
            State::Closing | State::Active => {
                if syn && entry.isn_of(side) != Some(segment.seq) {
                    let late = entry.isn_of(side).is_none()
                        && entry
                            .active
                            .as_ref()
                            .and_then(|active| active.streams.get(side))
                            .is_some_and(|stream| stream.late_syn_fits(segment.seq));
                    if !late {
                        if entry.state == State::Closing {
                            let reason = entry.close_reason();
                            self.close(slot, reason, emit)?;
                            self.remove(slot);
                        } else if !lone_syn {
                            self.close(slot, CloseReason::Reused, emit)?;
                        }
                        return self.fresh(hash, key, side, segment, fingerprint, emit);
                    }
                }
                self.active(slot, side, segment, fingerprint, emit)
            }
        }
    }

    /// The SYN's connection lives: gives it its streams.
    fn promote(&mut self, slot: u32, side: usize, segment: &Segment<'_>) {
        let Some(entry) = self.slab.get_mut(slot) else {
            return;
        };
        let syn_ack = segment.flags.has(Flags::SYN) && segment.flags.has(Flags::ACK);
        let known = if syn_ack && entry.isn == [None; 2] {
            Some((1 - side, ClientKnown::SynAck))
        } else if segment.flags.has(Flags::SYN) && entry.isn == [None; 2] {
            Some((side, ClientKnown::Syn))
        } else {
            None
        };
        let speaker = if entry.syns > 0 {
            usize::from(entry.isn_of(0).is_none())
        } else {
            side
        };
        let identity = entry.identity(slot, known, speaker);
        let mut streams = [Stream::default(), Stream::default()];
        for (side, stream) in streams.iter_mut().enumerate() {
            if let Some(isn) = entry.isn_of(side) {
                stream.begin_from_table(
                    isn,
                    entry.syns,
                    entry.copies,
                    entry.window_scale,
                    entry.fingerprint,
                );
            }
        }
        let cost = Active::COST;
        entry.active = Some(Box::new(Active {
            identity,
            streams,
            deadline: None,
            reset: None,
            handshake: false,
            cost,
        }));
        self.memory += cost;
        self.relist(slot, State::Active);
    }

    /// A new connection is answered: older ones with its addresses, in its scope, are over.
    fn supersede(&mut self, slot: u32, hash: u64, emit: &mut Emit<'_>) -> Result<(), SinkError> {
        let Some(new) = self.slab.get(slot) else {
            return Ok(());
        };
        let older: Vec<u32> = self
            .index
            .iter_hash(hash)
            .copied()
            .filter(|other| {
                self.slab.get(*other).is_some_and(|entry| {
                    entry.ends == new.ends
                        && entry.id < new.id
                        && entry.state != State::Tombstone
                        && entry
                            .scopes
                            .iter()
                            .zip(&new.scopes)
                            .all(|(one, other)| one.is_none() || other.is_none() || one == other)
                })
            })
            .collect();
        for other in older {
            self.close(other, CloseReason::Reused, emit)?;
            self.remove(other);
        }
        Ok(())
    }

    /// A segment for a connection that has its streams.
    fn active(
        &mut self,
        slot: u32,
        side: usize,
        segment: &Segment<'_>,
        fingerprint: Fingerprint,
        emit: &mut Emit<'_>,
    ) -> Result<(), SinkError> {
        let Some(entry) = self.slab.get_mut(slot) else {
            return Ok(());
        };
        entry.bind(side, segment.scope);
        entry.last_time = entry.last_time.max(segment.time);
        let flags = segment.flags;
        if flags.has(Flags::SYN) && entry.isn_of(side).is_none() {
            entry.set_isn(side, segment.seq);
            if let Some(active) = entry.active.as_deref().filter(|active| !active.identity.opened) {
                // A SYN that comes while the start is still held settles who is the client.
                let (client, known) = if flags.has(Flags::ACK) {
                    (1 - side, ClientKnown::SynAck)
                } else {
                    (side, ClientKnown::Syn)
                };
                if active.identity.connection.client_known != ClientKnown::Syn {
                    let identity = entry.identity(slot, Some((client, known)), side);
                    if let Some(active) = &mut entry.active {
                        active.identity = identity;
                    }
                }
            }
        }
        let server_isn = entry.isn;
        let Some(active) = &mut entry.active else {
            return Ok(());
        };
        let Active {
            identity,
            streams,
            reset,
            handshake,
            cost,
            deadline,
        } = &mut **active;
        let [zero, one] = streams;
        let (own, other) = if side == 0 { (zero, one) } else { (one, zero) };
        let opened = &mut self.stats.opened;
        let mut out = Out {
            identity,
            side,
            now: segment.time,
            emit,
            opened,
        };
        if own.duplicate(segment, &fingerprint) {
            own.totals.duplicate_captures += 1;
            out.note(TcpNote::DuplicateCapture)?;
            self.touch_in_place(slot);
            return Ok(());
        }
        let is_reset = flags.has(Flags::RST);
        // What a reset carries is a diagnostic text at best (RFC 9293, section 3.5.3), never stream.
        let bare = Segment {
            payload: &[],
            payload_wire_len: 0,
            ..*segment
        };
        own.segment(
            if is_reset { &bare } else { segment },
            fingerprint,
            &self.options,
            &mut out,
        )?;
        if flags.has(Flags::ACK) {
            let acknowledges_syn = server_isn
                .get(1 - side)
                .copied()
                .flatten()
                .map(|isn| isn.wrapping_add(1));
            if own.totals.syn && other.totals.syn && side == out.identity.client_side {
                *handshake |= acknowledges_syn.is_some_and(|first| segment.ack.wrapping_sub(first) < 1 << 31);
            }
            out.side = 1 - side;
            other.acknowledge(segment.ack, segment.time, &self.options, &mut out)?;
            out.side = side;
        }
        if is_reset {
            let answers =
                !flags.has(Flags::ACK) || other.distance(segment.ack).is_none_or(|far| far < 1 << 30);
            if answers && own.reset_fits(segment.seq, other) {
                own.reset(&mut out)?;
                reset.get_or_insert(side);
            } else {
                out.note(TcpNote::ResetIgnored)?;
            }
        }
        let over = |stream: &Stream, peer: &Stream| {
            (stream.ended() || stream.finishing()) && (peer.ended() || peer.finishing() || !peer.seen())
        };
        let closing = reset.is_some() || over(own, other) || over(other, own);
        let due = own.due.into_iter().chain(other.due).min();
        let new_cost = Active::COST + own.cost() + other.cost();
        self.memory = (self.memory + new_cost).saturating_sub(*cost);
        *cost = new_cost;
        if let Some(due) = due.filter(|due| deadline.is_none_or(|set| *due < set)) {
            *deadline = Some(due);
            self.deadlines.push(Reverse((due, slot, entry.id)));
            self.due_at(due);
        }
        let wanted = if closing { State::Closing } else { State::Active };
        self.relist(slot, wanted);
        if self.list_len(State::Closing) > LINGERING
            && let Some(oldest) = self.list(State::Closing).first()
        {
            let reason = self
                .slab
                .get(oldest)
                .map_or(CloseReason::Fin, Entry::close_reason);
            self.close(oldest, reason, emit)?;
        }
        Ok(())
    }

    /// A packet that was captured before in another scope.
    fn copy(&mut self, slot: u32, side: usize, now: Timestamp, emit: &mut Emit<'_>) -> Result<(), SinkError> {
        let Some(entry) = self.slab.get_mut(slot) else {
            return Ok(());
        };
        let Some(active) = &mut entry.active else {
            entry.copies = entry.copies.saturating_add(1);
            return Ok(());
        };
        let Active {
            identity, streams, ..
        } = &mut **active;
        if let Some(stream) = streams.get_mut(side) {
            stream.totals.duplicate_captures += 1;
        }
        Out {
            identity,
            side,
            now,
            emit,
            opened: &mut self.stats.opened,
        }
        .note(TcpNote::DuplicateCapture)
    }

    /// Tells the end of a connection; what stays is a tombstone, where late segments may be expected.
    fn close(&mut self, slot: u32, reason: CloseReason, emit: &mut Emit<'_>) -> Result<(), SinkError> {
        let now = self.clock.now();
        let Some(entry) = self.slab.get_mut(slot) else {
            return Ok(());
        };
        let last_time = entry.last_time;
        let (mut identity, totals, handshake) = match entry.active.take() {
            Some(active) => {
                let Active {
                    mut identity,
                    mut streams,
                    handshake,
                    cost,
                    ..
                } = *active;
                self.memory = self.memory.saturating_sub(cost);
                for (side, stream) in streams.iter_mut().enumerate() {
                    let mut out = Out {
                        identity: &mut identity,
                        side,
                        now,
                        emit,
                        opened: &mut self.stats.opened,
                    };
                    stream.flush(now, &mut out)?;
                }
                for (side, stream) in streams.iter().enumerate() {
                    if let Some(seq) = stream.next_seq() {
                        entry.set_end(side, seq);
                    }
                }
                let [zero, one] = streams.map(|stream| stream.totals);
                let totals = if identity.client_side == 0 {
                    [zero, one]
                } else {
                    [one, zero]
                };
                (identity, totals, handshake)
            }
            None => {
                let syn_side = usize::from(entry.isn_of(0).is_none());
                let totals = Totals {
                    packets: u64::from(entry.syns),
                    retransmissions: u64::from(entry.syns.saturating_sub(1)),
                    duplicate_captures: u64::from(entry.copies),
                    syn: true,
                    ..Totals::default()
                };
                (
                    entry.identity(slot, None, syn_side),
                    [totals, Totals::default()],
                    false,
                )
            }
        };
        let mut out = Out {
            identity: &mut identity,
            side: 0,
            now,
            emit,
            opened: &mut self.stats.opened,
        };
        out.open()?;
        self.count(&totals);
        let closing = Closing {
            reason,
            last_time,
            handshake,
            totals,
        };
        emit(&identity.connection, &Event::Closed(&closing))?;
        match reason {
            CloseReason::Fin | CloseReason::Reset(_) => self.relist(slot, State::Tombstone),
            CloseReason::Reused | CloseReason::Timeout | CloseReason::Evicted | CloseReason::CaptureEnd => {
                self.remove(slot);
            }
        }
        Ok(())
    }

    fn count(&mut self, totals: &[Totals; 2]) {
        let stats = &mut self.stats;
        stats.closed += 1;
        for one in totals {
            stats.bytes += one.bytes;
            stats.gaps += one.gaps;
            stats.gap_bytes += one.gap_bytes;
            stats.retransmissions += one.retransmissions;
            stats.out_of_order += one.out_of_order;
            stats.duplicate_captures += one.duplicate_captures;
            stats.conflicts += one.conflicts;
            stats.conflict_bytes += one.conflict_bytes;
            stats.outside_bytes += one.outside_bytes;
        }
    }

    /// Does what is due at `now`, in the order in which it became due, so that a replay tells the same
    /// as the live capture did.
    fn expire(&mut self, now: Timestamp, emit: &mut Emit<'_>) -> Result<(), SinkError> {
        while self.next_due.is_some_and(|due| due <= now) {
            let first = [State::Tombstone, State::HalfOpen, State::Closing, State::Active]
                .into_iter()
                .filter_map(|state| {
                    let slot = self.list(state).first()?;
                    Some((
                        self.slab.get(slot)?.last_time + self.timeout(state),
                        Some((state, slot)),
                    ))
                })
                .chain(self.deadlines.peek().map(|Reverse((due, ..))| (*due, None)))
                .min_by_key(|(due, _)| *due);
            match first {
                Some((due, what)) if due <= now => match what {
                    None => self.stream_due(emit)?,
                    Some((State::Tombstone, slot)) => self.remove(slot),
                    Some((State::Closing, slot)) => {
                        let reason = self.slab.get(slot).map_or(CloseReason::Fin, Entry::close_reason);
                        self.close(slot, reason, emit)?;
                    }
                    Some((State::HalfOpen | State::Active, slot)) => {
                        self.close(slot, CloseReason::Timeout, emit)?;
                    }
                },
                other => {
                    self.next_due = other.map(|(due, _)| due);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The earliest deadline of a stream.
    fn stream_due(&mut self, emit: &mut Emit<'_>) -> Result<(), SinkError> {
        let Some(Reverse((due, slot, id))) = self.deadlines.pop() else {
            return Ok(());
        };
        let Some(entry) = self.slab.get_mut(slot).filter(|entry| entry.id == id) else {
            return Ok(());
        };
        let Some(active) = &mut entry.active else {
            return Ok(());
        };
        let Active {
            identity,
            streams,
            deadline,
            ..
        } = &mut **active;
        if *deadline != Some(due) {
            return Ok(());
        }
        for (side, stream) in streams.iter_mut().enumerate() {
            let mut out = Out {
                identity,
                side,
                now: due,
                emit,
                opened: &mut self.stats.opened,
            };
            stream.progress(due, &self.options, &mut out)?;
        }
        *deadline = streams.iter().filter_map(|stream| stream.due).min();
        if let Some(due) = *deadline {
            self.deadlines.push(Reverse((due, slot, id)));
            self.due_at(due);
        }
        Ok(())
    }

    /// Keeps to the bounds: what matters least goes first.
    fn bound(&mut self, emit: &mut Emit<'_>) -> Result<(), SinkError> {
        self.stats.memory_peak = self.stats.memory_peak.max(self.memory);
        while self.memory > self.options.memory || self.slab.len() > self.options.max_connections.max(1) {
            let victim = [State::Tombstone, State::HalfOpen, State::Closing, State::Active]
                .into_iter()
                .find_map(|state| Some((state, self.list(state).first()?)));
            match victim {
                None => return Ok(()),
                Some((State::Tombstone, slot)) => self.remove(slot),
                Some((State::HalfOpen, slot)) => {
                    self.stats.half_open_evicted += 1;
                    self.remove(slot);
                }
                Some((State::Closing | State::Active, slot)) => {
                    self.stats.evicted += 1;
                    self.close(slot, CloseReason::Evicted, emit)?;
                }
            }
        }
        Ok(())
    }

    fn list(&self, state: State) -> List {
        self.lists.get(state as usize).copied().unwrap_or_default()
    }

    /// Changes a state's list; it is taken out meanwhile, because its links lie in the slab.
    fn change_list(&mut self, state: State, change: impl FnOnce(&mut List, &mut Slab)) {
        if let Some(list) = self.lists.get_mut(state as usize) {
            change(list, &mut self.slab);
        }
    }

    fn list_len(&self, state: State) -> usize {
        self.list(state).len()
    }

    fn timeout(&self, state: State) -> std::time::Duration {
        match state {
            State::Tombstone => TOMBSTONE,
            State::HalfOpen => self.options.half_open_timeout,
            State::Closing => self.options.closed_linger,
            State::Active => self.options.idle_timeout,
        }
    }

    fn due_at(&mut self, due: Timestamp) {
        self.next_due = Some(self.next_due.map_or(due, |set| set.min(due)));
    }

    fn push(&mut self, slot: u32, state: State) {
        self.change_list(state, |list, slab| list.push(slab, slot));
        if let Some(entry) = self.slab.get(slot) {
            let due = entry.last_time + self.timeout(state);
            self.due_at(due);
        }
    }

    fn touch(&mut self, slot: u32, state: State) {
        self.change_list(state, |list, slab| list.touch(slab, slot));
    }

    fn touch_in_place(&mut self, slot: u32) {
        if let Some(state) = self.slab.get(slot).map(|entry| entry.state) {
            self.touch(slot, state);
        }
    }

    /// Puts a slot at the back of a state's list, out of the one it was in.
    fn relist(&mut self, slot: u32, state: State) {
        let Some(entry) = self.slab.get_mut(slot) else {
            return;
        };
        let before = std::mem::replace(&mut entry.state, state);
        if before == state {
            return self.touch(slot, state);
        }
        self.change_list(before, |list, slab| list.remove(slab, slot));
        self.push(slot, state);
    }

    /// Forgets a slot.
    fn remove(&mut self, slot: u32) {
        let Some(state) = self.slab.get(slot).map(|entry| entry.state) else {
            return;
        };
        self.change_list(state, |list, slab| list.remove(slab, slot));
        let Some(entry) = self.slab.remove(slot) else {
            return;
        };
        self.memory = self
            .memory
            .saturating_sub(ENTRY_COST + entry.active.map_or(0, |active| active.cost));
        let hash = self.hasher.hash_one(entry.ends);
        if let Ok(place) = self.index.find_entry(hash, |other| *other == slot) {
            place.remove();
        }
    }
}
