//! Memory that stays as it is until the run is over: mapped capture files.
//!
//! Most bytes of streams lie in it. Who wants to keep such bytes, or to hand them to another thread, keeps their
//! [`Place`] instead of a copy. All others (live, compressed, put together from pieces) have no place and are
//! copied. Whether bytes have one is told by their address, so that nobody between source and sink needs to know.

use std::sync::Arc;

use memmap2::Mmap;

/// All of a run's lasting memory.
#[derive(Debug, Clone, Default)]
pub struct Lasting {
    /// By address.
    maps: Arc<[Arc<Mmap>]>,
}

/// Where bytes are in a [`Lasting`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    map: u32,
    len: u32,
    at: u64,
}

impl Place {
    /// Bytes there.
    pub const fn len(self) -> usize {
        self.len as usize
    }

    /// Whether there are none.
    pub const fn is_empty(self) -> bool {
        self.len == 0
    }
}

/// Bytes that are kept: where they last, else as a copy.
#[derive(Debug)]
pub enum PlaceOrCopy {
    /// They last there.
    There(Place),
    /// They do not last.
    Copied(Vec<u8>),
}

impl PlaceOrCopy {
    /// Bytes kept.
    pub const fn len(&self) -> usize {
        match self {
            Self::There(place) => place.len(),
            Self::Copied(bytes) => bytes.len(),
        }
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Lasting {
    /// All of these maps.
    pub fn new(mut maps: Vec<Arc<Mmap>>) -> Self {
        maps.sort_by_key(|map| map.as_ptr().addr());
        Self { maps: maps.into() }
    }

    /// Where `bytes` are, if they are in one of the maps.
    pub fn place(&self, bytes: &[u8]) -> Option<Place> {
        let address = bytes.as_ptr().addr();
        // Mostly there is one.
        let behind = match &*self.maps {
            [_] => 1,
            maps => maps.partition_point(|map| map.as_ptr().addr() <= address),
        };
        let map = behind.checked_sub(1)?;
        let begin = self.maps.get(map)?;
        let at = address.checked_sub(begin.as_ptr().addr())?;
        if at.checked_add(bytes.len())? > begin.len() {
            return None;
        }
        Some(Place {
            map: u32::try_from(map).ok()?,
            len: u32::try_from(bytes.len()).ok()?,
            at: at as u64,
        })
    }

    /// Keeps bytes.
    pub fn keep(&self, bytes: &[u8]) -> PlaceOrCopy {
        self.place(bytes)
            .map_or_else(|| PlaceOrCopy::Copied(bytes.to_vec()), PlaceOrCopy::There)
    }

    /// Bytes that were kept.
    pub fn kept<'a>(&'a self, kept: &'a PlaceOrCopy) -> &'a [u8] {
        match kept {
            PlaceOrCopy::There(place) => self.bytes(*place),
            PlaceOrCopy::Copied(bytes) => bytes,
        }
    }

    /// The bytes at a place.
    pub fn bytes(&self, place: Place) -> &[u8] {
        let at = usize::try_from(place.at).unwrap_or(usize::MAX);
        self.maps
            .get(place.map as usize)
            .and_then(|map| map.get(at..at.checked_add(place.len())?))
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(len: usize) -> Arc<Mmap> {
        let mut map = memmap2::MmapMut::map_anon(len).unwrap();
        for (byte, value) in map.iter_mut().zip(0..) {
            *byte = (value % 251) as u8;
        }
        Arc::new(map.make_read_only().unwrap())
    }

    #[test]
    fn bytes_of_a_map_have_a_place_and_are_found_there() {
        let maps = [map(10_000), map(5_000), map(20_000)];
        let lasting = Lasting::new(maps.to_vec());
        for map in &maps {
            for range in [0..map.len(), 0..1, 17..4_999, map.len() - 1..map.len()] {
                let bytes = &map[range];
                let place = lasting.place(bytes).unwrap();
                assert_eq!(place.len(), bytes.len());
                assert_eq!(lasting.bytes(place).as_ptr(), bytes.as_ptr());
            }
        }
    }

    #[test]
    fn others_have_none() {
        let (one, other) = (map(5_000), map(5_000));
        let lasting = Lasting::new(vec![one]);
        assert_eq!(lasting.place(&other[10..20]), None);
        assert_eq!(lasting.place(b"of the program"), None);
        assert_eq!(lasting.place(&[0; 100]), None);
        assert_eq!(Lasting::default().place(&other), None);
    }
}
