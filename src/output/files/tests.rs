//! What is held in memory of streams on their way into files.

use std::path::Path;

use super::*;
use crate::event::GapReason;
use crate::mail::tests::connection;

fn options(folder: &Path, archive: Option<Format>) -> FilesOptions {
    FilesOptions {
        folder: folder.join("x"),
        archive,
        aside: false,
        named: false,
        namer: Namer::default(),
        min_gap: 16 << 20,
        split_tls: false,
        rotation: None,
        patience: None,
        keep_going: false,
        open_files: 4,
    }
}

fn data(offset: u64, bytes: &[u8]) -> Event<'_> {
    Event::Data {
        direction: Direction::ToServer,
        offset,
        time: Timestamp::default(),
        kind: Kind::Plain,
        bytes,
    }
}

/// Memory that waits: what the streams hold, and what is counted of it.
fn memory(files: &mut Files) -> (usize, usize) {
    let counted = files.writer.memory.used();
    let states = files.states.take_all();
    let held = states.flat_map(|state| state.streams).flatten();
    (held.map(|stream| stream.waiting.memory()).sum(), counted)
}

#[test]
fn streams_keep_no_memory_that_is_not_counted() {
    let folder = tempfile::tempdir().unwrap();
    for archive in [None, Some(Format::Zip)] {
        let options = options(folder.path(), archive);
        let mut files = Files::new(options, Lasting::default()).unwrap();
        files.writer.memory = Memory::new(4 << 20);
        for slot in 0..400 {
            let connection = Connection { slot, ..connection() };
            for part in 0..100 {
                files
                    .event(&connection, &data(part * 1400, &[b'x'; 1400]))
                    .unwrap();
            }
        }
        let (held, counted) = memory(&mut files);
        assert_eq!(held, counted);
        assert!(held <= 4 << 20, "{held}");
    }
}

#[test]
fn gaps_make_a_thousand_files_of_a_direction_and_no_more() {
    const GAP: u64 = 20_000_000;
    let folder = tempfile::tempdir().unwrap();
    let mut files = Files::new(options(folder.path(), None), Lasting::default()).unwrap();
    let connection = connection();
    for part in 0..1100 {
        let offset = part * (GAP + 1);
        files.event(&connection, &data(offset, b"x")).unwrap();
        let gap = Event::Gap {
            direction: Direction::ToServer,
            offset: offset + 1,
            len: GAP,
            time: Timestamp::default(),
            reason: GapReason::Lost,
        };
        files.event(&connection, &gap).unwrap();
    }
    files.finish().unwrap();
    assert_eq!(files.made(), 1000);
    let mut lens: Vec<u64> = folder
        .path()
        .join("x")
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_name() != "flows.jsonl")
        .map(|entry| entry.metadata().unwrap().len())
        .collect();
    lens.sort_unstable();
    assert_eq!(lens.first(), Some(&1));
    assert_eq!(lens.last(), Some(&(101 * (GAP + 1))));
}
