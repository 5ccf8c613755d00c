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
    places: HashTable<Place>,
    /// Slots that were cleared and are still among `places`.
    cleared: Vec<Place>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    hash: u32,
    slot: u32,
}

/// The table takes the place from the low bits and a tag from the high ones.
fn wide(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
}

impl Index {
    pub(super) fn insert(&mut self, hash: u32, slot: u32) {
        self.places
            .insert_unique(wide(hash), Place { hash, slot }, |place| wide(place.hash));
    }

    /// Slots with this hash; some may be cleared.
    pub(super) fn slots(&self, hash: u32) -> impl Iterator<Item = u32> + Clone {
        self.places
            .iter_hash(wide(hash))
            .filter(move |place| place.hash == hash)
            .map(|place| place.slot)
    }

    /// Removes a slot that was cleared, and releases it, at the latest some removals later.
    pub(super) fn remove(&mut self, hash: u32, slot: u32, slab: &mut Slab) {
        self.cleared.push(Place { hash, slot });
        if self.cleared.len() < TOGETHER {
            return;
        }
        for cleared in self.cleared.drain(..) {
            let found = self
                .places
                .find_entry(wide(cleared.hash), |place| *place == cleared);
            if let Ok(place) = found {
                place.remove();
            }
            slab.release(cleared.slot);
        }
    }
}
