//! Runs captures and scripted dialogues through the watchers and writes down what they tell, a line each.
#![allow(dead_code)] // not every test file needs all of it

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use flowdump::capture::{FileSource, Next, Source};
use flowdump::decode::{DecodeOptions, Decoder, Endpoint, Scope};
use flowdump::event::{ClientKnown, CloseReason, Closing, Connection, Direction, Event, GapReason, Kind};
use flowdump::flow::{FlowOptions, FlowTable};
use flowdump::mail::{MailEvent, StarttlsOutcome, Transaction};
use flowdump::time::Timestamp;
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
        MailEvent::Protocol { protocol, doubt, .. } => {
            let why = doubt.map_or(String::new(), |doubt| format!(" {doubt:?}"));
            format!("{protocol:?} sure={}{why}", doubt.is_none())
        }
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
        MailEvent::Compressed { .. } => "Compressed".to_owned(),
        MailEvent::Proxied(proxied) => match proxied.peers {
            Some([client, server]) => format!("Proxied v{} {client} {server}", proxied.version),
            None => format!("Proxied v{}", proxied.version),
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

/// What one side said before the other did: the unit that a capture's order fixes. Nothing said: a gap of
/// [`GAP`] bytes.
pub type Run = (Direction, Vec<u8>);

/// Bytes missing in a gap.
pub const GAP: u64 = 7;

/// The dialogues of a capture's connections, as far as nothing is missing in them.
pub fn dialogues(path: &Path) -> Vec<Vec<Run>> {
    let mut all: Vec<Option<Vec<Run>>> = Vec::new();
    let mut take = |connection: &Connection, event: &Event<'_>| {
        let index = usize::try_from(connection.id - 1).unwrap();
        if index >= all.len() {
            all.resize_with(index + 1, || Some(Vec::new()));
        }
        match event {
            Event::Data { direction, bytes, .. } => {
                if let Some(runs) = &mut all[index] {
                    say(runs, *direction, bytes);
                }
            }
            Event::Gap { .. } => all[index] = None,
            _ => {}
        }
        Ok(())
    };
    let mut source = FileSource::open(&[PathBuf::from(path)]).unwrap();
    let mut decoder = Decoder::new(DecodeOptions::default());
    let mut table = FlowTable::new(FlowOptions::default());
    while let Ok(Next::Packet(packet)) = source.next() {
        if let Some(segment) = decoder.decode(&packet) {
            table.segment(&segment, &mut take).unwrap();
        }
    }
    table.finish(&mut take).unwrap();
    all.into_iter().flatten().collect()
}

/// Adds what a side says.
pub fn say(runs: &mut Vec<Run>, direction: Direction, bytes: &[u8]) {
    match runs.last_mut() {
        Some((last, run)) if *last == direction => run.extend_from_slice(bytes),
        _ => runs.push((direction, bytes.to_vec())),
    }
}

/// A connection to a port, whose SYN was seen or not.
pub fn connection(port: u16, from_start: bool) -> Connection {
    let endpoint = |last, port| Endpoint {
        address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, last)),
        port,
    };
    Connection {
        id: 1,
        slot: 0,
        client: endpoint(1, 40000),
        server: endpoint(2, port),
        client_known: if from_start {
            ClientKnown::Syn
        } else {
            ClientKnown::Guessed
        },
        first_time: Timestamp::default(),
        scope: Scope(0),
        vlan: None,
        mac: None,
    }
}

/// Plays a dialogue, each run cut into pieces of the sizes that `cut` gives, all of a run at one time.
pub fn play(connection: &Connection, runs: &[Run], mut cut: impl FnMut() -> usize) -> Seen {
    let mut seen = Seen::default();
    let mut watchers = Watchers::new();
    let mut offsets = [0u64; 2];
    let mut emit = |_: &Connection, event: &Event<'_>| {
        seen.take(event);
        Ok(())
    };
    watchers.event(connection, &Event::Opened, &mut emit).unwrap();
    let mut last = Timestamp::default();
    for (second, (direction, run)) in (1..).zip(runs) {
        last = Timestamp::from_parts(second, 0).unwrap();
        let mut rest = run.as_slice();
        if rest.is_empty() {
            let (direction, offset) = (*direction, offsets[direction.index()]);
            let gap = Event::Gap {
                direction,
                offset,
                len: GAP,
                time: last,
                reason: GapReason::Lost,
            };
            offsets[direction.index()] += GAP;
            watchers.event(connection, &gap, &mut emit).unwrap();
        }
        while !rest.is_empty() {
            let (bytes, more) = rest.split_at(cut().clamp(1, rest.len()));
            rest = more;
            let data = Event::Data {
                direction: *direction,
                offset: offsets[direction.index()],
                time: last,
                kind: Kind::Plain,
                bytes,
            };
            offsets[direction.index()] += bytes.len() as u64;
            watchers.event(connection, &data, &mut emit).unwrap();
        }
    }
    let closing = Closing {
        reason: CloseReason::Timeout,
        last_time: last,
        handshake: true,
        first_fin: None,
        totals: Default::default(),
    };
    watchers
        .event(connection, &Event::Closed(&closing), &mut emit)
        .unwrap();
    seen
}

/// A dialogue as one writes it down: `C: ` and `S: ` lines, each with CRLF.
pub fn script(text: &str) -> Vec<Run> {
    let mut runs = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (who, said) = line.split_once(':').unwrap();
        let direction = if who == "C" {
            Direction::ToServer
        } else {
            Direction::ToClient
        };
        say(
            &mut runs,
            direction,
            format!("{}\r\n", said.strip_prefix(' ').unwrap_or(said)).as_bytes(),
        );
    }
    runs
}

/// A TLS 1.2 ClientHello that is as short as can be.
pub const CLIENT_HELLO: &[u8] = b"\x16\x03\x01\x00\x2d\x01\x00\x00\x29\x03\x03\
    0123456789abcdef0123456789abcdef\x00\x00\x02\x00\x2f\x01\x00";

/// And its ServerHello.
pub const SERVER_HELLO: &[u8] = b"\x16\x03\x03\x00\x2a\x02\x00\x00\x26\x03\x03\
    0123456789abcdef0123456789abcdef\x00\x00\x2f\x00";

/// For messages of failed tests.
pub fn show(runs: &[Run]) -> String {
    let line = |(direction, run): &Run| format!("{} {}\n", arrow(*direction), run.escape_ascii());
    runs.iter().map(line).collect()
}
