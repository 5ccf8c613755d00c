//! What one connection's TLS has come to: from records and messages of both directions to events.
//!
//! While the handshake is in clear, what it needs is kept in a box; afterwards a few flags remain.

use crate::event::Direction;
use crate::time::Timestamp;

use super::event::{Alert, Record, TlsEvent, TlsHow};
use super::hello::Offer;
use super::messages::Messages;
use super::names::is_tls13;

/// Shortest record that a Finished of TLS 1.3 fits in: header of 4, SHA-256, type, tag of CCM_8.
const SHORTEST_FINISHED: u32 = 4 + 32 + 1 + 8;

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// The handshake goes on.
    Open,
    /// Both sides have finished it.
    Established,
    /// We came too late to see it, or can't follow it.
    Unknown,
}

/// What is remembered of one side.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Side {
    /// A record came.
    pub(super) spoke: bool,
    /// Bytes are missing.
    pub(super) gap: bool,
    /// It sent ChangeCipherSpec; from there on TLS 1.2 encrypts.
    pub(super) changed: bool,
    /// It sent its Finished, as far as can be told.
    pub(super) finished: bool,
    /// Its last record was an alert.
    pub(super) alerted: bool,
    /// It sent application data, so called.
    pub(super) data: bool,
    /// It went on with something that is no TLS.
    pub(super) broken: bool,
    /// Number of its last handshake message in clear.
    pub(super) last: Option<u8>,
    /// First two bytes of the alert at hand.
    alert: [u8; 2],
    alert_have: u8,
}

/// What the handshake needs.
#[derive(Default)]
pub(super) struct Hand {
    pub(super) messages: [Messages; 2],
    pub(super) offer: Option<Offer>,
    pub(super) sni: Option<String>,
    /// The server's last hello was a HelloRetryRequest.
    pub(super) retry: bool,
    /// The client has said hello again after it.
    pub(super) retried: bool,
    pub(super) server_hello: bool,
    /// The server sent what only a full handshake of TLS 1.2 has.
    pub(super) full: bool,
    pub(super) resumed: Option<bool>,
    /// The last alert: by whom, and level and description if in clear.
    pub(super) alert: Option<(Direction, Option<(u8, u8)>)>,
}

pub(super) struct Session {
    pub(super) how: TlsHow,
    pub(super) progress: Progress,
    /// Who sent the ClientHello, or got the ServerHello: not always TCP's client.
    pub(super) client: Option<Direction>,
    /// As the server chose; 0 until then.
    pub(super) version: u16,
    pub(super) cipher: u16,
    pub(super) encrypts: bool,
    pub(super) sides: [Side; 2],
    pub(super) hand: Option<Box<Hand>>,
    /// Of a message only a little is kept.
    pub(super) tight: bool,
}

pub(super) type Tell<'t> = &'t mut dyn FnMut(TlsEvent);

impl Session {
    pub(super) fn new(how: TlsHow) -> Self {
        let mut hand = Box::<Hand>::default();
        if how == TlsHow::Found {
            // Nobody says that this is where a message begins.
            hand.messages.iter_mut().for_each(Messages::lose);
        }
        Self {
            how,
            progress: Progress::Open,
            client: None,
            version: 0,
            cipher: 0,
            encrypts: true,
            sides: [Side::default(); 2],
            hand: Some(hand),
            tight: false,
        }
    }

    /// Bytes that messages in the making take.
    #[inline]
    pub(super) fn keeps(&self) -> usize {
        self.hand
            .as_ref()
            .map_or(0, |hand| hand.messages.iter().map(Messages::keeps).sum())
    }

    pub(super) const fn side(&self, direction: Direction) -> &Side {
        let [to_server, to_client] = &self.sides;
        match direction {
            Direction::ToServer => to_server,
            Direction::ToClient => to_client,
        }
    }

    pub(super) const fn side_mut(&mut self, direction: Direction) -> &mut Side {
        of(&mut self.sides, direction)
    }

    /// The handshake can't be followed.
    pub(super) fn give_up(&mut self) {
        self.progress = Progress::Unknown;
        self.hand = None;
    }

    /// Bytes of the payload of a record of this direction.
    pub(super) fn payload(&mut self, direction: Direction, content_type: u8, bytes: &[u8]) {
        match content_type {
            21 => {
                let side = self.side_mut(direction);
                for &byte in bytes.iter().take(2) {
                    if let Some(slot) = side.alert.get_mut(usize::from(side.alert_have)) {
                        *slot = byte;
                        side.alert_have += 1;
                    }
                }
            }
            22 if !self.hidden(direction) => {
                if let Some(hand) = &mut self.hand {
                    of(&mut hand.messages, direction).payload(bytes, self.tight);
                }
            }
            _ => {}
        }
    }

    /// What follows in this direction is no TLS.
    pub(super) fn broke(&mut self, direction: Direction) {
        self.side_mut(direction).broken = true;
        if let Some(hand) = &mut self.hand {
            of(&mut hand.messages, direction).clear();
        }
    }

    /// What was told of the record at hand is incomplete or wrong.
    pub(super) fn lost(&mut self, direction: Direction) {
        let side = self.side_mut(direction);
        side.gap = true;
        side.alert_have = 0;
        if let Some(hand) = &mut self.hand {
            of(&mut hand.messages, direction).lose();
        }
    }

    /// A record is over; its payload has been given before. `now` is the time of its last byte.
    pub(super) fn record(&mut self, mut record: Record, now: Timestamp, tell: Tell<'_>) {
        let direction = record.direction;
        let payload = record.len.saturating_sub(5);
        let side = self.side_mut(direction);
        side.spoke = true;
        side.alerted = record.content_type == 21;
        let alert = if record.content_type == 21 {
            self.take_alert(direction, payload)
        } else {
            None
        };
        record.encrypted = match record.content_type {
            20 => payload != 1,
            21 => alert.is_none(),
            22 => !self.readable(&record),
            23 => self.encrypts,
            _ => self.hidden(direction),
        };
        tell(TlsEvent::Record(record));
        match record.content_type {
            20 if payload == 1 => self.changed(direction),
            21 => self.alert(record, alert, tell),
            22 => self.handshake(&record, tell),
            23 => self.data(record, payload, tell),
            _ => {}
        }
        self.establish(now, tell);
    }

    /// Whether this side encrypts its handshake records and alerts by now. Not so in TLS 1.3, where what is
    /// encrypted says to be application data.
    fn hidden(&self, direction: Direction) -> bool {
        self.encrypts && self.version != 0 && !is_tls13(self.version) && self.side(direction).changed
    }

    /// Level and description. An alert of two bytes is in clear: encryption would have added to it.
    fn take_alert(&mut self, direction: Direction, payload: u32) -> Option<(u8, u8)> {
        let protected = !self.encrypts;
        let side = self.side_mut(direction);
        let have = std::mem::take(&mut side.alert_have);
        let [level, description] = side.alert;
        (have == 2 && (payload == 2 || protected) && matches!(level, 1 | 2)).then_some((level, description))
    }

    /// Whether the handshake record that is over is in clear; if not, its payload is forgotten.
    fn readable(&mut self, record: &Record) -> bool {
        let direction = record.direction;
        let hidden = self.hidden(direction);
        let changed = self.side(direction).changed;
        let (version, encrypts) = (self.version, self.encrypts);
        let Some(hand) = &mut self.hand else {
            return !encrypts;
        };
        let messages = of(&mut hand.messages, direction);
        if !record.whole {
            messages.lose();
            return !changed;
        }
        // Before the server's choice is known, what follows ChangeCipherSpec is a Finished of TLS 1.2 or, in
        // TLS 1.3, where it means nothing, another hello (RFC 8446, appendix D.4).
        let plausible = !hidden
            && if changed && version == 0 {
                matches!(messages.first(), Some(1 | 2)) && messages.tiles()
            } else {
                messages.plausible()
            };
        if !plausible {
            messages.lose();
        }
        plausible
    }

    fn changed(&mut self, direction: Direction) {
        if !is_tls13(self.version) {
            self.side_mut(direction).changed = true;
            if let Some(hand) = &mut self.hand {
                of(&mut hand.messages, direction).clear();
            }
        }
    }

    fn alert(&mut self, record: Record, level_description: Option<(u8, u8)>, tell: Tell<'_>) {
        if let Some(hand) = &mut self.hand {
            hand.alert = Some((record.direction, level_description));
        }
        tell(TlsEvent::Alert(Alert {
            time: record.time,
            direction: record.direction,
            level_description,
        }));
    }

    /// A record of application data, so called: in TLS 1.3 the encrypted handshake too.
    fn data(&mut self, record: Record, payload: u32, tell: Tell<'_>) {
        let direction = record.direction;
        let first = !std::mem::replace(&mut self.side_mut(direction).data, true);
        if self.progress != Progress::Open {
            return;
        }
        let (Some(client), Some(hand)) = (self.client, &self.hand) else {
            self.give_up();
            return;
        };
        let early = hand.offer.as_ref().is_some_and(|offer| offer.early_data);
        let counts_later = is_tls13(self.version) || (self.version == 0 && early);
        if direction != client || !counts_later {
            self.side_mut(direction).finished = true;
        } else if hand.server_hello {
            // The client's Finished says that it has seen the server's. What is too short for one is, as the
            // first thing a client encrypts, an alert.
            if payload >= SHORTEST_FINISHED || self.side(direction).gap {
                for side in &mut self.sides {
                    side.finished = true;
                }
            } else if first && !early && matches!(payload, 11 | 19) {
                self.alert(record, None, tell);
            }
        }
    }

    fn establish(&mut self, time: Timestamp, tell: Tell<'_>) {
        let [to_server, to_client] = self.sides;
        if self.progress == Progress::Open && to_server.finished && to_client.finished {
            let resumed = self.resumed();
            self.progress = Progress::Established;
            self.hand = None;
            tell(TlsEvent::Established { time, resumed });
        }
    }

    fn resumed(&self) -> Option<bool> {
        let hand = self.hand.as_ref()?;
        if is_tls13(self.version) {
            return hand.resumed;
        }
        if hand.full {
            return Some(false);
        }
        // Without certificate, key exchange and ServerHelloDone it is the short handshake (RFC 5246, section 7.3).
        let server = self.side(self.client?.reverse());
        if hand.server_hello && !server.gap {
            Some(true)
        } else {
            hand.resumed
        }
    }
}

/// The one of two that belongs to a direction.
pub(super) const fn of<T>([to_server, to_client]: &mut [T; 2], direction: Direction) -> &mut T {
    match direction {
        Direction::ToServer => to_server,
        Direction::ToClient => to_client,
    }
}
