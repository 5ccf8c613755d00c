//! Bounds of the flow table, and what it counts for the whole run.

use std::time::Duration;

use crate::event::Totals;
use crate::lasting::Lasting;

/// Bounds. Times are packet times.
#[derive(Debug, Clone)]
pub struct FlowOptions {
    /// Bytes for connections and held data together; the idlest connections go when it is used up.
    pub memory: usize,
    /// Connections in the table at once.
    pub max_connections: usize,
    /// A connection with nothing on it for so long is over.
    pub idle_timeout: Duration,
    /// Bytes held out of order for one direction; beyond it the lowest gap is declared. No receiver takes more of them than
    /// its window, which Linux lets grow to 6 MiB, Windows to 16.
    pub hold_per_direction: usize,
    /// Where payloads may lie that need not be copied to be kept.
    pub lasting: Lasting,
}

impl Default for FlowOptions {
    fn default() -> Self {
        Self {
            memory: 192 << 20,
            max_connections: 1 << 20,
            idle_timeout: Duration::from_secs(3600),
            hold_per_direction: 16 << 20,
            lasting: Lasting::default(),
        }
    }
}

/// Counts of the whole run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FlowStats {
    /// Connections told of (`Opened`).
    pub opened: u64,
    /// Connections closed.
    pub closed: u64,
    /// Connections in the table that are not closed.
    pub open: u64,
    /// Connections closed to stay within limits.
    pub evicted: u64,
    /// SYNs without answer that were dropped to stay within limits, and not told of.
    pub half_open_evicted: u64,
    /// Connections of which only one direction was seen, with bytes or acknowledging some.
    pub one_sided: u64,
    /// Connections seen along another path (VLANs, tunnels), too, where not all packets could be told to be copies.
    pub doubled: u64,
    /// Segments for connections that were over.
    pub late_segments: u64,
    /// Segments seen.
    pub segments: u64,
    /// Stream bytes given out.
    pub bytes: u64,
    /// Gaps declared.
    pub gaps: u64,
    /// Bytes in them.
    pub gap_bytes: u64,
    /// Retransmitted segments.
    pub retransmissions: u64,
    /// Segments ahead of their time.
    pub out_of_order: u64,
    /// Packets captured twice.
    pub duplicate_captures: u64,
    /// Overlaps with other content.
    pub conflicts: u64,
    /// Bytes in them.
    pub conflict_bytes: u64,
    /// Bytes that fit nowhere.
    pub outside_bytes: u64,
    /// Memory in use now, as accounted.
    pub memory: usize,
    /// The most it was.
    pub memory_peak: usize,
}

impl FlowStats {
    /// Adds what was counted of one direction.
    pub(super) fn add(&mut self, one: &Totals) {
        self.bytes += one.bytes;
        self.gaps += one.gaps;
        self.gap_bytes += one.gap_bytes;
        self.retransmissions += one.retransmissions;
        self.out_of_order += one.out_of_order;
        self.duplicate_captures += one.duplicate_captures;
        self.conflicts += one.conflicts;
        self.conflict_bytes += one.conflict_bytes;
        self.outside_bytes += one.outside_bytes;
    }
}
