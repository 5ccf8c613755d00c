//! What watchers keep, whatever the number of connections.

use super::*;
use crate::budget::SMALL;
use crate::event::{Direction, Kind};
use crate::time::Timestamp;

use Direction::{ToClient, ToServer};

/// Bytes for all connections.
const MOST: usize = 64 << 10;
/// What one event may add beyond.
const ONE: usize = 48 << 10;

/// The next bytes of a direction.
fn next<'a>(direction: Direction, offsets: &mut [u64; 2], bytes: &'a [u8]) -> Event<'a> {
    let offset = direction.of_mut(offsets);
    *offset += bytes.len() as u64;
    Event::Data {
        direction,
        offset: *offset - bytes.len() as u64,
        time: Timestamp::default(),
        kind: Kind::Plain,
        bytes,
    }
}

/// Many connections that say the same, one after the other, none of which ends. What was passed of the last one: bytes,
/// their kinds.
fn many(port: u16, said: &[(Direction, &[u8])]) -> (Watchers, Vec<(Direction, Kind, Vec<u8>)>) {
    let mut watchers = Watchers::new().within(MOST);
    let mut passed = Vec::new();
    for slot in 0..200 {
        passed.clear();
        let mut connection = crate::mail::tests::connection();
        connection.server.port = port;
        (connection.slot, connection.id) = (slot, slot.into());
        let mut emit = |_: &Connection, event: &Event<'_>| {
            if let Event::Data {
                direction,
                kind,
                bytes,
                ..
            } = event
            {
                passed.push((*direction, *kind, bytes.to_vec()));
            }
            Ok(())
        };
        watchers.event(&connection, &Event::Opened, &mut emit).unwrap();
        let mut offsets = [0; 2];
        for (direction, bytes) in said {
            let event = next(*direction, &mut offsets, bytes);
            watchers.event(&connection, &event, &mut emit).unwrap();
        }
        let kept = watchers.budget.kept();
        let little = (slot as usize + 1) * 2 * SMALL;
        assert!(
            kept <= MOST + ONE + little,
            "{kept} bytes kept of {slot} connections"
        );
    }
    for direction in Direction::BOTH {
        let all = |of: Direction, bytes: &[u8]| {
            if of == direction {
                bytes.to_vec()
            } else {
                Vec::new()
            }
        };
        let before: Vec<u8> = said.iter().flat_map(|(of, bytes)| all(*of, bytes)).collect();
        let after: Vec<u8> = passed.iter().flat_map(|(of, _, bytes)| all(*of, bytes)).collect();
        assert!(before == after, "{direction:?} is not what it was");
    }
    (watchers, passed)
}

/// What is not said to be secret.
fn clear(passed: &[(Direction, Kind, Vec<u8>)]) -> String {
    let clear = passed.iter().filter(|(_, kind, _)| *kind != Kind::Secret);
    let bytes: Vec<u8> = clear.flat_map(|(_, _, bytes)| bytes.clone()).collect();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn unanswered_messages_share_a_budget() {
    let body = b"words of a message\r\n".repeat(700);
    let said: &[(_, &[u8])] = &[
        (ToClient, b"220 mx ESMTP\r\n"),
        (ToServer, b"MAIL FROM:<a@b.test>\r\n"),
        (ToClient, b"250 ok\r\n"),
        (ToServer, b"DATA\r\n"),
        (ToServer, &body),
    ];
    let (mut watchers, passed) = many(25, said);
    assert!(passed.iter().any(|(_, kind, _)| *kind == Kind::Body));
    // All is given back once they are over, or others have their slots.
    for slot in 0..200 {
        let mut connection = crate::mail::tests::connection();
        connection.slot = slot;
        watchers
            .event(&connection, &Event::Opened, &mut |_, _| Ok(()))
            .unwrap();
    }
    assert_eq!(watchers.budget.kept(), 0);
}

#[test]
fn lines_in_the_making_share_a_budget() {
    let name = [&b"EHLO "[..], &b"x".repeat(4000)].concat();
    let reply = [&b"220 "[..], &b"x".repeat(4000)].concat();
    many(
        25,
        &[
            (ToClient, b"220 mx ESMTP\r\n"),
            (ToServer, &name),
            (ToClient, &reply),
        ],
    );
}

#[test]
fn commands_without_replies_share_a_budget() {
    let noops = b"NOOP\r\n".repeat(250);
    many(25, &[(ToClient, b"220 mx ESMTP\r\n"), (ToServer, &noops)]);
}

#[test]
fn handshakes_in_the_making_share_a_budget() {
    let mut record = vec![22, 3, 1, 0x30, 0, 1, 0, 0x3f, 0xf0, 3, 3];
    record.resize(5 + 0x3000, 0);
    many(443, &[(ToServer, &record), (ToClient, &record)]);
}

#[test]
fn what_was_hidden_stays_hidden_where_memory_is_short() {
    let more = b"c2VjcmV0\r\n".repeat(400);
    let (_, passed) = many(
        25,
        &[
            (ToClient, b"220 mx ESMTP\r\n"),
            (ToServer, b"EHLO c\r\n"),
            (ToClient, b"250 AUTH PLAIN\r\n"),
            (ToServer, b"AUTH PLAIN\r\n"),
            (ToServer, &more),
            (ToServer, b"c2VjcmV0\r\n"),
        ],
    );
    assert!(!clear(&passed).contains("c2VjcmV0"), "{}", clear(&passed));
}

/// The user's name is so long that the password begins where nobody looks any more.
#[test]
fn a_password_behind_a_long_name_is_hidden_where_memory_is_short() {
    let login = [&b"a1 LOGIN \""[..], &b"x".repeat(3000), &b"\" hun"[..]].concat();
    for rest in [&b"ter2"[..], b"ter2\r\n"] {
        let (_, passed) = many(
            143,
            &[
                (ToClient, b"* OK IMAP4rev1\r\n"),
                (ToServer, &login),
                (ToServer, rest),
            ],
        );
        let clear = clear(&passed);
        assert!(!clear.contains("hun") && !clear.contains("ter2"), "{clear}");
    }
}

/// A line that never ends waits no longer than many lines do.
#[test]
fn an_endless_line_is_not_kept() {
    for (port, said) in [
        (143, [&b"* OK IMAP4rev1\r\n"[..], b"a1 AUTHENTICATE PLAIN\r\n"]),
        (110, [&b"+OK POP3\r\n"[..], b"AUTH PLAIN\r\n"]),
    ] {
        let mut watchers = Watchers::new();
        let mut connection = crate::mail::tests::connection();
        connection.server.port = port;
        let mut offsets = [0u64; 2];
        let [greeting, auth] = said;
        let line = b"x".repeat(10_000);
        let endless = std::iter::repeat_n((ToServer, &line[..]), 50);
        for (direction, bytes) in [(ToClient, greeting), (ToServer, auth), (ToServer, b"AGE=\r\n")]
            .into_iter()
            .chain(endless)
        {
            let event = next(direction, &mut offsets, bytes);
            watchers
                .event(&connection, &event, &mut |_, event| match event {
                    Event::Data { bytes, kind, .. } if bytes.contains(&b'x') => {
                        assert_eq!(*kind, Kind::Secret);
                        Ok(())
                    }
                    _ => Ok(()),
                })
                .unwrap();
        }
        let kept = watchers.budget.kept();
        assert!(kept < 32 << 10, "{kept} bytes kept on port {port}");
    }
}

/// Both sides say a byte in turn, and nobody can tell what it will be: what each said last is put together.
#[test]
fn turns_of_a_byte_are_not_kept_one_by_one() {
    let mut watchers = Watchers::new();
    let connection = crate::mail::tests::connection();
    let mut offsets = [0u64; 2];
    let mut passed = [0; 2];
    let begin = [(ToClient, &b"220 mx"[..]), (ToServer, b"EHLO x")];
    let turns = [(ToClient, &b"x"[..]), (ToServer, b"x")].repeat(400);
    for (direction, bytes) in begin.iter().chain(&turns) {
        let event = next(*direction, &mut offsets, bytes);
        let mut count = |_: &Connection, event: &Event<'_>| {
            if let Event::Data { direction, bytes, .. } = event {
                *direction.of_mut(&mut passed) += bytes.len() as u64;
            }
            Ok(())
        };
        watchers.event(&connection, &event, &mut count).unwrap();
    }
    assert_eq!(passed, offsets);
    let Some(Slot::Watched(Some(watch))) = watchers.slots.get_mut(connection.slot as usize) else {
        panic!("nobody looks any more");
    };
    let runs = watch.probe.as_mut().unwrap().take_runs();
    assert_eq!(runs.len(), 64);
    let kept: usize = runs.iter().map(|(_, kept)| kept.len()).sum();
    assert_eq!(kept, 812);
}
