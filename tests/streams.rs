//! What the flow table makes of a conversation, by example: given these segments, this is what comes out.

mod common;

use std::time::Duration;

use common::corpus_folder;
use common::packets::{ACK, FIN, RST, SYN, Talk, Tcp};
use common::replay::{Replay, Spine, play};
use flowdump::event::{ClientKnown, CloseReason, Direction, EndHow, TcpNote};
use flowdump::flow::FlowOptions;

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Both streams of the only connection, as text.
fn texts(replay: &Replay) -> (String, String) {
    let seen = replay.only();
    (seen.to_server().text(), seen.to_client().text())
}

#[test]
fn a_conversation_from_syn_to_fin() {
    let mut talk = Talk::default();
    talk.handshake()
        .server(b"220 hello\r\n")
        .client(b"QUIT\r\n")
        .close();
    let replay = play(&talk.segments);
    let seen = replay.only();
    assert_eq!(texts(&replay), ("QUIT\r\n".into(), "220 hello\r\n".into()));
    assert_eq!(seen.connection.client_known, ClientKnown::Syn);
    assert_eq!(seen.connection.client.port, 40000);
    assert_eq!(seen.reason(), CloseReason::Fin);
    assert!(seen.closed().handshake);
    assert_eq!(seen.to_server().end, Some(EndHow::Fin));
    assert_eq!(seen.closed().totals.map(|totals| totals.packets), [5, 3]);
    assert_eq!(seen.notes, []);
}

#[test]
fn data_on_syn_and_on_fin_is_data() {
    let mut talk = Talk::default();
    talk.send(0, SYN, b"early ")
        .send(1, SYN | ACK, b"")
        .client(b"middle ")
        .send(0, FIN | ACK, b"last");
    assert_eq!(texts(&play(&talk.segments)).0, "early middle last");
}

#[test]
fn segments_out_of_order_wait_for_their_turn() {
    let mut talk = Talk::default();
    talk.handshake()
        .client(b"one ")
        .client(b"two ")
        .client(b"three ")
        .close();
    talk.segments.swap(3, 5);
    let replay = play(&talk.segments);
    assert_eq!(texts(&replay).0, "one two three ");
    assert_eq!(replay.only().closed().totals[0].out_of_order, 2);
}

#[test]
fn what_comes_again_is_told_and_not_given_out_again() {
    let mut talk = Talk::default();
    talk.handshake().client(b"MAIL FROM:<a>\r\n").server_acks();
    let mut again = talk.segments[3].later(ms(300));
    again.ip_id = 999;
    // Partly old, partly new.
    let mut longer = again.later(ms(1));
    longer.payload = b"MAIL FROM:<a>\r\nDATA\r\n".to_vec();
    talk.segments.extend([again, longer]);
    let replay = play(&talk.segments);
    assert_eq!(texts(&replay).0, "MAIL FROM:<a>\r\nDATA\r\n");
    let totals = &replay.only().closed().totals[0];
    assert_eq!(
        (
            totals.retransmissions,
            totals.retransmitted_bytes,
            totals.conflicts
        ),
        (2, 30, 0)
    );
}

#[test]
fn the_first_copy_wins_and_another_one_is_a_conflict() {
    let mut talk = Talk::default();
    talk.handshake().client(b"RCPT TO:<alice>\r\n").server_acks();
    let mut forged = talk.segments[3].later(ms(300));
    forged.payload = b"RCPT TO:<mallo>\r\n".to_vec();
    talk.segments.push(forged);
    let replay = play(&talk.segments);
    assert_eq!(texts(&replay).0, "RCPT TO:<alice>\r\n");
    let seen = replay.only();
    assert!(
        seen.notes
            .contains(&(Direction::ToServer, TcpNote::Conflict { offset: 9, len: 5 }))
    );
    assert_eq!(seen.closed().totals[0].conflict_bytes, 5);
}

#[test]
fn the_first_copy_wins_among_those_that_wait_too() {
    let mut talk = Talk::default();
    talk.handshake()
        .client(b"aaaa")
        .client(b"bbbb")
        .client(b"cccc")
        .close();
    let mut forged = talk.segments[4].clone();
    forged.seq = forged.seq.wrapping_sub(2);
    forged.payload = b"xxBBBB".to_vec();
    // Lost at first: aaaa. Held: bbbb, then a copy that says BBBB and fills two bytes before it.
    let late = talk.segments.remove(3);
    talk.segments.insert(4, forged);
    talk.segments.insert(6, late);
    let replay = play(&talk.segments);
    assert_eq!(texts(&replay).0, "aaxxbbbbcccc");
    assert_eq!(
        replay.only().closed().totals[0].conflicts,
        1 + 1,
        "BBBB, and aaaa against xx"
    );
}

#[test]
fn a_gap_is_declared_when_the_other_side_has_what_the_capture_lacks() {
    let mut talk = Talk::default();
    talk.handshake()
        .client(b"before ")
        .client(b"LOST")
        .lost()
        .client(b"behind ")
        .server_acks();
    let mut spine = Spine::default();
    for segment in &talk.segments {
        spine.segment(&segment.segment());
    }
    assert_eq!(
        spine.so_far()[0].to_server().text(),
        "before ",
        "it may still turn up"
    );
    spine.tick(talk.now + ms(25));
    assert_eq!(spine.so_far()[0].to_server().text(), "before [4 missing]behind ");
    assert_eq!(spine.finish().stats.gap_bytes, 4);
}

#[test]
fn a_hole_that_nobody_acknowledged_waits_for_the_retransmission() {
    let mut talk = Talk::default();
    talk.handshake().client(b"one ").server_acks();
    let acked = talk.seq[0];
    talk.client(b"two ").lost().client(b"three ");
    // The server asks for it again and again, and gets it after three seconds.
    for _ in 0..3 {
        talk.server_acks().last().ack = acked;
        talk.pause(1.0);
    }
    let end = talk.seq[0];
    talk.seq[0] = acked;
    talk.client(b"two ");
    talk.seq[0] = end;
    talk.server_acks().close();
    assert_eq!(texts(&play(&talk.segments)).0, "one two three ");
}

#[test]
fn a_second_hole_is_waited_for_as_long_as_the_first() {
    let mut talk = Talk::default();
    talk.handshake();
    // The acknowledgement overtakes the data twice, 15 ms each time, which is less than the allowance.
    for words in [b"hole", b"Hole"] {
        talk.client(words);
        let late = talk.segments.pop().expect("just sent").later(ms(15));
        talk.client(b" then ").server_acks();
        talk.now = late.time;
        talk.segments.push(late);
    }
    talk.close();
    assert_eq!(texts(&play(&talk.segments)).0, "hole then Hole then ");
}

#[test]
fn what_is_missing_at_the_end_is_a_gap_if_it_was_acknowledged() {
    let mut talk = Talk::default();
    talk.handshake()
        .client(b"seen ")
        .client(b"lost")
        .lost()
        .server_acks()
        .close();
    assert_eq!(texts(&play(&talk.segments)).0, "seen [4 missing]");
}

#[test]
fn a_capture_of_one_side_declares_gaps_after_a_while() {
    let mut talk = Talk::default();
    talk.send(0, SYN, b"")
        .client(b"HELO ")
        .client(b"lost")
        .lost()
        .client(b"QUIT");
    talk.pause(3.0).client(b" bye");
    let mut spine = Spine::default();
    for segment in talk
        .segments
        .iter()
        .filter(|segment| segment.source == talk.client)
    {
        spine.segment(&segment.segment());
    }
    assert_eq!(spine.so_far()[0].to_server().text(), "HELO [4 missing]QUIT bye");
    spine.finish();
}

#[test]
fn in_mid_stream_the_reply_does_not_come_before_the_command() {
    let mut talk = Talk::default();
    talk.client(b"NOOP\r\n")
        .server(b"250 Ok\r\n")
        .client(b"QUIT\r\n")
        .server(b"221 Bye\r\n");
    let mut order = Vec::new();
    let mut spine = Spine::default();
    for segment in &talk.segments {
        spine.segment(&segment.segment());
        let streams = &spine
            .so_far()
            .first()
            .map(|seen| seen.streams.clone())
            .unwrap_or_default();
        order.push((streams[0].len, streams[1].len));
    }
    assert_eq!(order, [(0, 0), (6, 8), (12, 8), (12, 17)]);
    let replay = spine.finish();
    let seen = replay.only();
    assert_eq!(
        (seen.connection.client.port, seen.connection.client_known),
        (40000, ClientKnown::Guessed)
    );
    assert_eq!(seen.reason(), CloseReason::CaptureEnd);
}

#[test]
fn in_mid_stream_earlier_bytes_that_follow_soon_come_first() {
    let mut talk = Talk::default();
    talk.client(b"first ").client(b"second ").client(b"third");
    talk.segments.swap(0, 1);
    assert_eq!(texts(&play(&talk.segments)).0, "first second third");
}

#[test]
fn a_syn_behind_the_data_settles_where_the_stream_begins_and_who_began() {
    let mut talk = Talk::between("10.0.0.1:25", "10.0.0.2:40000");
    talk.send(0, SYN, b"").client(b"data");
    let replay = play([&talk.segments[1], &talk.segments[0]]);
    assert_eq!(texts(&replay).0, "data");
    assert_eq!(replay.only().connection.client_known, ClientKnown::Syn);
    assert_eq!(
        replay.only().connection.client.port,
        25,
        "whatever the ports look like"
    );
}

#[test]
fn data_from_before_a_late_syn_is_outside_and_blocks_nothing() {
    let mut talk = Talk::default();
    talk.client(b"of another time")
        .send(0, SYN, b"")
        .client(b"of this one")
        .close();
    let replay = play(&talk.segments);
    let told: String = replay
        .connections
        .iter()
        .map(|seen| seen.to_server().text())
        .collect();
    assert!(told.contains("of this one"), "{told}");
}

#[test]
fn only_a_syn_ack_tells_the_client_too() {
    let mut talk = Talk::between("10.0.0.1:25", "10.0.0.2:40000");
    talk.send(1, SYN | ACK, b"").server(b"220 hello");
    let replay = play(&talk.segments);
    let seen = replay.only();
    assert_eq!(
        (seen.connection.server.port, seen.connection.client_known),
        (40000, ClientKnown::SynAck)
    );
}

#[test]
fn sequence_numbers_wrap() {
    let mut talk = Talk {
        seq: [u32::MAX - 10, u32::MAX],
        ..Talk::default()
    };
    talk.handshake()
        .client(&[b'x'; 100])
        .server(&[b'y'; 100])
        .client(b"end")
        .close();
    let (to_server, to_client) = texts(&play(&talk.segments));
    assert_eq!(to_server, "x".repeat(100) + "end");
    assert_eq!(to_client, "y".repeat(100));
}

#[test]
fn a_stream_of_five_gigabytes_has_offsets_beyond_four() {
    // Long segments and a spine that keeps no bytes.
    let mut talk = Talk::default();
    talk.handshake();
    let mut spine = Spine::counting(FlowOptions::default());
    for segment in talk.segments.drain(..) {
        spine.segment(&segment.segment());
    }
    let long = vec![b'x'; 8 << 20];
    for _ in 0..640 {
        talk.client(&long);
        spine.segment(&talk.segments[0].segment());
        talk.segments.clear();
    }
    talk.close();
    for segment in &talk.segments {
        spine.segment(&segment.segment());
    }
    let replay = spine.finish();
    assert_eq!(replay.only().to_server().len, 5 << 30);
    assert_eq!(replay.only().reason(), CloseReason::Fin);
}

#[test]
fn a_reset_in_window_ends_it_and_one_out_of_window_does_not() {
    let mut talk = Talk::default();
    talk.handshake().client(b"DATA\r\n").server(b"354 go on\r\n");
    let mut forged = talk.segments[4].later(ms(1));
    (forged.flags, forged.seq) = (RST, forged.seq.wrapping_add(1 << 30));
    forged.payload.clear();
    talk.segments.push(forged);
    talk.pause(0.1).client(b"still here\r\n");
    let still = talk.segments.len();
    talk.send(0, RST | ACK, b"");
    let replay = play(&talk.segments[..still]);
    assert!(replay.only().has_note(|note| *note == TcpNote::ResetIgnored));
    assert_eq!(replay.only().reason(), CloseReason::CaptureEnd);
    let replay = play(&talk.segments);
    assert_eq!(texts(&replay).0, "DATA\r\nstill here\r\n");
    assert_eq!(replay.only().reason(), CloseReason::Reset(Direction::ToServer));
    assert_eq!(replay.only().to_server().end, Some(EndHow::Reset));
}

#[test]
fn a_reset_behind_both_fins_changes_nothing() {
    let mut talk = Talk::default();
    talk.handshake().client(b"QUIT\r\n").close().send(0, RST, b"");
    let replay = play(&talk.segments);
    assert_eq!(replay.only().reason(), CloseReason::Fin);
    assert!(replay.only().closed().totals[0].reset, "but it was seen");
}

#[test]
fn a_reset_that_overtakes_data_does_not_lose_it() {
    let mut talk = Talk::default();
    talk.handshake()
        .client(b"first ")
        .client(b"second")
        .send(0, RST | ACK, b"");
    talk.segments.swap(4, 5);
    assert_eq!(texts(&play(&talk.segments)).0, "first second");
}

#[test]
fn a_connection_that_survives_a_reset_goes_on_as_another_one() {
    let mut talk = Talk::default();
    talk.handshake().client(b"one ");
    let mut forged = talk.segments[3].later(ms(1));
    (forged.flags, forged.seq) = (RST, talk.seq[0]);
    forged.payload.clear();
    talk.segments.push(forged);
    talk.pause(1.0).client(b"two ").pause(100.0).client(b"three");
    let replay = play(&talk.segments);
    let told: Vec<_> = replay
        .connections
        .iter()
        .map(|seen| seen.to_server().text())
        .collect();
    assert_eq!(told, ["one ", "two three"]);
}

#[test]
fn keep_alives_and_closed_windows_are_told_and_are_no_data() {
    let mut talk = Talk::default();
    talk.handshake().client(b"hello").server_acks();
    let mut probe = talk.segments[3].later(ms(60_000));
    (probe.seq, probe.payload) = (talk.seq[0].wrapping_sub(1), b"\0".to_vec());
    talk.segments.push(probe);
    talk.pause(61.0).server_acks().last().window = 0;
    let replay = play(&talk.segments);
    assert_eq!(texts(&replay).0, "hello");
    let [to_server, to_client] = replay.only().closed().totals;
    assert_eq!((to_server.keep_alives, to_client.zero_windows), (1, 1));
}

#[test]
fn late_segments_of_a_closed_connection_are_counted_and_open_nothing() {
    let mut talk = Talk::default();
    talk.handshake().client(b"bye").close();
    let again = talk.segments[3].later(ms(30_000));
    talk.segments.push(again);
    let replay = play(&talk.segments);
    assert_eq!(texts(&replay).0, "bye");
    assert_eq!(replay.stats.late_segments, 1);
}

#[test]
fn a_fin_waits_for_the_bytes_before_it() {
    let mut talk = Talk::default();
    talk.handshake().client(b"one ").server_acks();
    talk.client(b"two");
    let late = talk.segments.pop().expect("just sent").later(ms(5000));
    let acked = talk.seq[0].wrapping_sub(3);
    talk.send(0, FIN | ACK, b"").send(1, FIN | ACK, b"").last().ack = acked;
    talk.segments.push(late);
    let replay = play(&talk.segments);
    assert_eq!(texts(&replay).0, "one two");
    assert_eq!(replay.only().reason(), CloseReason::Fin);
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
            let told: Vec<_> = replay
                .connections
                .iter()
                .map(|seen| seen.to_server().text() + &seen.to_client().text())
                .collect();
            assert_eq!(
                told,
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
    let told: Vec<_> = replay
        .connections
        .iter()
        .map(|seen| seen.to_server().text())
        .collect();
    assert_eq!(told, ["first", "second"], "the SYN-ACK begins it");
    let replay = play(first.segments.iter().chain(&second.segments[3..]));
    let told: Vec<_> = replay
        .connections
        .iter()
        .map(|seen| seen.to_server().text())
        .collect();
    assert_eq!(told, ["first", "second"], "the data begins it");
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
    let told: Vec<_> = replay
        .connections
        .iter()
        .map(|seen| seen.to_server().text() + &seen.to_client().text())
        .collect();
    assert_eq!(told, ["redRED", "blueBLUE"]);
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
fn packets_seen_twice_on_their_way_count_once() {
    let mut talk = Talk::default();
    talk.handshake().client(b"to").server(b"fro").close();
    // Behind a router: another VLAN, one hop less, another interface, and at once or 40 ms later.
    for delay in [ms(0), ms(40)] {
        let copies = talk.segments.iter().map(|segment| Tcp {
            vlans: vec![7],
            ttl: 63,
            interface: 1,
            ..segment.later(delay)
        });
        let mut both: Vec<_> = talk.segments.iter().cloned().chain(copies).collect();
        both.sort_by_key(|segment| segment.time);
        let replay = play(&both);
        assert_eq!(texts(&replay), ("to".into(), "fro".into()));
        let totals = replay.only().closed().totals;
        let copies: u64 = totals.iter().map(|totals| totals.duplicate_captures).sum();
        assert_eq!(copies as usize, talk.segments.len(), "{totals:?}");
        assert_eq!(totals.map(|totals| totals.packets), [5, 3]);
        assert_eq!(totals.map(|totals| totals.retransmissions), [0, 0]);
    }
}

#[test]
fn sent_twice_is_not_captured_twice() {
    let mut talk = Talk::default();
    talk.handshake().client(b"hello");
    let mut again = talk.segments[3].later(ms(50));
    again.ip_id += 1;
    talk.segments.push(again);
    let replay = play(&talk.segments);
    let totals = replay.only().closed().totals[0];
    assert_eq!((totals.retransmissions, totals.duplicate_captures), (1, 0));
}

#[test]
fn a_clock_that_was_set_back_does_not_end_connections() {
    let mut talk = Talk::default();
    talk.handshake().client(b"before ");
    talk.now = talk.now - Duration::from_secs(7 * 3600);
    talk.client(b"behind ").server_acks().client(b"the step").close();
    let replay = play(&talk.segments);
    assert_eq!(texts(&replay).0, "before behind the step");
}

#[test]
fn a_packet_from_the_future_ends_nothing() {
    let mut talk = Talk::default();
    talk.handshake()
        .client(b"one ")
        .client(b"two ")
        .client(b"three")
        .close();
    talk.segments[4].time = talk.segments[4].time + Duration::from_secs(40 * 365 * 86_400);
    assert_eq!(texts(&play(&talk.segments)).0, "one two three");
}

#[test]
fn idle_connections_end_and_what_follows_is_another_one() {
    let mut talk = Talk::default();
    talk.handshake()
        .client(b"one")
        .pause(3601.0)
        .client(b"two")
        .server_acks();
    let replay = play(&talk.segments);
    let told: Vec<_> = replay
        .connections
        .iter()
        .map(|seen| (seen.to_server().text(), seen.reason()))
        .collect();
    assert_eq!(
        told,
        [
            ("one".into(), CloseReason::Timeout),
            ("two".into(), CloseReason::CaptureEnd)
        ]
    );
}

#[test]
fn a_refused_connection_is_told() {
    let mut talk = Talk::default();
    talk.send(0, SYN, b"").send(1, RST | ACK, b"");
    let replay = play(&talk.segments);
    assert_eq!(replay.only().reason(), CloseReason::Reset(Direction::ToClient));
    assert!(!replay.only().closed().handshake);
}

#[test]
fn what_the_snaplen_cut_is_a_gap_in_its_place() {
    let mut talk = Talk::default();
    talk.handshake().client(b"0123456789").client(b"abc").close();
    talk.segments[3].captured = Some(4);
    assert_eq!(texts(&play(&talk.segments)).0, "0123[6 missing]abc");
    // The whole packet comes later by another way: too late, the gap is told.
    let whole = Tcp {
        captured: None,
        ..talk.segments[3].later(ms(200))
    };
    talk.segments.insert(5, whole);
    assert_eq!(texts(&play(&talk.segments)).0, "0123[6 missing]abc");
}

#[test]
fn shuffled_packets_with_their_old_times_are_put_in_order() {
    let path = corpus_folder().join("tcp/tcpflow-lines-randomized.pcapng");
    if !path.is_file() {
        eprintln!("skipped: no {}", path.display());
        return;
    }
    let replay = common::replay::replay(&path);
    let (to_server, to_client) = texts(&replay);
    assert!(
        to_server.starts_with("GET /lines.txt HTTP/1.1\r\n") && to_client.starts_with("HTTP/1.1 200 OK\r\n")
    );
    assert_eq!((to_server.len(), to_client.len()), (120, 1884));
}

#[test]
fn one_forged_segment_far_ahead_declares_no_gap() {
    let mut talk = Talk::default();
    talk.handshake().client(b"one ").server_acks();
    let mut forged = talk.segments[3].later(ms(1));
    forged.seq = forged.seq.wrapping_add(1 << 30);
    talk.segments.push(forged);
    talk.pause(10.0).client(b"two").server_acks().close();
    let replay = play(&talk.segments);
    assert_eq!(texts(&replay).0, "one two");
    assert_eq!(replay.only().closed().totals[0].gaps, 0);
    assert!(
        replay.only().closed().totals[0].outside_bytes > 0,
        "and it is said"
    );
}

#[test]
fn a_connection_whose_end_was_missing_closes_soon_all_the_same() {
    let mut talk = Talk::default();
    talk.handshake().client(b"bytes").lost().close();
    let mut spine = Spine::default();
    for segment in &talk.segments {
        spine.segment(&segment.segment());
    }
    // The gap is declared behind the last packet, and that ends it.
    spine.tick(talk.now + ms(100));
    spine.tick(talk.now + ms(3000));
    assert_eq!(spine.so_far()[0].reason(), CloseReason::Fin);
    assert_eq!(texts(&spine.finish()).0, "[5 missing]");
}
