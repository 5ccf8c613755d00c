//! Streams cut into segments, and the segments shuffled, repeated, overlapped, lost, wrapped into frames and
//! files: the bytes come back exactly, and gaps are exactly where bytes were lost.

mod common;

use std::io::Write;
use std::time::Duration;

use common::files::{Frame, PcapStyle, pcap, pcapng};
use common::packets::{ACK, FIN, PSH, RST, SYN, Talk, Tcp};
use common::replay::{Replay, Run, play, replay};
use flowdump::event::{CloseReason, GapReason};
use flowdump::time::Timestamp;
use proptest::prelude::*;

/// The byte at an offset of a stream: a byte in the wrong place shows.
fn byte(side: usize, offset: usize) -> u8 {
    ((offset.wrapping_mul(2_654_435_761) >> 13) as u8).wrapping_add(side as u8)
}

fn bytes(side: usize, from: usize, to: usize) -> Vec<u8> {
    (from..to).map(|offset| byte(side, offset)).collect()
}

/// What happens to a segment with data on its way.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    Nothing,
    /// The capture lacks it.
    Lost,
    /// Captured twice, the copy so many packets later.
    Copied(usize),
    /// Sent again, so many packets later.
    Again(usize),
    /// It repeats so many bytes before its own.
    Overlaps(usize),
    /// It comes so many packets later than it should.
    Late(usize),
}

fn fault(with_loss: bool) -> impl Strategy<Value = Fault> {
    let near = 1..4_usize;
    prop_oneof![
        6 => Just(Fault::Nothing),
        if with_loss { 2 } else { 0 } => Just(Fault::Lost),
        1 => near.clone().prop_map(Fault::Copied),
        1 => near.clone().prop_map(Fault::Again),
        1 => (1..2000_usize).prop_map(Fault::Overlaps),
        2 => near.prop_map(Fault::Late),
    ]
}

/// A segment to send: whose it is, how long, what befalls it.
type Step = (usize, usize, Fault);

fn steps(with_loss: bool) -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(
        (
            0..2_usize,
            prop_oneof![1..20_usize, 1000..1461_usize],
            fault(with_loss),
        ),
        1..40,
    )
}

/// Initial sequence numbers, often just below the wrap.
fn numbers() -> impl Strategy<Value = [u32; 2]> {
    let number = || prop_oneof![any::<u32>(), (0..30_000_u32).prop_map(|below| u32::MAX - below)];
    [number(), number()]
}

/// The whole conversation in capture order, and for each side what of its stream the capture has.
fn conversation(seq: [u32; 2], steps: &[Step]) -> (Vec<Tcp>, [Vec<bool>; 2]) {
    // Two milliseconds a packet: faults of a few packets stay within what a stream waits for.
    let mut talk = Talk {
        seq,
        pace: Duration::from_millis(2),
        ..Talk::default()
    };
    talk.handshake();
    let mut has: [Vec<bool>; 2] = Default::default();
    for (side, len, fault) in steps {
        let from = has[*side].len();
        // Bytes that were lost long ago are a gap by now: it does not reach that far back.
        let whole = has[*side].iter().rev().take_while(|has| **has).count();
        let back = if let Fault::Overlaps(back) = fault {
            whole.min(*back)
        } else {
            0
        };
        let back_numbers = u32::try_from(back).expect("small");
        talk.seq[*side] = talk.seq[*side].wrapping_sub(back_numbers);
        talk.send(*side, PSH | ACK, &bytes(*side, from - back, from + len));
        let captured = *fault != Fault::Lost;
        has[*side].resize(from + len, captured);
    }
    talk.close();
    let start = talk.segments[0].time;
    let mut captured = Vec::new();
    for (place, segment) in talk.segments.into_iter().enumerate() {
        let fault = if place < 3 { None } else { steps.get(place - 3) };
        let fault = fault.map_or(Fault::Nothing, |(_, _, fault)| *fault);
        let (on_time, later) = (2 * place, |far| 2 * (place + far) + 1);
        let again = Tcp {
            ip_id: segment.ip_id ^ 0x8000,
            ..segment.clone()
        };
        match fault {
            Fault::Lost => {}
            Fault::Nothing | Fault::Overlaps(_) => captured.push((on_time, segment)),
            Fault::Late(far) => captured.push((later(far), segment)),
            Fault::Copied(far) => captured.extend([(on_time, segment.clone()), (later(far), segment)]),
            Fault::Again(far) => captured.extend([(on_time, segment), (later(far), again)]),
        }
    }
    captured.sort_by_key(|(at, _)| *at);
    let timed = captured.into_iter().map(|(at, tcp)| Tcp {
        time: start + Duration::from_millis(at as u64),
        ..tcp
    });
    (timed.collect(), has)
}

/// What must come out of a stream of which the capture has these bytes.
fn expected(side: usize, has: &[bool]) -> Vec<Run> {
    let mut runs = Vec::new();
    let mut at = 0;
    for run in has.chunk_by(|one, other| one == other) {
        let end = at + run.len();
        runs.push(if run[0] {
            Run::Data(bytes(side, at, end))
        } else {
            Run::Gap(run.len() as u64, GapReason::Lost)
        });
        at = end;
    }
    runs
}

fn check(replay: &Replay, has: &[Vec<bool>; 2]) -> Result<(), TestCaseError> {
    let seen = replay.only();
    for (side, has) in has.iter().enumerate() {
        prop_assert_eq!(&seen.streams[side].runs, &expected(side, has), "side {}", side);
        prop_assert_eq!(seen.closed().totals[side].conflicts, 0);
        prop_assert_eq!(seen.closed().totals[side].outside_bytes, 0);
    }
    prop_assert_eq!(seen.reason(), CloseReason::Fin);
    Ok(())
}

/// What is around the segments of a conversation.
#[derive(Debug, Clone, Copy)]
enum Wrap {
    Plain,
    /// Fragments of so many eights of bytes.
    Fragments(usize),
    /// The IP length is 0, as segmentation offload leaves it.
    LengthZero,
    /// The IP length claims more than the frame has.
    LengthTooLong,
    /// So many bytes of the payload are kept at the most.
    Snaplen(usize),
}

fn wrap() -> impl Strategy<Value = Wrap> {
    prop_oneof![
        Just(Wrap::Plain),
        (3..100_usize).prop_map(Wrap::Fragments),
        Just(Wrap::LengthZero),
        Just(Wrap::LengthTooLong),
        (0..1400_usize).prop_map(Wrap::Snaplen),
    ]
}

/// Frames of a segment. A lie about the length can only be seen through where no padding follows.
fn frames(tcp: &Tcp, wrap: Wrap) -> Vec<Frame> {
    let long = tcp.payload.len() >= 64;
    match wrap {
        Wrap::Fragments(eights) if long => tcp
            .fragments(eights * 8)
            .iter()
            .map(|fragment| Frame::new(tcp.time, tcp.ethernet(fragment)))
            .collect(),
        Wrap::LengthZero if long => vec![Frame::new(tcp.time, tcp.ethernet(&tcp.ip(Some(0))))],
        Wrap::LengthTooLong if long => vec![Frame::new(tcp.time, tcp.ethernet(&tcp.ip(Some(60_000))))],
        Wrap::Snaplen(kept) => {
            let mut frame = Frame::new(tcp.time, tcp.frame());
            let headers = tcp
                .ethernet(&tcp.ip(None))
                .len()
                .saturating_sub(tcp.payload.len());
            if long {
                frame.captured = frame.captured.min(headers + kept);
            }
            vec![frame]
        }
        _ => vec![Frame::new(tcp.time, tcp.frame())],
    }
}

/// The same segment as the file must give it.
fn as_captured(tcp: &Tcp, wrap: Wrap) -> Tcp {
    match wrap {
        Wrap::Snaplen(kept) if tcp.payload.len() >= 64 => Tcp {
            captured: Some(kept),
            ..tcp.clone()
        },
        _ => tcp.clone(),
    }
}

/// A file with these bytes, read as a capture.
fn read(bytes: &[u8]) -> Replay {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(bytes).expect("a temporary file can be written");
    let replay = replay(file.path());
    assert!(
        replay.errors.is_empty() && replay.warnings.is_empty(),
        "{:?} {:?}",
        replay.errors,
        replay.warnings
    );
    replay
}

/// So many cases, unless `PROPTEST_CASES` asks for more.
fn cases(usual: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok());
    ProptestConfig::with_cases(asked.unwrap_or(usual))
}

proptest! {
    #![proptest_config(cases(192))]

    #[test]
    fn whatever_the_wire_does_the_bytes_come_back_exactly(seq in numbers(), steps in steps(false)) {
        let (segments, has) = conversation(seq, &steps);
        check(&play(&segments), &has)?;
    }

    #[test]
    fn gaps_are_exactly_where_bytes_were_lost(seq in numbers(), steps in steps(true)) {
        let (segments, has) = conversation(seq, &steps);
        check(&play(&segments), &has)?;
    }

    #[test]
    fn one_side_alone_comes_back_too(seq in numbers(), steps in steps(true)) {
        let (segments, mut has) = conversation(seq, &steps);
        let client = segments[0].source;
        has[1].clear();
        check(&play(segments.iter().filter(|segment| segment.source == client)), &has)?;
    }

    #[test]
    fn without_the_handshake_nothing_is_lost_but_it(seq in numbers(), steps in steps(false)) {
        let in_order: Vec<_> = steps.iter().map(|(side, len, _)| (*side, *len, Fault::Nothing)).collect();
        let (segments, has) = conversation(seq, &in_order);
        check(&play(&segments[3..]), &has)?;
    }

    #[test]
    fn without_one_syn_the_other_side_tells_where_a_stream_begins(
        seq in numbers(),
        steps in steps(true),
        which in 0..2_usize,
    ) {
        let (mut segments, has) = conversation(seq, &steps);
        segments.remove(which);
        check(&play(&segments), &has)?;
    }

    #[test]
    fn another_answer_to_the_syn_changes_nothing(
        seq in numbers(),
        steps in steps(true),
        // What the server sends comes nearer behind its own number than behind the other one.
        far in 200_000..=u32::MAX,
        place in 1..3_usize,
        acknowledged in any::<bool>(),
    ) {
        let (mut segments, has) = conversation(seq, &steps);
        let other = Tcp { seq: seq[1].wrapping_add(far), ..segments[1].clone() };
        if !acknowledged {
            segments.remove(2);
        }
        segments.insert(place, other);
        let replay = play(&segments);
        check(&replay, &has)?;
        prop_assert!(replay.only().closed().handshake);
    }

    #[test]
    fn conversations_with_the_same_ends_stay_apart(
        talks in prop::collection::vec((numbers(), steps(false), 0..3_u8), 1..5)
    ) {
        // A SYN with the number of the one before it is that one again (RFC 9293, section 3.4.1).
        for side in 0..2 {
            prop_assume!(talks.windows(2).all(|two| two[0].0[side] != two[1].0[side]));
        }
        let mut segments = Vec::new();
        let mut has = Vec::new();
        let mut start = Timestamp::from_nanos(0);
        for (seq, steps, ending) in &talks {
            let (mut one, bytes) = conversation(*seq, steps);
            // Closed by both, by nobody, or by a reset from the client.
            if *ending > 0 {
                let client = one[0].source;
                let last = one.iter().rposition(|segment| segment.payload.is_empty()).expect("it is closed");
                one.remove(last);
                one.retain(|segment| segment.flags & FIN == 0 || (*ending == 2 && segment.source == client));
                one.iter_mut().filter(|segment| segment.flags & FIN != 0).for_each(|fin| fin.flags = RST | ACK);
            }
            let began = one[0].time;
            one.iter_mut().for_each(|segment| segment.time = start + segment.time.since(began));
            start = one[one.len() - 1].time + Duration::from_millis(500);
            segments.extend(one);
            has.push(bytes);
        }
        let replay = play(&segments);
        prop_assert_eq!(replay.connections.len(), talks.len());
        for (seen, has) in replay.connections.iter().zip(&has) {
            for (side, has) in has.iter().enumerate() {
                prop_assert_eq!(&seen.streams[side].runs, &expected(side, has));
            }
        }
    }
}

proptest! {
    #![proptest_config(cases(96))]

    #[test]
    fn the_same_through_capture_files(
        seq in numbers(),
        steps in steps(true),
        wrap in wrap(),
        ipv6 in any::<bool>(),
        vlans in prop::collection::vec(1..4095_u16, 0..3),
        big_endian in any::<bool>(),
        nanoseconds in any::<bool>(),
    ) {
        let (mut segments, _) = conversation(seq, &steps);
        for segment in &mut segments {
            segment.vlans.clone_from(&vlans);
            if ipv6 {
                for end in [&mut segment.source, &mut segment.destination] {
                    end.set_ip(format!("fd00::{:x}", end.port()).parse().expect("an address"));
                }
            }
        }
        let as_captured: Vec<_> = segments.iter().map(|tcp| as_captured(tcp, wrap)).collect();
        let expected = play(&as_captured);
        let frames: Vec<_> = segments.iter().flat_map(|tcp| frames(tcp, wrap)).collect();
        for file in [pcap(&frames, PcapStyle { big_endian, nanoseconds }), pcapng(&frames)] {
            let replay = read(&file);
            prop_assert_eq!(replay.packets as usize, frames.len());
            prop_assert_eq!(&replay.unread, &[]);
            prop_assert_eq!(&replay.only().streams, &expected.only().streams);
            prop_assert_eq!(replay.only().connection.vlan, vlans.first().copied());
        }
    }
}

#[test]
fn the_steps_of_these_properties_are_what_they_say() {
    let steps = [
        (0, 5, Fault::Nothing),
        (0, 7, Fault::Lost),
        (0, 3, Fault::Overlaps(2)),
    ];
    let (segments, has) = conversation([1, 1], &steps);
    assert_eq!(segments[0].flags, SYN);
    assert_eq!(segments.len(), 3 + 2 + 3, "handshake, two of three, close");
    let gaps: Vec<_> = expected(0, &has[0])
        .iter()
        .map(|run| matches!(run, Run::Gap(..)))
        .collect();
    assert_eq!(gaps, [false, true, false]);
}
