//! Which folder a connection goes to where days are turned.

use super::*;

const TODAY: i64 = 20_778;
const NOON: i64 = 43_200;

fn at(day: i64, second: i64) -> Timestamp {
    Timestamp::from_nanos((day * 86_400 + second) * 1_000_000_000)
}

fn by_day(path: &Path) -> Folders {
    Folders::new(path, true, Some(Rotation::Day)).unwrap()
}

/// A connection that ends at once.
fn connection(folders: &mut Folders, time: Timestamp) {
    let id = folders.enter(time).unwrap();
    folders.leave(id, b"{}\n").unwrap();
}

/// Connections by index.
fn lines(path: &Path) -> Vec<(String, usize)> {
    let mut lines = Vec::new();
    for folder in path.read_dir().unwrap() {
        for index in folder.unwrap().path().read_dir().unwrap() {
            let index = index.unwrap().path();
            let name = index.strip_prefix(path).unwrap().display().to_string();
            lines.push((name, std::fs::read_to_string(index).unwrap().lines().count()));
        }
    }
    lines.sort();
    lines
}

fn expected(lines: &[(&str, usize)]) -> Vec<(String, usize)> {
    lines
        .iter()
        .map(|(name, count)| ((*name).to_owned(), *count))
        .collect()
}

#[test]
fn a_packet_dated_far_ahead_takes_no_other_connection_along() {
    let path = tempfile::tempdir().unwrap();
    let mut folders = by_day(path.path());
    for time in [
        at(TODAY, NOON),
        at(40_000, 0),
        at(TODAY, NOON + 1),
        at(TODAY + 1, 0),
    ] {
        connection(&mut folders, time);
    }
    drop(folders);
    assert_eq!(
        lines(path.path()),
        expected(&[
            ("20261121/flows.jsonl", 2),
            ("20261122/flows.jsonl", 1),
            ("20790708/flows.jsonl", 1),
        ])
    );
}

#[test]
fn a_clock_that_goes_back_over_midnight_finds_both_days_open() {
    let path = tempfile::tempdir().unwrap();
    let mut folders = by_day(path.path());
    for _ in 0..100 {
        connection(&mut folders, at(TODAY, 86_399));
        connection(&mut folders, at(TODAY + 1, 0));
    }
    assert_eq!(folders.next, 2, "opened once each");
    drop(folders);
    assert_eq!(
        lines(path.path()),
        expected(&[("20261121/flows.jsonl", 100), ("20261122/flows.jsonl", 100)])
    );
}

#[test]
fn a_day_that_comes_again_after_many_others_goes_on_in_its_index() {
    let path = tempfile::tempdir().unwrap();
    let mut folders = by_day(path.path());
    for _ in 0..3 {
        for day in 0..10 {
            connection(&mut folders, at(TODAY + day, NOON));
            assert!(folders.folders.len() <= IDLE_DAYS + 1);
        }
    }
    drop(folders);
    let lines = lines(path.path());
    assert_eq!(lines.len(), 10, "{lines:?}");
    assert!(lines.iter().all(|(_, count)| *count == 3), "{lines:?}");
}

#[test]
fn open_connections_of_ever_new_days_do_not_open_ever_more_folders() {
    let path = tempfile::tempdir().unwrap();
    let mut folders = by_day(path.path());
    for day in 0..200 {
        folders.enter(at(TODAY + day, NOON)).unwrap();
    }
    assert_eq!(folders.folders.len(), BUSY_DAYS);
}
