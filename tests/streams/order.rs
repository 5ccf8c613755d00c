//! Bytes in order, each once, and the first copy of them.

use crate::common::corpus_folder;
use crate::common::packets::{ACK, Talk, Tcp};
use crate::common::replay::{Spine, play, replay};
use crate::{ms, texts};
use flowdump::event::{CloseReason, Connection, Direction, Event, TcpNote};
use flowdump::flow::{FlowOptions, FlowTable};

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
fn one_late_segment_does_not_put_those_behind_it_out_of_order() {
    let mut talk = Talk::default();
    talk.handshake().client(b"late ");
    for _ in 0..100 {
        talk.client(b"next ");
    }
    let late = talk.segments.remove(3);
    talk.segments.push(late.later(ms(200)));
    talk.client(b"last").close();
    let replay = play(&talk.segments);
    assert_eq!(texts(&replay).0, format!("late {}last", "next ".repeat(100)));
    assert_eq!(replay.only().closed().totals[0].out_of_order, 1);
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
    for (offset, len) in [(4, 4), (2, 2)] {
        let conflict = TcpNote::Conflict { offset, len };
        assert!(
            replay.only().notes.contains(&(Direction::ToServer, conflict)),
            "{:?}",
            replay.only().notes
        );
    }
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
fn shuffled_packets_with_their_old_times_are_put_in_order() {
    let path = corpus_folder().join("tcp/tcpflow-lines-randomized.pcapng");
    if !path.is_file() {
        eprintln!("skipped: no {}", path.display());
        return;
    }
    let replay = replay(&path);
    let (to_server, to_client) = texts(&replay);
    assert!(
        to_server.starts_with("GET /lines.txt HTTP/1.1\r\n") && to_client.starts_with("HTTP/1.1 200 OK\r\n")
    );
    assert_eq!((to_server.len(), to_client.len()), (120, 1884));
}

#[test]
fn data_in_order_is_given_out_where_it_lies_in_the_packet() {
    let mut talk = Talk::default();
    talk.handshake().client(b"not copied");
    let mut table = FlowTable::new(FlowOptions::default());
    let mut given = Vec::new();
    for tcp in &talk.segments {
        let emit = &mut |_: &Connection, event: &Event<'_>| {
            if let Event::Data { bytes, .. } = event {
                given.push(bytes.as_ptr());
            }
            Ok(())
        };
        table.segment(&tcp.segment(), emit).expect("nothing fails here");
    }
    assert_eq!(given, [talk.segments[3].payload.as_ptr()]);
}

#[test]
fn the_byte_of_a_keep_alive_is_no_data() {
    // In a stream that goes on in the capture; behind a hole; after a long silence, which nothing is known of.
    let keep_alive = |talk: &mut Talk| {
        talk.seq[0] -= 1;
        talk.send(0, ACK, b"\0");
    };
    let mut talk = Talk::default();
    talk.handshake().client(b"NOOP\r\n").server_acks();
    keep_alive(&mut talk);
    talk.server_acks().client(b"lost").lost().server_acks().pause(1.0);
    keep_alive(&mut talk);
    talk.server_acks().client(b"QUIT\r\n").close();
    let replay = play(&talk.segments);
    assert_eq!(texts(&replay).0, "NOOP\r\n[4 missing]QUIT\r\n");
    assert_eq!(replay.only().closed().totals[0].keep_alives, 2);

    let mut talk = Talk::default();
    keep_alive(&mut talk);
    talk.server_acks().pause(75.0);
    keep_alive(&mut talk);
    talk.server_acks().client(b"NOOP\r\n").server_acks();
    assert_eq!(texts(&play(&talk.segments)).0, "NOOP\r\n");

    // What is typed is pushed.
    let mut talk = Talk::default();
    talk.client(b"y").server_acks().client(b"\r").server_acks();
    assert_eq!(texts(&play(&talk.segments)).0, "y\r");

    // What was acknowledged just now was only captured behind its acknowledgement.
    for begins in [3, 0] {
        let mut talk = Talk::default();
        talk.handshake().send(0, ACK, b"y").server_acks();
        talk.segments.swap(3, 4);
        talk.client(b"es").server_acks();
        assert_eq!(texts(&play(&talk.segments[begins..])).0, "yes");
    }
}
