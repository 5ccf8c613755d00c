//! The number that a name gets where it stands already.

use std::collections::HashMap;
use std::io;

use super::name::numbered;

/// So many names are remembered.
const REMEMBERED: usize = 1 << 16;

/// Where counting goes on for names that were found to stand: from the beginning, the thousandth file of one name would
/// take a thousand tries.
#[derive(Debug, Default)]
pub struct Numbers(HashMap<String, u32>);

impl Numbers {
    /// The first of the names that `name(0)`, `name(1)`, … give that `take` can have, and what it gave for it; of those
    /// that were in vain before, only the first is tried again.
    ///
    /// # Errors
    /// Those of `take`.
    pub fn first_free<T>(
        &mut self,
        mut name: impl FnMut(u32) -> String,
        mut take: impl FnMut(&str) -> io::Result<Option<T>>,
    ) -> io::Result<(T, String)> {
        let first = name(0);
        if let Some(taken) = take(&first)? {
            return Ok((taken, first));
        }
        let from = self.0.get(&first).copied().unwrap_or(1);
        for count in from..u32::MAX {
            let plain = name(count);
            // A template whose name does not have the counter.
            let candidate = if plain == first {
                numbered(plain, count)
            } else {
                plain
            };
            if let Some(taken) = take(&candidate)? {
                if self.0.len() >= REMEMBERED {
                    self.0.clear();
                }
                self.0.insert(first, count + 1);
                return Ok((taken, candidate));
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thousandth_of_a_name_takes_two_tries() {
        let mut numbers = Numbers::default();
        let mut taken = std::collections::HashSet::new();
        let mut tries = 0;
        let mut last = String::new();
        for _ in 0..1000 {
            tries = 0;
            let take = |name: &str| {
                tries += 1;
                Ok(taken.insert(name.to_owned()).then_some(()))
            };
            last = numbers.first_free(|_| "same".to_owned(), take).unwrap().1;
        }
        assert_eq!((last.as_str(), tries), ("same~999", 2));
    }
}
