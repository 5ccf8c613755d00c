//! Where one direction waits for missing bytes the other one waits, too: questions stand before their answers.

use crate::common::packets::{ACK, RST, Talk};
use crate::ms;
use flowdump::event::{Connection, Direction, EndHow, Event};
use flowdump::flow::{FlowOptions, FlowTable};
use flowdump::time::Timestamp;

/// What comes out, in the order in which it does: `>` to the server, `<` to the client. Time goes on to `until` before
/// the capture is over.
fn told(talk: &Talk, options: FlowOptions, until: Timestamp) -> String {
    let mut told = String::new();
    let mut tell = |_: &Connection, event: &Event<'_>| {
        let (direction, text) = match event {
            Event::Data { direction, bytes, .. } => (direction, String::from_utf8_lossy(bytes).into_owned()),
            Event::Gap { direction, len, .. } => (direction, format!("[{len}]")),
            Event::End {
                direction,
                how: EndHow::Reset,
                ..
            } => (direction, "reset".to_owned()),
            _ => return Ok(()),
        };
        let arrow = if *direction == Direction::ToServer {
            '>'
        } else {
            '<'
        };
        told += &format!("{arrow}{text} ");
        Ok(())
    };
    let mut table = FlowTable::new(options);
    for segment in &talk.segments {
        table.segment(&segment.segment(), &mut tell).unwrap();
    }
    table.tick(until, &mut tell).unwrap();
    table.finish(&mut tell).unwrap();
    told
}

fn all_of(talk: &Talk) -> String {
    told(talk, FlowOptions::default(), talk.now + ms(100))
}

#[test]
fn answers_wait_for_the_gap_before_them() {
    let mut talk = Talk::default();
    talk.handshake().client(b"NOOP").lost().server(b"ok");
    talk.client(b"MAIL")
        .server(b"sender")
        .client(b"RCPT")
        .server(b"recipient");
    assert_eq!(all_of(&talk), "<ok >[4] >MAIL <sender >RCPT <recipient ");
}

#[test]
fn packets_of_one_time_keep_the_order_in_which_they_were_captured() {
    for (client, server) in [
        ("10.0.0.1:40000", "10.0.0.2:25"),
        ("10.0.0.2:40000", "10.0.0.1:25"),
    ] {
        let mut talk = Talk::between(client, server);
        talk.handshake().client(b"NOOP").lost();
        talk.client(b"MAIL")
            .server(b"sender")
            .client(b"RCPT")
            .server(b"recipient");
        let at = talk.now;
        talk.segments.iter_mut().for_each(|segment| segment.time = at);
        assert_eq!(all_of(&talk), ">[4] >MAIL <sender >RCPT <recipient ", "{client}");
    }
}

#[test]
fn a_piece_that_came_late_stands_before_the_answers_to_those_behind_it() {
    let mut talk = Talk::default();
    talk.handshake().client(b"MAIL");
    let late = talk.segments.pop().expect("just sent").later(ms(10));
    talk.client(b"RCPT").server(b"sender").server(b"recipient");
    talk.segments.push(late);
    assert_eq!(all_of(&talk), ">MAIL >RCPT <sender <recipient ");
}

#[test]
fn each_hole_is_waited_for_from_its_acknowledgement_on() {
    let mut talk = Talk::default();
    talk.handshake().client(b"one");
    let first = talk.segments.pop().expect("just sent");
    talk.client(b"two").client(b"three");
    let third = talk.segments.pop().expect("just sent");
    talk.client(b"four").pause(0.5).server_acks();
    // Both are sent again; the acknowledgement was captured before them.
    talk.segments.extend([first.later(ms(501)), third.later(ms(502))]);
    assert_eq!(all_of(&talk), ">one >two >three >four ");
}

#[test]
fn a_reset_during_the_wait_does_not_hide_what_is_missing_before_it() {
    let mut talk = Talk::default();
    talk.handshake()
        .client(b"hello")
        .client(b"lost")
        .lost()
        .client(b"world");
    talk.server_acks().server(b"server").lost();
    talk.send(0, ACK, b"").send(1, RST | ACK, b"");
    assert_eq!(all_of(&talk), ">hello >[4] >world <[6] <reset ");
}

#[test]
fn more_than_may_be_held_does_not_wait() {
    let mut talk = Talk::default();
    talk.handshake()
        .client(b"lost")
        .lost()
        .client(b"then")
        .server_acks();
    for _ in 0..100 {
        talk.server(&[b'x'; 1000]);
    }
    let options = FlowOptions {
        hold_per_direction: 10_000,
        ..FlowOptions::default()
    };
    // No time passes.
    let at = talk.now;
    talk.segments.iter_mut().for_each(|segment| segment.time = at);
    let told = told(&talk, options, at);
    let before = told.find(">[4]").expect("a gap");
    assert!(told[..before].len() > 80_000, "{}", told[..before].len());
}
