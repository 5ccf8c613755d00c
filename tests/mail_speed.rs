//! What the watchers cost a byte; not a test. `cargo test --release --test mail_speed -- --ignored --nocapture`

mod mail_support;

use std::time::Instant;

use flowdump::event::{Connection, Direction, Event, Kind};
use flowdump::time::Timestamp;
use flowdump::watch::Watchers;
use mail_support::{CLIENT_HELLO, Run, SERVER_HELLO, connection, script};

const PACKET: usize = 1448;
const ROUNDS: usize = 400;

/// Plays `start`, then `bulk` again and again in packets of its direction.
fn measure(name: &str, port: u16, start: &[Run], direction: Direction, bulk: &[u8]) {
    let connection = connection(port, true);
    let mut watchers = Watchers::new();
    let mut bytes_out = 0u64;
    let mut emit = |_: &Connection, event: &Event<'_>| {
        if let Event::Data { bytes, .. } = event {
            bytes_out += bytes.len() as u64;
        }
        Ok(())
    };
    let mut offsets = [0u64; 2];
    let time = Timestamp::default();
    let mut send = |direction: Direction, bytes: &[u8]| {
        let offset = offsets[direction.index()];
        offsets[direction.index()] += bytes.len() as u64;
        let kind = Kind::Plain;
        watchers
            .event(
                &connection,
                &Event::Data {
                    direction,
                    offset,
                    time,
                    kind,
                    bytes,
                },
                &mut emit,
            )
            .unwrap();
    };
    for (direction, run) in start {
        send(*direction, run);
    }
    let begin = Instant::now();
    for _ in 0..ROUNDS {
        bulk.chunks(PACKET).for_each(|packet| send(direction, packet));
    }
    let seconds = begin.elapsed().as_secs_f64();
    let total = (bulk.len() * ROUNDS) as f64;
    let packets = total / PACKET as f64;
    println!(
        "{name:24} {:8.2} GB/s {:8.1} ns a packet",
        total / seconds / 1e9,
        seconds * 1e9 / packets
    );
    assert!(bytes_out as usize >= bulk.len() * ROUNDS - PACKET);
}

#[test]
#[ignore = "a measurement"]
fn speed() {
    let random: Vec<u8> = (0u32..1_000_000)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    measure(
        "no mail",
        9999,
        &script("C: GET / HTTP/1.1\nC:\nS: HTTP/1.1 200 OK"),
        Direction::ToClient,
        &random,
    );
    let mail = script(
        "S: 220 mx ESMTP\nC: MAIL FROM:<a@b>\nC: RCPT TO:<c@d>\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\nC: Subject: x\nC:",
    );
    let line =
        b"VGhpcyBpcyBhIGxpbmUgb2YgYmFzZTY0LCBhcyBhdHRhY2htZW50cyBhcmUgbWFkZSBvZi4gVGhp\r\n".repeat(12_000);
    measure("DATA", 25, &mail, Direction::ToServer, &line);
    let mut bdat = script("S: 220 mx ESMTP\nC: MAIL FROM:<a@b>\nC: BDAT 99999999999 LAST");
    bdat.push((Direction::ToServer, b"\r\n".to_vec()));
    measure("BDAT", 25, &bdat, Direction::ToServer, &random);
    let retr = script("S: +OK hi\nC: RETR 1\nS: +OK\nS: Subject: x\nS:");
    measure("RETR", 110, &retr, Direction::ToClient, &line);
    let fetch = script("S: * OK hi\nC: a FETCH 1 BODY[]\nS: * 1 FETCH (BODY[] {99999999999}");
    measure("FETCH", 143, &fetch, Direction::ToClient, &random);
    let tls = [
        (Direction::ToServer, CLIENT_HELLO.to_vec()),
        (Direction::ToClient, SERVER_HELLO.to_vec()),
    ];
    let record: Vec<u8> = [&b"\x17\x03\x03\x40\x00"[..], &random[..16_384]].concat();
    measure("TLS", 443, &tls, Direction::ToClient, &record.repeat(60));
    let lines = b"250-a line of a reply that goes on and on\r\n".repeat(20_000);
    measure(
        "reply lines",
        25,
        &script("S: 220 mx ESMTP\nC: EHLO x"),
        Direction::ToClient,
        &lines,
    );
    measure(
        "commands",
        25,
        &script("S: 220 mx ESMTP\nC: EHLO x\nS: 250 ok"),
        Direction::ToServer,
        &b"NOOP\r\n".repeat(100_000),
    );
}
