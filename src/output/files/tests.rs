//! What is held in memory of streams on their way into files.

use super::*;
use crate::mail::tests::connection;

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
        let options = FilesOptions {
            folder: folder.path().join("x"),
            archive,
            aside: false,
            named: false,
            namer: Namer::default(),
            min_gap: u64::MAX,
            split_tls: false,
            rotation: None,
            patience: None,
            keep_going: false,
            open_files: 4,
        };
        let mut files = Files::new(options, Lasting::default()).unwrap();
        files.writer.memory = Memory::new(4 << 20);
        for slot in 0..400 {
            let connection = Connection { slot, ..connection() };
            for part in 0..100 {
                let event = Event::Data {
                    direction: Direction::ToServer,
                    offset: part * 1400,
                    time: Timestamp::default(),
                    kind: Kind::Plain,
                    bytes: &[b'x'; 1400],
                };
                files.event(&connection, &event).unwrap();
            }
        }
        let (held, counted) = memory(&mut files);
        assert_eq!(held, counted);
        assert!(held <= 4 << 20, "{held}");
    }
}
