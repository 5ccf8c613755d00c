//! Secrets are labelled as such, however they are written.

mod mail_support;

use flowdump::event::{Direction, Kind};
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
