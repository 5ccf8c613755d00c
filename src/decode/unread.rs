//! Why a packet gave no segment, counted by reason: nothing is passed over in silence.

use std::collections::BTreeMap;

/// Why a packet gave no segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unread {
    /// ARP, spanning tree, 802.11 management, …: nothing that TCP could be in.
    NotIp,
    /// UDP, ICMP, …
    NotTcp,
    /// A link type that we do not know, by its LINKTYPE number.
    LinkType(u32),
    /// The same, after many others.
    FurtherLinkType,
    /// The snaplen cut it before the end of its link-layer or tunnel header.
    CutLink,
    /// The snaplen cut it before the end of its IP header.
    CutIp,
    /// The snaplen cut it before the end of its TCP header.
    CutTcp,
    /// An IP header that can't be.
    BadIp,
    /// A TCP header that can't be (data offset below 5 or beyond the packet).
    BadTcp,
    /// Encrypted on the link (802.11).
    EncryptedLink,
    /// Encrypted by IPsec (ESP).
    Esp,
    /// An 802.11 aggregate (A-MSDU).
    Aggregate,
    /// Compressed headers (PPP, Van Jacobson).
    Compressed,
    /// More layers in one another than we follow.
    TooDeep,
    /// A fragment that can't be (beyond 64 KiB, not a multiple of eight).
    BadFragment,
    /// A fragment whose datagram was never complete, or was dropped to keep memory bounded.
    LostFragment,
    /// A fragment with other content where an earlier one of its datagram had some: the first copy was taken.
    FragmentConflict,
}

impl Unread {
    /// Nobody expects a stream from it.
    pub fn is_ordinary(self) -> bool {
        matches!(self, Self::NotIp | Self::NotTcp)
    }
}

impl std::fmt::Display for Unread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NotIp => "not IP",
            Self::NotTcp => "not TCP",
            Self::LinkType(number) => return write!(f, "link type {number} is not known"),
            Self::FurtherLinkType => "further link types that are not known",
            Self::CutLink => "cut by the snaplen before the end of the link-layer header",
            Self::CutIp => "cut by the snaplen before the end of the IP header",
            Self::CutTcp => "cut by the snaplen before the end of the TCP header",
            Self::BadIp => "broken IP header",
            Self::BadTcp => "broken TCP header",
            Self::EncryptedLink => "encrypted 802.11",
            Self::Esp => "encrypted by IPsec (ESP)",
            Self::Aggregate => "aggregated 802.11 frames (A-MSDU)",
            Self::Compressed => "compressed headers",
            Self::TooDeep => "too many layers in one another",
            Self::BadFragment => "broken IP fragments",
            Self::LostFragment => "IP fragments of incomplete datagrams",
            Self::FragmentConflict => "IP fragments with other content where some had come",
        })
    }
}

/// Reasons that link types make at the most, about: a capture made up to be a burden has 65,536 of them.
const MOST: usize = 64;

/// Counts by reason.
#[derive(Debug, Clone, Default)]
pub struct UnreadCounts(BTreeMap<Unread, u64>);

impl UnreadCounts {
    pub(super) fn add(&mut self, reason: Unread, count: u64) {
        let many = self.0.len() >= MOST && !self.0.contains_key(&reason);
        let reason = match reason {
            Unread::LinkType(_) if many => Unread::FurtherLinkType,
            reason => reason,
        };
        if count > 0 {
            *self.0.entry(reason).or_default() += count;
        }
    }

    /// Each reason that occurred, with its count.
    pub fn iter(&self) -> impl Iterator<Item = (Unread, u64)> {
        self.0.iter().map(|(reason, count)| (*reason, *count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ever_more_link_types_are_counted_together() {
        let mut counts = UnreadCounts::default();
        for number in 0..65_536 {
            counts.add(Unread::LinkType(number), 1);
            counts.add(Unread::NotTcp, 1);
        }
        let counts: Vec<_> = counts.iter().collect();
        assert!(counts.len() <= MOST + 2);
        assert_eq!(counts.iter().map(|(_, count)| count).sum::<u64>(), 2 * 65_536);
        assert!(counts.contains(&(Unread::NotTcp, 65_536)));
    }
}
