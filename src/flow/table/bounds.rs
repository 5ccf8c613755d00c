//! Time-outs and bounds: what is due, and who goes first when there is too much.

use std::cmp::Reverse;
use std::time::Duration;

use super::{FlowTable, hash_of};
use crate::event::{CloseReason, Emit, SinkError};
use crate::flow::entry::{Active, ENTRY_COST, Entry, State};
use crate::flow::lru::List;
use crate::flow::out::Out;
use crate::flow::slab::Slab;
use crate::flow::stream;
use crate::time::Timestamp;

/// A connection is over that got no answer for so long after its last SYN: Linux sends it again after 1 s, 2 s, up to 32 s
/// (tcp(7), tcp_syn_retries), others give up sooner, and whoever watches a capture waits for this.
const HALF_OPEN: Duration = Duration::from_secs(45);

/// How long a finished connection waits for late segments before it is closed.
const CLOSING: Duration = Duration::from_secs(2);

/// How long a closed connection is remembered, to absorb late segments.
const TOMBSTONE: Duration = Duration::from_secs(120);

/// Connections that are over, and those that never began, at the most, where memory would hold more: each look at what
/// has left the processor's cache is waited for. The former are those of half a minute where two thousand end in a
/// second; the latter, which nobody hears of if they are forgotten, those of six seconds where twenty thousand SYNs come
/// in one: time for three SYNs of each.
const BYSTANDERS: [(State, usize); 2] = [(State::Tombstone, 1 << 16), (State::HalfOpen, 1 << 17)];

impl FlowTable {
    /// Does what is due at `now`, in the order in which it became due, so that a replay tells the same
    /// as the live capture did.
    #[inline]
    pub(super) fn expire(&mut self, emit: &mut Emit<'_>) -> Result<(), SinkError> {
        let now = self.clock.now();
        if self.next_due.is_none_or(|due| due > now) {
            return Ok(());
        }
        self.expire_until(now, emit)
    }

    fn expire_until(&mut self, now: Timestamp, emit: &mut Emit<'_>) -> Result<(), SinkError> {
        while self.next_due.is_some_and(|due| due <= now) {
            State::ALL
                .into_iter()
                .for_each(|state| self.call_back(state, now));
            let first = State::ALL
                .into_iter()
                .filter_map(|state| {
                    let slot = self.list(state).first()?;
                    Some((
                        self.slab.get(slot)?.touched + self.timeout(state),
                        Some((state, slot)),
                    ))
                })
                .chain(self.deadlines.peek().map(|Reverse((due, ..))| (*due, None)))
                .min_by_key(|(due, _)| *due);
            match first {
                Some((due, what)) if due <= now => match what {
                    None => self.stream_due(emit)?,
                    Some((State::Tombstone, slot)) => self.remove(slot),
                    Some((state, slot)) => {
                        let lingering = self.slab.get(slot).filter(|_| state == State::Closing);
                        let reason = lingering.map_or(CloseReason::Timeout, Entry::close_reason);
                        self.close_at(due, slot, reason, emit)?;
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

    /// Whoever was last seen in a future that did not come is taken as seen now: it would block its list.
    fn call_back(&mut self, state: State, now: Timestamp) {
        while let Some(slot) = self.list(state).first()
            && let Some(entry) = self.slab.get_mut(slot).filter(|entry| entry.touched > now)
        {
            entry.touched = now;
            self.touch(slot, state);
        }
    }

    /// The earliest deadline of a stream.
    fn stream_due(&mut self, emit: &mut Emit<'_>) -> Result<(), SinkError> {
        let Some(Reverse((due, slot, id))) = self.deadlines.pop() else {
            return Ok(());
        };
        let time = self.clock.packet_time(due);
        let Some(entry) = self.slab.get_mut(slot).filter(|entry| entry.id == id) else {
            return Ok(());
        };
        entry.touched = entry.touched.max(due);
        let Some(Active {
            identity,
            streams,
            deadline,
            ..
        }) = entry.active_mut()
        else {
            return Ok(());
        };
        if *deadline != Some(due) {
            return Ok(());
        }
        *deadline = None;
        let mut out = Out {
            identity,
            side: 0,
            time,
            now: due,
            arrival: self.stats.segments,
            emit,
            opened: &mut self.stats.opened,
        };
        for (side, stream) in streams.iter_mut().enumerate() {
            out.side = side;
            stream.progress(&self.options, &mut out)?;
        }
        stream::wait_together(streams, &self.options, &mut out)?;
        self.settle(slot);
        Ok(())
    }

    /// Notes when a connection's streams want to be asked. Deadlines that were put off or whose connections
    /// are gone stay in the heap until they are due; it is cleaned before they outnumber the others.
    pub(super) fn set_deadline(&mut self, due: Timestamp, slot: u32, id: u64) {
        self.deadlines.push(Reverse((due, slot, id)));
        self.due_at(due);
        if self.deadlines.len() > 1024 + 2 * self.slab.len() {
            let slab = &self.slab;
            self.deadlines.retain(|Reverse((due, slot, id))| {
                let entry = slab.get(*slot).filter(|entry| entry.id == *id);
                entry
                    .and_then(Entry::active)
                    .is_some_and(|active| active.deadline == Some(*due))
            });
        }
    }

    /// Keeps to the bounds: what matters least goes first.
    pub(super) fn bound(&mut self, emit: &mut Emit<'_>) -> Result<(), SinkError> {
        self.stats.memory_peak = self.stats.memory_peak.max(self.memory);
        // What is over, or never began, takes a third of the memory each at the most: a flood of SYNs, or a million
        // short connections, must not slow down all the rest.
        let third = self.options.memory / 3 / ENTRY_COST;
        for (state, most) in BYSTANDERS {
            while self.list(state).len() > most.min(third) {
                let Some(oldest) = self.list(state).first() else {
                    break;
                };
                self.evict(oldest, emit)?;
            }
        }
        while self.memory > self.options.memory || self.slab.len() > self.options.max_connections.max(1) {
            let Some(victim) = State::ALL.into_iter().find_map(|state| self.list(state).first()) else {
                return Ok(());
            };
            self.evict(victim, emit)?;
        }
        Ok(())
    }

    /// Puts a connection out to make room.
    pub(super) fn evict(&mut self, slot: u32, emit: &mut Emit<'_>) -> Result<(), SinkError> {
        match self.slab.get(slot).map(|entry| entry.state) {
            None => {}
            Some(State::Tombstone) => self.remove(slot),
            Some(State::HalfOpen) => {
                self.stats.half_open_evicted += 1;
                if self.slab.get(slot).is_some_and(Entry::is_told) {
                    self.close(slot, CloseReason::Evicted, emit)?;
                } else {
                    self.remove(slot);
                }
            }
            Some(State::Closing | State::Active) => {
                self.stats.evicted += 1;
                self.close(slot, CloseReason::Evicted, emit)?;
            }
        }
        Ok(())
    }

    pub(super) fn list(&self, state: State) -> List {
        self.lists.get(state as usize).copied().unwrap_or_default()
    }

    /// Changes a state's list, whose links lie in the slab.
    fn change_list(&mut self, state: State, change: impl FnOnce(&mut List, &mut Slab)) {
        if let Some(list) = self.lists.get_mut(state as usize) {
            change(list, &mut self.slab);
        }
    }

    fn timeout(&self, state: State) -> Duration {
        match state {
            State::Tombstone => TOMBSTONE,
            State::HalfOpen => HALF_OPEN,
            State::Closing => CLOSING,
            State::Active => self.options.idle_timeout,
        }
    }

    pub(super) fn due_at(&mut self, due: Timestamp) {
        self.next_due = Some(self.next_due.map_or(due, |set| set.min(due)));
    }

    pub(super) fn push(&mut self, slot: u32, state: State) {
        self.change_list(state, |list, slab| list.push(slab, slot));
        if let Some(entry) = self.slab.get(slot) {
            let due = entry.touched + self.timeout(state);
            self.due_at(due);
        }
    }

    pub(super) fn touch(&mut self, slot: u32, state: State) {
        self.change_list(state, |list, slab| list.touch(slab, slot));
    }

    pub(super) fn touch_in_place(&mut self, slot: u32) {
        if let Some(state) = self.slab.get(slot).map(|entry| entry.state) {
            self.touch(slot, state);
        }
    }

    /// Puts a slot at the back of a state's list, out of the one it was in.
    pub(super) fn relist(&mut self, slot: u32, state: State) {
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
    pub(super) fn remove(&mut self, slot: u32) {
        let Some(entry) = self.slab.get(slot) else {
            return;
        };
        let (state, hash) = (entry.state, hash_of(&self.hasher, entry.ends.each_ref()));
        let cost = ENTRY_COST + entry.active().map_or(0, |active| active.cost);
        self.memory = self.memory.saturating_sub(cost);
        self.change_list(state, |list, slab| list.remove(slab, slot));
        self.slab.clear(slot);
        self.index.remove(hash, slot, &mut self.slab);
    }
}
