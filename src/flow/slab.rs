//! The entries by slot, with the slots of closed ones used again.

use super::entry::Entry;
use super::lru::{Linked, Links};

/// Entries by slot.
#[derive(Debug, Default)]
pub(super) struct Slab {
    entries: Vec<Option<Entry>>,
    free: Vec<u32>,
    /// Slots without entry that may not be used again yet.
    empty: usize,
}

// What is accounted for an entry is what its place takes.
const _: () = assert!(size_of::<Option<Entry>>() == size_of::<Entry>());

impl Slab {
    pub(super) fn get(&self, slot: u32) -> Option<&Entry> {
        self.entries.get(slot as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut Entry> {
        self.entries.get_mut(slot as usize)?.as_mut()
    }

    pub(super) fn insert(&mut self, entry: Entry) -> u32 {
        if let Some(slot) = self.free.pop()
            && let Some(place) = self.entries.get_mut(slot as usize)
        {
            *place = Some(entry);
            return slot;
        }
        self.entries.push(Some(entry));
        (self.entries.len() - 1) as u32
    }

    /// Drops a slot's entry. The slot is used again once it is [released](Self::release).
    pub(super) fn clear(&mut self, slot: u32) {
        if let Some(place) = self
            .entries
            .get_mut(slot as usize)
            .filter(|place| place.is_some())
        {
            *place = None;
            self.empty += 1;
        }
    }

    /// A cleared slot may be used again.
    pub(super) fn release(&mut self, slot: u32) {
        self.empty -= 1;
        self.free.push(slot);
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len() - self.free.len() - self.empty
    }

    /// All slots in use.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Entry)> {
        self.entries
            .iter()
            .enumerate()
            .filter_map(|(slot, entry)| Some((slot as u32, entry.as_ref()?)))
    }
}

impl Linked for Slab {
    fn links(&mut self, slot: u32) -> Option<&mut Links> {
        self.get_mut(slot).map(|entry| &mut entry.links)
    }
}
