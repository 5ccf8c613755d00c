//! How bytes pass the watchers: at once, uncopied, with their own times, and what is told of them right behind.

mod mail_support;

use flowdump::event::{Connection, Direction, Event, Kind, SinkError};
use flowdump::mail::MailEvent;
use flowdump::time::Timestamp;
use flowdump::tls::TlsEvent;
use flowdump::watch::Watchers;
use mail_support::{CLIENT_HELLO, connection};

use Direction::{ToClient, ToServer};

/// Something that came out.
#[derive(Debug, PartialEq, Eq)]
enum Out {
    Data(Direction, i64, Kind, String, usize),
    Told(String),
}

/// A connection to feed a packet at a time.
struct Feed {
    connection: Connection,
    watchers: Watchers,
    offsets: [u64; 2],
    clock: i64,
}

impl Feed {
    fn new(port: u16) -> Self {
        Self {
            connection: connection(port, true),
            watchers: Watchers::new(),
            offsets: [0; 2],
            clock: 0,
        }
    }

    /// One packet, a nanosecond after the one before; what comes out of it.
    fn packet(&mut self, direction: Direction, bytes: &[u8]) -> Vec<Out> {
        self.clock += 1;
        let offset = self.offsets[direction.index()];
        self.offsets[direction.index()] += bytes.len() as u64;
        let data = Event::Data {
            direction,
            offset,
            time: Timestamp::from_nanos(self.clock),
            kind: Kind::Plain,
            bytes,
        };
        let mut out = Vec::new();
        let mut emit = |_: &Connection, event: &Event<'_>| -> Result<(), SinkError> {
            match event {
                Event::Data {
                    direction,
                    time,
                    kind,
                    bytes,
                    ..
                } => {
                    let text = String::from_utf8_lossy(bytes).into_owned();
                    out.push(Out::Data(
                        *direction,
                        time.nanos(),
                        *kind,
                        text,
                        bytes.as_ptr() as usize,
                    ));
                }
                Event::Mail(MailEvent::Protocol { .. }) => out.push(Out::Told("protocol".into())),
                Event::Mail(MailEvent::Command(command)) => out.push(Out::Told(command.verb.clone())),
                Event::Mail(MailEvent::Reply(reply)) => out.push(Out::Told(reply.code.clone())),
                Event::Mail(MailEvent::Starttls(_)) => out.push(Out::Told("starttls".into())),
                Event::Tls(TlsEvent::Started(_)) => out.push(Out::Told("started".into())),
                _ => {}
            }
            Ok(())
        };
        self.watchers.event(&self.connection, &data, &mut emit).unwrap();
        out
    }

    /// The same, without the addresses of the bytes.
    fn shown(&mut self, direction: Direction, bytes: &[u8]) -> Vec<String> {
        let shown = |out: Out| match out {
            Out::Data(_, time, kind, text, _) => format!("{time} {kind:?} {text:?}"),
            Out::Told(what) => what,
        };
        self.packet(direction, bytes).into_iter().map(shown).collect()
    }
}

#[test]
fn what_is_told_of_bytes_follows_them() {
    let mut feed = Feed::new(9999);
    assert_eq!(
        feed.shown(ToClient, b"220 mx ESMTP\r\n"),
        ["1 Reply \"220 mx ESMTP\\r\\n\"", "protocol", "220"]
    );
    assert_eq!(
        feed.shown(ToServer, b"EHLO c\r\nSTARTTLS\r\n"),
        [
            "2 Command \"EHLO c\\r\\n\"",
            "EHLO",
            "2 Command \"STARTTLS\\r\\n\"",
            "STARTTLS"
        ]
    );
    assert_eq!(
        feed.shown(ToClient, b"250-mx\r\n250 STARTTLS\r\n220 go\r\n"),
        [
            "3 Reply \"250-mx\\r\\n\"",
            "3 Reply \"250 STARTTLS\\r\\n\"",
            "250",
            "3 Reply \"220 go\\r\\n\"",
            "220"
        ]
    );
    let out = feed.shown(ToServer, CLIENT_HELLO);
    assert_eq!(&out[..2], ["starttls", "started"]);
    assert!(out[2].starts_with("4 Tls"));
}

#[test]
fn what_is_typed_comes_out_as_it_is_typed() {
    let mut feed = Feed::new(25);
    feed.packet(ToClient, b"220 mx ESMTP\r\n");
    for letter in ["E", "H", "L", "O", " ", "c", "\r"] {
        assert_eq!(feed.shown(ToServer, letter.as_bytes()).len(), 1, "{letter:?}");
    }
    assert_eq!(feed.shown(ToServer, b"\n"), ["9 Command \"\\n\"", "EHLO"]);
    for piece in ["2", "5", "0", " a long line that goes on", " and on"] {
        assert_eq!(feed.shown(ToClient, piece.as_bytes()).len(), 1, "{piece:?}");
    }
}

#[test]
fn bytes_that_wait_keep_the_times_of_their_packets() {
    let mut feed = Feed::new(25);
    feed.packet(ToClient, b"220 mx ESMTP\r\n");
    // Perhaps a TLS record, perhaps not.
    assert_eq!(feed.shown(ToServer, b"\x16"), [""; 0]);
    assert_eq!(feed.shown(ToServer, b"\x03"), [""; 0]);
    assert_eq!(
        feed.shown(ToServer, b"no"),
        [
            "2 Command \"\\u{16}\"",
            "3 Command \"\\u{3}\"",
            "4 Command \"no\""
        ]
    );
    // They do not wait when the other side speaks.
    feed.packet(ToServer, b"\r\n");
    assert_eq!(feed.shown(ToServer, b"\x16"), [""; 0]);
    assert_eq!(
        feed.shown(ToClient, b"250 ok\r\n"),
        ["6 Command \"\\u{16}\"", "7 Reply \"250 ok\\r\\n\"", "250"]
    );
}

#[test]
fn what_is_no_mail_passes_uncopied_and_in_one_piece() {
    for first in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"SSH-2.0-x\r\n",
        b"\0\0\0\x01binary",
        &[0xff; 1000],
    ] {
        let mut feed = Feed::new(9999);
        feed.packet(ToServer, first);
        feed.packet(ToClient, b"HTTP/1.1 200 OK\r\n\r\n");
        let bulk = vec![b'x'; 1448];
        for direction in [ToClient, ToClient, ToServer, ToClient] {
            match feed.packet(direction, &bulk).as_slice() {
                [Out::Data(_, _, Kind::Plain, text, address)] => {
                    assert_eq!(text.len(), bulk.len());
                    assert_eq!(*address, bulk.as_ptr() as usize);
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn messages_and_tls_data_pass_uncopied_and_in_one_piece() {
    let mut feed = Feed::new(25);
    feed.packet(ToClient, b"220 mx ESMTP\r\n");
    feed.packet(ToServer, b"DATA\r\n");
    feed.packet(ToClient, b"354 go\r\n");
    let body = b"a line of a message\r\n".repeat(60);
    for _ in 0..5 {
        match feed.packet(ToServer, &body).as_slice() {
            [Out::Data(_, _, Kind::Body, text, address)] => {
                assert_eq!((text.len(), *address), (body.len(), body.as_ptr() as usize));
            }
            other => panic!("{other:?}"),
        }
    }
    let mut feed = Feed::new(443);
    feed.packet(ToServer, CLIENT_HELLO);
    feed.packet(ToServer, b"\x17\x03\x03\x40\x00");
    let data = vec![0x55; 1448];
    match feed.packet(ToServer, &data).as_slice() {
        [Out::Data(_, _, Kind::Tls, _, address)] => assert_eq!(*address, data.as_ptr() as usize),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_slot_is_used_again() {
    let mut watchers = Watchers::new();
    for _ in 0..3 {
        let mut told = 0;
        let mut emit = |_: &Connection, event: &Event<'_>| {
            told += usize::from(matches!(event, Event::Mail(_)));
            Ok(())
        };
        let connection = connection(25, true);
        let bytes = b"220 mx ESMTP\r\n";
        let (direction, time, kind) = (ToClient, Timestamp::default(), Kind::Plain);
        watchers.event(&connection, &Event::Opened, &mut emit).unwrap();
        watchers
            .event(
                &connection,
                &Event::Data {
                    direction,
                    offset: 0,
                    time,
                    kind,
                    bytes,
                },
                &mut emit,
            )
            .unwrap();
        assert_eq!(told, 2);
    }
}
