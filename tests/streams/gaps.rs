//! What the capture lacks: how long it is waited for, and that it is said.

use crate::common::packets::{ACK, FIN, PSH, SYN, Talk};
use crate::common::replay::{Run, Spine, play};
use crate::{ms, texts};
use flowdump::decode::DecodeOptions;
use flowdump::event::{CloseReason, Connection, Event, GapReason};
use flowdump::flow::{FlowOptions, FlowTable};

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
fn who_acknowledged_what_came_before_the_capture_is_there_and_is_waited_for() {
    let mut talk = Talk::default();
    // Of the last packet before the capture the server has yet to acknowledge a part.
    talk.server_acks().last().ack -= 10;
    talk.client(b"one ").client(b"two ").lost().client(b"three ");
    talk.pause(5.0);
    let end = talk.seq[0];
    talk.seq[0] -= 10;
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

#[test]
fn a_hole_behind_which_no_more_can_be_held_is_not_said_to_be_lost() {
    let mut talk = Talk::default();
    talk.handshake().client(b"lost").lost();
    let hole = talk.seq[0].wrapping_sub(4);
    for _ in 0..20 {
        talk.client(&[b'x'; 1000]).send(1, PSH | ACK, b".").last().ack = hole;
    }
    let options = FlowOptions {
        hold_per_direction: 10_000,
        ..FlowOptions::default()
    };
    let mut spine = Spine::new(DecodeOptions::default(), options);
    talk.segments
        .iter()
        .for_each(|segment| spine.segment(&segment.segment()));
    let replay = spine.finish();
    let runs = &replay.only().to_server().runs;
    assert_eq!(runs[0], Run::Gap(4, GapReason::Bound));
    assert_eq!(runs[1], Run::Data(vec![b'x'; 20_000]));
}

#[test]
fn a_gap_at_a_time_out_has_its_time_whenever_the_next_packet_comes() {
    let mut talk = Talk::default();
    talk.handshake()
        .client(b"before ")
        .client(b"LOST")
        .lost()
        .server_acks();
    let due = talk.now + FlowOptions::default().idle_timeout;
    let mut table = FlowTable::new(FlowOptions::default());
    let mut gaps = Vec::new();
    let mut tell = |_: &Connection, event: &Event<'_>| {
        if let Event::Gap { time, .. } = event {
            gaps.push(*time);
        }
        Ok(())
    };
    for segment in &talk.segments {
        table.segment(&segment.segment(), &mut tell).unwrap();
    }
    table.tick(due + ms(60_000), &mut tell).unwrap();
    assert_eq!(gaps, [due]);
}

#[test]
fn what_was_lost_with_the_syn_is_a_gap() {
    // The server's answer and what it said then; the client has acknowledged the answer, and says so.
    let mut talk = Talk::default();
    talk.send(0, SYN, b"").send(1, SYN | ACK, b"").lost();
    talk.send(0, ACK, b"").server(b"220 hi\r\n").lost();
    talk.client(b"EHLO me\r\n")
        .server(b"250 mx\r\n")
        .client(b"QUIT\r\n")
        .close();
    assert_eq!(texts(&play(&talk.segments)).1, "[8 missing]250 mx\r\n");
}

#[test]
fn the_sender_s_own_numbers_tell_what_is_missing() {
    let mut talk = Talk::default();
    talk.send(0, ACK, b"")
        .client(b"EHLO me\r\n")
        .lost()
        .client(b"QUIT\r\n")
        .client(b"lost")
        .lost()
        .send(0, ACK, b"");
    assert_eq!(texts(&play(&talk.segments)).0, "[9 missing]QUIT\r\n[4 missing]");
    // A keep-alive's number is one too low.
    let mut talk = Talk::default();
    talk.seq[0] -= 1;
    talk.send(0, ACK, b"").server_acks();
    talk.seq[0] += 1;
    talk.client(b"QUIT\r\n").send(0, ACK, b"");
    assert_eq!(texts(&play(&talk.segments)).0, "QUIT\r\n");
}

#[test]
fn a_hole_of_any_size_is_believed_if_the_other_side_has_what_is_behind_it() {
    let mut talk = Talk::default();
    talk.handshake().client(b"before ").server_acks();
    talk.seq[0] += 70 << 20;
    talk.client(b"behind ").server_acks().client(b"lost").lost();
    for _ in 0..5 {
        talk.client(b"more ").server_acks();
    }
    talk.close();
    assert_eq!(
        texts(&play(&talk.segments)).0,
        "before [73400320 missing]behind [4 missing]more more more more more "
    );
}

#[test]
fn what_is_missing_of_a_side_of_which_no_byte_was_captured_is_told() {
    let mut talk = Talk::default();
    talk.server_acks().client(b"NOOP\r\n");
    talk.server(&[b'x'; 5000]).lost().client(b"QUIT\r\n");
    let replay = play(&talk.segments);
    assert_eq!(
        texts(&replay),
        ("NOOP\r\nQUIT\r\n".into(), "[5000 missing]".into())
    );
    // Nothing is known of a side that was not seen at all: it may have been left out on purpose.
    let client = talk.client;
    let one_sided = talk.segments.iter().filter(|segment| segment.source == client);
    assert_eq!(texts(&play(one_sided)).1, "");
}
