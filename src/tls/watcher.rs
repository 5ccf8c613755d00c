//! The TLS watcher: bytes of one connection in, events out.

use crate::event::Direction;
use crate::time::Timestamp;

use super::event::{Started, TlsEvent};
use super::records::{Piece, Records};
use super::session::{Session, of};
use super::step::step;

/// Follows the TLS of one connection. Small: once the handshake is over, it holds no memory but itself.
///
/// It is fed what stands behind the switch in each direction, in order and each byte once. How the bytes are cut
/// into pieces does not matter. During a handshake in clear it keeps at most 20 KiB a direction.
pub struct TlsWatcher {
    records: [Records; 2],
    session: Session,
}

impl TlsWatcher {
    /// For TLS that has begun. That is for the caller to tell, as [`TlsEvent::Started`].
    pub fn new(started: Started) -> Self {
        Self {
            records: Direction::BOTH.map(Records::new),
            session: Session::new(started.how),
        }
    }

    /// Bytes of memory that messages in the making take.
    #[inline]
    pub(crate) fn keeps(&self) -> usize {
        self.session.keeps()
    }

    /// Whether messages may be in the making.
    pub(crate) fn is_shaking_hands(&self) -> bool {
        self.session.hand.is_some()
    }

    /// Keeps only a little from here on, or as much as ever: what does not fit is told by its number.
    pub(crate) fn tighten(&mut self, tight: bool) {
        self.session.tight = tight;
    }

    /// The next bytes of a direction, at `offset`, from a packet of this time.
    pub fn data(
        &mut self,
        direction: Direction,
        offset: u64,
        time: Timestamp,
        bytes: &[u8],
        tell: &mut dyn FnMut(TlsEvent),
    ) {
        let session = &mut self.session;
        let records = of(&mut self.records, direction);
        records.data(offset, time, bytes, &mut |piece| {
            take(session, direction, piece, time, tell)
        });
        if records.speaks_ssl2() {
            self.follow_ssl2();
        }
    }

    /// The capture lacks `len` bytes of a direction.
    pub fn gap(&mut self, direction: Direction, len: u64, time: Timestamp, tell: &mut dyn FnMut(TlsEvent)) {
        let session = &mut self.session;
        of(&mut self.records, direction).gap(len, &mut |piece| take(session, direction, piece, time, tell));
    }

    /// Nothing follows in this direction (FIN, RST): a record that was cut short is told.
    pub fn end(&mut self, direction: Direction, time: Timestamp, tell: &mut dyn FnMut(TlsEvent)) {
        let session = &mut self.session;
        of(&mut self.records, direction).end(&mut |piece| take(session, direction, piece, time, tell));
    }

    /// The connection is over: a handshake that is not, is told.
    pub fn close(&mut self, time: Timestamp, tell: &mut dyn FnMut(TlsEvent)) {
        for direction in Direction::BOTH {
            self.end(direction, time, tell);
        }
        let ssl2 = self.records.iter().any(Records::speaks_ssl2);
        if let Some(step) = step(&self.session).filter(|_| !ssl2) {
            tell(TlsEvent::Unfinished { time, step });
        }
        self.session.give_up();
    }

    /// Whether a direction has gone on with something that is no TLS. Its further bytes are ignored here.
    pub fn broken(&self, direction: Direction) -> bool {
        self.session.side(direction).broken
    }

    /// Records of SSL 2.0 are counted, no more.
    fn follow_ssl2(&mut self) {
        for records in &mut self.records {
            records.speak_ssl2();
        }
    }
}

/// What the records of a direction bring.
fn take(
    session: &mut Session,
    direction: Direction,
    piece: Piece<'_>,
    now: Timestamp,
    tell: &mut dyn FnMut(TlsEvent),
) {
    match piece {
        Piece::Payload(content_type, bytes) => session.payload(direction, content_type, bytes),
        Piece::Record(record) => session.record(record, now, tell),
        Piece::Lost => session.lost(direction),
        Piece::Broken { offset, first } => {
            session.broke(direction);
            let text = first.is_ascii_graphic() || first.is_ascii_whitespace();
            let reason = match (text, session.side(direction).alerted) {
                (true, true) => "clear text after the alert that ends TLS",
                (true, false) => "clear text where a TLS record must begin",
                (false, _) => "no TLS record begins here",
            };
            tell(TlsEvent::Broken {
                time: now,
                direction,
                offset,
                reason: reason.into(),
            });
        }
    }
}
