//! What is to be shown if nothing more comes, in the order of their time: unfinished lines and runs of records; silence.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::event::Direction;
use crate::time::Timestamp;

/// So many may be queued before those of connections that are over are taken out.
const MOST: usize = 1024;

/// What waits to be shown when packet time has come so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Waits {
    /// A run of records.
    Run,
    /// An unfinished line.
    Line(Direction),
}

/// When a connection is to be looked at, and for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Due<W> {
    /// First: the order.
    pub(super) at: Timestamp,
    pub(super) slot: u32,
    pub(super) id: u64,
    pub(super) waits: W,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Queue<W> {
    heap: BinaryHeap<Reverse<Due<W>>>,
    /// When there are so many, it is cleaned.
    most: usize,
}

impl<W: Ord> Default for Queue<W> {
    fn default() -> Self {
        Self {
            heap: BinaryHeap::new(),
            most: MOST,
        }
    }
}

impl<W: Ord + Copy> Queue<W> {
    pub(super) fn push(&mut self, due: Due<W>) {
        self.heap.push(Reverse(due));
    }

    /// The next one whose time has come.
    pub(super) fn pop(&mut self, now: Timestamp) -> Option<Due<W>> {
        let Reverse(due) = self.heap.peek().copied()?;
        if due.at > now {
            return None;
        }
        self.heap.pop();
        Some(due)
    }

    /// Takes out those whose connections are over, if there are many: where packets' times stand still, none becomes
    /// due.
    pub(super) fn clean(&mut self, is_open: impl Fn(&Due<W>) -> bool) {
        if self.heap.len() >= self.most {
            self.heap.retain(|Reverse(due)| is_open(due));
            self.most = MOST.max(2 * self.heap.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_for_a_time_that_never_comes_goes_with_its_connection() {
        let mut queue = Queue::default();
        for id in 0..10_000 {
            queue.push(Due {
                at: Timestamp::from_nanos(1),
                slot: 0,
                id,
                waits: Waits::Run,
            });
            queue.clean(|due| due.id == 7 || due.id == id);
            assert!(queue.heap.len() <= MOST);
        }
        assert_eq!(queue.pop(Timestamp::default()), None);
        assert_eq!(queue.pop(Timestamp::from_nanos(1)).map(|due| due.id), Some(7));
    }
}
