//! The thirteen rules of mail on the wire, each by example.

mod mail_support;

use flowdump::event::{Direction, Kind};
use flowdump::tls::TlsHow;
use mail_support::{CLIENT_HELLO, Run, SERVER_HELLO, Seen, connection, ours, play, say, script};

use Direction::{ToClient, ToServer};

/// A dialogue on a port that says nothing, seen from its start.
fn told(text: &str) -> Seen {
    play(&connection(9999, true), &script(text), || usize::MAX)
}

/// What is told of a dialogue in runs.
fn told_runs(runs: &[Run]) -> Seen {
    play(&connection(9999, true), runs, || usize::MAX)
}

/// The first connection of one of our captures.
fn first(name: &str) -> Seen {
    ours(name).swap_remove(0)
}

/// Up to the agreement to STARTTLS.
fn agreed() -> Vec<Run> {
    script("S: 220 mx ESMTP\nC: EHLO c\nS: 250-mx\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go ahead")
}

fn lines(seen: &Seen, expected: &[&str]) {
    assert_eq!(seen.told, expected, "{:#?}", seen.told);
}

#[test]
fn rule_1_detection_is_by_content_not_by_port() {
    for (name, protocol) in [
        ("smtp-starttls-stripped.pcap", "Smtp"), // port 25000
        ("lmtp.pcap", "Lmtp"),
        ("imap.pcap", "Imap"),
        ("pop3.pcap", "Pop3"),
        ("managesieve-starttls.pcap", "ManageSieve"),
    ] {
        assert!(first(name).has(&format!("{protocol} sure=true")), "{name}");
    }
    let seen = told("S: 220 welcome\nC: EHLO c\nS: 250 mx\nC: QUIT\nS: 221 bye");
    assert_eq!(seen.told[0], "Smtp sure=true");
    let seen = told("S: 220 welcome\nC: USER anonymous\nS: 331 password\nC: PASS x\nS: 230 in");
    lines(&seen, &[]); // FTP
    let seen = told("C: GET / HTTP/1.1\nS: HTTP/1.1 200 OK\nS: 220 mx ESMTP");
    lines(&seen, &[]);
    assert_eq!(seen.runs[1].len(), 1);
}

#[test]
fn rule_1_preambles_may_stand_in_front() {
    let seen = first("smtp-proxied.pcap");
    assert_eq!(
        seen.of(ToServer, Kind::Plain),
        "PROXY TCP4 192.0.2.7 10.77.2.1 40000 2505\r\n"
    );
    assert!(seen.has("> @43 EHLO client.sender.test"));
    assert!(!seen.has("! > @0 EarlyTalker"));
    assert_eq!(seen.told[0], "Proxied v1 192.0.2.7:40000 10.77.2.1:2505");

    let mail = script("S: 220 mx ESMTP\nC: EHLO c\nS: 250 mx");
    let behind = |preamble: &[(Direction, &[u8])]| {
        let mut runs = Vec::new();
        preamble
            .iter()
            .for_each(|(direction, bytes)| say(&mut runs, *direction, bytes));
        mail.iter()
            .for_each(|(direction, run)| say(&mut runs, *direction, run));
        told_runs(&runs)
    };
    let proxy_v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x0a\0\0\x01\x0a\0\0\x02\x9c\x40\0\x19";
    let socks4 = [
        (ToServer, &b"\x04\x01\0\x19\x01\x02\x03\x04me\0"[..]),
        (ToClient, b"\0\x5a\0\x19\x01\x02\x03\x04"),
    ];
    let socks5 = [
        (ToServer, &b"\x05\x02\0\x02"[..]),
        (ToClient, b"\x05\x02"),
        (ToServer, b"\x01\x02me\x02pw"),
        (ToClient, b"\x01\0"),
        (ToServer, b"\x05\x01\0\x03\x07mx.test\0\x19"),
        (ToClient, b"\x05\0\0\x01\x01\x02\x03\x04\0\x19"),
    ];
    let connect = [
        (ToServer, &b"CONNECT mx.test:25 HTTP/1.0\r\n\r\n"[..]),
        (ToClient, b"HTTP/1.0 200 Connection established\r\nVia: x\r\n\r\n"),
    ];
    for preamble in [&[(ToServer, &proxy_v2[..])][..], &socks4, &socks5, &connect] {
        let seen = behind(preamble);
        let proxied = preamble.first().is_some_and(|(_, bytes)| *bytes == proxy_v2);
        assert_eq!(seen.has("Proxied v2 10.0.0.1:40000 10.0.0.2:25"), proxied);
        assert!(seen.has("Smtp sure=true"), "{preamble:?}");
        assert_eq!(seen.of(ToServer, Kind::Command), "EHLO c\r\n", "{preamble:?}");
        assert_eq!(
            seen.of(ToClient, Kind::Reply),
            "220 mx ESMTP\r\n250 mx\r\n",
            "{preamble:?}"
        );
    }
}

#[test]
fn rule_1_a_client_hello_first_is_implicit_tls() {
    for name in ["smtps-465.pcap", "imaps.pcap"] {
        assert_eq!(
            first(name).started,
            [(TlsHow::Implicit, [Some(0), Some(0)])],
            "{name}"
        );
    }
    // The port may say what is inside: a guess.
    assert!(first("smtps-465.pcap").has("Smtp sure=false Hidden"));
    let ssl2 =
        b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10\x01\x00\x80\x02\x00\x80\x03\x00\x80\x04\x00\x80\x05\
        \x00\x80\x06\x00\x40\x07\x00\xc00123456789abcdef";
    let seen = told_runs(&[(ToServer, ssl2.to_vec())]);
    assert_eq!(seen.started, [(TlsHow::Implicit, [Some(0), Some(0)])]);
}

#[test]
fn rule_1_one_side_expects_tls_from_the_start_and_the_other_does_not() {
    let hello = (ToServer, CLIENT_HELLO.to_vec());
    let banner = (ToClient, b"220 mx ESMTP\r\n".to_vec());
    for runs in [[hello.clone(), banner.clone()], [banner, hello]] {
        let seen = told_runs(&runs);
        assert!(
            seen.has("! > @0 ImplicitMismatch(ServerIsPlain)"),
            "{:?}",
            seen.told
        );
        assert_eq!(seen.of(ToClient, Kind::Reply), "220 mx ESMTP\r\n");
    }
    let mut runs = script("C: EHLO c");
    runs.push((ToClient, b"\x15\x03\x01\x00\x02\x02\x0a".to_vec()));
    let seen = told_runs(&runs);
    assert!(
        seen.has("! < @0 ImplicitMismatch(ClientIsPlain)"),
        "{:?}",
        seen.told
    );
}

#[test]
fn rule_2_a_reply_ends_at_its_last_line() {
    let seen = first("smtp-starttls-two-line-220.pcap");
    assert!(seen.has("< @76 220x2 to STARTTLS"));
    assert_eq!(seen.started, [(TlsHow::Starttls, [Some(35), Some(126)])]);
    let seen = told("S: 220 mx ESMTP\nC: NOOP\nS: 250");
    assert!(seen.has("< @14 250x1 to NOOP"), "{:?}", seen.told);
}

#[test]
fn rule_2_what_nobody_asked_for_answers_nothing() {
    let seen = first("smtp-timeout-421.pcap");
    assert!(
        seen.has("< @0 220x1 to nothing") && seen.has("< @193 421x1 to nothing"),
        "{:?}",
        seen.told
    );
    let seen = told("S: 220 mx ESMTP\nC: NOOP\nS: 250 ok\nS: 451 4.7.0 timeout");
    assert!(seen.has("< @22 451x1 to nothing"), "{:?}", seen.told);
    let seen = first("smtp-421-in-mail.pcap");
    assert!(seen.has("mail 1 from \"carol@sender.test\" to alice@mx.example.test=421 (1) size 181 reply 421 accepted Some(false)"));
}

#[test]
fn rule_3_pipelined_commands_get_their_own_replies() {
    let seen = first("smtp-pipelined-refusals.pcap");
    assert_eq!(
        seen.all("< ")
            .iter()
            .filter(|line| line.contains("550x1 to RCPT"))
            .count(),
        2
    );
    assert!(seen.has("mail 1 from \"carol@sender.test\" to alice@mx.example.test=250 nobody@mx.example.test=550 bob@mx.example.test=250 mallory@mx.example.test=550 (4)"));

    // tshark takes the 250 for the reply to STARTTLS.
    let mut runs = script("S: 220 mx ESMTP\nC: EHLO c\nC: STARTTLS\nS: 250-mx\nS: 250 STARTTLS\nS: 220 go");
    runs.push((ToServer, CLIENT_HELLO.to_vec()));
    runs.push((ToClient, SERVER_HELLO.to_vec()));
    let seen = told_runs(&runs);
    assert!(
        seen.has("Smtp STARTTLS Accepted { client_offset: 18, server_offset: 44 }"),
        "{:?}",
        seen.told
    );

    // Behind the final dot.
    let mut runs = script(
        "S: 220 mx ESMTP\nC: MAIL FROM:<a@b>\nC: RCPT TO:<c@d>\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go
         C: x\nC: .\nC: STARTTLS\nS: 250 queued\nS: 220 go",
    );
    runs.push((ToServer, CLIENT_HELLO.to_vec()));
    let seen = told_runs(&runs);
    assert_eq!(seen.started.len(), 1);
    assert_eq!(seen.started[0].0, TlsHow::Starttls);
}

#[test]
fn rule_3_a_message_may_come_before_the_354() {
    let seen = told(
        "S: 220 mx ESMTP\nC: MAIL FROM:<a@b>\nC: RCPT TO:<c@d>\nC: DATA\nC: Subject: early\nC:\nC: QUIT\nC: .\nC: QUIT
         S: 250 ok\nS: 250 ok\nS: 354 go\nS: 250 queued\nS: 221 bye",
    );
    assert!(
        seen.has(
            "mail 1 from \"a@b\" to c@d=250 (1) size 24 reply 250 accepted Some(true) subject \"early\""
        ),
        "{:?}",
        seen.told
    );
    assert_eq!(seen.all("> ").last(), Some(&"> @65 QUIT"));
    assert_eq!(seen.of(ToServer, Kind::Body), "Subject: early\r\n\r\nQUIT\r\n");
    assert!(
        seen.of(ToServer, Kind::Command)
            .ends_with("DATA\r\n.\r\nQUIT\r\n")
    );
}

#[test]
fn rule_4_the_switch_is_one_offset_in_each_direction() {
    for (name, client, server) in [
        ("smtp-starttls-tls13.pcap", 35, 223),
        ("smtp-starttls-tls12.pcap", 35, 223),
        ("smtp-starttls-openssl.pcap", 0, 0),
        ("pop3-stls.pcap", 12, 156),
        ("imap-starttls.pcap", 34, 348),
        ("managesieve-starttls.pcap", 10, 423),
    ] {
        let seen = first(name);
        let (how, [Some(at_client), Some(at_server)]) = seen.started[0] else {
            panic!("{name}")
        };
        assert_eq!(how, TlsHow::Starttls, "{name}");
        if client > 0 {
            assert_eq!((at_client, at_server), (client, server), "{name}");
        }
        for (direction, at) in [(ToServer, at_client), (ToClient, at_server)] {
            let (clear, tls) = seen.bytes[direction.index()].split_at(usize::try_from(at).unwrap());
            assert!(
                clear.ends_with(b"\r\n") && tls.starts_with(&[22, 3]),
                "{name} {direction:?}"
            );
        }
        // The event comes directly before the first TLS byte: text was told before, handshakes after.
        assert!(
            seen.told.iter().any(|line| line.contains("STARTTLS Accepted")),
            "{name}"
        );
    }
}

#[test]
fn rule_4_clear_text_behind_starttls_is_command_injection() {
    let seen = first("smtp-starttls-injected.pcap");
    assert!(seen.has("Smtp STARTTLS Accepted { client_offset: 41, server_offset: 223 }"));
    assert!(seen.has("! > @35 CommandInjection { len: 6 }"));
    assert_eq!(seen.started, [(TlsHow::Starttls, [Some(41), Some(223)])]);

    let mut runs = agreed();
    runs.push((ToServer, [&b"RSET\r\n"[..], CLIENT_HELLO].concat()));
    let seen = told_runs(&runs);
    assert!(seen.has("! > @18 CommandInjection { len: 6 }"), "{:?}", seen.told);
    assert_eq!(seen.of(ToServer, Kind::Injected), "RSET\r\n");
    assert_eq!(seen.started, [(TlsHow::Starttls, [Some(24), Some(50)])]);
}

#[test]
fn rule_4_clear_text_before_the_servers_tls_is_response_injection() {
    let seen = first("smtp-starttls-response-injected.pcap");
    assert!(seen.has("! < @106 ResponseInjection { len: 26 }"));
    assert_eq!(seen.of(ToClient, Kind::Injected), "250 2.0.0 injected reply\r\n");
    assert_eq!(seen.started, [(TlsHow::Starttls, [Some(35), Some(132)])]);

    // Also where it comes behind the client's hello.
    let mut runs = agreed();
    runs.push((ToServer, CLIENT_HELLO.to_vec()));
    runs.push((ToClient, [&b"250 injected\r\n"[..], SERVER_HELLO].concat()));
    let seen = told_runs(&runs);
    assert!(
        seen.has("! < @50 ResponseInjection { len: 14 }"),
        "{:?}",
        seen.told
    );
    assert_eq!(seen.of(ToClient, Kind::Injected), "250 injected\r\n");
}

#[test]
fn rule_4_a_client_may_not_wait_for_the_agreement() {
    let mut runs = script("S: 220 mx ESMTP\nC: EHLO c\nS: 250-mx\nS: 250 STARTTLS\nC: STARTTLS");
    say(&mut runs, ToServer, CLIENT_HELLO);
    let refused = [&runs[..], &script("S: 454 no\nC: QUIT\nS: 221 bye")].concat();
    say(&mut runs, ToClient, &[&b"220 go\r\n"[..], SERVER_HELLO].concat());
    let seen = told_runs(&runs);
    assert_eq!(seen.started, [(TlsHow::Starttls, [Some(18), None])]);
    assert!(
        seen.has("Smtp STARTTLS Accepted { client_offset: 18, server_offset: 44 }"),
        "{:?}",
        seen.told
    );
    assert_eq!(seen.of(ToClient, Kind::Tls).as_bytes()[..2], [22, 3]);

    let seen = told_runs(&refused);
    assert!(seen.has("Smtp STARTTLS refused 454"), "{:?}", seen.told);
    assert!(
        seen.told.last().unwrap().ends_with("221x1 to QUIT: bye"),
        "{:?}",
        seen.told
    );
}

#[test]
fn rule_4_starttls_may_be_asked_for_again() {
    let mut runs = script("S: 220 mx ESMTP\nC: STARTTLS\nS: 454 not now\nC: STARTTLS\nS: 220 go");
    runs.push((ToServer, CLIENT_HELLO.to_vec()));
    let seen = told_runs(&runs);
    assert!(seen.has("Smtp STARTTLS refused 454"), "{:?}", seen.told);
    assert!(
        seen.has("Smtp STARTTLS Accepted { client_offset: 20, server_offset: 35 }"),
        "{:?}",
        seen.told
    );
}

#[test]
fn rule_5_text_behind_the_220_is_no_tls() {
    let seen = first("smtp-starttls-no-tls.pcap");
    assert!(seen.has("Smtp STARTTLS AcceptedNoTls"));
    assert!(seen.has("> @35 MAIL FROM:<carol@sender.test>") && seen.has("< @106 250x1 to MAIL"));
    assert_eq!(
        seen.of(ToServer, Kind::Injected),
        "MAIL FROM:<carol@sender.test>\r\n"
    );
    let seen = first("smtp-starttls-then-clear.pcap");
    assert!(seen.has("Smtp STARTTLS AcceptedNoTls") && seen.started.is_empty());
    let seen = told_runs(&agreed());
    assert!(seen.has("Smtp STARTTLS AcceptedNothing"), "{:?}", seen.told);
}

#[test]
fn rule_5_a_server_may_answer_tls_by_a_clear_454() {
    let mut runs = agreed();
    runs.push((ToServer, CLIENT_HELLO.to_vec()));
    runs.push((ToClient, b"454 no TLS after all\r\n".to_vec()));
    let seen = told_runs(&runs);
    assert!(
        seen.has("! < @50 Malformed(\"the server answers TLS in clear text\")"),
        "{:?}",
        seen.told
    );
    assert_eq!(seen.of(ToClient, Kind::Injected), "454 no TLS after all\r\n");
}

#[test]
fn rule_6_a_refusal_leaves_the_session_clear() {
    let seen = first("smtp-starttls-refused-454.pcap");
    assert!(seen.has("Smtp STARTTLS refused 454") && seen.has("< @126 250x1 to MAIL"));
    let seen = first("smtp-starttls-unknown-502.pcap");
    assert!(seen.has("Smtp STARTTLS refused 502"), "{:?}", seen.told);
    let seen = told("S: 220 mx ESMTP\nC: STARTTLS\nC: NOOP\nS: 501 no\nS: 250 ok");
    assert!(seen.has("< @22 250x1 to NOOP"), "{:?}", seen.told);
    assert!(!seen.told.iter().any(|line| line.contains("Injection")));
    let seen = first("smtp-starttls-not-used.pcap");
    assert!(seen.has("Smtp STARTTLS OfferedNotUsed"));
    let seen = told("S: +OK hi\nC: CAPA\nS: +OK\nS: STLS\nS: .\nC: STLS\nS: -ERR no\nC: QUIT\nS: +OK");
    assert!(seen.has("Pop3 STARTTLS refused -ERR"), "{:?}", seen.told);
}

#[test]
fn rule_6_tls_without_starttls() {
    let mut runs = script("S: 220 mx ESMTP\nC: EHLO c\nS: 250 mx");
    runs.push((ToServer, CLIENT_HELLO.to_vec()));
    runs.push((ToClient, SERVER_HELLO.to_vec()));
    let seen = told_runs(&runs);
    assert!(seen.has("! > @8 TlsWithoutStarttls"), "{:?}", seen.told);
    assert_eq!(seen.started, [(TlsHow::Found, [Some(8), None])]);
    assert_eq!(
        seen.of(ToClient, Kind::Tls).len(),
        String::from_utf8_lossy(SERVER_HELLO).len()
    );
}

#[test]
fn rule_6_clear_text_again_after_tls() {
    let seen = first("smtp-clear-after-tls.pcap");
    assert!(seen.has("! > @399 PlaintextAfterTls"));
    assert!(seen.has("> @399 NOOP clear text again") && seen.has("< @1036 250x1 to NOOP"));
}

#[test]
fn rule_7_a_message_ends_at_crlf_dot_crlf_and_nothing_in_it_is_a_command() {
    let text = "S: 220 mx ESMTP\nC: MAIL FROM:<a@b>\nS: 250 ok\nC: RCPT TO:<c@d>\nS: 250 ok\nC: DATA\nS: 354 go
        C: Subject: x\nC:\nC: QUIT\nC: STARTTLS\nC: ..stuffed\nC: .not the end\nC: AUTH PLAIN AGEAYg==\nC: .\nC: QUIT\nS: 250 queued\nS: 221 bye";
    for size in [usize::MAX, 1, 2, 3, 5, 11] {
        let seen = play(&connection(9999, true), &script(text), || size);
        assert_eq!(
            seen.all("> "),
            [
                "> @0 MAIL FROM:<a@b>",
                "> @17 RCPT TO:<c@d>",
                "> @32 DATA",
                "> @117 QUIT"
            ]
        );
        // Two dots undone, the final one not counted.
        assert!(
            seen.has("mail 1 from \"a@b\" to c@d=250 (1) size 74 reply 250 accepted Some(true)"),
            "{:?}",
            seen.told
        );
        assert!(
            !seen
                .told
                .iter()
                .any(|line| line.starts_with("auth") || line.contains("STARTTLS"))
        );
    }
}

#[test]
fn rule_7_if_data_is_refused_its_lines_are_commands() {
    let seen = told(
        "S: 220 mx ESMTP\nC: MAIL FROM:<a@b>\nC: RCPT TO:<c@d>\nC: DATA\nC: Subject: x\nC: .\nC: QUIT
         S: 550 no\nS: 503 no\nS: 503 no\nS: 500 what\nS: 500 what\nS: 221 bye",
    );
    assert!(
        seen.has("> @38 SUBJECT: x") && seen.has("> @50 .") && seen.has("> @53 QUIT"),
        "{:?}",
        seen.told
    );
    assert!(
        seen.has("mail 1 from \"a@b\" to c@d=503 (1) size 0 reply 550 accepted Some(false)"),
        "{:?}",
        seen.told
    );
    assert_eq!(seen.all("< ").last(), Some(&"< @58 221x1 to QUIT: bye"));
}

#[test]
fn rule_7_bdat_is_exactly_n_octets() {
    let seen = first("smtp-bdat.pcap");
    assert_eq!(seen.of(ToServer, Kind::Body).len(), 200);
    assert!(
        seen.of(ToServer, Kind::Body)
            .ends_with("QUIT\r\n.\r\nSTARTTLS\r\n")
    );
    assert!(seen.has("mail 1 from \"carol@sender.test\" to alice@mx.example.test=250 (1) size 200 reply 250 accepted Some(true)"));
    for bad in [
        "BDAT",
        "BDAT x",
        "BDAT -1",
        "BDAT 99999999999999999999 LAST",
        "BDAT 5 X",
    ] {
        let seen = told(&format!(
            "S: 220 mx ESMTP\nC: {bad}\nS: 501 what\nC: QUIT\nS: 221 bye"
        ));
        assert!(
            seen.told
                .iter()
                .any(|line| line.contains("Malformed(\"BDAT with")),
            "{bad}: {:?}",
            seen.told
        );
        assert!(
            seen.told.last().unwrap().contains("221x1 to QUIT") || seen.has("mail"),
            "{bad}: {:?}",
            seen.told
        );
    }
}

#[test]
fn rule_7_secrets_are_labelled_and_names_decoded() {
    let seen = ours("smtp-auth.pcap");
    assert!(seen[0].has("auth LOGIN carol Some(false)"));
    assert_eq!(seen[0].of(ToServer, Kind::Secret), "Y2Fyb2w=\r\nd3Jvbmc=\r\n");
    assert!(seen[1].has("auth LOGIN carol Some(true)"));
    assert!(seen[2].has("auth PLAIN carol Some(true)") && seen[2].has("> @25 AUTH PLAIN [hidden]"));
    assert_eq!(seen[2].of(ToServer, Kind::Secret), "AGNhcm9sAHNlY3JldA==\r\n");
    assert!(
        seen.iter()
            .all(|seen| seen.told.iter().any(|line| line.contains("ClearTextAuth")))
    );

    let seen = first("pop3.pcap");
    assert_eq!(seen.of(ToServer, Kind::Secret), "secret\r\n");
    assert!(seen.has("auth USER alice Some(true)") && seen.has("> @12 PASS [hidden]"));

    let seen = ours("imap.pcap");
    assert!(seen[0].has("> @18 BAAE1 LOGIN alice [hidden]") && seen[0].has("auth LOGIN alice Some(false)"));
    assert_eq!(seen[0].of(ToServer, Kind::Secret), "\"wrong\"\r\n");
    assert!(seen[1].has("auth LOGIN alice Some(true)"));
    assert_eq!(seen[1].of(ToServer, Kind::Secret), "secret");

    // Nobody waits for the 334.
    let seen = told(
        "S: 220 mx ESMTP\nC: AUTH LOGIN\nC: YWxpY2U=\nC: c2VjcmV0\nC: QUIT\nS: 334 \nS: 334 \nS: 235 ok\nS: 221 bye",
    );
    assert_eq!(seen.of(ToServer, Kind::Secret), "YWxpY2U=\r\nc2VjcmV0\r\n");
    assert!(
        seen.has("auth LOGIN alice Some(true)") && seen.has("< @32 221x1 to QUIT"),
        "{:?}",
        seen.told
    );

    let seen = told("S: +OK <1@x>\nC: APOP alice c4c9334bac560ecc979e58001b3e22fb\nS: +OK");
    assert!(
        seen.has("> @0 APOP alice [hidden]") && seen.has("auth APOP alice Some(true)"),
        "{:?}",
        seen.told
    );
    let seen = told("S: * OK hi\nC: a AUTHENTICATE PLAIN\nS: + \nC: AGFsaWNlAHB3\nS: a OK in");
    assert_eq!(seen.of(ToServer, Kind::Secret), "AGFsaWNlAHB3\r\n");
    assert!(seen.has("auth PLAIN alice Some(true)"), "{:?}", seen.told);
    let seen = told("S: \"IMPLEMENTATION\" \"x\"\nS: OK\nC: AUTHENTICATE \"PLAIN\" \"AGFsaWNlAHB3\"\nS: OK");
    assert_eq!(seen.of(ToServer, Kind::Secret), "\"AGFsaWNlAHB3\"\r\n");
    assert!(seen.has("auth PLAIN alice Some(true)"), "{:?}", seen.told);
}

#[test]
fn rule_8_what_smuggling_needs_is_flagged() {
    let seen = first("smtp-bare-lf.pcap");
    assert!(
        seen.has("! > @119 BareLf") && seen.has("! > @141 Smuggling(\"LF.CRLF\")"),
        "{:?}",
        seen.told
    );
    assert!(first("smtp-escapes.pcap").has("! > @254 BareCr"));

    let body = |end: &[u8]| {
        let mut runs = script(
            "S: 220 mx ESMTP\nC: MAIL FROM:<a@b>\nC: RCPT TO:<c@d>\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go",
        );
        say(
            &mut runs,
            ToServer,
            &[&b"text"[..], end, b"MAIL FROM:<smuggled@b>\r\n"].concat(),
        );
        say(&mut runs, ToClient, b"250 queued\r\n250 ok\r\n");
        told_runs(&runs)
    };
    for (end, name) in [
        (&b"\n.\n"[..], "LF.LF"),
        (b"\n.\r\n", "LF.CRLF"),
        (b"\r\n.\n", "CRLF.LF"),
    ] {
        let seen = body(end);
        assert!(
            seen.told
                .iter()
                .any(|line| line.contains(&format!("Smuggling({name:?})"))),
            "{:?}",
            seen.told
        );
        // The server took it for the end: its replies say so, and what follows is what the server saw.
        assert!(seen.has("mail 1 from \"a@b\""), "{:?}", seen.told);
        assert!(
            seen.told
                .iter()
                .any(|line| line.contains("MAIL FROM:<smuggled@b>")),
            "{:?}",
            seen.told
        );
        assert_eq!(seen.all("< ").last(), Some(&"< @50 250x1 to MAIL: ok"));
    }
}

#[test]
fn rule_9_lmtp_answers_for_each_recipient() {
    let seen = told(
        "S: 220 mx LMTP\nC: LHLO c\nS: 250 mx\nC: MAIL FROM:<a@b>\nC: RCPT TO:<c@d>\nC: RCPT TO:<e@f>\nC: RCPT TO:<g@h>\nC: DATA
         S: 250 ok\nS: 250 ok\nS: 550 who\nS: 250 ok\nS: 354 go\nC: x\nC: .\nC: QUIT\nS: 250 saved\nS: 452 full\nS: 221 bye",
    );
    assert!(seen.has("Lmtp sure=true"));
    assert!(
        seen.has("mail 1 from \"a@b\" to c@d=250 e@f=550 g@h=452 (3) size 3 reply 452 accepted Some(true)"),
        "{:?}",
        seen.told
    );
    assert!(seen.told.last().unwrap().contains("221x1 to QUIT"));
    let seen = told(
        "S: 220 mx LMTP\nC: LHLO c\nS: 250 mx\nC: MAIL FROM:<a@b>\nC: RCPT TO:<c@d>\nC: RCPT TO:<e@f>\nC: BDAT 3 LAST
         C: x\nC: QUIT\nS: 250 ok\nS: 250 ok\nS: 250 ok\nS: 250 saved\nS: 250 saved\nS: 221 bye",
    );
    assert!(
        seen.has("mail 1 from \"a@b\" to c@d=250 e@f=250 (2) size 3 reply 250"),
        "{:?}",
        seen.told
    );
    assert!(
        seen.told.last().unwrap().contains("221x1 to QUIT"),
        "{:?}",
        seen.told
    );
    assert!(first("lmtp.pcap").has("mail 1 from \"carol@sender.test\" to alice=250 bob=250 (2)"));
}

#[test]
fn rule_9_imap_needs_the_same_tag() {
    let start = "S: * OK hi\nC: a1 STARTTLS\nS: * OK STARTTLS\nS: a2 OK not yours";
    let mut runs = script(start);
    runs.push((ToServer, b"a2 NOOP\r\n".to_vec()));
    let seen = told_runs(&runs);
    assert!(
        !seen.told.iter().any(|line| line.contains("Accepted")),
        "{:?}",
        seen.told
    );
    let mut runs = script(start);
    say(&mut runs, ToClient, b"a1 OK begin\r\n");
    runs.push((ToServer, CLIENT_HELLO.to_vec()));
    let seen = told_runs(&runs);
    assert!(
        seen.has("Imap STARTTLS Accepted { client_offset: 13, server_offset: 54 }"),
        "{:?}",
        seen.told
    );
}

#[test]
fn rule_9_imap_literals_and_preauth() {
    let seen = told(
        "S: * PREAUTH hi\nC: a1 APPEND x {14}\nS: + go\nC: a2 STARTTLS\r\n\nC:\nS: a1 OK done\nC: a3 APPEND x {5+}\nC: a4 \r\n\nC: a5 NOOP\nS: a3 OK\nS: a5 OK",
    );
    assert!(seen.has("< @0 PREAUTHx1 to nothing"));
    assert!(
        !seen
            .told
            .iter()
            .any(|line| line.contains("a2") || line.contains("STARTTLS")),
        "{:?}",
        seen.told
    );
    // A literal that the server does not want is not sent.
    let seen = told("S: * OK hi\nC: a1 APPEND x {500}\nS: a1 NO too big\nC: a2 NOOP\nS: a2 OK");
    assert!(
        seen.has("> @19 a2 NOOP") && seen.told.last().unwrap().contains("OKx1 to NOOP"),
        "{:?}",
        seen.told
    );
}

#[test]
fn what_imap_compresses_is_not_understood() {
    let mut runs = script("S: * OK hi\nC: a1 COMPRESS DEFLATE\nS: a1 OK on");
    runs.push((ToServer, b"\x4a\x34\n a2 LOGIN me\n".to_vec()));
    runs.push((ToClient, b"\x4a\x34 * BYE\n".to_vec()));
    let seen = told_runs(&runs);
    assert!(
        seen.told.last().unwrap().starts_with("Compressed"),
        "{:?}",
        seen.told
    );
    assert!(seen.of(ToServer, Kind::Plain).contains("a2 LOGIN me"));
}

#[test]
fn rule_10_in_mid_stream_all_is_a_guess() {
    let seen = first("smtp-midstream.pcap");
    assert_eq!(seen.told[0], "Smtp sure=false MidStream");
    assert!(seen.has("mail 1 from \"carol@sender.test\""));
    // The reply to the EHLO that was not seen answers nothing.
    assert!(seen.has("< @0 250x10 to nothing"), "{:?}", seen.told);

    let record = b"\x17\x03\x03\x00\x05hello";
    let runs = [(ToServer, record.repeat(3)), (ToClient, record.repeat(2))];
    let seen = play(&connection(9999, false), &runs, || usize::MAX);
    assert_eq!(seen.started, [(TlsHow::Found, [Some(0), None])]);
    assert_eq!(seen.of(ToClient, Kind::Tls).len(), 20);
}

#[test]
fn rule_10_with_one_side_only_outcomes_are_not_known() {
    let seen = first("smtp-client-side-only.pcap");
    assert_eq!(seen.told[0], "Smtp sure=false NoGreeting");
    assert!(seen.has(
        "mail 1 from \"carol@sender.test\" to alice@mx.example.test=? (1) size 181 reply ? accepted None"
    ));
    assert!(!seen.told.iter().any(|line| line.contains("OfferedNotUsed")));
    let mut runs = script(
        "C: EHLO c\nC: AUTH LOGIN\nC: YWxpY2U=\nC: c2VjcmV0\nC: MAIL FROM:<a@b>\nC: RCPT TO:<c@d>\nC: DATA\nC: x\nC: .\nC: STARTTLS",
    );
    say(&mut runs, ToServer, CLIENT_HELLO);
    let seen = told_runs(&runs);
    assert_eq!(seen.of(ToServer, Kind::Secret), "YWxpY2U=\r\nc2VjcmV0\r\n");
    assert_eq!(seen.of(ToServer, Kind::Body), "x\r\n");
}

#[test]
fn rule_10_gaps_are_followed_and_nothing_is_made_up() {
    let seen = first("smtp-lossy.pcap");
    assert!(
        seen.has("mail 1 from \"carol@sender.test\" to alice@mx.example.test=250 (1) size 11554 reply 250"),
        "{:?}",
        seen.told
    );
    assert!(seen.has("> @11652 QUIT"));
    let seen = first("smtp-snaplen.pcap");
    assert!(
        seen.has("< @179 250x1 to MAIL: 2.1.0 Ok") && seen.has("< @193 250x1 to RCPT: 2.1.5 Ok"),
        "{:?}",
        seen.told
    );
    assert!(
        seen.has("mail 1 from \"carol@sender.test\" to alice@mx.example.test=250 (1) size 181 reply 250")
    );
}

#[test]
fn rule_11_what_a_firewall_garbles_is_said_to_be_stripped() {
    let seen = first("smtp-starttls-stripped.pcap");
    assert!(seen.has("Smtp STARTTLS Stripped(\"XXXXXXXA\")"));
    assert!(seen.has("! < @0 Malformed(\"the greeting was garbled"));
    assert_eq!(
        seen.told.iter().filter(|line| line.contains("Stripped")).count(),
        1
    );
    // The command alone.
    let seen = told("S: 220 mx ESMTP\nC: XXXXXXXX\nS: 500 what");
    assert!(
        seen.has("Smtp STARTTLS Stripped(\"XXXXXXXX\")"),
        "{:?}",
        seen.told
    );
}

#[test]
fn rule_12_an_end_after_quit_is_harmless() {
    for name in [
        "smtp-plain.pcap",
        "demo.pcap",
        "smtp-reset.pcap",
        "smtp-starttls-tls13.pcap",
    ] {
        for seen in ours(name) {
            assert!(
                !seen.told.iter().any(|line| line.starts_with('!')),
                "{name}: {:?}",
                seen.told
            );
        }
    }
}

#[test]
fn rule_13_each_packet_twice_is_each_byte_once() {
    let once = first("smtp-plain.pcap");
    assert_eq!(once.all("mail ").len(), 1);
    for name in ["smtp-two-interfaces.pcapng", "smtp-bridge-any.pcap"] {
        for seen in ours(name) {
            assert!(seen.all("mail ").len() <= 1, "{name}: {:?}", seen.told);
        }
    }
}

#[test]
fn the_mails_of_a_session_are_told_apart() {
    let mail = "C: MAIL FROM:<a@b>\nC: RCPT TO:<c@d>\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\nC: x\nC: .\nS: 250 queued\n";
    let seen = told(&format!(
        "S: 220 mx ESMTP\n{mail}{mail}C: MAIL FROM:<e@f>\nC: RSET\nS: 250 ok\nS: 250 ok\n{mail}C: QUIT\nS: 221 bye"
    ));
    let mails = seen.all("mail ");
    assert_eq!(mails.len(), 4, "{mails:?}");
    assert!(mails[2].starts_with("mail 3 from \"e@f\" to (0) size 0 reply ? accepted None"));
    assert!(mails[3].starts_with("mail 4 from \"a@b\" to c@d=250 (1) size 3 reply 250 accepted Some(true)"));
}
