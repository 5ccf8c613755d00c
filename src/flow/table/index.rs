//! The slots of connections by the hash of their ends.
//!
//! In a flood of SYNs every look at something else is a wait for memory. So the hash stands beside the slot: a
//! look ends here where it is another one's, and no entry is needed to lay the table out anew. And what is
//! removed leaves together: waits of a short loop overlap.

use hashbrown::HashTable;

use crate::flow::slab::Slab;

/// So many slots leave together.
const TOGETHER: usize = 64;

/// The index.
#[derive(Debug, Default)]
pub(super) struct Index {
    slots: HashTable<Hashed>,
    /// Slots that were cleared and are still among `slots`.
    cleared: Vec<Hashed>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Hashed {
    hash: u32,
    slot: u32,
}

/// The table takes the place from the low bits and a tag from the high ones.
fn wide(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
}

impl Index {
    pub(super) fn insert(&mut self, hash: u32, slot: u32) {
        self.slots
            .insert_unique(wide(hash), Hashed { hash, slot }, |hashed| wide(hashed.hash));
    }

    /// Slots with this hash; some may be cleared.
    pub(super) fn slots(&self, hash: u32) -> impl Iterator<Item = u32> + Clone {
        self.slots
            .iter_hash(wide(hash))
            .filter(move |hashed| hashed.hash == hash)
            .map(|hashed| hashed.slot)
    }

    /// Removes a slot that was cleared, and releases it, at the latest some removals later.
    pub(super) fn remove(&mut self, hash: u32, slot: u32, slab: &mut Slab) {
        self.cleared.push(Hashed { hash, slot });
        if self.cleared.len() < TOGETHER {
            return;
        }
        for cleared in self.cleared.drain(..) {
            let found = self
                .slots
                .find_entry(wide(cleared.hash), |hashed| *hashed == cleared);
            if let Ok(found) = found {
                found.remove();
            }
            slab.release(cleared.slot);
        }
    }
}
