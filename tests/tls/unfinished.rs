//! In which step a handshake stopped.

use flowdump::event::Direction::{ToClient, ToServer};
use flowdump::tls::TlsHow;

use crate::bytes::*;
use crate::story::facts;

/// What is said at the end.
fn end(talk: Talk) -> Option<String> {
    let facts = facts(&talk.close());
    facts
        .last()
        .and_then(|fact| fact.strip_prefix("unfinished: "))
        .map(str::to_owned)
}

fn said(talk: Talk) -> String {
    end(talk).expect("it is unfinished")
}

#[test]
fn before_the_hellos() {
    assert_eq!(said(Talk::starttls()), "no ClientHello came");
    let text = || vec![b"500 what?\r\n".to_vec()];
    assert_eq!(
        said(Talk::starttls().client(&text())),
        "something that is no TLS came instead of a ClientHello"
    );
    assert_eq!(
        said(Talk::starttls().server(&text())),
        "something that is no TLS came from the server, and no ClientHello"
    );
}

#[test]
fn between_the_hellos() {
    let talk = || Talk::starttls().client(&[hello()]);
    assert_eq!(said(talk()), "no ServerHello answered the ClientHello");
    assert_eq!(
        said(talk().server(&[alert(2, 70)])),
        "no ServerHello answered the ClientHello; the server's alert: protocol_version"
    );
    assert_eq!(
        said(talk().server(&[b"454 4.7.0 no TLS here\r\n".to_vec()])),
        "the server answered the ClientHello with something that is no TLS"
    );
}

#[test]
fn in_the_servers_part_of_tls_1_2() {
    let talk = || Talk::starttls().client(&[hello()]).server(&[answer12()]);
    assert_eq!(said(talk()), "the server stopped after its ServerHello");
    assert_eq!(
        said(talk().server(&[handshake(11, &list(3, &[]))])),
        "the server stopped after its Certificate"
    );
}

#[test]
fn in_the_clients_part_of_tls_1_2() {
    let talk = || {
        Talk::starttls()
            .client(&[hello()])
            .server(&[answer12(), handshake(14, &[])])
    };
    assert_eq!(said(talk()), "the client did not go on after the ServerHelloDone");
    assert_eq!(
        said(talk().client(&[alert(2, 42)])),
        "the client did not go on after the ServerHelloDone; the client's alert: bad_certificate"
    );
    assert_eq!(
        said(talk().client(&[handshake(16, &[0])])),
        "the client stopped after its ClientKeyExchange"
    );
    assert_eq!(
        said(talk().client(&[handshake(16, &[0]), change_cipher_spec(), finished()])),
        "the client finished, the server did not"
    );
}

#[test]
fn in_tls_1_3() {
    let talk = || Talk::starttls().client(&[hello()]).server(&[answer13()]);
    assert_eq!(said(talk()), "the server sent nothing after its ServerHello");
    assert_eq!(said(talk().server(&[data(900)])), "the client did not finish");
}

#[test]
fn around_a_hello_retry_request() {
    let talk = || Talk::starttls().client(&[hello()]).server(&[retry()]);
    assert_eq!(
        said(talk()),
        "no second ClientHello followed the HelloRetryRequest"
    );
    assert_eq!(
        said(talk().client(&[hello()])),
        "no ServerHello followed the HelloRetryRequest"
    );
}

#[test]
fn nothing_is_said_where_the_rest_may_be_missing_from_the_capture() {
    let flight = || [handshake(16, &[0]), change_cipher_spec(), finished()];
    let one_side = Talk::starttls().client(&[hello()]).client(&flight());
    assert_eq!(end(one_side), None, "only the client's side");
    let other_side =
        Talk::starttls().server(&[answer12(), handshake(14, &[]), change_cipher_spec(), finished()]);
    assert_eq!(end(other_side), None, "only the server's side");
    let lossy = Talk::starttls()
        .client(&[hello()])
        .server(&[answer12()])
        .gap(ToClient, 3000);
    assert_eq!(end(lossy), None, "a gap");
    let lossy = Talk::starttls().gap(ToServer, 100);
    assert_eq!(end(lossy), None, "a gap in place of the ClientHello");
    assert_eq!(end(Talk::new(TlsHow::Found)), None, "mid-stream");
}

#[test]
fn a_fatal_alert_says_that_there_is_no_rest() {
    let talk = Talk::starttls()
        .client(&[hello()])
        .server(&[answer12()])
        .gap(ToClient, 100);
    let hello_done = handshake(14, &[]);
    assert_eq!(
        said(talk.server(&[hello_done]).client(&[alert(2, 48)])),
        "the client did not go on after the ServerHelloDone; the client's alert: unknown_ca"
    );
}
