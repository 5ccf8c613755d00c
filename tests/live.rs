//! Live capture at the level of its source: real interfaces, in network namespaces that the tests make.
#![cfg(target_os = "linux")]

#[path = "lab/namespace.rs"]
mod namespace;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use flowdump::capture::{CaptureError, LinkType, LiveOptions, LiveSource, Next, Source};
use namespace::{cable, enter, ip, send};

fn options(interface: &str) -> LiveOptions {
    LiveOptions {
        interface: interface.into(),
        promiscuous: true,
        snaplen: 262_144,
        buffer_size: 64 << 20,
        immediate: true,
        wait: false,
    }
}

fn open(interface: &str, filter: &str) -> (LiveSource, Arc<AtomicBool>) {
    let stop = Arc::<AtomicBool>::default();
    let source = LiveSource::open(&options(interface), filter, Arc::clone(&stop));
    let source = source.unwrap_or_else(|error| panic!("{error}"));
    (source.expect("nobody stops it"), stop)
}

/// How a run of `collect` ended.
#[derive(Debug)]
enum Ended {
    End,
    Error(CaptureError),
    Quiet,
}

/// Packets as (number sent by `namespace::send`, bytes captured, seconds from the wire to here), until the end, or
/// until nothing came for half a second.
fn collect(source: &mut LiveSource, payload: usize) -> (Vec<(u32, usize, f64)>, Ended) {
    let mut packets = Vec::new();
    let mut last = Instant::now();
    let ended = loop {
        match source.next() {
            Ok(Next::Packet(packet)) => {
                last = Instant::now();
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as i64;
                let number = packet
                    .captured
                    .get(payload..payload + 4)
                    .map(|bytes| bytes.try_into().unwrap());
                let age = (now - packet.time.nanos()) as f64 / 1e9;
                packets.push((number.map_or(0, u32::from_be_bytes), packet.captured.len(), age));
            }
            Ok(Next::Idle(_)) if last.elapsed() > Duration::from_millis(500) => break Ended::Quiet,
            Ok(Next::Idle(_)) => {}
            Ok(Next::End) => break Ended::End,
            Err(error) => break Ended::Error(error),
        }
    };
    (packets, ended)
}

fn numbers(packets: &[(u32, usize, f64)]) -> Vec<u32> {
    packets.iter().map(|(number, ..)| *number).collect()
}

/// Ethernet, IPv4, UDP.
const PAYLOAD: usize = 14 + 20 + 8;
/// Cooked v2, IPv4, UDP.
const COOKED_PAYLOAD: usize = 20 + 20 + 8;

#[test]
fn the_filter_s_packets_come_in_order_and_soon() {
    let Some(()) = enter("the_filter_s_packets_come_in_order_and_soon") else {
        return;
    };
    cable();
    let (mut source, _) = open("in", "udp dst port 25");
    assert_eq!(source.link_type(), LinkType::ETHERNET);
    let sender = std::thread::spawn(|| {
        for number in 0..40 {
            send(25, number..number + 1, 100);
            send(26, number..number + 1, 100);
            std::thread::sleep(Duration::from_millis(7));
        }
    });
    let (packets, ended) = collect(&mut source, PAYLOAD);
    sender.join().unwrap();
    assert!(matches!(ended, Ended::Quiet), "{ended:?}");
    assert_eq!(numbers(&packets), (0..40).collect::<Vec<_>>());
    let mut ages: Vec<_> = packets.iter().map(|(.., age)| *age).collect();
    ages.sort_by(f64::total_cmp);
    assert!(ages[0] >= 0.0, "{ages:?}");
    // The tests beside this one may have the processor for a while: half of the packets are enough.
    assert!(ages[20] < 0.1, "seconds from the wire to here: {ages:?}");
}

#[test]
fn any_sees_both_ends_of_a_cable_and_tells_them_apart() {
    let Some(()) = enter("any_sees_both_ends_of_a_cable_and_tells_them_apart") else {
        return;
    };
    cable();
    let (mut source, _) = open("any", "udp dst port 25");
    assert_eq!(source.link_type(), LinkType::LINUX_SLL2);
    send(25, 0..10, 100);
    let (packets, _) = collect(&mut source, COOKED_PAYLOAD);
    let twice: Vec<_> = (0..10).flat_map(|number| [number, number]).collect();
    assert_eq!(numbers(&packets), twice);
}

#[test]
fn what_the_kernel_held_when_the_end_was_asked_for_is_given() {
    let Some(()) = enter("what_the_kernel_held_when_the_end_was_asked_for_is_given") else {
        return;
    };
    cable();
    let (mut source, stop) = open("in", "udp");
    // The thread begins with the first call.
    assert!(matches!(source.next(), Ok(Next::Idle(_))));
    send(25, 0..5000, 1000);
    stop.store(true, Ordering::Relaxed);
    let begun = Instant::now();
    let (packets, ended) = collect(&mut source, PAYLOAD);
    assert!(matches!(ended, Ended::End), "{ended:?}");
    assert_eq!(numbers(&packets), (0..5000).collect::<Vec<_>>());
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    let stats = source.stats();
    assert_eq!(
        (stats.seen, stats.dropped_by_us, stats.dropped_by_kernel),
        (5000, 0, 0)
    );
    assert!(matches!(source.next(), Ok(Next::End)), "the end stays");
}

#[test]
fn a_stop_ends_also_while_packets_keep_coming() {
    let Some(()) = enter("a_stop_ends_also_while_packets_keep_coming") else {
        return;
    };
    cable();
    let (mut source, stop) = open("in", "udp");
    let sending = Arc::new(AtomicBool::new(true));
    let more = Arc::clone(&sending);
    let sender = std::thread::spawn(move || {
        while more.load(Ordering::Relaxed) {
            send(25, 0..50, 100);
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    std::thread::sleep(Duration::from_millis(300));
    let stopper = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        stop.store(true, Ordering::Relaxed);
        Instant::now()
    });
    let (_, ended) = collect(&mut source, PAYLOAD);
    let took = stopper.join().unwrap().elapsed();
    sending.store(false, Ordering::Relaxed);
    sender.join().unwrap();
    assert!(matches!(ended, Ended::End), "{ended:?}");
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[test]
fn an_interface_that_goes_away_is_named_after_its_last_packet() {
    let Some(()) = enter("an_interface_that_goes_away_is_named_after_its_last_packet") else {
        return;
    };
    for (how, says) in [("link del out", "went away"), ("link set in down", "went down")] {
        cable();
        let (mut source, _) = open("in", "udp");
        assert!(matches!(source.next(), Ok(Next::Idle(_))));
        send(25, 0..1000, 1000);
        ip(how);
        let (packets, ended) = collect(&mut source, PAYLOAD);
        assert_eq!(numbers(&packets), (0..1000).collect::<Vec<_>>(), "{how}");
        let Ended::Error(error) = ended else {
            panic!("{how}: {ended:?}")
        };
        assert_eq!(error.to_string(), format!("in: the interface {says}"));
        assert!(matches!(source.next(), Ok(Next::End)));
    }
}

#[test]
fn with_wait_an_interface_may_come_and_go() {
    let Some(()) = enter("with_wait_an_interface_may_come_and_go") else {
        return;
    };
    let later = std::thread::spawn(|| {
        std::thread::sleep(Duration::from_millis(500));
        cable();
    });
    let options = LiveOptions {
        wait: true,
        ..options("in")
    };
    let source = LiveSource::open(&options, "udp dst port 25", Arc::default());
    let mut source = source.unwrap().unwrap();
    later.join().unwrap();
    send(25, 0..10, 100);
    let (packets, ended) = collect(&mut source, PAYLOAD);
    assert!(matches!(ended, Ended::Quiet));
    assert_eq!(numbers(&packets), (0..10).collect::<Vec<_>>());
    ip("link del in");
    assert!(matches!(collect(&mut source, PAYLOAD).1, Ended::Quiet));
    cable();
    let patience = Instant::now();
    let mut told = source.take_warnings();
    while !told.iter().any(|sentence| sentence == "in: is back") {
        assert!(patience.elapsed() < Duration::from_secs(5), "{told:?}");
        assert!(matches!(source.next(), Ok(Next::Idle(_))));
        told.extend(source.take_warnings());
    }
    assert!(
        told.contains(&"in: the interface went away; waiting for it to come back".to_owned()),
        "{told:?}"
    );
    send(25, 10..20, 100);
    assert_eq!(
        numbers(&collect(&mut source, PAYLOAD).0),
        (10..20).collect::<Vec<_>>()
    );
}

#[test]
fn waiting_for_an_interface_can_be_stopped() {
    let Some(()) = enter("waiting_for_an_interface_can_be_stopped") else {
        return;
    };
    let stop = Arc::new(AtomicBool::new(true));
    let options = LiveOptions {
        wait: true,
        ..options("in")
    };
    assert!(LiveSource::open(&options, "", stop).unwrap().is_none());
}

#[test]
fn what_a_stalled_reader_loses_is_counted() {
    let Some(()) = enter("what_a_stalled_reader_loses_is_counted") else {
        return;
    };
    cable();
    let (mut source, stop) = open("in", "udp dst port 25");
    assert!(matches!(source.next(), Ok(Next::Idle(_))));
    // 180 MB; the ring holds 64 MiB, the kernel as much. Not faster than the thread gets the processor.
    for slice in 0..60 {
        send(25, slice * 50..(slice + 1) * 50, 60_000);
        std::thread::sleep(Duration::from_millis(5));
    }
    stop.store(true, Ordering::Relaxed);
    std::thread::sleep(Duration::from_millis(200));
    let (packets, ended) = collect(&mut source, PAYLOAD);
    assert!(matches!(ended, Ended::End), "{ended:?}");
    let stats = source.stats();
    assert!(stats.dropped_by_us > 0, "{stats:?}");
    assert_eq!(packets.len() as u64, stats.seen, "{stats:?}");
    assert_eq!(
        stats.seen + stats.dropped_by_us + stats.dropped_by_kernel,
        3000,
        "{stats:?}"
    );
    let held: usize = packets.iter().map(|(_, len, _)| len).sum();
    assert!(held > 72 << 20, "{held} bytes in the ring and in the kernel");
    assert!(numbers(&packets).is_sorted());
}

#[test]
fn packets_are_cut_at_the_snaplen_and_their_length_is_kept() {
    let Some(()) = enter("packets_are_cut_at_the_snaplen_and_their_length_is_kept") else {
        return;
    };
    cable();
    let mut source = LiveSource::open(
        &LiveOptions {
            snaplen: 96,
            ..options("in")
        },
        "udp dst port 25",
        Arc::default(),
    )
    .unwrap()
    .unwrap();
    send(25, 0..1, 1000);
    loop {
        match source.next().unwrap() {
            Next::Packet(packet) => {
                assert_eq!(
                    (packet.captured.len(), packet.wire_len),
                    (96, 1000 + PAYLOAD as u32)
                );
                break;
            }
            Next::Idle(_) => {}
            Next::End => panic!("no packet came"),
        }
    }
}

#[test]
fn what_can_t_be_opened_says_why() {
    let Some(()) = enter("what_can_t_be_opened_says_why") else {
        return;
    };
    let error = |interface: &str, filter: &str| {
        LiveSource::open(&options(interface), filter, Arc::default())
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        error("eht0", ""),
        "eht0: no such interface (--list-interfaces shows them)"
    );
    ip("link add out type veth peer name in");
    assert_eq!(
        error("in", ""),
        "in: the interface is down (`ip link set in up`, or --wait for it)"
    );
    assert_eq!(
        error("lo", "prot 25"),
        "filter `prot 25`: can't parse filter expression: syntax error"
    );
}
