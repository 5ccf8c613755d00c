//! IP fragments in captures that have them more than once, as those of several interfaces do.

mod common;

use std::time::Duration;

use common::files::Frame;
use common::packets::{Talk, Tcp};
use common::replay::{Replay, Spine};

const ID: u16 = 777;

/// The fragments of a datagram.
type Pieces = Vec<Vec<u8>>;

/// What was captured of them.
type Order = fn(Pieces) -> Pieces;

/// A line that the client sends, and another five seconds later, under the same identification.
fn two_lines(client: &str, server: &str) -> [Tcp; 2] {
    let mut talk = Talk::between(client, server);
    for (letter, begins) in [("a", "first"), ("b", "second")] {
        let line = format!("{begins} {}\r\n", letter.repeat(60));
        talk.client(line.as_bytes()).pause(5.0).last().ip_id = ID;
    }
    let [first, second] = talk.segments.try_into().expect("two segments");
    [first, second]
}

/// Fragments as they were captured, one every ten microseconds.
fn captured(spine: &mut Spine, tcp: &Tcp, fragments: &[Vec<u8>]) {
    let mut time = tcp.time;
    for fragment in fragments {
        time = time + Duration::from_micros(10);
        spine.packet(&Frame::new(time, tcp.ethernet(fragment)).packet());
    }
}

/// Both lines, of whose fragments `order` makes what was captured.
fn replay(lines: &[Tcp; 2], order: Order) -> Replay {
    let mut spine = Spine::default();
    for line in lines {
        captured(&mut spine, line, &order(line.fragments(40)));
    }
    spine.finish()
}

fn each_twice(all: Pieces) -> Pieces {
    all.into_iter().flat_map(|one| [one.clone(), one]).collect()
}

#[test]
fn fragments_captured_twice_give_each_datagram_once_and_none_that_is_incomplete() {
    let orders: [(&str, Order); 3] = [
        ("each twice", each_twice),
        ("all, and all again", |all| [all.clone(), all].concat()),
        ("each twice, the last one first", |mut all| {
            all.reverse();
            each_twice(all)
        }),
    ];
    for lines in [
        two_lines("10.0.0.1:40000", "10.0.0.2:25"),
        two_lines("[2001:db8::1]:40000", "[2001:db8::2]:25"),
    ] {
        for (what, order) in orders {
            let replay = replay(&lines, order);
            assert_eq!(replay.unread, [], "{what}");
            let stream = replay.only().to_server();
            assert_eq!(
                stream.bytes(),
                [&lines[0].payload[..], &lines[1].payload].concat(),
                "{what}"
            );
            assert_eq!(replay.stats.retransmissions, 0, "{what}");
        }
    }
}

#[test]
fn a_datagram_that_never_was_complete_is_still_told_of_copies_or_not() {
    let [first, mut second] = two_lines("10.0.0.1:40000", "10.0.0.2:25");
    second.ip_id += 1;
    let mut spine = Spine::default();
    let without_last = &first.fragments(40)[..2];
    captured(&mut spine, &first, &[without_last, without_last].concat());
    captured(&mut spine, &second, &second.fragments(40)[1..]);
    assert_eq!(
        spine.finish().unread,
        [("IP fragments of incomplete datagrams".to_owned(), 4)]
    );
}
