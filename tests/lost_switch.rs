//! The switch to TLS where the capture lacks bytes of it.

mod mail_support;

use flowdump::event::{Direction, Direction::ToClient, Direction::ToServer, Kind};
use flowdump::tls::TlsHow;
use mail_support::{CLIENT_HELLO, GAP, Run, SERVER_HELLO, Seen, connection, play, script};

/// Two records, of which the first bytes may be lost.
const RECORDS: &[u8] = b"\x17\x03\x03\x00\x05hello\x17\x03\x03\x00\x05again";

/// Where STARTTLS is asked for and agreed to: port, dialogue, the offsets behind.
const AGREED: [(u16, &str, [u64; 2]); 4] = [
    (
        25,
        "S: 220 mx ESMTP\nC: EHLO c\nS: 250-mx\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go",
        [18, 44],
    ),
    (110, "S: +OK hi\nC: STLS\nS: +OK go", [6, 16]),
    (143, "S: * OK hi\nC: a1 STARTTLS\nS: a1 OK go", [13, 19]),
    (
        4190,
        "S: \"IMPLEMENTATION\" \"x\"\nS: \"STARTTLS\"\nS: OK\nC: STARTTLS\nS: OK go",
        [10, 45],
    ),
];

fn told(port: u16, dialogue: &str, then: &[(Direction, &[u8])]) -> Seen {
    let then = then.iter().map(|(direction, bytes)| (*direction, bytes.to_vec()));
    let runs: Vec<Run> = script(dialogue).into_iter().chain(then).collect();
    play(&connection(port, true), &runs, || usize::MAX)
}

/// A gap, in place of bytes.
const LOST: &[u8] = b"";

fn behind(bytes: &[u8]) -> &[u8] {
    &bytes[GAP as usize..]
}

fn tls_of(seen: &Seen, direction: Direction) -> Vec<u8> {
    let runs = seen.runs[direction.index()].iter();
    let tls = runs.filter(|(kind, _)| *kind == Kind::Tls);
    tls.flat_map(|(_, bytes)| bytes.clone()).collect()
}

#[test]
fn a_client_hello_whose_start_is_lost_is_tls() {
    for (port, dialogue, [client, server]) in AGREED {
        let seen = told(
            port,
            dialogue,
            &[
                (ToServer, LOST),
                (ToServer, behind(CLIENT_HELLO)),
                (ToServer, RECORDS),
                (ToClient, SERVER_HELLO),
            ],
        );
        assert_eq!(
            seen.started,
            [(TlsHow::Starttls, [Some(client), Some(server)])],
            "{:?}",
            seen.told
        );
        assert_eq!(
            tls_of(&seen, ToServer),
            [behind(CLIENT_HELLO), RECORDS].concat(),
            "{port}"
        );
        assert_eq!(tls_of(&seen, ToClient), SERVER_HELLO, "{port}");
        // Records are found again behind what is left of the hello.
        let first = client + CLIENT_HELLO.len() as u64;
        for at in [first, first + 10] {
            let record = format!("> record 23 @{at} 10");
            assert!(seen.tls.contains(&record), "{record}: {:?}", seen.tls);
        }
        assert!(
            seen.tls.iter().all(|line| !line.contains("broken")),
            "{:?}",
            seen.tls
        );
        assert!(seen.all("!").is_empty(), "{:?}", seen.told);
    }
}

#[test]
fn a_server_hello_whose_start_is_lost_is_tls_whoever_is_seen_first() {
    for (port, dialogue, [client, server]) in AGREED {
        let hello = (ToServer, CLIENT_HELLO);
        let lost = [
            (ToClient, LOST),
            (ToClient, behind(SERVER_HELLO)),
            (ToClient, RECORDS),
        ];
        for then in [[&[hello][..], &lost].concat(), [&lost[..], &[hello]].concat()] {
            let seen = told(port, dialogue, &then);
            assert_eq!(
                seen.started,
                [(TlsHow::Starttls, [Some(client), Some(server)])],
                "{:?}",
                seen.told
            );
            assert_eq!(tls_of(&seen, ToServer), CLIENT_HELLO, "{port}");
            assert_eq!(
                tls_of(&seen, ToClient),
                [behind(SERVER_HELLO), RECORDS].concat(),
                "{port}"
            );
            let hello = format!("> record 22 @{client} 50");
            assert!(seen.tls.contains(&hello), "{hello}: {:?}", seen.tls);
            let record = format!("< record 23 @{} 10", server + SERVER_HELLO.len() as u64);
            assert!(seen.tls.contains(&record), "{record}: {:?}", seen.tls);
        }
    }
}

#[test]
fn both_hellos_may_have_lost_their_starts_in_any_order() {
    let (port, dialogue, offsets) = AGREED[0];
    let client = (ToServer, behind(CLIENT_HELLO));
    let server = (ToClient, behind(SERVER_HELLO));
    for then in [
        [(ToServer, LOST), client, (ToClient, LOST), server],
        [(ToServer, LOST), (ToClient, LOST), client, server],
        [(ToClient, LOST), (ToServer, LOST), client, server],
        [(ToClient, LOST), server, (ToServer, LOST), client],
    ] {
        let seen = told(port, dialogue, &then);
        assert_eq!(
            seen.started,
            [(TlsHow::Starttls, offsets.map(Some))],
            "{:?}",
            seen.told
        );
        assert_eq!(tls_of(&seen, ToServer), behind(CLIENT_HELLO));
        assert_eq!(tls_of(&seen, ToClient), behind(SERVER_HELLO));
    }
}

#[test]
fn the_agreement_may_be_lost_too() {
    let (port, dialogue, _) = AGREED[0];
    let asked = dialogue.strip_suffix("\nS: 220 go").unwrap();
    let client = [(ToServer, LOST), (ToServer, behind(CLIENT_HELLO))];
    let server = [(ToClient, LOST), (ToClient, SERVER_HELLO)];
    for then in [
        [client, server].concat(),
        [&server[..1], &client, &server[1..]].concat(),
    ] {
        let seen = told(port, asked, &then);
        assert_eq!(seen.started.len(), 1, "{:?}", seen.told);
        assert_eq!(tls_of(&seen, ToServer), behind(CLIENT_HELLO));
        assert_eq!(tls_of(&seen, ToClient), SERVER_HELLO);
    }
}

#[test]
fn who_goes_on_in_clear_behind_the_gap_is_in_clear() {
    let (port, dialogue, _) = AGREED[0];
    for text in [
        "MAIL FROM:<a@b>\r\nQUIT\r\n",
        "FROM:<a@b>\r\nQUIT\r\n",
        "\r\nQUIT\r\n",
    ] {
        let seen = told(
            port,
            dialogue,
            &[
                (ToServer, LOST),
                (ToServer, text.as_bytes()),
                (ToClient, b"250 ok\r\n"),
            ],
        );
        assert!(seen.started.is_empty(), "{:?}", seen.told);
        let at = 18 + GAP as usize + text.len() - 6;
        assert!(seen.has(&format!("> @{at} QUIT")), "{:?}", seen.told);
    }
    // The server has thought better of it.
    let seen = told(
        port,
        dialogue,
        &[
            (ToServer, CLIENT_HELLO),
            (ToClient, LOST),
            (ToClient, b"454 no TLS today\r\n"),
        ],
    );
    assert_eq!(tls_of(&seen, ToClient), b"");
    assert!(seen.has("< @51 454x1"), "{:?}", seen.told);
}

#[test]
fn clear_text_before_the_gap_is_injected() {
    let (port, dialogue, _) = AGREED[0];
    let seen = told(
        port,
        dialogue,
        &[
            (ToServer, b"RSET\r\n"),
            (ToServer, LOST),
            (ToServer, behind(CLIENT_HELLO)),
            (ToClient, SERVER_HELLO),
        ],
    );
    assert!(seen.has("! > @18 CommandInjection { len: 6 }"), "{:?}", seen.told);
    assert_eq!(seen.started, [(TlsHow::Starttls, [Some(24), Some(44)])]);
}

#[test]
fn names_in_a_hello_are_no_clear_text() {
    let (port, dialogue, _) = AGREED[0];
    let name = b"a-name-that-is-longer-than-others.mail.example.test\0\x17\0\0\0";
    let seen = told(
        port,
        dialogue,
        &[(ToServer, LOST), (ToServer, name), (ToServer, RECORDS)],
    );
    assert_eq!(tls_of(&seen, ToServer), [&name[..], RECORDS].concat());
}
