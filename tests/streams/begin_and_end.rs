//! How connections begin and end, on the wire and in the capture.

use crate::common::packets::{ACK, FIN, RST, SYN, Talk};
use crate::common::replay::{Spine, play};
use crate::{ms, texts};
use flowdump::event::{ClientKnown, CloseReason, Direction, EndHow, TcpNote};
use std::time::Duration;

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
fn a_fin_that_denies_data_which_came_before_it_ends_the_stream_behind_that() {
    let mut talk = Talk::default();
    talk.handshake().client(b"one ").client(b"two ").client(b"three");
    let mut late = talk.segments.remove(3);
    talk.seq[0] = late.seq + 6;
    talk.send(0, FIN | ACK, b"").send(1, FIN | ACK, b"");
    late.time = talk.last().time + ms(1);
    talk.segments.push(late);
    let replay = play(&talk.segments);
    let seen = replay.only();
    assert_eq!(texts(&replay).0, "one two three");
    assert_eq!(seen.to_server().end, Some(EndHow::Fin));
    assert_eq!(seen.reason(), CloseReason::Fin);
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
fn data_that_overtook_its_syn_waits_no_longer_than_for_it() {
    let mut talk = Talk::default();
    talk.send(0, SYN, b"").client(b"data");
    let mut spine = Spine::default();
    for segment in [&talk.segments[1], &talk.segments[0]] {
        spine.segment(&segment.segment());
    }
    assert_eq!(spine.so_far()[0].to_server().text(), "data");
}

#[test]
fn in_mid_stream_an_answer_to_some_of_what_waits_settles_where_that_begins() {
    let mut talk = Talk::default();
    talk.client(b"NOOP\r\n");
    let first = talk.seq[0];
    talk.client(b"QUIT\r\n").server(b"250 Ok\r\n").last().ack = first;
    let mut spine = Spine::default();
    for segment in &talk.segments {
        spine.segment(&segment.segment());
    }
    assert_eq!(spine.so_far()[0].to_server().text(), "NOOP\r\nQUIT\r\n");
}

#[test]
fn what_a_side_says_after_both_have_reset_is_counted() {
    let mut talk = Talk::default();
    talk.send(0, SYN, b"")
        .send(0, RST | ACK, b"")
        .send(1, RST | ACK, b"");
    talk.server(b"and yet");
    let replay = play(&talk.segments);
    assert_eq!(replay.only().to_client().end, Some(EndHow::Refused));
    assert_eq!(replay.only().closed().totals[1].outside_bytes, 7);
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
fn a_fin_far_outside_the_window_hides_nothing() {
    let mut talk = Talk::default();
    talk.handshake().client(b"DATA\r\n").server(b"354 go on\r\n");
    let mut forged = talk.segments[3].later(ms(1));
    (forged.flags, forged.seq) = (FIN | ACK, forged.seq.wrapping_add(300_000));
    forged.payload.clear();
    talk.segments.push(forged);
    for _ in 0..400 {
        talk.pause(0.001).client(&[b'a'; 1000]).server_acks();
    }
    talk.close();
    let replay = play(&talk.segments);
    assert_eq!(texts(&replay).0.len(), 400_006);
    assert!(replay.only().has_note(|note| *note == TcpNote::FinIgnored));
    assert_eq!(replay.only().reason(), CloseReason::Fin);
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
fn a_refused_connection_is_told() {
    let mut talk = Talk::default();
    talk.send(0, SYN, b"").send(1, RST | ACK, b"");
    let replay = play(&talk.segments);
    assert_eq!(replay.only().reason(), CloseReason::Reset(Direction::ToClient));
    assert!(!replay.only().closed().handshake);
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
