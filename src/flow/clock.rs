//! Packet time as the table believes it: never backwards, and not into the far future on the word of
//! one packet (captures with a last packet dated 2063 exist).

use std::time::Duration;

use crate::time::Timestamp;

/// A jump of more than this has to be confirmed by a second packet.
const JUMP: Duration = Duration::from_secs(24 * 3600);

/// The table's clock.
#[derive(Debug, Default)]
pub(super) struct Clock {
    now: Option<Timestamp>,
    suspect: Option<Timestamp>,
}

impl Clock {
    /// Takes a packet's time and says what time it is.
    pub(super) fn advance(&mut self, time: Timestamp) -> Timestamp {
        let now = *self.now.get_or_insert(time);
        if time <= now {
            return now;
        }
        let confirmed = self
            .suspect
            .is_some_and(|suspect| time.since(suspect).max(suspect.since(time)) <= JUMP);
        if time.since(now) > JUMP && !confirmed {
            self.suspect = Some(time);
            return now;
        }
        self.suspect = None;
        self.now = Some(time);
        time
    }

    pub(super) fn now(&self) -> Timestamp {
        self.now.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_packet_from_the_future_does_not_move_it() {
        let at = |seconds: i64| Timestamp::from_nanos(seconds * 1_000_000_000);
        let mut clock = Clock::default();
        assert_eq!(clock.advance(at(100)), at(100));
        assert_eq!(clock.advance(at(10_000_000)), at(100));
        assert_eq!(clock.advance(at(101)), at(101));
        assert_eq!(clock.advance(at(10_000_000)), at(101), "not the one right before");
        assert_eq!(clock.advance(at(10_000_001)), at(10_000_001), "two agree");
    }
}
