//! Which connection a segment belongs to, where several have its addresses.

use crate::common::packets::{ACK, FIN, RST, SYN, Talk, Tcp};
use crate::common::replay::{Replay, Seen, play};
use crate::{ms, texts};
use flowdump::event::{CloseReason, TcpNote};

/// What was said in each connection, the client's words first.
fn said(replay: &Replay) -> Vec<String> {
    let both = |seen: &Seen| seen.to_server().text() + &seen.to_client().text();
    replay.connections.iter().map(both).collect()
}

#[test]
fn the_same_ends_again_are_another_connection_however_the_first_one_ended() {
    let endings: [fn(&mut Talk); 4] = [
        |talk| _ = talk.close(),
        |talk| _ = talk.send(0, RST | ACK, b""),
        |talk| _ = talk.send(1, FIN | ACK, b""),
        |_| {},
    ];
    for (index, end) in endings.iter().enumerate() {
        // New numbers far away, and just behind the old ones.
        for seq in [[900_000_000, 7], [3000, 8000]] {
            let mut first = Talk::default();
            first.handshake().client(b"first").server(b"FIRST");
            end(&mut first);
            let mut second = first.again(seq);
            second.handshake().client(b"second").server(b"SECOND").close();
            let replay = play(first.segments.iter().chain(&second.segments));
            assert_eq!(
                said(&replay),
                ["firstFIRST", "secondSECOND"],
                "ending {index}, then {seq:?}"
            );
            assert!(replay.connections[1].closed().handshake);
        }
    }
}

#[test]
fn the_same_ends_again_with_no_syn_in_the_capture() {
    let mut first = Talk::default();
    first.handshake().client(b"first").close();
    let mut second = first.again([800_000_000, 600_000_000]);
    second.handshake().client(b"second");
    let replay = play(first.segments.iter().chain(&second.segments[1..]));
    assert_eq!(said(&replay), ["first", "second"], "the SYN-ACK begins it");
    let replay = play(first.segments.iter().chain(&second.segments[3..]));
    assert_eq!(said(&replay), ["first", "second"], "the data begins it");
}

#[test]
fn a_forged_syn_does_not_cut_a_conversation_in_two() {
    let mut talk = Talk::default();
    talk.handshake().client(b"one ").server(b"ONE ");
    let mut forged = talk.segments[0].later(ms(10));
    forged.seq = 77_777_777;
    talk.segments.push(forged);
    talk.pause(0.1).client(b"two").server(b"TWO").close();
    let replay = play(&talk.segments);
    let seen = replay
        .connections
        .iter()
        .find(|seen| seen.to_server().len > 0)
        .expect("the conversation");
    assert_eq!(
        (seen.to_server().text(), seen.to_client().text()),
        ("one two".into(), "ONE TWO".into())
    );
    assert_eq!(seen.reason(), CloseReason::Fin);
}

fn in_vlan(segments: &[Tcp], vlan: u16) -> Vec<Tcp> {
    segments
        .iter()
        .map(|segment| Tcp {
            vlans: vec![vlan],
            ..segment.clone()
        })
        .collect()
}

#[test]
fn equal_addresses_in_two_vlans_are_two_conversations() {
    let (mut red, mut blue) = (
        Talk::default(),
        Talk {
            seq: [70_000, 90_000],
            ..Talk::default()
        },
    );
    red.handshake().client(b"red").server(b"RED").close();
    blue.handshake().client(b"blue").server(b"BLUE").close();
    let (red, blue) = (in_vlan(&red.segments, 10), in_vlan(&blue.segments, 20));
    let mixed = red.iter().zip(&blue).flat_map(|(one, other)| [one, other]);
    let replay = play(mixed);
    assert_eq!(said(&replay), ["redRED", "blueBLUE"]);
    assert_eq!(replay.stats.doubled, 0);
}

#[test]
fn one_conversation_along_two_paths_with_their_own_losses_is_named() {
    let mut talk = Talk::default();
    talk.handshake()
        .client(b"lost in red")
        .server(b"lost in blue")
        .close();
    let (mut red, mut blue) = (in_vlan(&talk.segments, 10), in_vlan(&talk.segments, 20));
    red.remove(3);
    blue.remove(4);
    let mut both = [red, blue].concat();
    both.sort_by_key(|segment| segment.time);
    let replay = play(&both);
    assert_eq!((replay.connections.len(), replay.stats.doubled), (2, 1));
}

#[test]
fn a_conversation_whose_directions_are_in_different_vlans_is_one() {
    let mut talk = Talk::default();
    talk.handshake().client(b"to").server(b"fro").close();
    for segment in &mut talk.segments {
        segment.vlans = vec![if segment.source == talk.client { 10 } else { 20 }];
    }
    assert_eq!(texts(&play(&talk.segments)), ("to".into(), "fro".into()));
}

#[test]
fn another_answer_to_the_same_syn_is_no_other_connection() {
    // The numbers lie near one another and far apart.
    for (first, second) in [
        (5000, 5400),
        (5000, 60_000),
        (7, 2_000_000_000),
        (7, 4_000_000_000),
    ] {
        for (acknowledged, ignored) in [(first, second), (second, first)] {
            let mut talk = Talk::default();
            talk.seq[1] = first;
            talk.send(0, SYN, b"").send(1, SYN | ACK, b"");
            talk.seq[1] = second;
            talk.send(1, SYN | ACK, b"");
            let captured_again = talk.last().later(ms(0));
            talk.segments.push(captured_again);
            talk.seq[1] = acknowledged + 1;
            talk.send(0, ACK, b"")
                .server(b"220 hi\r\n")
                .client(b"QUIT\r\n")
                .close();
            let whole = &talk.segments;
            let mut banner_first = whole.clone();
            banner_first.swap(4, 5);
            let lost_acknowledgement = [&whole[..4], &whole[5..]].concat();
            for segments in [whole, &banner_first, &lost_acknowledgement] {
                let replay = play(segments);
                assert_eq!(
                    texts(&replay),
                    ("QUIT\r\n".into(), "220 hi\r\n".into()),
                    "{acknowledged}, not {ignored}"
                );
                let closed = replay.only().closed();
                assert!(closed.handshake);
                assert_eq!(closed.totals[1].duplicate_captures, 1);
            }
        }
    }
}

#[test]
fn an_answer_to_a_syn_that_is_not_in_the_capture_begins_another_connection() {
    let mut first = Talk::default();
    first
        .handshake()
        .server(b"220 hi\r\n")
        .client(&[b'd'; 9000])
        .server_acks();
    // The new client's number is one of those that the old one used.
    let mut second = first.again([first.seq[0] - 4000, 700_000]);
    second.handshake().server(b"220 new\r\n").client(b"EHLO new\r\n");
    let replay = play(first.segments.iter().chain(&second.segments[1..]));
    assert_eq!(said(&replay)[1..], ["EHLO new\r\n220 new\r\n"]);
}

#[test]
fn a_forged_answer_to_its_syn_does_not_cut_a_conversation_in_two() {
    let mut talk = Talk::default();
    talk.handshake().server(b"220 hi\r\n").client(b"EHLO me\r\n");
    let mut forged = talk.segments[1].later(ms(4));
    forged.seq += 60_000;
    forged.payload = b"forged".to_vec();
    talk.segments.push(forged);
    talk.pause(0.1).server(b"250 mx\r\n").client(b"QUIT\r\n").close();
    let replay = play(&talk.segments);
    assert_eq!(
        texts(&replay),
        ("EHLO me\r\nQUIT\r\n".into(), "220 hi\r\n250 mx\r\n".into())
    );
    assert_eq!(replay.only().reason(), CloseReason::Fin);
    assert!(replay.only().has_note(|note| *note == TcpNote::SynIgnored));
    assert_eq!(replay.only().closed().totals[1].outside_bytes, 6);
}

#[test]
fn numbers_behind_both_fins_are_another_connection_at_once() {
    let mut first = Talk::default();
    first.handshake().client(b"one").server(b"ONE").close();
    let mut second = first.again([6000, 10_000]);
    second.now = first.now;
    second.client(b"two").server(b"TWO").close();
    let replay = play(first.segments.iter().chain(&second.segments));
    assert_eq!(said(&replay), ["oneONE", "twoTWO"]);
    // Of one side alone that may be anything.
    let mut talk = Talk::default();
    talk.handshake().client(b"one").server(b"ONE").close();
    talk.seq[0] += 5000;
    talk.client(b"not its");
    let replay = play(&talk.segments);
    assert_eq!(texts(&replay).0, "one");
    assert_eq!(replay.only().closed().totals[0].outside_bytes, 7);
}
