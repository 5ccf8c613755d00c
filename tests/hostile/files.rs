//! Capture files that are broken, cut, or lie.

use std::fs;
use std::path::Path;

use crate::common::files::{Frame, PcapStyle, pcap, pcapng};
use crate::common::packets::{Talk, Tcp};
use crate::common::replay::{Replay, replay, replay_files};
use crate::common::{capture, captures};

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
fn blocks_that_cannot_be_are_told_with_their_place() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut talk = Talk::default();
    talk.handshake().client(b"x");
    let frames: Vec<_> = talk
        .segments
        .iter()
        .map(|tcp| Frame::new(tcp.time, tcp.frame()))
        .collect();
    let good = pcapng(&frames);
    // Blocks lie one behind the other, each with its length behind its type: the fifth is the second packet.
    let at = (0..4).fold(0, |at, _| {
        at + u32::from_le_bytes(*good[at + 4..].first_chunk().expect("a length")) as usize
    });
    assert_eq!(good[at], 6, "a packet block");
    let with = |field: usize, number: u32| {
        let mut file = good.clone();
        file[at + field..at + field + 4].copy_from_slice(&number.to_le_bytes());
        file
    };
    let cases = [
        (with(4, 0), "a block of type 0x6 claims to be 0 bytes long"),
        (with(4, 93), "a block of type 0x6 claims to be 93 bytes long"),
        (with(4, 88), "a block's lengths differ"),
        (
            with(8, 7),
            "a packet of interface 7, of which only 1 are described",
        ),
        (with(12, 0x8000_0000), "lies beyond the year 2262"),
        (
            with(20, 5000),
            "a packet claims 5000 captured bytes in a block of 92",
        ),
    ];
    for (file, words) in cases {
        let replay = read(folder.path(), &file);
        assert_eq!(replay.packets, 1, "{words}: what came before is used");
        let said = replay.errors.concat();
        assert!(
            said.contains(&format!("/capture: at byte {at}: ")) && said.contains(words),
            "{words}: {said}"
        );
    }
    let passed_over = read(folder.path(), &with(0, 0x0bad));
    assert_eq!(
        (passed_over.packets, passed_over.errors.len()),
        (3, 0),
        "a type that nobody knows"
    );
}
