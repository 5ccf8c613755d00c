//! Handshakes made by hand, as examples: these bytes, these lines.

use flowdump::event::Direction::{ToClient, ToServer};
use flowdump::tls::{Handshake, TlsEvent, TlsHow, TlsWatcher};

use crate::bytes::*;
use crate::common::capture;
use crate::feed::{Step, feeds};
use crate::story::{facts, story};

#[test]
fn a_client_hello_tells_what_is_offered_without_grease() {
    let hello = client_hello(
        &[],
        &[0x2a2a, 0x1301, 0x1302, 0xc02f, 0x00ff],
        &[
            extension(0xdada, &[]),
            sni("mx.example.test"),
            extension(
                16,
                &list(
                    2,
                    &[list(1, &[0x4a, 0x4a]), list(1, b"h2"), list(1, b"smtp")].concat(),
                ),
            ),
            extension(10, &list(2, &numbers(&[0x1a1a, 0x11ec, 29, 23]))),
            versions(&[0x7a7a, 0x0304, 0x0303]),
            extension(35, &[]),
        ],
    );
    let events = Talk::starttls().client(&[handshake(1, &hello)]).events;
    let [
        _,
        TlsEvent::Handshake {
            message: Handshake::ClientHello(seen),
            ..
        },
    ] = events.as_slice()
    else {
        panic!("{events:?}");
    };
    assert_eq!(seen.sni.as_deref(), Some("mx.example.test"));
    assert_eq!(seen.versions, [0x0304, 0x0303]);
    assert_eq!(seen.cipher_count, 4);
    assert_eq!(seen.alpn, ["h2", "smtp"]);
    assert_eq!(seen.groups, ["X25519MLKEM768", "x25519", "secp256r1"]);
    assert!(seen.post_quantum && !seen.resumption_offered && !seen.sslv2);
}

#[test]
fn a_malformed_extension_does_not_hide_the_next() {
    let broken = extension(10, &[0xff, 0xff, 0]);
    let hello = client_hello(&[], &[0x1301], &[broken, sni("mx.example.test")]);
    let facts = facts(&Talk::starttls().client(&[handshake(1, &hello)]).events);
    assert_eq!(facts, ["> ClientHello TLS 1.2, 1 ciphers, SNI mx.example.test"]);
}

#[test]
fn a_client_hello_that_cannot_be_read_is_told_by_its_number() {
    let facts = facts(&Talk::starttls().client(&[handshake(1, &[3, 3, 0])]).events);
    assert_eq!(facts, ["> ClientHello"]);
}

#[test]
fn messages_may_be_spread_over_records_and_records_may_hold_several() {
    let hello = message(1, &client_hello(&[], &[0xc02f], &[sni("mx.example.test")]));
    let spread: Vec<Vec<u8>> = hello.chunks(20).map(|piece| record(22, piece)).collect();
    let several = [
        message(2, &server_hello(&[9; 32], &[], 0xc02f, &[])),
        message(11, &list(3, &[])),
        message(12, &[3, 0, 29, 0]),
        message(14, &[]),
    ];
    let facts = facts(
        &Talk::starttls()
            .client(&spread)
            .server(&[record(22, &several.concat())])
            .events,
    );
    let expected = [
        "> ClientHello TLS 1.2, 1 ciphers, SNI mx.example.test",
        "< ServerHello TLS 1.2, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        "< Certificate ",
        "< ServerKeyExchange x25519",
        "< ServerHelloDone",
    ];
    assert_eq!(facts, expected);
}

#[test]
fn a_hello_in_ssl2_format_may_open_a_handshake_of_tls() {
    let ciphers = [1, 0, 0x80, 0, 0, 0x2f, 0, 0, 0x35];
    let body = [&[1, 3, 1, 0, 9, 0, 0, 0, 16], ciphers.as_slice(), &[5; 16]].concat();
    let hello = [&[0x80, body.len() as u8], body.as_slice()].concat();
    let lines = story(&Talk::starttls().client(&[hello]).server(&[answer12()]).events);
    let expected = [
        "> [handshake, 36 bytes at 0]",
        "> ClientHello TLS 1.0, 3 ciphers, SSLv2 format",
        "< [handshake, 49 bytes at 0]",
        "< ServerHello TLS 1.2, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn ssl_2_0_itself_is_counted_and_nothing_is_said_of_its_end() {
    let hello = [
        vec![0x80, 28, 1, 0, 2, 0, 3, 0, 0, 0, 16, 1, 0, 0x80],
        vec![5; 16],
    ]
    .concat();
    let answer = [vec![0x80, 30, 4, 0, 1, 0, 2], vec![6; 25]].concat();
    let key = [vec![0x80, 20], vec![7; 20]].concat();
    let padded = [vec![0x00, 19, 3], vec![8; 19]].concat();
    let expected = [
        "> [handshake, 30 bytes at 0]",
        "> ClientHello SSL 2.0, 1 ciphers, SSLv2 format",
        "< [handshake, 32 bytes at 0]",
        "< ServerHello SSL 2.0, unknown",
    ];
    for size in [1, 10, 100] {
        let cut = |bytes: &[u8]| bytes.chunks(size).map(<[u8]>::to_vec).collect::<Vec<_>>();
        let talk = Talk::starttls().client(&cut(&hello)).server(&cut(&answer));
        let lines = story(&talk.client(&cut(&key)).server(&cut(&padded)).close());
        assert_eq!(
            lines, expected,
            "its other records are shown as application data; cut by {size}"
        );
    }
}

#[test]
fn a_hello_retry_request_is_followed_by_a_second_hello_in_clear() {
    let lines = facts(
        &Talk::starttls()
            .client(&[hello()])
            .server(&[retry(), change_cipher_spec()])
            .client(&[change_cipher_spec(), hello()])
            .server(&[answer13(), data(200)])
            .client(&[data(53)])
            .close(),
    );
    let expected = [
        "> ClientHello TLS 1.3 TLS 1.2, 2 ciphers",
        "< HelloRetryRequest TLS 1.3, TLS_AES_128_GCM_SHA256, secp256r1",
        "> ClientHello TLS 1.3 TLS 1.2, 2 ciphers",
        "< ServerHello TLS 1.3, TLS_AES_128_GCM_SHA256",
        "established",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn a_session_resumed_by_its_id() {
    let id = [4; 32];
    let hello = handshake(1, &client_hello(&id, &[0xc02f], &[]));
    let answer = handshake(2, &server_hello(&[9; 32], &id, 0xc02f, &[]));
    let lines = facts(
        &Talk::starttls()
            .client(&[hello])
            .server(&[answer, change_cipher_spec(), finished()])
            .client(&[change_cipher_spec(), finished()])
            .close(),
    );
    let expected = [
        "> ClientHello TLS 1.2, 1 ciphers, resumption offered",
        "< ServerHello TLS 1.2, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, resumed",
        "established, resumed",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn a_session_resumed_by_a_ticket_is_known_by_its_short_handshake() {
    let hello = handshake(1, &client_hello(&[], &[0xc02f], &[extension(35, &[1; 16])]));
    let lines = facts(
        &Talk::starttls()
            .client(&[hello])
            .server(&[answer12(), change_cipher_spec(), finished()])
            .client(&[change_cipher_spec(), finished()])
            .close(),
    );
    let expected = [
        "> ClientHello TLS 1.2, 1 ciphers, resumption offered",
        "< ServerHello TLS 1.2, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        "established, resumed",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn tls_1_3_resumes_by_a_pre_shared_key() {
    let psk = handshake(
        2,
        &server_hello(&[9; 32], &[], 0x1301, &[version(0x0304), extension(41, &[0, 0])]),
    );
    let lines = facts(
        &Talk::starttls()
            .client(&[hello()])
            .server(&[psk, data(100)])
            .client(&[data(53)])
            .close(),
    );
    assert_eq!(
        lines[1..],
        [
            "< ServerHello TLS 1.3, TLS_AES_128_GCM_SHA256, resumed",
            "established, resumed"
        ]
    );
}

#[test]
fn early_data_does_not_finish_a_handshake() {
    let offered = [versions(&[0x0304]), extension(42, &[])];
    let hello = handshake(1, &client_hello(&[], &[0x1301], &offered));
    let lines = facts(
        &Talk::starttls()
            .client(&[hello, change_cipher_spec(), data(400)])
            .close(),
    );
    assert_eq!(
        lines[1..],
        ["unfinished: no ServerHello answered the ClientHello"]
    );
}

#[test]
fn null_ciphers_hide_nothing() {
    let hello = handshake(1, &client_hello(&[], &[0x003b], &[]));
    let answer = handshake(2, &server_hello(&[9; 32], &[], 0x003b, &[]));
    let protected = |message: Vec<u8>| record(22, &[message, noise(32)].concat());
    let events = Talk::starttls()
        .client(&[hello])
        .server(&[answer, handshake(14, &[])])
        .client(&[change_cipher_spec(), protected(message(20, &[1; 12]))])
        .server(&[change_cipher_spec(), protected(message(20, &[2; 12]))])
        .client(&[data(60), record(21, &[vec![1, 0], noise(32)].concat())])
        .close();
    let expected = [
        "> Finished",
        "< Finished",
        "established",
        "> alert: warning close_notify",
    ];
    assert_eq!(facts(&events)[3..], expected);
    let encrypted = events
        .iter()
        .any(|event| matches!(event, TlsEvent::Record(record) if record.encrypted));
    assert!(!encrypted, "{events:#?}");
}

#[test]
fn a_client_that_refuses_in_tls_1_3_is_known_by_a_record_as_short_as_an_alert() {
    let lines = facts(
        &Talk::starttls()
            .client(&[hello()])
            .server(&[answer13(), data(900)])
            .client(&[data(19)])
            .close(),
    );
    let expected = [
        "> alert: encrypted",
        "unfinished: the client did not finish; the client's alert: encrypted",
    ];
    assert_eq!(lines[2..], expected);
}

#[test]
fn a_certificate_is_judged_by_packet_time() {
    let judged_at = |time: &str| {
        let time = chrono::DateTime::parse_from_rfc3339(time).expect("a time");
        let time = flowdump::time::Timestamp::from_parts(time.timestamp(), 0).expect("in range");
        let mut feed = feeds(&capture("smtp-starttls-tls12.pcap")).remove(0);
        for step in &mut feed.steps {
            if let Step::Data(_, _, when, _) = step {
                *when = time;
            }
        }
        facts(&feed.events())
            .into_iter()
            .find(|line| line.starts_with("< Certificate"))
            .expect("it is in clear")
    };
    assert_eq!(
        judged_at("2024-12-31T23:59:59Z"),
        "< Certificate CN=mx.example.test (not yet valid)"
    );
    assert_eq!(
        judged_at("2025-01-01T00:00:00Z"),
        "< Certificate CN=mx.example.test"
    );
    assert_eq!(
        judged_at("2045-01-01T00:00:00Z"),
        "< Certificate CN=mx.example.test"
    );
    assert_eq!(
        judged_at("2045-01-01T00:00:01Z"),
        "< Certificate CN=mx.example.test (expired)"
    );
}

#[test]
fn a_certificate_that_cannot_be_read_is_told_as_such() {
    let chain = list(3, &list(3, b"no certificate"));
    let lines = facts(
        &Talk::starttls()
            .client(&[hello()])
            .server(&[answer12(), handshake(11, &chain)])
            .events,
    );
    assert_eq!(lines[2], "< Certificate unreadable");
}

#[test]
fn a_message_too_long_to_keep_is_told_by_its_number_and_does_not_hide_the_next() {
    let long = message(11, &vec![0; 300_000]);
    let records: Vec<Vec<u8>> = long.chunks(16_384).map(|piece| record(22, piece)).collect();
    let talk = Talk::starttls()
        .client(&[hello()])
        .server(&[answer12()])
        .server(&records);
    let lines = facts(&talk.server(&[handshake(14, &[])]).events);
    assert_eq!(lines[2..], ["< Certificate", "< ServerHelloDone"]);
}

#[test]
fn what_finds_no_room_behind_a_long_message_does_not_hide_the_next() {
    let flight = [
        message(22, &[0; 300]),
        message(11, &vec![0; 16_300]),
        message(13, &vec![0; 6000]),
    ]
    .concat();
    let records: Vec<Vec<u8>> = flight.chunks(16_384).map(|piece| record(22, piece)).collect();
    let talk = Talk::starttls().client(&[hello()]).server(&[answer12()]);
    let lines = facts(&talk.server(&records).server(&[handshake(14, &[])]).events);
    let expected = [
        "< CertificateStatus",
        "< Certificate ",
        "< CertificateRequest",
        "< ServerHelloDone",
    ];
    assert_eq!(lines[2..], expected);
}

#[test]
fn who_says_hello_is_the_client_whoever_opened_the_connection() {
    let lines = facts(
        &Talk::starttls()
            .says(ToClient, &[hello()])
            .says(ToServer, &[answer12(), alert(2, 40)])
            .close(),
    );
    let expected = [
        "< ClientHello TLS 1.3 TLS 1.2, 2 ciphers",
        "> ServerHello TLS 1.2, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        "> alert: fatal handshake_failure",
        "unfinished: the server stopped after its ServerHello; the server's alert: handshake_failure",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn in_mid_stream_nothing_is_said_of_a_handshake_that_was_not_seen() {
    let lines = story(
        &Talk::new(TlsHow::Found)
            .client(&[data(100)])
            .server(&[finished(), data(100)])
            .close(),
    );
    assert_eq!(lines, ["< [handshake, 45 bytes at 0, encrypted]"]);
}

#[test]
fn a_hello_found_behind_a_preamble_is_followed_like_any() {
    let lines = facts(
        &Talk::new(TlsHow::Found)
            .client(&[hello()])
            .server(&[answer13(), data(99)])
            .client(&[data(53)])
            .close(),
    );
    assert_eq!(lines.last().map(String::as_str), Some("established"));
}

#[test]
fn a_watcher_is_small() {
    assert!(
        size_of::<TlsWatcher>() <= 320,
        "{} bytes",
        size_of::<TlsWatcher>()
    );
}
