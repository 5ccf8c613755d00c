//! Bytes that the capture lacks, and ends in the middle.

use flowdump::event::Direction::{ToClient, ToServer};
use flowdump::tls::{TlsEvent, TlsHow};

use crate::bytes::*;
use crate::story::{facts, line};

fn lines(events: &[TlsEvent]) -> Vec<String> {
    events.iter().map(line).collect()
}

#[test]
fn a_gap_inside_a_record_is_jumped_by_its_length() {
    let record = data(1000);
    let talk = Talk::new(TlsHow::Found)
        .client(&[record[..105].to_vec()])
        .gap(ToServer, 800);
    let lines = lines(&talk.client(&[record[905..].to_vec(), data(20)]).events);
    let expected = [
        "> [application data, 1005 bytes at 0, encrypted, not whole]",
        "> [application data, 25 bytes at 1005, encrypted]",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn a_gap_to_the_end_of_a_record_leaves_no_doubt() {
    let talk = Talk::new(TlsHow::Found)
        .client(&[data(1000)[..105].to_vec()])
        .gap(ToServer, 900);
    let lines = lines(&talk.client(&[data(20)]).events);
    assert_eq!(lines[1..], ["> [application data, 25 bytes at 1005, encrypted]"]);
}

#[test]
fn behind_a_longer_gap_a_header_is_believed_once_another_stands_where_it_must() {
    let talk = Talk::new(TlsHow::Found)
        .client(&[data(1000)[..105].to_vec()])
        .gap(ToServer, 3000);
    assert_eq!(
        lines(&talk.events),
        ["> [application data, 1005 bytes at 0, encrypted, not whole]"]
    );
    let talk = talk.client(&[noise(300), data(50)]);
    assert_eq!(talk.events.len(), 1, "no proof yet");
    let talk = talk.client(&[data(60)[..5].to_vec()]);
    assert_eq!(
        lines(&talk.events)[1..],
        ["> [application data, 55 bytes at 3405, encrypted]"]
    );
    let lines = lines(&talk.close());
    assert_eq!(
        lines[2..],
        ["> [application data, 65 bytes at 3460, encrypted, not whole]"]
    );
}

#[test]
fn what_only_looks_like_a_header_is_not_told() {
    let looks_like = record(23, &noise(30))[..20].to_vec();
    let talk =
        Talk::new(TlsHow::Found)
            .gap(ToServer, 3000)
            .client(&[looks_like, noise(400), data(50), data(60)]);
    let lines = lines(&talk.close());
    let expected = [
        "> [application data, 55 bytes at 3420, encrypted]",
        "> [application data, 65 bytes at 3475, encrypted]",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn a_guessed_record_is_right_if_the_stream_ends_where_it_does() {
    let lines = lines(
        &Talk::new(TlsHow::Found)
            .gap(ToServer, 10)
            .client(&[data(50)])
            .close(),
    );
    assert_eq!(lines, ["> [application data, 55 bytes at 10, encrypted]"]);
}

#[test]
fn a_guess_survives_a_gap_inside_its_record() {
    // As a snaplen leaves it: of every packet the beginning.
    let cut = |talk: Talk, len: usize| {
        talk.client(&[data(len)[..60].to_vec()])
            .gap(ToServer, len as u64 - 55)
    };
    let talk = cut(Talk::new(TlsHow::Found).gap(ToServer, 10), 200);
    assert_eq!(lines(&talk.events), [] as [&str; 0], "no proof yet");
    let lines = lines(&cut(talk, 300).events);
    let expected = [
        "> [application data, 205 bytes at 10, encrypted, not whole]",
        "> [application data, 305 bytes at 215, encrypted, not whole]",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn clear_text_behind_a_gap_is_not_called_broken() {
    let talk = Talk::starttls()
        .client(&[hello()])
        .gap(ToServer, 500)
        .client(&[b"QUIT\r\n".to_vec()]);
    assert_eq!(facts(&talk.close()).len(), 1, "the ClientHello, and no more");
}

#[test]
fn messages_behind_a_lost_one_are_read_where_they_fill_a_record() {
    let chain = handshake(11, &list(3, &list(3, &noise(900))));
    let talk = Talk::starttls()
        .client(&[hello()])
        .server(&[answer12(), chain[..300].to_vec()]);
    let talk = talk.gap(ToClient, 400).server(&[chain[700..].to_vec()]);
    let lines = lines(
        &talk
            .server(&[handshake(12, &[3, 0, 29, 0]), handshake(14, &[])])
            .events,
    );
    let expected = [
        "< [handshake, 915 bytes at 49, not whole]",
        "< [handshake, 13 bytes at 964]",
        "< ServerKeyExchange x25519",
        "< [handshake, 9 bytes at 977]",
        "< ServerHelloDone",
    ];
    assert_eq!(lines[4..], expected);
}

#[test]
fn a_lost_hello_does_not_keep_the_handshake_from_being_known_as_done() {
    let flight = || [change_cipher_spec(), finished(), data(99)];
    let talk = Talk::starttls().client(&[hello()]).gap(ToClient, 3000);
    let lines = facts(&talk.client(&flight()).server(&flight()).close());
    assert_eq!(lines[1..], ["established, perhaps resumed"]);
}

#[test]
fn a_stream_that_ends_inside_a_record_says_so() {
    let lines = lines(&Talk::starttls().client(&[hello()[..30].to_vec()]).close());
    assert_eq!(lines[..1], ["> [handshake, 63 bytes at 0, not whole]"]);
}

#[test]
fn an_end_inside_a_header_tells_nothing() {
    let lines = lines(
        &Talk::new(TlsHow::Found)
            .client(&[data(9), vec![23, 3, 3]])
            .close(),
    );
    assert_eq!(lines, ["> [application data, 14 bytes at 0, encrypted]"]);
}

#[test]
fn what_is_no_tls_is_told_once_and_where_it_begins() {
    let talk = Talk::new(TlsHow::Found).client(&[data(9), vec![23, 3], vec![9], b"more".to_vec()]);
    let lines = lines(&talk.client(&[data(9)]).close());
    assert_eq!(lines[1..], ["> at 14: no TLS record begins here"]);
}
