//! What a watcher or sink keeps of each connection, by [`Connection::slot`](crate::event::Connection::slot).

/// One `T` for each connection that has one. Slots are small numbers: memory is that of the most connections that
/// were ever open at once.
#[derive(Debug)]
pub struct Slots<T>(Vec<Option<Box<T>>>);

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Slots<T> {
    /// What the slot has.
    pub fn get(&self, slot: u32) -> Option<&T> {
        self.0.get(slot as usize)?.as_deref()
    }

    /// What the slot has, which has nothing then.
    pub fn take(&mut self, slot: u32) -> Option<Box<T>> {
        self.0.get_mut(slot as usize)?.take()
    }

    /// Gives it to the slot, instead of what it has.
    pub fn put(&mut self, slot: u32, kept: Box<T>) {
        *self.place(slot) = Some(kept);
    }

    /// What the slot has, made where it has nothing.
    pub fn get_or_default(&mut self, slot: u32) -> &mut T
    where
        T: Default,
    {
        self.place(slot).get_or_insert_default()
    }

    /// What all slots have, which have nothing then.
    pub fn take_all(&mut self) -> impl Iterator<Item = Box<T>> + use<T> {
        std::mem::take(&mut self.0).into_iter().flatten()
    }

    #[expect(clippy::indexing_slicing, reason = "there are as many by then")]
    fn place(&mut self, slot: u32) -> &mut Option<Box<T>> {
        let slot = slot as usize;
        if self.0.len() <= slot {
            self.0.resize_with(slot + 1, || None);
        }
        &mut self.0[slot]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_slot_has_its_own() {
        let mut slots = Slots::default();
        slots.put(3, Box::new("three"));
        slots.put(1, Box::new("one"));
        assert_eq!(
            (slots.get(1), slots.get(2), slots.get(9)),
            (Some(&"one"), None, None)
        );
        assert_eq!(slots.take(3).as_deref(), Some(&"three"));
        assert_eq!(slots.take(3), None);
        assert_eq!(*slots.get_or_default(3), "");
        assert_eq!(*slots.get_or_default(1), "one");
        assert_eq!(
            slots.take_all().map(|kept| *kept).collect::<Vec<_>>(),
            ["one", ""]
        );
        assert_eq!(slots.get(1), None);
    }
}
