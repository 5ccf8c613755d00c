//! The TLS watcher under any bytes, gaps and ends: it must not panic, and must tell the same however the bytes
//! are cut.
//!
//! The input is a script. Its first byte says how TLS began; then each step is a byte of what to do (bit 0 the
//! direction, bits 1 to 3 what), a length of two bytes, and for data that many bytes.
#![no_main]

use flowdump::event::Direction;
use flowdump::time::Timestamp;
use flowdump::tls::{Started, TlsEvent, TlsHow, TlsWatcher};
use flowdump::tls::{looks_like_chain, looks_like_client_hello, looks_like_record};
use libfuzzer_sys::fuzz_target;

enum Step<'a> {
    Data(&'a [u8]),
    Gap(u64),
    End,
}

/// One time for all: a time later in the input would depend on the cut.
const NOW: Timestamp = Timestamp::from_nanos(1_800_000_000_000_000_000);

fn script(mut rest: &[u8]) -> Vec<(Direction, Step<'_>)> {
    let mut steps = Vec::new();
    while let Some((&[what, high, low], behind)) = rest.split_first_chunk::<3>() {
        let direction = if what & 1 == 0 { Direction::ToServer } else { Direction::ToClient };
        let len = usize::from(u16::from_be_bytes([high, low]));
        rest = behind;
        steps.push((
            direction,
            match what >> 1 & 7 {
                6 => Step::Gap(len as u64),
                7 => Step::End,
                _ => {
                    let (data, behind) = rest.split_at(len.min(rest.len()));
                    rest = behind;
                    Step::Data(data)
                }
            },
        ));
    }
    steps
}

fn run(how: TlsHow, steps: &[(Direction, Step<'_>)], piece: usize) -> Vec<TlsEvent> {
    let mut events = Vec::new();
    let mut tell = |event| events.push(event);
    let mut watcher = TlsWatcher::new(Started { time: NOW, how, offsets: [Some(0); 2] });
    let mut offsets = [0_u64; 2];
    for (direction, step) in steps {
        let offset = &mut offsets[direction.index()];
        match step {
            Step::Data(bytes) => {
                for piece in bytes.chunks(piece) {
                    watcher.data(*direction, *offset, NOW, piece, &mut tell);
                    *offset += piece.len() as u64;
                }
            }
            Step::Gap(len) => {
                watcher.gap(*direction, *len, NOW, &mut tell);
                *offset += len;
            }
            Step::End => watcher.end(*direction, NOW, &mut tell),
        }
    }
    watcher.close(NOW, &mut tell);
    events
}

fuzz_target!(|input: &[u8]| {
    let Some((how, rest)) = input.split_first() else { return };
    let how = [TlsHow::Starttls, TlsHow::Implicit, TlsHow::Found][usize::from(how % 3)];
    let steps = script(rest);
    assert_eq!(run(how, &steps, usize::MAX), run(how, &steps, 1));
    for (_, step) in &steps {
        if let Step::Data(bytes) = step {
            let _ = (looks_like_record(bytes), looks_like_client_hello(bytes), looks_like_chain(bytes));
        }
    }
});
