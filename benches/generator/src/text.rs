//! Text as it is in mail: lines of words up to 76 characters, and base64 of attachments.
//!
//! Made once, then taken from at random places: hashing is to be the dearest part of generating.

use crate::random::Random;

/// How much of each sort is made.
const POOL: usize = 4 << 20;

const WORDS: &[&str] = &[
    "the",
    "of",
    "and",
    "to",
    "in",
    "is",
    "that",
    "for",
    "we",
    "you",
    "with",
    "on",
    "as",
    "are",
    "this",
    "be",
    "have",
    "from",
    "or",
    "your",
    "will",
    "not",
    "please",
    "find",
    "attached",
    "invoice",
    "meeting",
    "server",
    "report",
    "message",
    "regards",
    "tomorrow",
    "schedule",
    "delivery",
    "postmaster",
    "queue",
    "relay",
    "connection",
    "quarterly",
    "numbers",
    "Grüße",
    "über",
    "=3D",
    "https://example.test/a?b=c",
    "hello",
    "thanks",
    "question",
    "answer",
    "between",
    "yesterday",
    "administrator",
    "configuration",
    "network",
];

/// Lines to take from, each with its CRLF; none starts with a dot.
pub struct Text {
    prose: Vec<u8>,
    base64: Vec<u8>,
}

impl Text {
    /// Makes the pools.
    pub fn new(random: &mut Random) -> Self {
        let mut prose = Vec::with_capacity(POOL + 128);
        while prose.len() < POOL {
            // Paragraphs: mostly full lines, some short ones, some blank ones.
            let width = match random.below(10) {
                0 => 0,
                1..=2 => random.between(1, 60),
                _ => random.between(62, 72),
            };
            let target = prose.len() + width as usize;
            while prose.len() < target {
                let word = WORDS[random.below(WORDS.len() as u64) as usize];
                prose.extend_from_slice(word.as_bytes());
                prose.push(b' ');
            }
            prose.extend_from_slice(b"\r\n");
        }
        let mut base64 = Vec::with_capacity(POOL + 128);
        while base64.len() < POOL {
            const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
            base64.extend((0..76).map(|_| DIGITS[random.below(64) as usize]));
            base64.extend_from_slice(b"\r\n");
        }
        Self { prose, base64 }
    }

    /// Appends whole lines of prose, `len` bytes or up to a line more.
    pub fn prose(&self, random: &mut Random, out: &mut Vec<u8>, len: usize) {
        take(&self.prose, random, out, len);
    }

    /// The same of base64.
    pub fn base64(&self, random: &mut Random, out: &mut Vec<u8>, len: usize) {
        take(&self.base64, random, out, len);
    }
}

/// Runs of up to 64 KiB from random lines on.
fn take(pool: &[u8], random: &mut Random, out: &mut Vec<u8>, len: usize) {
    let end = out.len() + len;
    while out.len() < end {
        let from = after_line_end(pool, random.below(pool.len() as u64 / 2) as usize);
        let run = (end - out.len()).min(65_536);
        let to = after_line_end(pool, from + run - 1);
        out.extend_from_slice(&pool[from..to]);
    }
}

fn after_line_end(pool: &[u8], at: usize) -> usize {
    pool[at..]
        .iter()
        .position(|&byte| byte == b'\n')
        .map_or(pool.len(), |found| at + found + 1)
}
