//! Bytes that come again with other content: told wherever it can be seen, and nowhere else.

use crate::common::packets::{ACK, RST, Talk, Tcp};
use crate::common::replay::{Replay, play};
use crate::{ms, texts};
use flowdump::event::{Direction, TcpNote};

/// 104 bytes that differ from others in their middle only, where no sample looks.
fn saying(word: &str) -> Vec<u8> {
    [&b"x".repeat(48), word.repeat(10).as_bytes(), &b"y".repeat(16)].concat()
}

/// Conflicts, retransmissions and duplicate captures of what the client said.
fn counts(replay: &Replay) -> (u64, u64, u64) {
    let totals = &replay.only().closed().totals[0];
    (
        totals.conflicts,
        totals.retransmissions,
        totals.duplicate_captures,
    )
}

#[test]
fn bytes_that_were_never_captured_are_not_compared() {
    let content: Vec<u8> = (b' '..).take(100).collect();
    for (first, second) in [(40, None), (60, None), (0, None), (100, Some(40)), (40, Some(60))] {
        let mut talk = Talk::default();
        talk.handshake().client(&content).last().captured = Some(first);
        talk.client(b"end").server_acks().close();
        let again = Tcp {
            ip_id: 999,
            captured: second,
            ..talk.segments[3].later(ms(200))
        };
        talk.segments.insert(5, again);
        let replay = play(&talk.segments);
        assert_eq!(counts(&replay), (0, 1, 0), "{first} bytes, then {second:?}");
    }
}

#[test]
fn what_was_captured_of_a_cut_packet_is_compared() {
    let mut talk = Talk::default();
    talk.handshake().client(&[b'a'; 100]).last().captured = Some(40);
    talk.server_acks().close();
    let again = Tcp {
        ip_id: 999,
        captured: None,
        payload: [vec![b'a'; 30], vec![b'b'; 70]].concat(),
        ..talk.segments[3].later(ms(200))
    };
    talk.segments.insert(4, again);
    let conflict = TcpNote::Conflict { offset: 30, len: 10 };
    assert!(
        play(&talk.segments)
            .only()
            .notes
            .contains(&(Direction::ToServer, conflict))
    );
}

#[test]
fn other_bytes_under_the_same_identification_are_no_copy() {
    let mut talk = Talk::default();
    talk.handshake().client(&saying("GOOD")).server_acks().close();
    // IPv4 counts packets, IPv6 does not: there a copy is what follows at once, or comes another way.
    for (ip_id, interface, delay) in [(77, 0, ms(1)), (0, 0, ms(0)), (0, 1, ms(40))] {
        let mut segments = talk.segments.clone();
        segments[3].ip_id = ip_id;
        let copy = Tcp {
            interface,
            ..segments[3].later(delay)
        };
        let forged = Tcp {
            payload: saying("EVIL"),
            ..copy.clone()
        };
        segments.insert(4, copy);
        assert_eq!(counts(&play(&segments)), (0, 0, 1));
        segments[4] = forged.clone();
        let replay = play(&segments);
        assert_eq!(texts(&replay).0.as_bytes(), saying("GOOD"));
        assert_eq!(counts(&replay), (1, 1, 0));
        let conflict = TcpNote::Conflict { offset: 48, len: 40 };
        assert!(replay.only().notes.contains(&(Direction::ToServer, conflict)));
        // The forged packet has its copy, too.
        segments.insert(5, forged);
        assert_eq!(counts(&play(&segments)), (1, 1, 1));
    }
}

#[test]
fn other_bytes_in_another_vlan_are_no_copy_either() {
    let mut talk = Talk::default();
    talk.handshake().client(&saying("GOOD")).server_acks().close();
    let forged = Tcp {
        vlans: vec![7],
        payload: saying("EVIL"),
        ..talk.segments[3].later(ms(1))
    };
    talk.segments.insert(4, forged);
    assert_eq!(counts(&play(&talk.segments)), (1, 1, 0));
}

#[test]
fn other_bytes_are_no_copy_while_they_wait() {
    let mut talk = Talk::default();
    talk.handshake().client(b"late").client(&saying("GOOD")).close();
    let forged = Tcp {
        payload: saying("EVIL"),
        ..talk.segments[4].clone()
    };
    let copy = talk.segments[4].clone();
    let late = talk.segments.remove(3);
    talk.segments.splice(4..4, [copy, forged.clone(), forged, late]);
    let replay = play(&talk.segments);
    assert_eq!(
        texts(&replay).0.as_bytes(),
        [&b"late"[..], &saying("GOOD")].concat()
    );
    let totals = &replay.only().closed().totals[0];
    assert_eq!((totals.conflicts, totals.duplicate_captures), (1, 2));
}

#[test]
fn copies_of_what_is_no_stream_are_copies() {
    let mut talk = Talk::default();
    talk.handshake().client(b"hello").server_acks();
    let probe = Tcp {
        payload: b"\0".to_vec(),
        seq: talk.seq[0].wrapping_sub(1),
        ..talk.segments[3].later(ms(50))
    };
    let reset = Tcp {
        flags: RST | ACK,
        payload: b"bye".to_vec(),
        seq: talk.seq[0].wrapping_sub(3),
        ..talk.segments[3].later(ms(60))
    };
    for twice in [probe, reset] {
        talk.segments.extend([twice.clone(), twice]);
    }
    let totals = &play(&talk.segments).only().closed().totals[0].clone();
    assert_eq!(
        (totals.conflicts, totals.keep_alives, totals.duplicate_captures),
        (0, 1, 2)
    );
}

/// Says `count` pieces of `size` bytes, then `other` again at `offset`; the conflicts that are seen.
fn conflicts_back((count, size): (usize, usize), offset: u32, other: &[u8]) -> u64 {
    let mut talk = Talk::default();
    talk.handshake();
    for _ in 0..count {
        talk.client(&vec![b'a'; size]);
    }
    talk.server_acks();
    let again = Tcp {
        seq: talk.segments[3].seq + offset,
        ip_id: 999,
        payload: other.to_vec(),
        ..talk.segments[3].later(ms(500))
    };
    talk.segments.push(again);
    let replay = play(&talk.segments);
    let (conflicts, retransmissions, _) = counts(&replay);
    assert_eq!(retransmissions, 1);
    conflicts
}

#[test]
fn how_far_back_the_manual_says_they_are_seen() {
    // Bytes that do not last, as of a pipe: the last 4096 …
    assert_eq!(conflicts_back((10, 1000), 10_000 - 4096, &[b'b'; 900]), 1);
    assert_eq!(conflicts_back((10, 1000), 500, &[b'b'; 900]), 0);
    // … in the last 64 pieces.
    assert_eq!(conflicts_back((100, 40), 36 * 40, &[b'b'; 30]), 1);
    assert_eq!(conflicts_back((100, 40), 35 * 40, &[b'b'; 30]), 0);
    // Further back a whole packet among the last 16, by its first and last bytes.
    let sampled = [&b"b"[..], &[b'a'; 999]].concat();
    let between = [&[b'a'; 500][..], b"b", &[b'a'; 499]].concat();
    assert_eq!(conflicts_back((10, 1000), 0, &sampled), 1);
    assert_eq!(conflicts_back((10, 1000), 0, &between), 0);
    assert_eq!(conflicts_back((20, 1000), 0, &sampled), 0);
}
