//! Runs captures and scripted dialogues through the watchers and writes down what they tell, a line each.
#![allow(dead_code)] // not every test file needs all of it

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use flowdump::capture::{FileSource, Next, Source};
use flowdump::decode::{DecodeOptions, Decoder};
use flowdump::event::{Connection, Direction, Event, Kind};
use flowdump::flow::{FlowOptions, FlowTable};
use flowdump::mail::{MailEvent, StarttlsOutcome, Transaction};
use flowdump::tls::{Handshake, TlsEvent};
use flowdump::watch::Watchers;

/// What was seen of one connection.
#[derive(Debug, Default, Clone)]
pub struct Seen {
    /// What was told, a line each.
    pub told: Vec<String>,
    /// Labelled bytes of each direction, neighbours of one kind joined.
    pub runs: [Vec<(Kind, Vec<u8>)>; 2],
    /// Offset of each first byte of TLS that was told.
    pub started: Vec<(flowdump::tls::TlsHow, [Option<u64>; 2])>,
    /// All bytes, gaps as zeros.
    pub bytes: [Vec<u8>; 2],
    /// TLS records, alerts and hellos are told only where asked for.
    pub tls: Vec<String>,
}

impl Seen {
    /// One event more.
    pub fn take(&mut self, event: &Event<'_>) {
        match event {
            Event::Data {
                direction,
                offset,
                kind,
                bytes,
                ..
            } => {
                let stream = &mut self.bytes[direction.index()];
                assert_eq!(stream.len() as u64, *offset, "offsets run on");
                assert!(!bytes.is_empty(), "no empty data");
                stream.extend_from_slice(bytes);
                let runs = &mut self.runs[direction.index()];
                match runs.last_mut() {
                    Some((last, run)) if last == kind => run.extend_from_slice(bytes),
                    _ => runs.push((*kind, bytes.to_vec())),
                }
            }
            Event::Gap {
                direction,
                offset,
                len,
                ..
            } => {
                let stream = &mut self.bytes[direction.index()];
                assert_eq!(stream.len() as u64, *offset, "offsets run on");
                stream.resize(stream.len() + usize::try_from(*len).unwrap(), 0);
            }
            Event::Mail(event) => self.told.push(mail(event)),
            Event::Tls(event) => {
                if let TlsEvent::Started(started) = event {
                    self.started.push((started.how, started.offsets));
                    self.told
                        .push(format!("TLS {:?} {:?}", started.how, started.offsets));
                }
                self.tls.push(tls(event));
            }
            _ => {}
        }
    }

    /// The bytes of a kind, in one direction.
    pub fn of(&self, direction: Direction, kind: Kind) -> String {
        let runs = self.runs[direction.index()].iter().filter(|(of, _)| *of == kind);
        runs.map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned())
            .collect()
    }

    /// Whether one of the lines told begins so.
    pub fn has(&self, start: &str) -> bool {
        self.told.iter().any(|line| line.starts_with(start))
    }

    /// The lines told that begin so.
    pub fn all(&self, start: &str) -> Vec<&str> {
        self.told
            .iter()
            .filter(|line| line.starts_with(start))
            .map(String::as_str)
            .collect()
    }
}

fn arrow(direction: Direction) -> &'static str {
    match direction {
        Direction::ToServer => ">",
        Direction::ToClient => "<",
    }
}

fn transaction(t: &Transaction) -> String {
    let mut line = format!(
        "mail {} from {:?} to",
        t.depth,
        t.mail_from.as_deref().unwrap_or("?")
    );
    for (to, code) in &t.recipients {
        write!(line, " {to}={}", code.as_deref().unwrap_or("?")).unwrap();
    }
    let code = t.reply.as_ref().map_or("?", |reply| &reply.code);
    write!(
        line,
        " ({}) size {} reply {code} accepted {:?}",
        t.recipient_count, t.size, t.accepted
    )
    .unwrap();
    if let Some((_, subject)) = t.headers.iter().find(|(name, _)| name == "subject") {
        write!(line, " subject {subject:?}").unwrap();
    }
    line
}

fn mail(event: &MailEvent) -> String {
    match event {
        MailEvent::Protocol { protocol, sure, .. } => format!("{protocol:?} sure={sure}"),
        MailEvent::Command(c) => {
            let tag = if c.tag.is_empty() {
                String::new()
            } else {
                format!("{} ", c.tag)
            };
            format!("> @{} {tag}{} {}", c.offset, c.verb, c.argument)
                .trim_end()
                .to_owned()
        }
        MailEvent::Reply(r) => format!(
            "< @{} {}x{} to {}: {}",
            r.offset,
            r.code,
            r.lines.len(),
            r.answers.as_deref().unwrap_or("nothing"),
            r.lines.first().map_or("", String::as_str)
        ),
        MailEvent::Auth(a) => format!(
            "auth {} {} {:?}",
            a.mechanism,
            a.user.as_deref().unwrap_or("?"),
            a.accepted
        ),
        MailEvent::Transaction(t) => transaction(t),
        MailEvent::Starttls(s) => match &s.outcome {
            StarttlsOutcome::Refused(reply) => format!("{:?} STARTTLS refused {}", s.protocol, reply.code),
            outcome => format!("{:?} STARTTLS {outcome:?}", s.protocol),
        },
        MailEvent::Warning {
            direction,
            offset,
            warning,
            ..
        } => {
            format!("! {} @{offset} {warning:?}", arrow(*direction))
        }
    }
}

fn tls(event: &TlsEvent) -> String {
    match event {
        TlsEvent::Started(s) => format!("started {:?}", s.how),
        TlsEvent::Record(r) => format!(
            "{} record {} @{} {}",
            arrow(r.direction),
            r.content_type,
            r.offset,
            r.len
        ),
        TlsEvent::Handshake {
            direction, message, ..
        } => match message {
            Handshake::ClientHello(hello) => format!("{} ClientHello {:?}", arrow(*direction), hello.sni),
            Handshake::ServerHello(hello) => {
                format!("{} ServerHello {}", arrow(*direction), hello.cipher_name)
            }
            Handshake::Certificates(_) => format!("{} Certificates", arrow(*direction)),
            other => format!("{} {other:?}", arrow(*direction)),
        },
        TlsEvent::Alert(alert) => format!("{} alert {:?}", arrow(alert.direction), alert.level_description),
        TlsEvent::Established { .. } => "established".into(),
        TlsEvent::Unfinished { step, .. } => format!("unfinished: {step}"),
        TlsEvent::Broken {
            direction, offset, ..
        } => format!("{} broken @{offset}", arrow(*direction)),
    }
}

/// One of our own captures.
pub fn ours(name: &str) -> Vec<Seen> {
    capture(
        &Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/captures")
            .join(name),
    )
}

/// Every connection of a capture, in order of their first packets.
pub fn capture(path: &Path) -> Vec<Seen> {
    let mut seen: Vec<Seen> = Vec::new();
    let mut watchers = Watchers::new();
    let mut take = |connection: &Connection, event: &Event<'_>| {
        let index = usize::try_from(connection.id - 1).unwrap();
        if index >= seen.len() {
            seen.resize_with(index + 1, Seen::default);
        }
        seen[index].take(event);
        Ok(())
    };
    let mut source = FileSource::open(&[PathBuf::from(path)]).unwrap();
    let mut decoder = Decoder::new(DecodeOptions::default());
    let mut table = FlowTable::new(FlowOptions::default());
    while let Ok(next) = source.next() {
        let Next::Packet(packet) = next else { break };
        if let Some(segment) = decoder.decode(&packet) {
            table
                .segment(&segment, &mut |connection, event| {
                    watchers.event(connection, event, &mut take)
                })
                .unwrap();
        }
    }
    table
        .finish(&mut |connection, event| watchers.event(connection, event, &mut take))
        .unwrap();
    seen
}
