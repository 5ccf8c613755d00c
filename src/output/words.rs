//! What flowdump says of mail and TLS, in plain words.
//!
//! Whatever these texts quote from the wire is made harmless here.

mod mail;
mod tls;

use super::digits::push_endpoint;
use super::facts::{end_name, sender_name};
use crate::decode::Endpoint;
use crate::event::{ClientKnown, CloseReason, Closing, Connection, Direction, TcpNote, Totals};
use crate::time::Timestamp;

pub use mail::{mail, warning, warning_name};
pub use tls::{record, tls};

/// How much a text stands out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// A line of its own across the page.
    Marker,
    /// By the way.
    Remark,
    /// Something is wrong.
    Warning,
}

/// Something to say about a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    /// How much it stands out.
    pub weight: Weight,
    /// Whose doing it is.
    pub direction: Direction,
    /// When; `None` is the time of the last bytes.
    pub time: Option<Timestamp>,
    /// The text, harmless.
    pub text: String,
}

/// `192.0.2.1:25`, `[2001:db8::1]:25`.
pub fn endpoint(endpoint: Endpoint) -> String {
    let mut text = Vec::new();
    push_endpoint(endpoint, &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// `CLIENT > SERVER`.
fn who(connection: &Connection) -> String {
    format!(
        "{} > {}",
        endpoint(connection.client),
        endpoint(connection.server)
    )
}

/// How a connection begins, for those who want to know.
pub fn opened(client_known: ClientKnown) -> &'static str {
    match client_known {
        ClientKnown::Syn => "connection",
        ClientKnown::SynAck => "connection, its SYN not seen",
        ClientKnown::Guessed => {
            "connection, its beginning not seen; who is the client is guessed from the ports"
        }
    }
}

/// How a connection ended.
pub fn end(closing: &Closing) -> String {
    match closing.first_fin {
        Some(direction) if closing.reason == CloseReason::Fin => format!("fin by {}", sender_name(direction)),
        _ => end_name(closing.reason).to_owned(),
    }
}

/// What to say of a connection in which nothing was said.
pub fn silent(connection: &Connection, closing: &Closing) -> String {
    let seconds = closing.last_time.since(connection.first_time).as_secs_f64();
    match closing.first_fin {
        Some(direction) => format!(
            "closed by the {} after {seconds:.1} s, no data",
            sender_name(direction)
        ),
        None => format!("no data in {seconds:.1} s"),
    }
}

/// So many segments came again before what they bring is said to be lost.
const SENT_AGAIN: u64 = 2;

/// So many bytes may have been in a segment that is too large for a tunnel: the least MTU of IPv6 has room for no more.
const LARGE: u64 = 1220;

/// What to say of a direction whose last bytes came again and were never acknowledged.
pub fn unacknowledged(totals: &Totals, reason: CloseReason) -> Option<String> {
    let Totals {
        unacknowledged: len,
        retransmissions,
        ..
    } = *totals;
    let begin = (totals.bytes + totals.gap_bytes).saturating_sub(len);
    let large = if len >= LARGE {
        ", or too large for it (path MTU)"
    } else {
        ""
    };
    let early = match reason {
        CloseReason::CaptureEnd => ", or the capture ended too soon",
        _ => "",
    };
    (len > 0 && retransmissions >= SENT_AGAIN).then(|| {
        format!(
            "{len} bytes from byte {begin} on were never acknowledged, with {retransmissions} retransmissions: lost on the \
             way{large}{early}"
        )
    })
}

/// So many SYNs, and nothing else.
pub fn unanswered(syns: u64) -> String {
    match syns {
        0 | 1 => "no answer to the SYN".to_owned(),
        _ => format!("no answer to the SYN, sent {syns} times"),
    }
}

/// What TCP does.
pub fn note(note: &TcpNote) -> String {
    match note {
        TcpNote::Retransmission { offset, len } => format!("{len} bytes at byte {offset} retransmitted"),
        TcpNote::DuplicateCapture => "packet captured twice".to_owned(),
        TcpNote::OutOfOrder { offset, len } => format!("{len} bytes at byte {offset} before their turn"),
        TcpNote::Conflict { offset, len } => {
            format!("{len} bytes came again with other content, at byte {offset}; the first copy stands")
        }
        TcpNote::ZeroWindow => "window closed".to_owned(),
        TcpNote::KeepAlive => "keep-alive".to_owned(),
        TcpNote::Unanswered { syns } => format!("no answer to the SYN so far, sent {syns} times"),
        TcpNote::SynIgnored => "SYN with another sequence number, not believed".to_owned(),
        TcpNote::FinIgnored => "FIN outside the window, not believed".to_owned(),
        TcpNote::ResetIgnored => "reset that does not fit, not believed".to_owned(),
        TcpNote::OutsideStream { len } => format!("{len} bytes that fit nowhere in the stream"),
    }
}
