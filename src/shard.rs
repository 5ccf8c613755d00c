//! One of N parts of all connections, for runs on N processors or machines over the same captures.
//!
//! The part is told by a hash of addresses and ports that is the same for both directions, on every machine and in
//! every version: FNV-1a, 64 bits, over the lesser endpoint and then the greater one, each as 16 bytes of address
//! (IPv4 mapped into IPv6) and two of port in network order, mixed by the end of SplitMix64.

use std::net::IpAddr;
use std::str::FromStr;

use crate::decode::{Endpoint, Segment};

/// Part `index` (from 0) of `count`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    index: u64,
    count: u64,
}

impl Shard {
    /// Whether a segment's connection is in this part.
    pub fn has(self, segment: &Segment<'_>) -> bool {
        hash(segment.source, segment.destination) % self.count == self.index
    }
}

impl FromStr for Shard {
    type Err = String;

    /// `K/N`, K from 1 to N.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "K/N, K from 1 to N: 1/4, 2/4, 3/4, 4/4".to_owned();
        let (part, count) = text.split_once('/').ok_or_else(wrong)?;
        let (part, count) = (
            part.parse::<u64>().map_err(|_| wrong())?,
            count.parse::<u64>().map_err(|_| wrong())?,
        );
        if part == 0 || part > count {
            return Err(wrong());
        }
        Ok(Self {
            index: part - 1,
            count,
        })
    }
}

/// The same for both directions, on every machine and in every version.
pub fn hash(one: Endpoint, other: Endpoint) -> u64 {
    let bytes = |endpoint: Endpoint| {
        let address = match endpoint.address {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => address,
        };
        (address.octets(), endpoint.port.to_be_bytes())
    };
    let (one, other) = (bytes(one), bytes(other));
    let (lesser, greater) = if one <= other { (one, other) } else { (other, one) };
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in [lesser, greater]
        .iter()
        .flat_map(|(address, port)| address.iter().chain(port))
    {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    // FNV's low bits know little of the first bytes.
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(address: &str, port: u16) -> Endpoint {
        Endpoint {
            address: address.parse().unwrap(),
            port,
        }
    }

    #[test]
    fn both_directions_are_in_one_part_and_the_parts_never_move() {
        let (client, server) = (endpoint("10.77.1.1", 49298), endpoint("10.77.2.1", 25));
        assert_eq!(hash(client, server), hash(server, client));
        // Written down: another machine or version must come to the same.
        assert_eq!(hash(client, server), 5_722_258_855_797_988_085);
        assert_eq!(
            hash(endpoint("2001:db8::1", 1), endpoint("2001:db8::2", 2)),
            10_505_522_766_843_475_360
        );
    }

    #[test]
    fn parts_are_of_a_size() {
        let server = endpoint("10.77.2.1", 25);
        let mut counts = [0; 4];
        for port in 1024..5024 {
            counts[(hash(endpoint("10.77.1.1", port), server) % 4) as usize] += 1;
        }
        assert!(
            counts.iter().all(|count| (900..1100).contains(count)),
            "{counts:?}"
        );
    }

    #[test]
    fn it_is_typed_as_one_of_n() {
        assert_eq!("2/4".parse(), Ok(Shard { index: 1, count: 4 }));
        for wrong in ["0/4", "5/4", "1", "1/0", "a/b", "-1/4"] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }
}
