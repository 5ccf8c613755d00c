//! Lists through the table's entries, ordered by last activity: time-outs and eviction take from the
//! front, activity moves to the back, all in constant time.

/// No entry.
const NONE: u32 = u32::MAX;

/// An entry's neighbours in the list that it is in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Links {
    previous: u32,
    next: u32,
}

impl Default for Links {
    fn default() -> Self {
        Self {
            previous: NONE,
            next: NONE,
        }
    }
}

/// One list.
#[derive(Debug, Clone, Copy)]
pub(super) struct List {
    first: u32,
    last: u32,
    len: usize,
}

impl Default for List {
    fn default() -> Self {
        Self {
            first: NONE,
            last: NONE,
            len: 0,
        }
    }
}

/// Where the links of a slot are kept.
pub(super) trait Linked {
    /// The links of a slot in use.
    fn links(&mut self, slot: u32) -> Option<&mut Links>;
}

impl List {
    /// The slot whose activity lies furthest back.
    pub(super) fn first(&self) -> Option<u32> {
        (self.first != NONE).then_some(self.first)
    }

    /// How many are in it.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Puts a slot that is in no list at the back.
    pub(super) fn push(&mut self, slots: &mut impl Linked, slot: u32) {
        let previous = self.last;
        if let Some(links) = slots.links(slot) {
            *links = Links { previous, next: NONE };
        }
        match slots.links(previous) {
            Some(links) => links.next = slot,
            None => self.first = slot,
        }
        self.last = slot;
        self.len += 1;
    }

    /// Takes a slot of this list out.
    pub(super) fn remove(&mut self, slots: &mut impl Linked, slot: u32) {
        let Some(&mut Links { previous, next }) = slots.links(slot) else {
            return;
        };
        match slots.links(previous) {
            Some(links) => links.next = next,
            None => self.first = next,
        }
        match slots.links(next) {
            Some(links) => links.previous = previous,
            None => self.last = previous,
        }
        self.len = self.len.saturating_sub(1);
    }

    /// Moves a slot of this list to the back.
    pub(super) fn touch(&mut self, slots: &mut impl Linked, slot: u32) {
        if self.last != slot {
            self.remove(slots, slot);
            self.push(slots, slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Linked for Vec<Links> {
        fn links(&mut self, slot: u32) -> Option<&mut Links> {
            self.get_mut(slot as usize)
        }
    }

    fn order(list: &List, links: &[Links]) -> Vec<u32> {
        let mut at = list.first;
        std::iter::from_fn(|| {
            let slot = at;
            at = links.get(slot as usize)?.next;
            Some(slot)
        })
        .collect()
    }

    #[test]
    fn the_least_active_is_always_first() {
        let mut slots = vec![Links::default(); 4];
        let mut list = List::default();
        for slot in 0..4 {
            list.push(&mut slots, slot);
        }
        list.touch(&mut slots, 0);
        list.touch(&mut slots, 2);
        assert_eq!(order(&list, &slots), [1, 3, 0, 2]);
        list.remove(&mut slots, 3);
        list.remove(&mut slots, 2);
        list.touch(&mut slots, 1);
        assert_eq!(order(&list, &slots), [0, 1]);
        list.remove(&mut slots, 0);
        list.remove(&mut slots, 1);
        assert_eq!((list.first(), list.len()), (None, 0));
    }
}
