//! The table's own time: made of packet times, but never backwards, and not into the far future on the
//! word of one packet.
//!
//! Packet times do all of that: clocks are set back during a capture, files from two machines follow one
//! another, a last packet is dated 2063. Time-outs run on this time; what users see is the packets'.

use crate::time::Timestamp;

const SECOND: i64 = 1_000_000_000;

/// A jump ahead of more nanoseconds than this has to be confirmed by a second packet.
const AHEAD: i64 = 24 * 3600 * SECOND;

/// Packets are out of order by so many nanoseconds without anybody's clock having been set back (two interfaces whose
/// clocks differ). The table's time just stands still meanwhile.
const BACK: i64 = 60 * SECOND;

/// The table's clock.
#[derive(Debug, Default)]
pub(super) struct Clock {
    now: Option<Timestamp>,
    /// Nanoseconds that are added to packet times, since they were set back.
    shift: i64,
    /// The packet before, if its time was not believed.
    suspect: Option<Timestamp>,
}

impl Clock {
    /// Takes a packet's time and says when that was in the table's time: now, or later than now if it is
    /// dated far ahead and stands alone so far.
    pub(super) fn advance(&mut self, time: Timestamp) -> Timestamp {
        let shifted = Timestamp::from_nanos(time.nanos().saturating_add(self.shift));
        let now = *self.now.get_or_insert(shifted);
        if (-BACK..=AHEAD).contains(&shifted.nanos_since(now)) {
            let now = now.max(shifted);
            (self.suspect, self.now) = (None, Some(now));
            return now;
        }
        let confirmed = self
            .suspect
            .replace(time)
            .is_some_and(|before| (-AHEAD..=AHEAD).contains(&time.nanos_since(before)));
        if confirmed {
            self.suspect = None;
            if shifted > now {
                self.now = Some(shifted);
            } else {
                self.shift = self.shift.saturating_add(now.nanos_since(shifted));
            }
        }
        if self.suspect.is_some() {
            now.max(shifted)
        } else {
            self.now()
        }
    }

    /// What time it is.
    pub(super) fn now(&self) -> Timestamp {
        self.now.unwrap_or_default()
    }

    /// What packets would say at that time.
    pub(super) fn packet_time(&self, at: Timestamp) -> Timestamp {
        Timestamp::from_nanos(at.nanos().saturating_sub(self.shift))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn one_packet_from_the_future_does_not_move_it() {
        let mut clock = Clock::default();
        let mut now_after = |seconds| {
            clock.advance(at(seconds));
            clock.now()
        };
        assert_eq!(now_after(100), at(100));
        assert_eq!(now_after(10_000_000), at(100));
        assert_eq!(now_after(101), at(101));
        assert_eq!(now_after(10_000_000), at(101), "not the one right before");
        assert_eq!(now_after(10_000_001), at(10_000_001), "two agree");
    }

    #[test]
    fn the_first_packet_behind_a_long_pause_belongs_behind_it() {
        let mut clock = Clock::default();
        clock.advance(at(100));
        assert_eq!(clock.advance(at(10_000_000)), at(10_000_000));
        assert_eq!(clock.now(), at(100), "until another one agrees");
    }

    #[test]
    fn it_goes_on_where_the_packets_clock_was_set_back() {
        let mut clock = Clock::default();
        clock.advance(at(10_000));
        assert_eq!(clock.advance(at(2_000)), at(10_000), "one packet may be mistaken");
        assert_eq!(clock.advance(at(2_001)), at(10_000), "two agree: this is now");
        assert_eq!(clock.advance(at(2_005)), at(10_004));
        assert_eq!(clock.packet_time(clock.now()), at(2_005));
    }
}
