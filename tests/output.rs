//! What is written where, and when: nothing over another file, nothing later than promised, nothing less because
//! somebody stopped reading.

mod common;

use std::io::Write;
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::files::{Frame, PcapStyle, pcap};
use common::packets::Talk;
use common::{flowdump, listing};

fn pcap_of(talks: &[Talk]) -> Vec<u8> {
    let segments = talks.iter().flat_map(|talk| &talk.segments);
    let frames: Vec<_> = segments
        .map(|segment| Frame::new(segment.time, segment.frame()))
        .collect();
    let style = PcapStyle {
        big_endian: false,
        nanoseconds: false,
    };
    pcap(&frames, style)
}

fn talk(number: usize) -> Talk {
    Talk::between(&format!("10.0.{}.{}:1000", number / 250, number % 250 + 1), "192.0.2.1:25")
}

fn until(what: &str, is: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is() {
        assert!(begun.elapsed() < Duration::from_secs(20), "no {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn bytes_are_on_disk_after_a_second_also_where_the_clock_goes_back() {
    let (mut ahead, mut before) = (talk(1), talk(2));
    ahead.pause(3600.0).handshake().client(b"an hour ahead");
    before.handshake().client(b"the clock is right again");
    let place = tempfile::tempdir().unwrap();
    let out = place.path().join("out");
    let mut command = flowdump();
    command.args(["-q", "-r", "-", "-o"]).arg(&out).stdin(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&pcap_of(&[ahead, before])).unwrap();
    until("files while the pipe is open", || {
        out.exists() && listing(&out).iter().filter(|(_, size)| *size > 0).count() == 2
    });
    drop(stdin);
    assert!(child.wait().unwrap().success());
}
