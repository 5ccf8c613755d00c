//! What is told of our own captures (tests/captures/README.md).

use crate::common::capture;
use crate::feed::feeds;
use crate::story::{facts, story};

fn of(name: &str) -> Vec<String> {
    match feeds(&capture(name)).as_slice() {
        [one] => story(&one.events()),
        feeds => panic!("{name}: {} connections with TLS", feeds.len()),
    }
}

fn facts_of(name: &str) -> Vec<String> {
    feeds(&capture(name))
        .iter()
        .flat_map(|feed| facts(&feed.events()))
        .collect()
}

#[test]
fn a_handshake_of_tls_1_2_is_in_clear_up_to_change_cipher_spec() {
    let expected = [
        "> [handshake, 186 bytes at 35]",
        "> ClientHello TLS 1.2, 15 ciphers, SNI mx.example.test",
        "< [handshake, 70 bytes at 223]",
        "< ServerHello TLS 1.2, TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        "< [handshake, 414 bytes at 293]",
        "< Certificate CN=mx.example.test",
        "< [handshake, 121 bytes at 707]",
        "< ServerKeyExchange x25519",
        "< [handshake, 9 bytes at 828]",
        "< ServerHelloDone",
        "> [handshake, 42 bytes at 221]",
        "> ClientKeyExchange",
        "> [change cipher spec, 6 bytes at 263]",
        "> [handshake, 45 bytes at 269, encrypted]",
        "< [handshake, 191 bytes at 837]",
        "< NewSessionTicket",
        "< [change cipher spec, 6 bytes at 1028]",
        "< [handshake, 45 bytes at 1034, encrypted]",
        "established",
        "< [alert, 31 bytes at 1522, encrypted]",
        "< alert: encrypted",
    ];
    assert_eq!(of("smtp-starttls-tls12.pcap"), expected);
}

#[test]
fn a_handshake_of_tls_1_3_is_in_clear_up_to_the_server_hello() {
    let expected = [
        "> [handshake, 517 bytes at 35]",
        "> ClientHello TLS 1.3 TLS 1.2 TLS 1.1 TLS 1.0, 31 ciphers, SNI mx.example.test",
        "< [handshake, 127 bytes at 223]",
        "< ServerHello TLS 1.3, TLS_AES_256_GCM_SHA384, x25519",
        "< [change cipher spec, 6 bytes at 350]",
        "> [change cipher spec, 6 bytes at 552]",
        "established",
    ];
    assert_eq!(of("smtp-starttls-tls13.pcap"), expected);
}

#[test]
fn certificates_are_judged_by_the_time_of_their_packet() {
    let certificate = |name| {
        facts_of(name)
            .into_iter()
            .find(|line| line.starts_with("< Certificate"))
            .unwrap()
    };
    assert_eq!(
        certificate("smtp-starttls-expired.pcap"),
        "< Certificate CN=mx.example.test (expired)"
    );
    assert_eq!(
        certificate("smtp-starttls-wrong-name.pcap"),
        "< Certificate CN=other.example.test (not mx.example.test)"
    );
    assert_eq!(
        certificate("smtp-starttls-self-signed.pcap"),
        "< Certificate CN=mx.example.test (self-signed)"
    );
}

#[test]
fn a_refused_certificate_is_an_alert_and_an_unfinished_handshake() {
    let facts = facts_of("smtp-starttls-unknown-ca.pcap");
    let expected = [
        "> alert: fatal unknown_ca",
        "unfinished: the client did not go on after the ServerHelloDone; the client's alert: unknown_ca",
    ];
    assert_eq!(facts[facts.len() - 2..], expected);
}

#[test]
fn clear_text_behind_close_notify_is_not_taken_for_tls() {
    let facts = facts_of("smtp-clear-after-tls.pcap");
    let expected = [
        "established",
        "> alert: encrypted",
        "< alert: encrypted",
        "> at 399: clear text after the alert that ends TLS",
        "< at 1036: clear text after the alert that ends TLS",
    ];
    assert_eq!(facts[facts.len() - 5..], expected);
}

#[test]
fn every_capture_with_tls_is_followed_to_the_end_of_the_handshake() {
    let names = [
        "smtps-465.pcap",
        "imaps.pcap",
        "imap-starttls.pcap",
        "pop3-stls.pcap",
        "managesieve-starttls.pcap",
        "smtp-starttls-openssl.pcap",
        "smtp-starttls-injected.pcap",
        "smtp-starttls-response-injected.pcap",
        "smtp-starttls-two-line-220.pcap",
    ];
    for name in names {
        let facts = facts_of(name);
        assert_eq!(
            facts.iter().filter(|fact| *fact == "established").count(),
            1,
            "{name}: {facts:#?}"
        );
    }
}
