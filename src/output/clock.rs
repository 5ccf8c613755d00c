//! Times as text.
//!
//! A calendar costs more than decoding a packet, so the text of a second is made once and only its fraction
//! is written anew: offsets from UTC change only on a second.

use std::cell::Cell;
use std::time::Duration;

use chrono::{DateTime, Datelike, Local, Timelike, Utc};

use crate::time::Timestamp;

/// How times are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TimeStyle {
    /// ISO 8601, UTC, microseconds.
    #[default]
    Utc,
    /// ISO 8601 with the local offset, microseconds.
    Local,
    /// Seconds since the clock was started.
    Relative,
    /// Seconds since the time shown before.
    Delta,
    /// Not at all.
    None,
}

/// Writes times.
#[derive(Debug)]
pub struct Clock {
    style: TimeStyle,
    /// The second whose text is at hand.
    second: Option<i64>,
    before: Vec<u8>,
    after: Vec<u8>,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
}

impl Clock {
    /// A clock of this style.
    pub fn new(style: TimeStyle) -> Self {
        Self {
            style,
            second: None,
            before: Vec::new(),
            after: Vec::new(),
            first: None,
            last: None,
        }
    }

    /// Relative times count from here; only the first call does anything.
    pub fn start(&mut self, time: Timestamp) {
        self.first.get_or_insert(time);
    }

    /// Appends `time` to `out`, nothing for [`TimeStyle::None`].
    pub fn write(&mut self, time: Timestamp, out: &mut Vec<u8>) {
        match self.style {
            TimeStyle::Utc | TimeStyle::Local => {
                if self.second != Some(time.seconds()) {
                    self.render(time.seconds());
                }
                out.extend_from_slice(&self.before);
                out.extend_from_slice(&micros(time.subsec_nanos() / 1000));
                out.extend_from_slice(&self.after);
            }
            TimeStyle::Relative => {
                let first = *self.first.get_or_insert(time);
                seconds(time.nanos().saturating_sub(first.nanos()), out);
            }
            TimeStyle::Delta => {
                let last = self.last.replace(time).unwrap_or(time);
                seconds(time.nanos().saturating_sub(last.nanos()), out);
            }
            TimeStyle::None => {}
        }
    }

    /// Makes the text of `time` of what [`Self::write`] wrote for `then`, if a fraction of a second is all that is
    /// another. Whether it is.
    pub fn rewrite(&self, then: Timestamp, time: Timestamp, text: &mut [u8]) -> bool {
        match self.style {
            TimeStyle::Utc | TimeStyle::Local if then.seconds() == time.seconds() => {
                let place = text.get_mut(SECOND..).and_then(<[u8]>::first_chunk_mut);
                place.is_some_and(|place| {
                    *place = micros(time.subsec_nanos() / 1000);
                    true
                })
            }
            TimeStyle::None => true,
            TimeStyle::Relative => then == time,
            // Once shown it is another.
            _ => false,
        }
    }

    fn render(&mut self, second: i64) {
        self.second = Some(second);
        // Timestamps span 1677 to 2262: chrono's calendar is wider.
        let utc = DateTime::from_timestamp_secs(second).unwrap_or_default();
        let (before, after) = match self.style {
            TimeStyle::Local => {
                let local = utc.with_timezone(&Local);
                (
                    local.format("%Y-%m-%dT%H:%M:%S.").to_string(),
                    local.format("%:z").to_string(),
                )
            }
            _ => (utc.format("%Y-%m-%dT%H:%M:%S.").to_string(), "Z".to_owned()),
        };
        self.before = before.into_bytes();
        self.after = after.into_bytes();
    }
}

/// How long the text of a second is, the point behind it included.
const SECOND: usize = "1677-09-21T00:12:43.".len();

/// Six digits.
fn micros(micros: u32) -> [u8; 6] {
    let mut digits = [b'0'; 6];
    let mut rest = micros;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    digits
}

/// Seconds with six digits, aligned for the first thousand seconds.
fn seconds(nanos: i64, out: &mut Vec<u8>) {
    let magnitude = nanos.unsigned_abs() / 1000;
    let whole = (magnitude / 1_000_000).cast_signed();
    let mut digits = itoa::Buffer::new();
    let whole = match whole {
        0 if nanos < 0 => "-0",
        _ => digits.format(whole * nanos.signum()),
    };
    out.extend_from_slice(b"  ".get(whole.len().max(1) - 1..).unwrap_or_default());
    out.extend_from_slice(whole.as_bytes());
    out.push(b'.');
    out.extend_from_slice(&micros((magnitude % 1_000_000) as u32));
}

/// Seconds for indexes and JSON, to the microsecond: the nearest double to a decimal has no more digits than it.
pub fn whole_micros(duration: Duration) -> f64 {
    let seconds = duration.as_secs().saturating_mul(1_000_000);
    seconds.saturating_add(duration.subsec_micros().into()) as f64 / 1e6
}

/// ISO 8601 in UTC with microseconds, for indexes: `2026-11-21T01:38:23.120345Z`.
pub fn iso(time: Timestamp) -> String {
    String::from_utf8(iso_bytes(time).to_vec()).unwrap_or_default()
}

/// The same, on the stack.
pub fn iso_bytes(time: Timestamp) -> [u8; 27] {
    let places = [0, 2, 5, 8, 11, 14, 17, 20, 22, 24];
    filled_in(*b"0000-00-00T00:00:00.000000Z", places, time)
}

/// The same in the basic format, for file names: `20261121T013823.120345Z`.
pub fn basic_iso_bytes(time: Timestamp) -> [u8; 23] {
    let places = [0, 2, 4, 6, 9, 11, 13, 16, 18, 20];
    filled_in(*b"00000000T000000.000000Z", places, time)
}

/// Puts year, month, day, hour, minute, second and microsecond, two digits each, at `places`.
fn filled_in<const N: usize>(mut text: [u8; N], places: [usize; 10], time: Timestamp) -> [u8; N] {
    let second = Second::of(time).digits;
    let fraction = micros(time.subsec_nanos() / 1000);
    let pairs = second.iter().chain(fraction.as_chunks().0);
    for (place, pair) in places.into_iter().zip(pairs) {
        if let Some(digits) = text.get_mut(place..place + 2) {
            digits.copy_from_slice(pair);
        }
    }
    text
}

/// The second that a time lies in, in a calendar.
pub fn utc(time: Timestamp) -> DateTime<Utc> {
    Second::of(time).utc
}

/// A second.
#[derive(Debug, Clone, Copy)]
struct Second {
    /// Since 1970.
    number: i64,
    utc: DateTime<Utc>,
    /// Year, month, day, hour, minute and second, in pairs. Timestamps span 1677 to 2262: four digits.
    digits: [[u8; 2]; 7],
}

thread_local! {
    /// The one that was asked for last: a connection's times are asked for together, and mostly lie together.
    static LAST: Cell<Option<Second>> = const { Cell::new(None) };
}

impl Second {
    fn of(time: Timestamp) -> Self {
        let number = time.seconds();
        if let Some(last) = LAST.get().filter(|last| last.number == number) {
            return last;
        }
        let utc = DateTime::from_timestamp_secs(number).unwrap_or_default();
        let year = utc.year().unsigned_abs();
        let numbers = [
            year / 100,
            year,
            utc.month(),
            utc.day(),
            utc.hour(),
            utc.minute(),
            utc.second(),
        ];
        // By hand, because of a capture of hours hardly two connections are of the same seconds: chrono's formatting
        // costs more than making a small file.
        let digits = numbers.map(|number| [number / 10, number].map(|digit| b'0' + (digit % 10) as u8));
        let second = Self { number, utc, digits };
        LAST.set(Some(second));
        second
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(clock: &mut Clock, nanos: i64) -> String {
        let mut out = Vec::new();
        clock.write(Timestamp::from_nanos(nanos), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn utc_is_iso_8601_with_microseconds() {
        let mut clock = Clock::new(TimeStyle::Utc);
        assert_eq!(
            text(&mut clock, 1_795_225_103_120_345_999),
            "2026-11-21T01:38:23.120345Z"
        );
        assert_eq!(
            text(&mut clock, 1_795_225_103_999_999_999),
            "2026-11-21T01:38:23.999999Z"
        );
        assert_eq!(
            text(&mut clock, 1_795_225_104_000_000_000),
            "2026-11-21T01:38:24.000000Z"
        );
        assert_eq!(text(&mut clock, -1_000), "1969-12-31T23:59:59.999999Z");
    }

    #[test]
    fn indexes_and_names_have_it_digit_by_digit() {
        let time = Timestamp::from_nanos(1_795_225_103_020_345_999);
        assert_eq!(iso(time), "2026-11-21T01:38:23.020345Z");
        assert_eq!(&basic_iso_bytes(time), b"20261121T013823.020345Z");
        let before_1970 = Timestamp::from_nanos(-1_000);
        assert_eq!(iso(before_1970), "1969-12-31T23:59:59.999999Z");
        assert_eq!(
            iso(Timestamp::from_nanos(i64::MIN)),
            "1677-09-21T00:12:43.145224Z"
        );
        assert_eq!(iso(time), "2026-11-21T01:38:23.020345Z");
    }

    #[test]
    fn durations_have_six_digits_at_the_most() {
        for (nanos, wanted) in [
            (1_833_881_000, "1.833881"),
            (127_609_669, "0.127609"),
            (86_399_999_999_999, "86399.999999"),
            (1_500_000_000, "1.5"),
            (0, "0.0"),
        ] {
            let seconds = whole_micros(Duration::from_nanos(nanos));
            assert_eq!(serde_json::to_string(&seconds).unwrap(), wanted);
        }
    }

    #[test]
    fn relative_counts_from_the_first_and_delta_from_the_last() {
        let mut relative = Clock::new(TimeStyle::Relative);
        let mut delta = Clock::new(TimeStyle::Delta);
        let times = [5_000_000_000, 6_500_000_000, 6_000_000_000];
        assert_eq!(
            times.map(|time| text(&mut relative, time)),
            ["  0.000000", "  1.500000", "  1.000000"]
        );
        assert_eq!(
            times.map(|time| text(&mut delta, time)),
            ["  0.000000", "  1.500000", " -0.500000"]
        );
    }
}
