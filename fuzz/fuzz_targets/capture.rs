//! Any bytes as a capture file, down to the streams: no panic, nothing given out twice or out of order (the
//! tests' `Watch` looks), and the same told whether the bytes come at once or few at a time.
//!
//! Good seeds are the captures in `tests/captures`.
#![no_main]

#[allow(dead_code)]
#[path = "../../tests/common"]
mod common {
    pub mod packets;
    pub mod replay;
}

use std::io::{Cursor, Read};
use std::path::Path;

use common::replay::{Replay, Spine, replay_source};
use flowdump::capture::FileSource;
use flowdump::decode::DecodeOptions;
use flowdump::flow::FlowOptions;
use libfuzzer_sys::fuzz_target;

/// Gives seven bytes at a time.
struct Slow(Cursor<Vec<u8>>);

impl Read for Slow {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let few = buffer.len().min(7);
        self.0.read(&mut buffer[..few])
    }
}

/// Bounds so tight that small input meets them.
fn spine() -> Spine {
    let flow = FlowOptions {
        memory: 64 << 10,
        max_connections: 20,
        hold_per_direction: 4 << 10,
        ..FlowOptions::default()
    };
    let decode = DecodeOptions {
        fragment_memory: 8 << 10,
        ..DecodeOptions::default()
    };
    Spine::new(decode, flow)
}

fn replay(reader: Box<dyn Read + Send>) -> Replay {
    replay_source(FileSource::read(Path::new("input"), reader), spine())
}

fuzz_target!(|bytes: &[u8]| {
    let whole = replay(Box::new(Cursor::new(bytes.to_vec())));
    // How far broken compression is unpacked before it shows depends on who asks for how much.
    if bytes.starts_with(&[0x1f, 0x8b]) || bytes.get(1..4).is_some_and(|rest| rest == [0xb5, 0x2f, 0xfd]) {
        return;
    }
    let slow = replay(Box::new(Slow(Cursor::new(bytes.to_vec()))));
    assert_eq!((whole.packets, &whole.stats), (slow.packets, &slow.stats));
    assert_eq!((&whole.errors, &whole.warnings), (&slow.errors, &slow.warnings));
});
