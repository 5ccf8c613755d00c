//! Clients that have everything they send read again and again: at some time it is forgotten, and is no less
//! shown, nor is a secret any more.

mod mail_support;

use flowdump::event::Direction::{ToClient, ToServer};
use flowdump::event::Kind;
use mail_support::{Run, Seen, connection, play, say};

/// Port, greeting, a command that waits, its refusal, AUTH LOGIN, the challenge to it.
const PROTOCOLS: [(u16, &str, &str, &str, &str, &str); 5] = [
    (
        25,
        "220 mx ESMTP",
        "AUTH X",
        "500 no",
        "AUTH LOGIN",
        "334 VXNlcm5hbWU6",
    ),
    (
        25,
        "220 mx ESMTP",
        "STARTTLS",
        "500 no",
        "AUTH LOGIN",
        "334 VXNlcm5hbWU6",
    ),
    (110, "+OK", "AUTH X", "-ERR no", "AUTH LOGIN", "+ VXNlcm5hbWU6"),
    (110, "+OK", "STLS", "-ERR no", "AUTH LOGIN", "+ VXNlcm5hbWU6"),
    (
        143,
        "* OK",
        "a STARTTLS",
        "a NO",
        "b AUTHENTICATE LOGIN",
        "+ VXNlcm5hbWU6",
    ),
];

const PASSWORD: &str = "cGFzc3dvcmQ=";

/// Lines, each with CRLF, so often.
fn lines(line: &str, times: usize) -> Vec<u8> {
    format!("{line}\r\n").repeat(times).into_bytes()
}

/// All of a dialogue has been shown, the password as a secret only.
fn check(runs: &[Run], seen: &Seen) {
    for direction in [ToClient, ToServer] {
        let said = runs.iter().filter(|(side, _)| *side == direction);
        let said = said.flat_map(|(_, run)| run).copied().collect::<Vec<_>>();
        assert!(said == seen.bytes[direction.index()], "all is shown");
    }
    for (kind, bytes) in &seen.runs[ToServer.index()] {
        let text = String::from_utf8_lossy(bytes);
        assert!(
            *kind == Kind::Secret || !text.contains("cGFz"),
            "{kind:?} {}",
            runs.len()
        );
    }
    assert!(seen.of(ToServer, Kind::Secret).contains(PASSWORD));
    assert!(
        !seen
            .told
            .iter()
            .any(|line| line.to_ascii_lowercase().contains("cgfz"))
    );
}

#[test]
fn a_password_is_a_secret_behind_a_flood() {
    for (port, greeting, command, refusal, auth, challenge) in PROTOCOLS {
        let mut runs = Vec::new();
        say(&mut runs, ToClient, &lines(greeting, 1));
        for _ in 0..10 {
            say(&mut runs, ToServer, &lines(command, 15_000 / (command.len() + 2)));
            say(&mut runs, ToClient, &lines(refusal, 15_000 / (command.len() + 2)));
        }
        for (from, line) in [
            (ToServer, auth),
            (ToClient, challenge),
            (ToServer, "dXNlcg=="),
            (ToClient, challenge),
            (ToServer, PASSWORD),
        ] {
            say(&mut runs, from, &lines(line, 1));
        }
        check(&runs, &play(&connection(port, true), &runs, || 1400));
    }
}

#[test]
fn a_password_is_a_secret_where_its_command_was_forgotten() {
    // Behind STARTTLS nothing is taken for a secret before its reply.
    let waits_for_auth = |(_, _, command, ..): &(u16, &str, &str, &str, &str, &str)| *command == "AUTH X";
    for (port, greeting, command, refusal, auth, challenge) in PROTOCOLS.into_iter().filter(waits_for_auth) {
        for refusals in [100, 500, 900] {
            let mut runs = Vec::new();
            say(&mut runs, ToClient, &lines(greeting, 1));
            say(&mut runs, ToServer, &lines(command, 1000));
            say(&mut runs, ToServer, &lines(auth, 1));
            say(&mut runs, ToServer, b"dXNlcg==\r\ncGFz");
            say(&mut runs, ToClient, &lines(refusal, refusals));
            say(&mut runs, ToClient, &lines(challenge, 1));
            say(&mut runs, ToServer, b"c3dvcmQ=\r\n");
            let last = lines(PASSWORD, 1);
            say(&mut runs, ToServer, &last);
            check(&runs, &play(&connection(port, true), &runs, || 1400));
        }
    }
}
