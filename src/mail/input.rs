//! The bytes at hand, the way out for them and for what is told of them, and bytes kept for later.
//!
//! A parser takes bytes from an [`Input`] by passing them on, labelled. It can't lose, double or swap any:
//! what it leaves is given to it again, in front of what comes next.

use crate::event::{Connection, Direction, Emit, Event, Kind, SinkError};
use crate::mail::{MailEvent, MailWarning};
use crate::time::Timestamp;
use crate::tls::TlsEvent;

/// Times of the packets that brought the bytes: index of a packet's first byte, its time.
type Times = Vec<(usize, Timestamp)>;

/// The next stage, for one connection.
pub(crate) struct Out<'a, 'e> {
    /// Of which connection the events are.
    pub(crate) connection: &'a Connection,
    /// The next stage.
    pub(crate) emit: &'a mut Emit<'e>,
    /// What is kept to be understood later may have become more or less. What only passes, as most does, leaves it as
    /// it was.
    pub(crate) recount: bool,
}

impl<'a, 'e> Out<'a, 'e> {
    /// Of a connection, to the next stage.
    pub(crate) fn new(connection: &'a Connection, emit: &'a mut Emit<'e>) -> Self {
        Self {
            connection,
            emit,
            recount: false,
        }
    }

    /// Passes an event on.
    pub(crate) fn event(&mut self, event: &Event<'_>) -> Result<(), SinkError> {
        (self.emit)(self.connection, event)
    }

    /// Tells something about mail.
    pub(crate) fn mail(&mut self, event: &MailEvent) -> Result<(), SinkError> {
        self.event(&Event::Mail(event))
    }

    /// Tells something about TLS.
    pub(crate) fn tls(&mut self, event: &TlsEvent) -> Result<(), SinkError> {
        self.event(&Event::Tls(event))
    }

    /// Tells that something is odd.
    pub(crate) fn warn(
        &mut self,
        time: Timestamp,
        direction: Direction,
        offset: u64,
        warning: MailWarning,
    ) -> Result<(), SinkError> {
        self.mail(&MailEvent::Warning {
            time,
            direction,
            offset,
            warning,
        })
    }
}

/// Bytes of one direction, in order, to be passed on.
pub(crate) struct Input<'a> {
    /// Which stream.
    pub(crate) direction: Direction,
    /// Nothing more comes before something else does: no waiting for more bytes to decide.
    pub(crate) last: bool,
    offset: u64,
    bytes: &'a [u8],
    times: &'a [(usize, Timestamp)],
    at: usize,
    silent: bool,
}

impl<'a> Input<'a> {
    /// The bytes of one packet.
    pub(crate) fn new(
        direction: Direction,
        offset: u64,
        bytes: &'a [u8],
        times: &'a [(usize, Timestamp)],
    ) -> Self {
        Self {
            direction,
            last: false,
            offset,
            bytes,
            times,
            at: 0,
            silent: false,
        }
    }

    /// What is left.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// What is left of the next `n` bytes.
    pub(crate) fn upcoming(&self, n: u64) -> &'a [u8] {
        let rest = self.rest();
        let n = usize::try_from(n).unwrap_or(usize::MAX);
        rest.get(..n).unwrap_or(rest)
    }

    /// Whether nothing is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// Offset in the stream of the next byte.
    pub(crate) fn offset(&self) -> u64 {
        self.offset.saturating_add(self.at as u64)
    }

    /// Time of the next byte, or of the last one if none is left.
    pub(crate) fn time(&self) -> Timestamp {
        self.run().0
    }

    /// What is left of the next byte's packet.
    pub(crate) fn packet(&self) -> &'a [u8] {
        self.bytes.get(self.at..self.run().1).unwrap_or_default()
    }

    /// Time of the next byte and where another time begins.
    fn run(&self) -> (Timestamp, usize) {
        let later = self.times.partition_point(|(start, _)| *start <= self.at);
        let time = later
            .checked_sub(1)
            .and_then(|i| self.times.get(i))
            .map(|(_, t)| *t);
        let until = self
            .times
            .get(later)
            .map_or(self.bytes.len(), |(start, _)| *start);
        (time.unwrap_or_default(), until)
    }

    /// Whether its bytes have been passed on before, and are read again.
    pub(crate) fn is_again(&self) -> bool {
        self.silent
    }

    /// Passes the next `n` bytes on as `kind`.
    pub(crate) fn pass(&mut self, n: usize, kind: Kind, out: &mut Out<'_, '_>) -> Result<(), SinkError> {
        let end = self.at.saturating_add(n).min(self.bytes.len());
        if self.silent {
            self.at = end;
        }
        while self.at < end {
            let (time, until) = self.run();
            let stop = until.min(end).max(self.at + 1);
            let bytes = self.bytes.get(self.at..stop).unwrap_or_default();
            let offset = self.offset();
            self.at = stop;
            out.event(&Event::Data {
                direction: self.direction,
                offset,
                time,
                kind,
                bytes,
            })?;
        }
        Ok(())
    }
}

/// A copy of bytes that could not be understood when they passed, or that wait to be passed.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    offset: u64,
    bytes: Vec<u8>,
    times: Times,
}

/// Packets' times kept apart in a [`Kept`]; what comes in more of them shares the last one's time.
const MAX_TIMES: usize = 256;

impl Kept {
    /// Bytes of memory that they take.
    #[inline]
    pub(crate) fn keeps(&self) -> usize {
        self.bytes.capacity() + self.times.capacity() * size_of::<(usize, Timestamp)>()
    }

    /// How many bytes there are.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Offset behind them.
    pub(crate) fn end(&self) -> u64 {
        self.offset.saturating_add(self.bytes.len() as u64)
    }

    /// The bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Adds bytes of one packet, the next ones in the stream.
    pub(crate) fn push(&mut self, offset: u64, time: Timestamp, bytes: &[u8]) {
        if self.bytes.is_empty() {
            self.offset = offset;
            self.times.clear();
        }
        let new = self.times.last().is_none_or(|(_, last)| *last != time);
        if new && self.times.len() < MAX_TIMES {
            self.times.push((self.bytes.len(), time));
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Adds the next `n` bytes of `input`, which is about to pass them on.
    pub(crate) fn copy(&mut self, input: &Input<'_>, n: usize) {
        let end = input.at.saturating_add(n).min(input.bytes.len());
        let mut at = input.at;
        let later = input.times.partition_point(|(start, _)| *start <= at);
        for (i, (_, time)) in input.times.iter().enumerate().skip(later.saturating_sub(1)) {
            if at >= end {
                break;
            }
            let until = input.times.get(i + 1).map_or(end, |(next, _)| (*next).min(end));
            let bytes = input.bytes.get(at..until).unwrap_or_default();
            self.push(input.offset.saturating_add(at as u64), *time, bytes);
            at = until;
        }
    }

    /// To be passed on.
    pub(crate) fn input(&self, direction: Direction) -> Input<'_> {
        Input::new(direction, self.offset, &self.bytes, &self.times)
    }

    /// To be understood only: the bytes have been passed on already.
    pub(crate) fn passed(&self, direction: Direction) -> Input<'_> {
        let mut input = self.input(direction);
        input.silent = true;
        input.last = true;
        input
    }
}
