//! Names of members: which are taken.

use std::hash::BuildHasher;

use foldhash::quality::RandomState;
use hashbrown::HashTable;

/// Names that are taken, as hashes: two names of one hash, which nobody will see, cost the second a number.
#[derive(Debug, Default)]
pub struct Names {
    hasher: RandomState,
    taken: HashTable<u64>,
}

impl Names {
    /// Whether it was free.
    pub fn take(&mut self, name: &str) -> bool {
        let hash = self.hasher.hash_one(name);
        if self.taken.find(hash, |taken| *taken == hash).is_some() {
            return false;
        }
        self.taken.insert_unique(hash, hash, |taken| *taken);
        true
    }
}
