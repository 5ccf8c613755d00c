//! Input made to hurt: mutilated captures, floods, lies. Nothing panics, nothing grows without bound, and
//! what is wrong is said with file, offset and reason.

mod common;

use std::fs;
use std::path::Path;
use std::time::Duration;

use common::packets::{ACK, Frame, PSH, PcapStyle, SYN, Talk, Tcp, pcap, pcapng};
use common::replay::{Replay, Spine, replay, replay_files};
use common::{capture, captures};
use flowdump::event::CloseReason;
use flowdump::flow::FlowOptions;

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides.max(1) as u64) as usize
    }
}

/// Breaks a file in one of the ways that files break.
fn mutilate(file: &mut Vec<u8>, dice: &mut Dice) {
    for _ in 0..=dice.roll(8) {
        let at = dice.roll(file.len());
        match dice.roll(6) {
            0 => file.truncate(at),
            1 => file[at] ^= 1 << dice.roll(8),
            // Numbers that programs get wrong.
            2 => file[at] = [0, 0xff, 0x7f, 0x80][dice.roll(4)],
            3 => {
                let end = (at + dice.roll(64)).min(file.len());
                file.drain(at..end);
            }
            4 => {
                let piece = file[at..(at + dice.roll(200)).min(file.len())].to_vec();
                let to = dice.roll(file.len());
                file.splice(to..to, piece);
            }
            _ => file.extend(std::iter::repeat_n(0xff, dice.roll(40))),
        }
        if file.is_empty() {
            return;
        }
    }
}

/// Writes a file and reads it as a capture.
fn read(folder: &Path, bytes: &[u8]) -> Replay {
    let path = folder.join("capture");
    fs::write(&path, bytes).expect("a file in a temporary folder can be written");
    replay(&path)
}

#[test]
fn mutilated_captures_are_survived() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut dice = Dice(0x1234_5678_9abc_def1);
    let mut complaints = 0;
    for path in captures() {
        let original = fs::read(&path).expect("the capture is there");
        for _ in 0..25 {
            let mut file = original.clone();
            mutilate(&mut file, &mut dice);
            // That nothing is given out twice or out of order is checked as it comes (`Watch`).
            let replay = read(folder.path(), &file);
            complaints += replay.errors.len() + replay.warnings.len();
        }
    }
    assert!(
        complaints > 100,
        "most of them are noticed as broken: {complaints}"
    );
}

#[test]
fn wherever_a_capture_is_cut_all_before_is_used_and_the_cut_is_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut talk = Talk::default();
    talk.handshake()
        .client(b"EHLO me\r\n")
        .server(b"250 you\r\n")
        .close();
    let frames: Vec<_> = talk
        .segments
        .iter()
        .map(|tcp| Frame::new(tcp.time, tcp.frame()))
        .collect();
    let style = PcapStyle {
        big_endian: false,
        nanoseconds: false,
    };
    let file = pcap(&frames, style);
    let ends: Vec<_> = (0..=frames.len())
        .map(|count| pcap(&frames[..count], style).len())
        .collect();
    for end in 24..=file.len() {
        let cut = read(folder.path(), &file[..end]);
        let whole = ends
            .iter()
            .rposition(|whole| *whole <= end)
            .expect("the header is whole");
        assert_eq!(cut.packets as usize, whole, "cut at {end}");
        assert_eq!(cut.errors, Vec::<String>::new());
        if ends.contains(&end) {
            assert_eq!(
                cut.warnings,
                Vec::<String>::new(),
                "nothing is missing of any packet"
            );
        } else {
            let missing = ends[whole + 1] - end;
            // Within a record's header it is not known yet how long the record is.
            let missing = if end < ends[whole] + 16 {
                ends[whole] + 16 - end
            } else {
                missing
            };
            let words = format!(
                "capture: cut short in its last record, at byte {} ({missing} bytes missing)",
                ends[whole]
            );
            assert!(
                cut.warnings.concat().contains(&words),
                "cut at {end}: {:?}",
                cut.warnings
            );
        }
    }
    let mut before = 0;
    let file = pcapng(&frames);
    for end in 12..file.len() {
        let cut = read(folder.path(), &file[..end]);
        assert!(
            cut.packets >= before && cut.packets < 8 && cut.errors.is_empty(),
            "cut at {end}: {:?}",
            cut.errors
        );
        before = cut.packets;
    }
}

#[test]
fn claims_that_cannot_be_are_told_with_their_place() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut talk = Talk::default();
    talk.handshake();
    let frames: Vec<_> = talk
        .segments
        .iter()
        .map(|tcp| Frame::new(tcp.time, tcp.frame()))
        .collect();
    let style = PcapStyle {
        big_endian: false,
        nanoseconds: true,
    };
    let good = pcap(&frames, style);
    let record = 16 + 60;
    let with = |at: usize, bytes: &[u8]| {
        let mut file = good.clone();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        file
    };
    let second = 24 + record;
    let cases: &[(Vec<u8>, u64, &str)] = &[
        (
            with(second + 8, &[0xff; 4]),
            1,
            "at byte 100: a packet claims 4294967295 captured bytes",
        ),
        (
            with(second + 8, &0x0010_0001_u32.to_le_bytes()),
            1,
            "at byte 100: a packet claims 1048577 captured bytes",
        ),
        (
            with(second + 4, &2_000_000_000_u32.to_le_bytes()),
            3,
            "a fraction of a second or more",
        ),
        (
            with(0, b"\x0a\x0d\x0d\x0a"),
            0,
            "at byte 0: a section header with an unknown byte-order magic",
        ),
        (
            with(4, &[9, 0]),
            0,
            "at byte 0: pcap version 9.4, which nobody has defined",
        ),
        (with(20, &[147, 0, 0, 0]), 3, ""),
        (
            b"GET / HTTP/1.1\r\n\r\nand more text of that kind".to_vec(),
            0,
            "neither pcap nor pcapng, but text",
        ),
        (Vec::new(), 0, "the file is empty"),
        (good[..20].to_vec(), 0, "cut short within the pcap file header"),
    ];
    for (file, packets, words) in cases {
        let replay = read(folder.path(), file);
        let said: Vec<_> = replay.errors.iter().chain(&replay.warnings).collect();
        assert_eq!(replay.packets, *packets, "{words}: {said:?}");
        assert!(
            words.is_empty() || said.iter().any(|said| said.contains(words)),
            "{words}: {said:?}"
        );
        assert!(said.iter().all(|said| said.contains("/capture: ")), "{said:?}");
    }
    let unknown = read(folder.path(), &with(20, &[147, 0, 0, 0]));
    assert_eq!(unknown.unread, [("link type 147 is not known".to_owned(), 3)]);
}

#[test]
fn a_broken_file_does_not_keep_the_next_one_from_being_read() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut talk = Talk::default();
    talk.handshake().client(b"before");
    let frame = |tcp: &Tcp| Frame::new(tcp.time, tcp.frame());
    let style = PcapStyle {
        big_endian: false,
        nanoseconds: false,
    };
    let mut broken = pcap(&talk.segments.iter().map(frame).collect::<Vec<_>>(), style);
    broken.extend([0xff; 30]);
    talk.segments.clear();
    talk.client(b" behind").close();
    let sound = pcap(&talk.segments.iter().map(frame).collect::<Vec<_>>(), style);
    let paths = [folder.path().join("broken"), folder.path().join("sound")];
    fs::write(&paths[0], broken).expect("a file can be written");
    fs::write(&paths[1], sound).expect("a file can be written");
    let replay = replay_files(&paths);
    assert_eq!(replay.errors.len(), 1, "{:?}", replay.errors);
    assert_eq!(replay.only().to_server().text(), "before behind");
}

/// A SYN from an address of its own.
fn syn(number: u32, talk: &Talk) -> Tcp {
    let mut syn = talk.segments[0].clone();
    syn.source = (
        std::net::Ipv4Addr::from(0x0b00_0000 + number),
        1024 + (number % 60_000) as u16,
    )
        .into();
    syn.seq = number;
    syn
}

#[test]
fn a_syn_flood_costs_less_than_200_bytes_an_entry_and_a_conversation_goes_on_through_it() {
    const FLOOD: u32 = 100_000;
    let mut talk = Talk::default();
    talk.handshake()
        .client(b"through ")
        .server(b"the flood")
        .client(b"it all")
        .close();
    let mut spine = Spine::counting(FlowOptions::default());
    for (index, tcp) in talk.segments.iter().enumerate() {
        spine.segment(&tcp.segment());
        let tenth = FLOOD / 10;
        for number in 0..tenth {
            spine.segment(&syn(index as u32 * tenth + number, &talk).segment());
        }
        if index == 4 {
            let stats = spine.stats();
            assert_eq!(stats.open, u64::from(5 * tenth) + 1);
            let each = stats.memory / (5 * tenth as usize);
            assert!(each < 200, "{each} bytes");
        }
    }
    let replay = spine.finish();
    let conversation = replay
        .connections
        .iter()
        .find(|seen| seen.to_server().len > 0)
        .expect("it is there");
    assert_eq!(
        (conversation.to_server().len, conversation.to_client().len),
        (14, 9)
    );
    assert_eq!(conversation.reason(), CloseReason::Fin);
}

#[test]
fn a_syn_flood_beyond_the_bound_is_evicted_and_the_conversation_is_not() {
    let options = FlowOptions {
        memory: 1 << 20,
        ..FlowOptions::default()
    };
    let mut talk = Talk::default();
    talk.handshake().client(b"through ").client(b"it all").close();
    let mut spine = Spine::counting(options);
    for (index, tcp) in talk.segments.iter().enumerate() {
        spine.segment(&tcp.segment());
        for number in 0..10_000 {
            spine.segment(&syn(index as u32 * 10_000 + number, &talk).segment());
        }
    }
    let replay = spine.finish();
    assert!(
        replay.stats.memory_peak <= (1 << 20) + 4096,
        "{}",
        replay.stats.memory_peak
    );
    assert!(replay.stats.half_open_evicted > 60_000);
    assert_eq!(replay.stats.evicted, 0);
    assert!(replay.connections.iter().any(|seen| seen.to_server().len == 14));
}

#[test]
fn connections_beyond_the_bound_are_closed_and_said_to_be_evicted() {
    let options = FlowOptions {
        max_connections: 100,
        ..FlowOptions::default()
    };
    let mut spine = Spine::new(Default::default(), options);
    for port in 0..300 {
        let mut talk = Talk::between(&format!("10.0.0.1:{}", 20_000 + port), "10.0.0.2:25");
        talk.handshake().client(b"HELO\r\n");
        talk.segments.iter().for_each(|tcp| spine.segment(&tcp.segment()));
    }
    let replay = spine.finish();
    assert_eq!(replay.stats.evicted, 200);
    let evicted = replay
        .connections
        .iter()
        .filter(|seen| seen.reason() == CloseReason::Evicted)
        .count();
    assert_eq!((replay.connections.len(), evicted), (300, 200));
    assert!(
        replay
            .connections
            .iter()
            .all(|seen| seen.to_server().text() == "HELO\r\n"),
        "nothing is lost"
    );
}

#[test]
fn an_ack_flood_is_bounded_too() {
    let options = FlowOptions {
        memory: 1 << 20,
        ..FlowOptions::default()
    };
    let mut talk = Talk::default();
    talk.send(0, ACK, b"");
    let mut spine = Spine::counting(options);
    for number in 0..20_000 {
        spine.segment(
            &Tcp {
                flags: ACK,
                ..syn(number, &talk)
            }
            .segment(),
        );
    }
    let replay = spine.finish();
    assert!(
        replay.stats.memory_peak <= (1 << 20) + 8192,
        "{}",
        replay.stats.memory_peak
    );
}

#[test]
fn data_that_never_gets_its_turn_is_bounded() {
    let options = FlowOptions {
        hold_per_direction: 256 << 10,
        ..FlowOptions::default()
    };
    // Behind a hole that nobody acknowledges; and each a lone segment in a place of its own, far ahead.
    for (step, what) in [(1000, "in a row"), (1_000_000, "scattered")] {
        let mut talk = Talk::default();
        talk.handshake().server(b"220\r\n").client(b"lost").lost();
        let acknowledged = talk.seq[0].wrapping_sub(4);
        let mut spine = Spine::counting(options.clone());
        for tcp in &talk.segments {
            spine.segment(&tcp.segment());
        }
        for number in 0..3000 {
            talk.segments.clear();
            let far = if step > 1000 { 1 << 29 } else { 0 };
            talk.seq[0] = acknowledged.wrapping_add(4 + far + number * step);
            talk.send(0, PSH | ACK, &[b'x'; 1000]).server_acks().last().ack = acknowledged;
            talk.segments.iter().for_each(|tcp| spine.segment(&tcp.segment()));
            assert!(spine.stats().memory < 1 << 20, "{what}: {}", spine.stats().memory);
        }
        let replay = spine.finish();
        let totals = replay.connections[0].closed().totals[0];
        let told = totals.bytes + totals.gap_bytes + totals.outside_bytes;
        assert!(
            told >= 3_000_000,
            "{what}: every byte is given out, missing or said to be outside: {totals:?}"
        );
    }
}

#[test]
fn one_address_pair_with_many_connections_costs_no_more_than_others() {
    // The same four-tuple over and over, never closed: a new SYN each time, answered.
    let mut talk = Talk::default();
    let mut spine = Spine::counting(FlowOptions::default());
    for number in 0..2000_u32 {
        talk = talk.again([number.wrapping_mul(1_000_003), number.wrapping_mul(7_000_007)]);
        talk.now = talk.now - Duration::from_millis(999);
        talk.handshake().client(b"x");
        talk.segments.iter().for_each(|tcp| spine.segment(&tcp.segment()));
    }
    assert!(spine.stats().open <= 2, "{:?}", spine.stats());
    assert_eq!(spine.finish().connections.len(), 2000);
}

#[test]
fn syns_that_are_never_answered_do_not_pile_up_behind_one_pair() {
    let mut talk = Talk::default();
    let mut spine = Spine::counting(FlowOptions::default());
    for number in 0..5000_u32 {
        talk.seq[0] = number.wrapping_mul(1_000_003);
        talk.send(0, SYN, b"");
        spine.segment(&talk.segments[0].segment());
        talk.segments.clear();
    }
    assert!(spine.stats().open <= 2, "{:?}", spine.stats());
}

#[test]
fn a_cut_compressed_capture_gives_what_is_whole_and_a_wrong_one_is_an_error() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = fs::read(capture("smtp-plain.pcap.gz")).expect("the capture is there");
    let cut = read(folder.path(), &file[..700]);
    assert!((1..23).contains(&cut.packets), "{}", cut.packets);
    assert!(
        cut.warnings.concat().contains("cut short in its last record"),
        "{:?}",
        cut.warnings
    );
    let mut wrong = file.clone();
    let checksum = file.len() - 8;
    wrong[checksum] ^= 1;
    let wrong = read(folder.path(), &wrong);
    assert_eq!(wrong.packets, 23, "all were there before it showed");
    assert!(wrong.errors.concat().contains("checksum"), "{:?}", wrong.errors);
}

#[test]
fn the_same_addresses_in_very_many_vlans_do_not_make_every_look_longer() {
    let mut talk = Talk::default();
    talk.handshake().client(b"x");
    let mut spine = Spine::counting(FlowOptions::default());
    for vlan in 0..2000 {
        for tcp in &talk.segments {
            // Another ISN in each, so that none looks like a copy.
            let seq = tcp.seq.wrapping_add(u32::from(vlan) * 100_000);
            let ack = if tcp.ack == 0 {
                0
            } else {
                tcp.ack.wrapping_add(u32::from(vlan) * 100_000)
            };
            spine.segment(
                &Tcp {
                    vlans: vec![vlan],
                    seq,
                    ack,
                    ..tcp.clone()
                }
                .segment(),
            );
        }
    }
    assert_eq!(spine.stats().open, 64);
    assert_eq!(
        spine.finish().connections.len(),
        2000,
        "each is told of all the same"
    );
}
