//! Files of packets, written and looked at.

use super::*;
use crate::capture::{FileSource, Next, Source};

fn packet(micros: i64, captured: &[u8]) -> Packet<'_> {
    Packet {
        time: Timestamp::from_nanos(1_700_000_000_000_000_000 + micros * 1000 + 7),
        link_type: LinkType::ETHERNET,
        interface: 0,
        captured,
        wire_len: 2000,
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Every packet's time and first byte.
fn read(path: &Path) -> Vec<(i64, u8)> {
    let mut source = FileSource::open(&[path.to_owned()]).unwrap();
    let mut packets = Vec::new();
    while let Next::Packet(packet) = source.next().unwrap() {
        assert_eq!((packet.wire_len, packet.link_type), (2000, LinkType::ETHERNET));
        packets.push((
            packet.time.nanos() % 1_000_000_000,
            *packet.captured.first().unwrap(),
        ));
    }
    assert_eq!(source.take_warnings(), Vec::<String>::new());
    packets
}

#[test]
fn what_was_written_reads_back_in_microseconds_or_nanoseconds() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.pcap");
    for (nanoseconds, time) in [(false, 5000), (true, 5007)] {
        let writer = PacketWriter::create(&path, LinkType::ETHERNET, 1000, WriteOptions::default()).unwrap();
        let mut writer = writer.nanoseconds(nanoseconds);
        writer.write(&packet(5, &[42; 1000])).unwrap();
        writer.finish().unwrap();
        assert_eq!(read(&path), [(time, 42)]);
        assert_eq!(
            FileSource::open(std::slice::from_ref(&path))
                .unwrap()
                .nanoseconds(),
            nanoseconds
        );
    }
}

#[test]
fn a_capture_without_packets_is_a_capture() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("empty.pcap");
    PacketWriter::create(&path, LinkType::RAW, 100, WriteOptions::default())
        .unwrap()
        .finish()
        .unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 24);
    assert_eq!(FileSource::open(&[path]).unwrap().link_types(), [LinkType::RAW]);
}

#[test]
fn a_tick_brings_everything_into_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.pcap");
    let mut writer = PacketWriter::create(&path, LinkType::ETHERNET, 1000, WriteOptions::default()).unwrap();
    writer.write(&packet(1, &[1])).unwrap();
    writer.write(&packet(2, &[2])).unwrap();
    writer.tick(packet(100, &[]).time).unwrap();
    assert_eq!(read(&path).len(), 2);
}

#[test]
fn packets_that_keep_coming_are_in_the_file_within_a_second() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.pcap");
    let mut writer = PacketWriter::create(&path, LinkType::ETHERNET, 1000, WriteOptions::default()).unwrap();
    for tenth in 0..30 {
        writer.write(&packet(tenth * 100_000, &[0])).unwrap();
        assert!(
            read(&path).len() as i64 + 10 > tenth,
            "after {tenth} tenths of a second"
        );
    }
}

#[test]
fn beyond_the_size_a_new_file_is_numbered_as_tcpdump_does() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.pcap");
    let options = WriteOptions {
        size: Some(1100),
        ..WriteOptions::default()
    };
    let mut writer = PacketWriter::create(&path, LinkType::ETHERNET, 1000, options).unwrap();
    for number in 0..5 {
        writer.write(&packet(i64::from(number), &[number; 500])).unwrap();
    }
    writer.finish().unwrap();
    assert_eq!(names(folder.path()), ["w.pcap", "w.pcap1", "w.pcap2"]);
    let files = ["w.pcap", "w.pcap1", "w.pcap2"].map(|name| read(&folder.path().join(name)));
    let bytes = files.map(|file| file.iter().map(|(_, byte)| *byte).collect::<Vec<_>>());
    assert_eq!(bytes, [vec![0, 1], vec![2, 3], vec![4]]);
}

#[test]
fn with_a_count_the_oldest_goes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w");
    let options = WriteOptions {
        every: Some(Duration::from_secs(1)),
        count: Some(11),
        ..WriteOptions::default()
    };
    let mut writer = PacketWriter::create(&path, LinkType::ETHERNET, 1000, options).unwrap();
    for number in 0..13 {
        writer
            .write(&packet(i64::from(number) * 1_000_000, &[number]))
            .unwrap();
    }
    writer.finish().unwrap();
    let names = names(folder.path());
    assert_eq!((names.len(), names.first().unwrap().as_str()), (11, "w00"));
    let first_byte = |name: &str| read(&folder.path().join(name)).first().unwrap().1;
    assert_eq!(["w00", "w01", "w02", "w10"].map(first_byte), [11, 12, 2, 10]);
}

#[test]
fn a_second_link_type_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w");
    let mut writer = PacketWriter::create(&path, LinkType::RAW, 100, WriteOptions::default()).unwrap();
    writer.write(&packet(0, &[1])).unwrap();
    let raw = Packet {
        link_type: LinkType::RAW,
        ..packet(0, &[1])
    };
    let error = writer.write(&raw).unwrap_err();
    assert!(error.to_string().contains("one link type"), "{error}");
    drop(writer);
    assert_eq!(read(&path).len(), 1, "the first packet says which");
}

#[test]
fn a_time_that_the_format_cannot_hold_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w");
    let mut writer = PacketWriter::create(&path, LinkType::ETHERNET, 100, WriteOptions::default()).unwrap();
    for seconds in [1 << 32, -1] {
        let packet = Packet {
            time: Timestamp::from_nanos(seconds * 1_000_000_000),
            ..packet(0, &[1])
        };
        let error = writer.write(&packet).unwrap_err();
        assert!(error.to_string().contains("2106"), "{error}");
    }
    drop(writer);
    assert_eq!(read(&path), []);
}

#[test]
fn standard_output_is_one_file() {
    let options = WriteOptions {
        size: Some(1),
        ..WriteOptions::default()
    };
    let error = PacketWriter::create(Path::new("-"), LinkType::RAW, 100, options).unwrap_err();
    assert!(matches!(error, WriteError::Rotation));
}

#[test]
fn a_full_disk_is_an_error_and_what_was_taken_in_is_not_doubled_later() {
    let options = WriteOptions::default();
    let mut writer = PacketWriter::create(Path::new("/dev/full"), LinkType::ETHERNET, 100, options).unwrap();
    writer.write(&packet(0, &[1])).unwrap_err();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w");
    writer.out = Box::new(create(&path).unwrap());
    writer.write(&packet(1, &[2])).unwrap();
    writer.finish().unwrap();
    assert_eq!(
        read(&path).iter().map(|(_, byte)| *byte).collect::<Vec<_>>(),
        [1, 2]
    );
}

#[test]
fn a_disk_that_stays_full_takes_no_more_memory_and_what_is_lost_is_counted() {
    let options = WriteOptions::default();
    let mut writer = PacketWriter::create(Path::new("/dev/full"), LinkType::ETHERNET, 100, options).unwrap();
    let large = vec![1; 1 << 20];
    for _ in 0..10 {
        writer.write(&packet(0, &large)).unwrap_err();
    }
    assert!(writer.held.len() < MOST_HELD + (2 << 20));
    assert_eq!(writer.lost(), 6, "the others wait");
    writer.finish().unwrap_err();
    assert_eq!(writer.lost(), 10);
}
