//! The handshake messages of a session: read, told, and what they change.

use super::certificate::chain;
use super::event::{Handshake, Record, ServerHello, TlsEvent};
use super::hello::{client_hello, key_exchange_group, server_hello, ssl2_client_hello};
use super::messages::{Message, Messages};
use super::names::is_tls13;
use super::session::{Session, Tell, of};

impl Session {
    /// A handshake record is over: the messages that it completes.
    pub(super) fn handshake(&mut self, record: &Record, tell: Tell<'_>) {
        let direction = record.direction;
        let changed = self.side(direction).changed && !is_tls13(self.version);
        if changed && (record.encrypted || !self.encrypts) {
            self.side_mut(direction).finished = true;
        }
        let Some(hand) = &mut self.hand else {
            return;
        };
        if record.encrypted || !record.whole {
            return;
        }
        let ssl2 = record.version == 2;
        let mut messages = std::mem::take(of(&mut hand.messages, direction));
        if ssl2 {
            self.ssl2_hello(&messages, record, tell);
            messages.clear();
        } else if changed && !self.encrypts {
            messages.take_first(|message| self.message(message, record, tell));
        } else {
            messages.drain(|message| self.message(message, record, tell));
        }
        if let Some(hand) = &mut self.hand {
            *of(&mut hand.messages, direction) = messages;
        }
    }

    fn ssl2_hello(&mut self, messages: &Messages, record: &Record, tell: Tell<'_>) {
        let message = match (ssl2_client_hello(messages.kept()), messages.first()) {
            (Some((hello, offer)), _) => {
                self.client = Some(record.direction);
                if let Some(hand) = &mut self.hand {
                    hand.offer = Some(offer);
                }
                Handshake::ClientHello(hello)
            }
            // In SSL 2.0 the client chooses the cipher, and later.
            (None, Some(4)) => Handshake::ServerHello(ServerHello {
                version: record.version,
                cipher_name: "unknown".into(),
                encrypts: true,
                ..ServerHello::default()
            }),
            (None, number) => Handshake::Other(number.unwrap_or_default()),
        };
        let by_server = matches!(message, Handshake::ServerHello(_));
        self.side_mut(record.direction).last = messages.first();
        tell(TlsEvent::Handshake {
            time: record.time,
            direction: record.direction,
            message,
        });
        if by_server {
            // SSL 2.0 has no types by which what follows could be understood.
            self.give_up();
        }
    }

    fn message(&mut self, message: Message<'_>, record: &Record, tell: Tell<'_>) {
        let direction = record.direction;
        let (number, body) = match message {
            Message::Whole(number, body) => (number, Some(body)),
            Message::Skipped(number) => (number, None),
        };
        self.side_mut(direction).last = Some(number);
        match number {
            1 => self.client = self.client.or(Some(direction)),
            2 => self.client = self.client.or(Some(direction.reverse())),
            _ => {}
        }
        let message = body.and_then(|body| self.read(number, body, record));
        tell(TlsEvent::Handshake {
            time: record.time,
            direction,
            message: message.unwrap_or(Handshake::Other(number)),
        });
    }

    /// A message as far as it interests us. `None` if it does not, or can't be read.
    fn read(&mut self, number: u8, body: &[u8], record: &Record) -> Option<Handshake> {
        let from_server = self.client == Some(record.direction.reverse());
        let hand = self.hand.as_mut()?;
        hand.full |= from_server && matches!(number, 11 | 12 | 14);
        match number {
            1 => {
                hand.retried = hand.retry;
                let (hello, offer) = client_hello(body)?;
                hand.sni.clone_from(&hello.sni);
                hand.offer = Some(offer);
                Some(Handshake::ClientHello(hello))
            }
            2 => {
                let hello = server_hello(body, hand.offer.as_ref())?;
                hand.retry = hello.retry;
                hand.server_hello = !hello.retry;
                hand.resumed = hello.resumed;
                self.version = hello.version;
                self.cipher = hello.cipher;
                self.encrypts = hello.encrypts;
                Some(Handshake::ServerHello(hello))
            }
            11 => {
                let sni = hand.sni.as_deref().filter(|_| from_server);
                chain(body, record.time, sni).map(Handshake::Certificates)
            }
            12 => Some(Handshake::ServerKeyExchange {
                group: key_exchange_group(body, self.cipher),
            }),
            13 => Some(Handshake::CertificateRequest),
            _ => None,
        }
    }
}
