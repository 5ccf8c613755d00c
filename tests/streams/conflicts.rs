//! Bytes that come again with other content: told wherever it can be seen, and nowhere else.

use crate::common::packets::{Talk, Tcp};
use crate::common::replay::{Replay, play};
use crate::ms;
use flowdump::event::{Direction, TcpNote};

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
