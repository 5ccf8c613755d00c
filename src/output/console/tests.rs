//! What lines in the making take, whatever the number of connections.

use super::*;
use crate::event::Kind;

/// What the console shows of many connections that say half a line each, with so much memory for them, and how much
/// it took at most.
fn half_lines(kind: Kind, bytes: usize) -> (String, usize) {
    let mut console = Console::new(Vec::new(), testing::options()).within(bytes);
    let mut most = 0;
    for slot in 0..100 {
        let mut connection = testing::connection();
        (connection.slot, connection.id) = (slot, slot.into());
        for bytes in [[b'x'; 5000], [b'y'; 5000]] {
            let event = Event::Data {
                direction: Direction::ToServer,
                offset: 0,
                time: Timestamp::default(),
                kind,
                bytes: &bytes,
            };
            console.event(&connection, &event).unwrap();
            most = most.max(console.budget.kept());
        }
    }
    console.tick(Timestamp::NEVER).unwrap();
    console.finish().unwrap();
    assert_eq!(console.budget.kept(), 0);
    (String::from_utf8(console.writer).unwrap(), most)
}

#[test]
fn half_lines_share_a_budget() {
    let (shown, most) = half_lines(Kind::Plain, 50_000);
    assert!(most < 50_000 + 20_000, "{most}");
    for letter in ['x', 'y'] {
        assert_eq!(shown.matches(letter).count(), 100 * 5000);
    }
    let (shown, _) = half_lines(Kind::Secret, 0);
    assert!(shown.contains("[hidden]") && !shown.contains("xy") && !shown.contains("yy"));
}

/// All that becomes overdue at once is not gathered before it is written.
#[test]
fn what_is_overdue_is_written_as_it_is_shown() {
    let (_, most) = half_lines(Kind::Plain, usize::MAX);
    assert!(most > 100 * 8000, "{most}");
    let mut console = Console::new(Vec::new(), testing::options());
    for slot in 0..100 {
        let mut connection = testing::connection();
        (connection.slot, connection.id) = (slot, slot.into());
        let event = Event::Data {
            direction: Direction::ToServer,
            offset: 0,
            time: Timestamp::default(),
            kind: Kind::Plain,
            bytes: &[b'x'; 15_000],
        };
        console.event(&connection, &event).unwrap();
    }
    console.tick(Timestamp::NEVER).unwrap();
    assert!(console.buffer.len() < 2 * BLOCK, "{}", console.buffer.len());
}
