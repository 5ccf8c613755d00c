//! Secrets are labelled as such, however they are written.

mod mail_support;

use flowdump::event::{Connection, Direction, Kind};
use mail_support::{Run, Seen, connection, play, say, script};

use Direction::{ToClient, ToServer};

/// A dialogue seen from its start.
fn told(text: &str) -> Seen {
    play(&connection(9999, true), &script(text), || usize::MAX)
}

/// Whether no way of cutting a dialogue shows `secret`, in bytes or in words.
fn hides(runs: &[Run], secret: &str) {
    for size in [usize::MAX, 1, 2, 3, 5, 11] {
        let seen = play(&connection(9999, true), runs, || size);
        assert!(
            seen.of(ToServer, Kind::Secret).contains(secret),
            "{size}: {:?}",
            seen.runs[0]
        );
        for kind in [Kind::Plain, Kind::Command, Kind::Body] {
            assert!(
                !seen.of(ToServer, kind).contains(secret),
                "{size} {kind:?}: {:?}",
                seen.runs[0]
            );
        }
        assert!(
            !seen.told.iter().any(|line| line.contains(secret)),
            "{size}: {:?}",
            seen.told
        );
    }
}

#[test]
fn any_blank_before_or_behind_a_verb_is_one() {
    for auth in ["AUTH\tPLAIN", " AUTH PLAIN", "\tAUTH\tPLAIN", "auth  plain"] {
        let text = format!("S: 220 mx ESMTP\nC: EHLO c\nS: 250 mx\nC: {auth} AGEAYg==\nS: 235 ok");
        hides(&script(&text), "AGEAYg==");
        assert!(told(&text).has("auth PLAIN a Some(true)"), "{auth:?}");
    }
    for pass in ["PASS\t", " PASS ", "pass\t"] {
        let text = format!("S: +OK hi\nC: USER a\nS: +OK\nC: {pass}hunter2\nS: +OK");
        hides(&script(&text), "hunter2");
    }
    hides(
        &script("S: * OK hi\nC: a1\tLOGIN\talice\thunter2\nS: a1 OK in"),
        "hunter2",
    );
}

#[test]
fn so_it_is_in_a_connections_first_line() {
    hides(
        &script("S: 220 hi\nC: AUTH\tPLAIN AGEAYg==\nS: 235 ok\nC: EHLO x"),
        "AGEAYg==",
    );
    hides(&script("C: \tPASS\thunter2\nS: +OK"), "hunter2");
}

#[test]
fn behind_imaps_user_comes_a_password_whatever_the_user_is() {
    let long = "u".repeat(300);
    for login in [
        &format!("C: a LOGIN {{300+}}\nC: {long} hunter2")[..],
        &format!("C: a LOGIN {{300+}}\nC: {long} {{7+}}\nC: hunter2"),
        "C: a LOGIN {5+}\nC: alice hunter2",
        "C: a LOGIN {5+}\nC: alice {7+}\nC: hunter2",
        "C: a LOGIN {5+}\nC: alice{7+}\nC: hunter2",
        "C: a LOGIN {0+}\nC: {7+}\nC: hunter2",
        "C: a LOGIN {0+}\nC:  hunter2",
        "C: a LOGIN \"\" {7+}\nC: hunter2",
        "C: a LOGIN \"al ice\"{7+}\nC: hunter2",
        "C: a LOGIN {5}\nS: + go\nC: alice {7}\nS: + go\nC: hunter2",
    ] {
        hides(&script(&format!("S: * OK hi\n{login}\nS: a OK in")), "hunter2");
    }
    let seen = told("S: * OK hi\nC: a LOGIN {5+}\nC: alice {7+}\nC: hunter2\nS: a OK in");
    assert_eq!(seen.of(ToServer, Kind::Secret), "hunter2");
    assert!(seen.has("auth LOGIN alice Some(true)"), "{:?}", seen.told);
}

#[test]
fn a_proxys_password_is_one() {
    let mut socks = Vec::new();
    say(&mut socks, ToServer, b"\x05\x02\0\x02");
    say(&mut socks, ToClient, b"\x05\x02");
    say(&mut socks, ToServer, b"\x01\x05alice\x07hunter2");
    say(&mut socks, ToClient, b"\x01\0");
    say(&mut socks, ToServer, b"\x05\x01\0\x01\x01\x02\x03\x04\0\x19");
    say(&mut socks, ToClient, b"\x05\0\0\x01\x01\x02\x03\x04\0\x19");
    let mail = script("S: 220 mx ESMTP\nC: EHLO c\nS: 250 mx");
    hides(&[socks, mail.clone()].concat(), "hunter2");

    let connect = script(
        "C: CONNECT mx:25 HTTP/1.1\nC: proxy-authorization: Basic YTpi\nC: A: b\nC:\nS: HTTP/1.1 200 OK\nS:",
    );
    hides(&[connect, mail].concat(), "YTpi");
}

#[test]
fn what_answers_a_challenge_is_one_where_the_command_before_it_was_not_seen() {
    let dialogues = [
        (
            25,
            "S: 334 VXNlcm5hbWU6\nC: YWxpY2U=\nS: 334 UGFzc3dvcmQ6\nC: c2VjcmV0\nS: 235 ok\nC: RSET",
        ),
        (
            25,
            "S: 334 UGFzc3dvcmQ6\nC: c2VjcmV0\nS: 535 no\nC: QUIT\nS: 221 bye",
        ),
        (25, "S: 334 \nC: c2VjcmV0\nS: 235 ok\nC: MAIL FROM:<a@b>"),
        (
            2526,
            "S: 334 UGFzc3dvcmQ6\nC: c2VjcmV0\nS: 235 2.7.0 ok\nC: MAIL FROM:<a@b>\nS: 250 ok",
        ),
        (
            25,
            "S: 250-mx\nS: 250 AUTH LOGIN\nS: 334 UGFzc3dvcmQ6\nC: c2VjcmV0\nS: 235 ok\nC: NOOP",
        ),
        (110, "S: +OK\nS: + \nC: c2VjcmV0\nS: +OK in\nC: STAT"),
        (
            143,
            "S: * CAPABILITY IMAP4rev1\nS: + \nC: c2VjcmV0\nS: a1 OK in\nC: a2 NOOP\nS: a2 OK",
        ),
    ];
    for (port, text) in dialogues {
        for size in [usize::MAX, 1, 2, 3, 5, 11] {
            let seen = play(&connection(port, false), &script(text), || size);
            let secret = seen.of(ToServer, Kind::Secret);
            assert!(
                secret.ends_with("c2VjcmV0\r\n"),
                "{size}: {text}: {:?}",
                seen.runs[0]
            );
            let clear: Vec<_> = seen.runs[0]
                .iter()
                .filter(|(kind, _)| *kind != Kind::Secret)
                .collect();
            let [(Kind::Command, command)] = clear[..] else {
                panic!("{size}: {text}: {clear:?}");
            };
            let said = text.lines().rfind(|line| line.starts_with("C: "));
            assert_eq!(
                said.map(|said| &said.as_bytes()[3..]),
                command.strip_suffix(b"\r\n")
            );
        }
    }
    // Whoever waits for new mail sends no secret.
    let text = "S: * OK [CAPABILITY IMAP4rev1]\nS: + idling\nS: * 2 EXISTS\nC: DONE\nS: a1 OK\nC: a2 NOOP";
    let seen = play(&connection(143, false), &script(text), || usize::MAX);
    assert_eq!(seen.of(ToServer, Kind::Secret), "");
}

/// A dialogue in which `C: (lost)` stands for a gap: one hears of it when the client's next bytes come, which is
/// behind the challenge that answers the lost command.
fn with_gaps(text: &str) -> Vec<Run> {
    let parts = text.split("C: (lost)\n").map(script);
    let joined = parts.reduce(|before, behind| [before, vec![(ToServer, Vec::new())], behind].concat());
    joined.unwrap_or_default()
}

/// However a dialogue is cut, its secrets, and nothing else, are hidden.
fn hides_exactly(connection: &Connection, text: &str, secrets: &[&str]) {
    let secrets: String = secrets.iter().map(|secret| format!("{secret}\r\n")).collect();
    for size in [usize::MAX, 1, 2, 3, 5, 11] {
        let seen = play(connection, &with_gaps(text), || size);
        assert_eq!(
            seen.of(ToServer, Kind::Secret),
            secrets,
            "{size}: {text}: {:?}",
            seen.runs[0]
        );
    }
}

const SMTP: &str = "S: 220 mx ESMTP\nC: EHLO c\nS: 250 AUTH PLAIN LOGIN";
const IMAP: &str = "S: * OK IMAP4rev1\nC: a0 NOOP\nS: a0 OK";
const POP3: &str = "S: +OK hi\nC: CAPA\nS: +OK\nS: .";
const SIEVE: &str = "S: \"IMPLEMENTATION\" \"x\"\nS: \"STARTTLS\"\nS: OK\nC: NOOP\nS: OK";

#[test]
fn so_it_is_where_the_command_is_all_that_a_connection_lacks() {
    for (port, opening, login) in [
        (25, SMTP, "S: 334 \nC: (lost)\nC: AGEAYg==\nS: 235 ok\nC: RSET"),
        (
            25,
            SMTP,
            "S: 334 VXNlcm5hbWU6\nC: (lost)\nC: YWxpY2U=\nS: 334 UGFzc3dvcmQ6\nC: AGEAYg==\nS: 235 ok\nC: RSET",
        ),
        (
            143,
            IMAP,
            "S: + \nC: (lost)\nC: AGEAYg==\nS: a1 OK in\nC: a2 NOOP",
        ),
        (110, POP3, "S: + \nC: (lost)\nC: AGEAYg==\nS: +OK in\nC: STAT"),
        (
            4190,
            SIEVE,
            "S: \"\"\nC: (lost)\nC: \"AGEAYg==\"\nS: OK\nC: LISTSCRIPTS",
        ),
    ] {
        let said: Vec<_> = login
            .lines()
            .filter_map(|line| line.strip_prefix("C: "))
            .collect();
        let secrets: Vec<_> = said[..said.len() - 1]
            .iter()
            .filter(|said| **said != "(lost)")
            .copied()
            .collect();
        for from_start in [true, false] {
            hides_exactly(
                &connection(port, from_start),
                &format!("{opening}\n{login}"),
                &secrets,
            );
        }
        // The server's next word is a refusal, or the answer is lost with the command.
        let refused = login
            .replace("235 ok", "535 no")
            .replace("a1 OK", "a1 NO")
            .replace("+OK in", "-ERR");
        hides_exactly(
            &connection(port, true),
            &format!("{opening}\n{refused}"),
            &secrets,
        );
    }
    let both = "S: 334 \nS: 235 ok\nC: (lost)\nC: what was said\nC: RSET\nS: 250 ok";
    hides_exactly(&connection(25, true), &format!("{SMTP}\n{both}"), &[]);
    // The outcome ends it, although the gap before it has taken the command out of the queue.
    let user = "C: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nS: 334 UGFzc3dvcmQ6\nC: (lost)\nC: AGEAYg==\nS: 235 ok";
    let text = format!("{SMTP}\n{user}\nC: (lost)\nC: any text\nS: 250 ok");
    hides_exactly(&connection(25, true), &text, &["AGEAYg=="]);
}

#[test]
fn a_challenge_that_nobody_asked_for_hides_no_command() {
    for (port, text) in [
        (
            25,
            format!("{SMTP}\nS: 334 \nC: RSET\nS: 250 ok\nC: (lost)\nC: any text\nS: 250 ok"),
        ),
        (
            143,
            format!("{IMAP}\nS: + \nC: a1 NOOP\nS: a1 OK\nC: (lost)\nC: any text"),
        ),
        (
            110,
            format!("{POP3}\nS: + \nC: STAT\nS: +OK\nC: (lost)\nC: any text"),
        ),
    ] {
        hides_exactly(&connection(port, true), &text, &[]);
    }
}

#[test]
fn only_a_line_that_answers_is_hidden_not_the_message_behind_it() {
    let append = "S: + OK\nC: (lost)\nC: Subject: hello\nC:\nC: text\nS: a1 OK\nC: a2 NOOP";
    for from_start in [true, false] {
        let text = format!("{IMAP}\n{append}");
        hides_exactly(&connection(143, from_start), &text, &["Subject: hello"]);
    }
}

#[test]
fn a_challenge_in_base64_does_not_speak_of_idling() {
    for from_start in [true, false] {
        let connection = connection(143, from_start);
        let hides = |challenge: &str, answer: &str, secrets: &[&str]| {
            let text = format!("{IMAP}\nS: + {challenge}\nC: (lost)\nC: {answer}\nS: a1 OK\nC: a2 NOOP");
            hides_exactly(&connection, &text, secrets);
        };
        hides("PDE4OTYuNjk3MTcwidLQHBvc3Rv", "AGEAYg==", &["AGEAYg=="]);
        for idling in ["idling", "IDLE accepted, awaiting DONE command.", "idle"] {
            hides(idling, "DONE", &[]);
        }
    }
}

#[test]
fn what_answers_the_first_line_of_a_capture_is_a_secret() {
    for (port, login) in [
        (143, "S: + \nC: AGEAYg==\nS: a1 OK in\nC: a2 SELECT INBOX"),
        (143, "S: +\nC: AGEAYg==\nS: a1 OK in\nC: a2 SELECT INBOX"),
        (
            143,
            "S: + OK\nC: alice {7}\nS: + OK\nC: hunter2\nS: a1 OK in\nC: a2 NOOP",
        ),
        (143, "S: + OK\nC: alice {7+}\nC: hunter2\nS: a1 OK in\nC: a2 NOOP"),
        (110, "S: + \nC: AGEAYg==\nS: +OK in\nC: STAT"),
        (
            110,
            "S: + VXNlcm5hbWU6\nC: YWxpY2U=\nS: + UGFzc3dvcmQ6\nC: YQ==\nS: +OK in\nC: STAT",
        ),
        (4190, "S: \"PDE4OTYu\"\nC: \"AGEAYg==\"\nS: OK\nC: LISTSCRIPTS"),
        (4190, "S: \"\"\nC: {8+}\nC: AGEAYg==\nS: OK\nC: LISTSCRIPTS"),
        (
            9999,
            "S: 334 dXNlcm5hbWU6\nC: YWxpY2U=\nS: 334 cGFzc3dvcmQ6\nC: YQ==\nS: 235 ok\nC: RSET",
        ),
        (9999, "S: 334 \nC: AGEAYg==\nS: 235 ok\nC: RSET"),
    ] {
        let said: Vec<_> = login
            .lines()
            .filter_map(|line| line.strip_prefix("C: "))
            .collect();
        hides_exactly(&connection(port, false), login, &said[..said.len() - 1]);
    }
    let append = "S: + OK\nC: Subject: hello\nC:\nC: text\nS: a1 OK\nC: a2 NOOP";
    hides_exactly(&connection(143, false), append, &["Subject: hello"]);
    let idling = "S: + idling\nS: * 2 EXISTS\nC: DONE\nS: a1 OK\nC: a2 NOOP";
    hides_exactly(&connection(143, false), idling, &[]);
}

#[test]
fn so_is_a_line_of_base64_that_a_capture_begins_with() {
    for (port, login) in [
        (25, "C: AGEAYg==\nS: 235 ok\nC: RSET\nS: 250 ok"),
        (
            587,
            "C: YWxpY2U=\nS: 334 UGFzc3dvcmQ6\nC: AGEAYg==\nS: 235 ok\nC: RSET",
        ),
        (143, "C: AGEAYg==\nS: a1 OK in\nC: a2 SELECT INBOX"),
        (110, "C: AGEAYg==\nS: +OK in\nC: STAT"),
        (4190, "C: \"AGEAYg==\"\nS: OK\nC: LISTSCRIPTS"),
    ] {
        let said = login.lines().filter_map(|line| line.strip_prefix("C: "));
        let secrets: Vec<_> = said.filter(|said| said.contains('=')).collect();
        hides_exactly(&connection(port, false), login, &secrets);
    }
    let long = "A".repeat(76);
    for said in [
        // Attachments have more than one line.
        format!("C: {long}\nC: {long}\nC: QQ==\nC: .\nS: 250 ok"),
        "C: AGEAYg==\nC:\nC: .\nS: 250 ok".into(),
        // Words.
        "C: STARTTLS\nS: 220 go".into(),
        "C: information\nS: 500 what".into(),
        "C: text\nS: 500 what".into(),
    ] {
        hides_exactly(&connection(25, false), &said, &[]);
    }
    hides_exactly(&connection(80, false), "C: AGEAYg==\nS: 200 ok", &[]);
}
