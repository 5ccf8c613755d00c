//! Memory that the connections of a thread share for what they keep beyond a little.
//!
//! Each connection's buffers are bounded, but there may be any number of connections. As long as there is room
//! nobody has to care; once there is none, whoever keeps much lets go of it as if it had been too much at any time.

/// Bytes that a connection may keep whatever others do: lines as people and most programs write them.
pub(crate) const SMALL: usize = 1024;

/// Room for all when nobody says how much: a quarter of the memory that the flow table takes by default.
const ROOM: usize = 48 << 20;

/// What all connections of a thread keep.
#[derive(Debug)]
pub(crate) struct Budget {
    most: usize,
    kept: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self::new(ROOM)
    }
}

/// What a connection keeps, as its budget knows it. To be given back when the connection is over.
#[derive(Debug, Default)]
pub(crate) struct Share(usize);

impl Share {
    /// Whether there is something to let go of.
    pub(crate) fn is_large(&self) -> bool {
        self.0 > 0
    }
}

impl Budget {
    /// So many bytes for all.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, kept: 0 }
    }

    /// Whether there is no room any more.
    pub(crate) fn is_spent(&self) -> bool {
        self.kept > self.most
    }

    /// A connection keeps so many bytes now. Little costs nothing: there would be nothing to let go of.
    #[inline]
    pub(crate) fn account(&mut self, share: &mut Share, bytes: usize) {
        let now = bytes.saturating_sub(SMALL);
        if now != share.0 {
            self.kept = self.kept.saturating_sub(share.0).saturating_add(now);
            share.0 = now;
        }
    }

    /// A connection keeps nothing any more.
    pub(crate) fn give_back(&mut self, share: Share) {
        self.kept = self.kept.saturating_sub(share.0);
    }

    /// What all keep beyond a little.
    #[cfg(test)]
    pub(crate) fn kept(&self) -> usize {
        self.kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_known_of_all() {
        let mut budget = Budget::new(5000);
        let mut shares: [Share; 3] = Default::default();
        for share in &mut shares {
            budget.account(share, 3 * SMALL);
        }
        assert_eq!((budget.kept(), budget.is_spent()), (6 * SMALL, true));
        budget.account(&mut shares[0], SMALL);
        assert_eq!((budget.kept(), budget.is_spent()), (4 * SMALL, false));
        shares.into_iter().for_each(|share| budget.give_back(share));
        assert_eq!(budget.kept(), 0);
    }
}
