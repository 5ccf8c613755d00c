//! What could lead astray who follows mail, and does not.

mod mail_support;

use flowdump::event::{Direction::ToServer, Kind};
use mail_support::{Seen, connection, play, script};

/// A dialogue seen from its start.
fn on_port(port: u16, text: &str) -> Seen {
    play(&connection(port, true), &script(text), || usize::MAX)
}

#[test]
fn a_server_whose_name_holds_ftp_may_speak_smtp() {
    for name in ["sftp-gw.corp.example", "giftportal", "ftp.example"] {
        for port in [25, 9999] {
            let seen = on_port(
                port,
                &format!(
                    "S: 220 {name} ready\nC: EHLO c\nS: 250-mx\nS: 250 AUTH PLAIN\nC: AUTH PLAIN AGEAYg==\nS: 235 ok"
                ),
            );
            assert_eq!(seen.told[0], "Smtp sure=true", "{name} {port}");
            assert!(
                seen.has("auth PLAIN a Some(true)"),
                "{name} {port}: {:?}",
                seen.told
            );
        }
    }
}

#[test]
fn ftp_is_no_mail_on_whichever_port() {
    for greeting in ["220 FTP server", "220 (vsFTPd 3.0.3)", "220 ProFTPD Server"] {
        for command in ["USER anonymous", "AUTH TLS", "FEAT"] {
            let seen = on_port(
                25,
                &format!("S: {greeting}\nC: {command}\nS: 234 ok\nC: PASS x\nS: 230 in"),
            );
            assert!(seen.told.is_empty(), "{greeting} {command}: {:?}", seen.told);
        }
    }
}

#[test]
fn chunks_of_a_mail_that_was_given_up_are_not_of_the_next_one() {
    let first =
        "S: 220 mx ESMTP\nC: EHLO c\nS: 250 mx\nC: MAIL FROM:<a@b>\nS: 250 ok\nC: BDAT 12\nC: Subject: 1";
    for given_up in [
        "S: 250 ok\nC: RSET\nS: 250 ok\nC: MAIL FROM:<a2@b>\nS: 250 ok",
        "S: 452 full\nC: MAIL FROM:<a2@b>\nS: 250 ok",
        "S: 250 ok\nC: EHLO c\nS: 250 mx\nC: MAIL FROM:<a2@b>\nS: 250 ok",
        "C: RSET\nC: MAIL FROM:<a2@b>\nS: 452 full\nS: 250 ok\nS: 250 ok",
        // The refusal comes when the next mail's chunk is under way.
        "C: RSET\nC: MAIL FROM:<a2@b>\nC: BDAT 12\nC: Subject: 2\nS: 452 full\nS: 250 ok\nS: 250 ok\nS: 250 ok",
    ] {
        let rest = match given_up.contains("Subject") {
            true => "C: BDAT 2 LAST\nC:\nS: 250 queued",
            false => "C: BDAT 14 LAST\nC: Subject: 2\nC:\nS: 250 queued",
        };
        let seen = on_port(25, &format!("{first}\n{given_up}\n{rest}"));
        let mails = seen.all("mail 2 from \"a2@b\"");
        assert_eq!(mails.len(), 1, "{given_up}: {:?}", seen.told);
        assert!(
            mails[0].contains("size 14 ") && mails[0].ends_with("subject \"2\""),
            "{mails:?}"
        );
    }
    // A chunk that was refused is not continued either.
    let seen = on_port(
        25,
        &format!("{first}\nS: 452 full\nC: BDAT 4 LAST\nC: ab\nS: 250 queued"),
    );
    assert!(seen.all("mail 1")[0].contains("size 4 "), "{:?}", seen.told);
}

#[test]
fn a_literal_behind_a_long_line_is_a_literal() {
    for len in [10, 4060, 4070, 4090, 5000, 9000] {
        let text = format!(
            "S: * OK hi\nC: a1 FETCH 1 BODY[]\nS: * 1 FETCH ({} BODY[] {{12}}\nS: a1 OK forged\nS: )\nS: a1 OK real\nC: a2 LOGIN {} {{2+}}\nC: pw\nS: a2 NO",
            "e".repeat(len),
            "u".repeat(len),
        );
        for size in [usize::MAX, 1, 7] {
            let seen = play(&connection(143, true), &script(&text), || size);
            let done: Vec<_> = seen
                .all("< ")
                .into_iter()
                .filter(|line| line.contains("to FETCH"))
                .collect();
            assert_eq!(done.len(), 1, "{len}: {done:?}");
            assert!(
                !seen.told.iter().any(|line| line.contains("forged")),
                "{len}: {:?}",
                seen.told
            );
            assert_eq!(seen.of(ToServer, Kind::Secret), "pw", "{len} {size}");
        }
    }
}
