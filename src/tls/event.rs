//! What the TLS watcher tells.

use crate::event::Direction;
use crate::time::Timestamp;

/// How TLS came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsHow {
    /// The client asked (STARTTLS, STLS) and the server agreed.
    Starttls,
    /// From the first byte of the connection.
    Implicit,
    /// Seen in mid-stream, or behind a preamble that is none of the above.
    Found,
}

/// TLS begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    /// When.
    pub time: Timestamp,
    /// How.
    pub how: TlsHow,
    /// Offset of the first TLS byte of each direction, by [`Direction::index`], as far as known.
    pub offsets: [Option<u64>; 2],
}

/// A record passed. It is told at its end, so that its messages follow it at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// Time of its first byte.
    pub time: Timestamp,
    /// Who sent it.
    pub direction: Direction,
    /// Offset of its header.
    pub offset: u64,
    /// RFC 8446, section 5.1: 20 change cipher spec, 21 alert, 22 handshake, 23 application data, 24 heartbeat.
    pub content_type: u8,
    /// Version of the record header, as 0x0303.
    pub version: u16,
    /// Length on the wire by its header, the header's five bytes (two in SSLv2 format) included.
    pub len: u32,
    /// Whether its content is encrypted, as far as can be told.
    pub encrypted: bool,
    /// Whether all its bytes were seen: a gap may have eaten some, the connection's end may have cut it short.
    pub whole: bool,
}

/// What the client offers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClientHello {
    /// Server name indication.
    pub sni: Option<String>,
    /// Versions offered, most wanted first (supported_versions, else legacy version), GREASE left out.
    pub versions: Vec<u16>,
    /// How many cipher suites, GREASE left out.
    pub cipher_count: usize,
    /// ALPN names.
    pub alpn: Vec<String>,
    /// Names of the groups offered, GREASE left out.
    pub groups: Vec<String>,
    /// Whether one of them is post-quantum (hybrid ML-KEM or Kyber).
    pub post_quantum: bool,
    /// A session ticket, session id or pre-shared key was offered.
    pub resumption_offered: bool,
    /// SSLv2 format.
    pub sslv2: bool,
}

/// What the server chose.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServerHello {
    /// The true version (supported_versions where there, else the legacy one).
    pub version: u16,
    /// Number of the cipher suite.
    pub cipher: u16,
    /// Its IANA name.
    pub cipher_name: String,
    /// Name of the group, where the message tells it (TLS 1.3; before that it is in the ServerKeyExchange).
    pub group: Option<String>,
    /// ALPN choice, where it is in clear.
    pub alpn: Option<String>,
    /// Whether the session was resumed, where the message tells it. [`TlsEvent::Established`] knows more.
    pub resumed: Option<bool>,
    /// It is a HelloRetryRequest.
    pub retry: bool,
    /// Whether the cipher suite encrypts at all: the NULL suites only authenticate.
    pub encrypts: bool,
}

/// What is wrong with a certificate, judged by packet time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateProblem {
    /// `notAfter` is past.
    Expired,
    /// `notBefore` is to come.
    NotYetValid,
    /// None of its names fits the SNI given here.
    NameMismatch(String),
    /// Issuer and subject are one.
    SelfSigned,
    /// It could not be read, in words.
    Unreadable(String),
}

/// One certificate of a chain (TLS 1.2 and earlier: later ones are encrypted).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Subject, RFC 4514.
    pub subject: String,
    /// Issuer, RFC 4514.
    pub issuer: String,
    /// DNS names and addresses of the subject alternative name.
    pub names: Vec<String>,
    /// Start of validity.
    pub not_before: Timestamp,
    /// End of validity.
    pub not_after: Timestamp,
    /// SHA-256 of its DER, hex.
    pub fingerprint: String,
    /// Serial number, hex.
    pub serial: String,
    /// What is wrong; name and validity are judged for the first of a chain only.
    pub problems: Vec<CertificateProblem>,
}

/// A handshake message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Handshake {
    /// First of the client.
    ClientHello(ClientHello),
    /// First of the server, or its request to try again.
    ServerHello(ServerHello),
    /// The sender's chain, leaf first.
    Certificates(Vec<Certificate>),
    /// The server wants a client certificate.
    CertificateRequest,
    /// The server's part of an ephemeral key exchange (TLS 1.2 and earlier).
    ServerKeyExchange {
        /// Name of the group, where it is a named one.
        group: Option<String>,
    },
    /// Another message in clear, or one that could not be read, by its number (RFC 8446, section 4, and
    /// RFC 5246, section 7.4).
    Other(u8),
}

/// An alert. Of those that TLS 1.3 encrypts, which look like application data, only one is told: a client's first
/// encrypted record that is as short as an alert and too short for a Finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alert {
    /// When.
    pub time: Timestamp,
    /// Who sent it.
    pub direction: Direction,
    /// Level (1 warning, 2 fatal) and description, where in clear.
    pub level_description: Option<(u8, u8)>,
}

/// From the TLS watcher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsEvent {
    /// TLS begins.
    Started(Started),
    /// A record passed.
    Record(Record),
    /// A handshake message, whole. Follows the (last) record that carried it.
    Handshake {
        time: Timestamp,
        direction: Direction,
        message: Handshake,
    },
    /// An alert. Follows its record.
    Alert(Alert),
    /// Both sides have finished their handshake, as far as can be told from outside.
    Established {
        time: Timestamp,
        /// Whether the session was resumed, as far as known by now.
        resumed: Option<bool>,
    },
    /// The connection ended before that; the words say in which step.
    Unfinished { time: Timestamp, step: String },
    /// What follows at `offset` is no TLS.
    Broken {
        time: Timestamp,
        direction: Direction,
        offset: u64,
        reason: String,
    },
}
