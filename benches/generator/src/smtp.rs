//! An SMTP session, half of them through STARTTLS, where everything after the handshake's first messages is
//! random bytes in the right record framing: what a reader without the keys sees of real ones.

use std::collections::VecDeque;

use crate::random::Random;
use crate::script::{Script, Side, Turn};
use crate::text::Text;

/// What is still to be said.
pub struct Smtp {
    turns: VecDeque<(Turn, Vec<u8>)>,
}

impl Script for Smtp {
    fn next(&mut self, _: &mut Random, _: u64, bytes: &mut Vec<u8>) -> Option<Turn> {
        let (turn, said) = self.turns.pop_front()?;
        *bytes = said;
        Some(turn)
    }
}

impl Smtp {
    /// A session with the serial number `id`; bodies are `low` to `high` bytes long.
    pub fn new(random: &mut Random, text: &Text, id: u64, low: u64, high: u64, starttls: bool) -> Self {
        let mut smtp = Self {
            turns: VecDeque::new(),
        };
        smtp.say(Side::Server, "220 mx1.example.test ESMTP Postfix\r\n");
        smtp.say(Side::Client, format!("EHLO client-{id}.sender.test\r\n"));
        let offer = if starttls { "250-STARTTLS\r\n" } else { "" };
        smtp.say(
            Side::Server,
            format!(
                "250-mx1.example.test\r\n250-PIPELINING\r\n250-SIZE 52428800\r\n{offer}250-ENHANCEDSTATUSCODES\r\n\
                 250-8BITMIME\r\n250 CHUNKING\r\n"
            ),
        );
        let messages = if random.chance(1000) { 2 } else { 1 };
        if starttls {
            smtp.say(Side::Client, "STARTTLS\r\n");
            smtp.say(Side::Server, "220 2.0.0 Ready to start TLS\r\n");
            smtp.handshake(random);
            smtp.records(random, Side::Client, 40);
            smtp.records(random, Side::Server, 130);
        }
        for number in 0..messages {
            let body = message(random, text, id, number, low, high);
            let envelope = format!(
                "MAIL FROM:<sender-{id}@sender.test> SIZE={}\r\nRCPT TO:<user-{}@example.test>\r\nDATA\r\n",
                body.len(),
                id % 977
            );
            let accepted = "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 End data with <CR><LF>.<CR><LF>\r\n";
            let queued = format!("250 2.0.0 Ok: queued as {:010X}\r\n", random.below(1 << 40));
            if starttls {
                smtp.records(random, Side::Client, envelope.len());
                smtp.records(random, Side::Server, accepted.len());
                smtp.records(random, Side::Client, body.len());
                smtp.records(random, Side::Server, queued.len());
            } else {
                smtp.say(Side::Client, envelope);
                smtp.say(Side::Server, accepted);
                smtp.say(Side::Client, body);
                smtp.say(Side::Server, queued);
            }
        }
        if starttls {
            smtp.records(random, Side::Client, 6);
            smtp.records(random, Side::Server, 15);
        } else {
            smtp.say(Side::Client, "QUIT\r\n");
            smtp.say(Side::Server, "221 2.0.0 Bye\r\n");
        }
        smtp
    }

    fn say(&mut self, side: Side, bytes: impl Into<Vec<u8>>) {
        self.turns.push_back((Turn::of(side), bytes.into()));
    }

    /// TLS 1.3 up to the client's Finished.
    fn handshake(&mut self, random: &mut Random) {
        let start = |side| Turn {
            side,
            tls_starts: true,
        };
        self.turns.push_back((start(Side::Client), client_hello(random)));

        let mut answer = server_hello(random);
        answer.extend_from_slice(&[20, 3, 3, 0, 1, 1]);
        for len in [27, 2300, 281, 69] {
            record(random, &mut answer, len);
        }
        self.turns.push_back((start(Side::Server), answer));

        let mut finished = vec![20, 3, 3, 0, 1, 1];
        record(random, &mut finished, 69);
        self.turns.push_back((Turn::of(Side::Client), finished));
    }

    /// So many clear bytes, as application data.
    fn records(&mut self, random: &mut Random, side: Side, mut clear: usize) {
        let mut bytes = Vec::with_capacity(clear + clear / 700 + 32);
        while clear > 0 {
            let len = clear.min(16_384);
            record(random, &mut bytes, len + 17);
            clear -= len;
        }
        self.turns.push_back((Turn::of(side), bytes));
    }
}

/// A message with headers and its final dot.
fn message(random: &mut Random, text: &Text, id: u64, number: u64, low: u64, high: u64) -> Vec<u8> {
    let mut out = format!(
        "Received: from client-{id}.sender.test by mx1.example.test with ESMTP;\r\n\tSat, 21 Nov 2026 00:00:00 +0000\r\n\
         From: Sender {id} <sender-{id}@sender.test>\r\nTo: <user-{}@example.test>\r\nSubject: Message {number} of session {id}\r\n\
         Date: Sat, 21 Nov 2026 00:00:00 +0000\r\nMessage-ID: <{id}.{number}@sender.test>\r\nMIME-Version: 1.0\r\n",
        id % 977
    )
    .into_bytes();
    let len = random.between(low, high) as usize;
    if random.chance(3000) {
        out.extend_from_slice(b"Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n");
        text.base64(random, &mut out, len);
    } else {
        out.extend_from_slice(
            b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n",
        );
        text.prose(random, &mut out, len);
    }
    out.extend_from_slice(b".\r\n");
    out
}

/// One record of application data.
fn record(random: &mut Random, out: &mut Vec<u8>, len: usize) {
    out.extend_from_slice(&[23, 3, 3]);
    out.extend_from_slice(&(len as u16).to_be_bytes());
    random.fill(out, len);
}

/// Puts a handshake message into a record of its own (RFC 8446, sections 4 and 5.1).
fn handshake_record(version: u8, kind: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![22, 3, version];
    out.extend_from_slice(&(body.len() as u16 + 4).to_be_bytes());
    out.extend_from_slice(&[kind, 0]);
    out.extend_from_slice(&(body.len() as u16).to_be_bytes());
    out.extend_from_slice(body);
    out
}

fn extension(out: &mut Vec<u8>, number: u16, body: &[u8]) {
    out.extend_from_slice(&number.to_be_bytes());
    out.extend_from_slice(&(body.len() as u16).to_be_bytes());
    out.extend_from_slice(body);
}

fn client_hello(random: &mut Random) -> Vec<u8> {
    let mut body = vec![3, 3];
    random.fill(&mut body, 32);
    body.push(32);
    random.fill(&mut body, 32);
    body.extend_from_slice(&[0, 8, 0x13, 0x02, 0x13, 0x03, 0x13, 0x01, 0xc0, 0x2c, 1, 0]);

    let mut extensions = Vec::new();
    let name = b"mx1.example.test";
    let mut sni = (name.len() as u16 + 3).to_be_bytes().to_vec();
    sni.push(0);
    sni.extend_from_slice(&(name.len() as u16).to_be_bytes());
    sni.extend_from_slice(name);
    extension(&mut extensions, 0, &sni);
    extension(&mut extensions, 10, &[0, 4, 0, 29, 0, 23]);
    extension(&mut extensions, 13, &[0, 6, 4, 3, 8, 4, 4, 1]);
    extension(&mut extensions, 43, &[4, 3, 4, 3, 3]);
    let mut key = vec![0, 36, 0, 29, 0, 32];
    random.fill(&mut key, 32);
    extension(&mut extensions, 51, &key);

    body.extend_from_slice(&(extensions.len() as u16).to_be_bytes());
    body.extend_from_slice(&extensions);
    handshake_record(1, 1, &body)
}

fn server_hello(random: &mut Random) -> Vec<u8> {
    let mut body = vec![3, 3];
    random.fill(&mut body, 32);
    body.push(32);
    random.fill(&mut body, 32);
    body.extend_from_slice(&[0x13, 0x02, 0]);

    let mut extensions = Vec::new();
    extension(&mut extensions, 43, &[3, 4]);
    let mut key = vec![0, 29, 0, 32];
    random.fill(&mut key, 32);
    extension(&mut extensions, 51, &key);

    body.extend_from_slice(&(extensions.len() as u16).to_be_bytes());
    body.extend_from_slice(&extensions);
    handshake_record(3, 2, &body)
}
