//! In which step a handshake stopped, in plain words. Says only what was seen.

use crate::event::Direction;

use super::event::TlsHow;
use super::names::{alert_name, handshake_name, is_tls13};
use super::session::{Hand, Progress, Session};

/// Where the handshake stands. `None` if it is over, or if too little was seen to say: what is missing from the
/// capture may be the rest of it, unless somebody said that there is none.
pub(super) fn step(session: &Session) -> Option<String> {
    let hand = match (session.progress, &session.hand) {
        (Progress::Open, Some(hand)) => hand,
        _ => return None,
    };
    let refused = matches!(hand.alert, Some((_, Some((2, _)))));
    if session.sides.iter().any(|side| side.gap) && !refused {
        return None;
    }
    let mut words = match session.client {
        None => before_hello(session)?,
        Some(client) => after_hello(session, hand, client)?,
    };
    if let Some((direction, alert)) = hand.alert {
        let who = if direction == session.client.unwrap_or(Direction::ToServer) {
            "client"
        } else {
            "server"
        };
        let what = alert.map_or("encrypted".into(), |(_, description)| alert_name(description));
        words.push_str(&format!("; the {who}'s alert: {what}"));
    }
    Some(words)
}

fn before_hello(session: &Session) -> Option<String> {
    let [client, server] = session.sides;
    let words = if client.broken {
        "something that is no TLS came instead of a ClientHello"
    } else if session.how == TlsHow::Found || client.spoke || server.data {
        return None;
    } else if server.broken {
        "something that is no TLS came from the server, and no ClientHello"
    } else {
        "no ClientHello came"
    };
    Some(words.into())
}

fn after_hello(session: &Session, hand: &Hand, client: Direction) -> Option<String> {
    let server = session.side(client.reverse());
    let client = session.side(client);
    let last = |number: Option<u8>| number.map_or("first records".into(), handshake_name);
    let words: String = if server.broken && !server.spoke {
        "the server answered the ClientHello with something that is no TLS".into()
    } else if server.broken {
        "the server went on with something that is no TLS".into()
    } else if client.broken {
        "the client went on with something that is no TLS".into()
    } else if !hand.server_hello && hand.retry {
        let what = if hand.retried {
            "no ServerHello"
        } else {
            "no second ClientHello"
        };
        format!("{what} followed the HelloRetryRequest")
    } else if !hand.server_hello {
        // A client that goes on (but with early data) has been answered: only its side was captured.
        let early = hand.offer.as_ref().is_some_and(|offer| offer.early_data);
        if client.finished || client.changed && !server.spoke && !early {
            return None;
        }
        "no ServerHello answered the ClientHello".into()
    } else if is_tls13(session.version) {
        if !server.data {
            "the server sent nothing after its ServerHello".into()
        } else if client.spoke {
            "the client did not finish".into()
        } else {
            return None;
        }
    } else if client.finished {
        "the client finished, the server did not".into()
    } else if server.finished && !client.spoke {
        return None;
    } else if server.finished {
        "the server finished, the client did not".into()
    } else if server.last == Some(14) {
        match client.last {
            Some(1) | None => "the client did not go on after the ServerHelloDone".into(),
            number => format!("the client stopped after its {}", last(number)),
        }
    } else {
        format!("the server stopped after its {}", last(server.last))
    };
    Some(words)
}
