//! Traffic that would fill the memory.

use std::time::Duration;

use flowdump::event::CloseReason;
use flowdump::flow::FlowOptions;

use crate::common::packets::{ACK, PSH, SYN, Talk, Tcp};
use crate::common::replay::Spine;

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
fn of_syns_without_answer_the_last_ones_are_remembered_whatever_memory_there_is() {
    const KEPT: u32 = 1 << 17;
    const FORGOTTEN: u32 = 1000;
    let mut talk = Talk::default();
    talk.handshake().client(b"said").close();
    let mut spine = Spine::counting(FlowOptions {
        memory: 1 << 30,
        ..FlowOptions::default()
    });
    for number in 0..KEPT + FORGOTTEN {
        spine.segment(&syn(number, &talk).segment());
    }
    let stats = spine.stats();
    assert_eq!(
        (stats.open, stats.half_open_evicted),
        (u64::from(KEPT), u64::from(FORGOTTEN))
    );
    // A conversation whose SYN is forgotten before it is answered is whole all the same.
    let (syn_of_it, rest) = talk.segments.split_first().expect("it has one");
    spine.segment(&syn_of_it.segment());
    for number in 0..KEPT {
        spine.segment(&syn(KEPT + FORGOTTEN + number, &talk).segment());
    }
    rest.iter().for_each(|tcp| spine.segment(&tcp.segment()));
    let replay = spine.finish();
    let conversation = replay.connections.iter().find(|seen| seen.to_server().len > 0);
    let conversation = conversation.expect("it is there");
    assert_eq!(conversation.to_server().len, 4);
    assert_eq!(conversation.reason(), CloseReason::Fin);
}

#[test]
fn an_address_that_was_forgotten_is_a_new_one_when_it_comes_back() {
    const OPEN: usize = 100;
    let options = FlowOptions {
        max_connections: OPEN,
        ..FlowOptions::default()
    };
    let talk = Talk::default().handshake().clone();
    let mut spine = Spine::counting(options);
    // What the table should know: the last hundred that were new to it.
    let mut known = std::collections::VecDeque::new();
    let mut forgotten = 0;
    let mut random = 1_u32;
    for _ in 0..20_000 {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let number = (random >> 16) % 300;
        spine.segment(&syn(number, &talk).segment());
        if !known.contains(&number) {
            known.push_back(number);
            if known.len() > OPEN {
                known.pop_front();
                forgotten += 1;
            }
        }
    }
    let stats = spine.stats();
    assert_eq!((stats.open, stats.half_open_evicted), (OPEN as u64, forgotten));
    assert_eq!(spine.finish().connections.len(), OPEN);
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
