//! What the mail watcher tells.

use std::time::Duration;

use crate::event::{ClientKnown, Connection, Direction};
use crate::mail::Proxied;
use crate::time::Timestamp;

/// A mail protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// RFC 5321.
    Smtp,
    /// RFC 2033.
    Lmtp,
    /// RFC 1939.
    Pop3,
    /// RFC 9051.
    Imap,
    /// RFC 5804.
    ManageSieve,
}

/// Why a protocol is a guess.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// The connection's beginning was not seen, or not all of it.
    MidStream,
    /// No greeting was seen before the client spoke.
    NoGreeting,
    /// TLS hides it from the first byte on: the port says so.
    Hidden,
}

/// A client's command, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Time of its first byte.
    pub time: Timestamp,
    /// Offset of its first byte, client → server.
    pub offset: u64,
    /// IMAP's tag, else empty.
    pub tag: String,
    /// The verb in upper case, as `MAIL`, `STARTTLS`.
    pub verb: String,
    /// The rest of the line, secrets replaced by `[hidden]`, lossy UTF-8, bounded.
    pub argument: String,
}

/// A server's reply, all its lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reply {
    /// Time of its first byte.
    pub time: Timestamp,
    /// Offset of its first byte, server → client.
    pub offset: u64,
    /// Three digits for SMTP and LMTP; `+OK`, `-ERR`, `OK`, `NO`, `BAD`, … for the others.
    pub code: String,
    /// Its lines without code and line end, bounded in number and length.
    pub lines: Vec<String>,
    /// The verb that it answers; `None` for the greeting and for what nobody asked (421, 451).
    pub answers: Option<String>,
    /// Time since the command's first byte.
    pub latency: Option<Duration>,
}

impl Reply {
    /// How long a greeting was waited for, since the SYN; `None` for any other reply, or where no SYN was seen.
    pub fn greeting_delay(&self, connection: &Connection) -> Option<Duration> {
        let is_greeting = self.offset == 0 && self.answers.is_none();
        (is_greeting && connection.client_known == ClientKnown::Syn)
            .then(|| self.time.since(connection.first_time))
    }
}

/// An authentication, once its outcome is known (or will never be).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Auth {
    /// When it began.
    pub time: Timestamp,
    /// `PLAIN`, `LOGIN`, `CRAM-MD5`, `LOGIN` of IMAP, `USER` of POP3, …
    pub mechanism: String,
    /// The user's name where it is in clear or base64.
    pub user: Option<String>,
    /// Whether the server took it; `None` where it was not seen.
    pub accepted: Option<bool>,
}

/// One mail, from MAIL FROM to its final reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// Time of MAIL FROM.
    pub time: Timestamp,
    /// Which of the session, from 1.
    pub depth: u32,
    /// Envelope sender, without brackets.
    pub mail_from: Option<String>,
    /// Envelope recipients (bounded) and the reply code to each, where seen.
    pub recipients: Vec<(String, Option<String>)>,
    /// How many recipients there were in all.
    pub recipient_count: u32,
    /// Message bytes as transferred, dot-stuffing undone, gaps counted.
    pub size: u64,
    /// Header fields worth a column, decoded as they stand: `date from to cc subject message-id …`
    /// (lower-case name, value, bounded).
    pub headers: Vec<(String, String)>,
    /// The reply that decided: after the dot, or the refusal before it.
    pub reply: Option<Reply>,
    /// Whether the server took the message; `None` where that was not seen.
    pub accepted: Option<bool>,
    /// The message was begun, and nothing of it is missing but its end: the client, or the capture, did not come to it.
    pub unfinished: bool,
}

impl Transaction {
    /// Whether the message was sent, or as much of it as is known, and no answer to it was seen.
    pub fn is_unanswered(&self) -> bool {
        self.size > 0 && self.accepted.is_none() && !self.unfinished
    }

    /// Whether its end was not seen, so that nobody had to answer, and nobody did.
    pub fn is_unfinished(&self) -> bool {
        self.unfinished && self.accepted.is_none()
    }
}

/// What became of STARTTLS / STLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StarttlsOutcome {
    /// Offered, and the session went on or ended without it.
    OfferedNotUsed,
    /// The server's offer was garbled on the way (`XXXXXXXA`): what stood in its place.
    Stripped(String),
    /// Refused, with the reply.
    Refused(Reply),
    /// Agreed to, and TLS follows in both directions from these offsets. The `TlsEvent::Started`
    /// with the same numbers follows.
    Accepted {
        /// Where TLS begins, client → server.
        client_offset: u64,
        /// Where TLS begins, server → client.
        server_offset: u64,
    },
    /// Agreed to, but what follows is no TLS.
    AcceptedNoTls,
    /// Agreed to, and nothing follows.
    AcceptedNothing,
}

/// STARTTLS / STLS, told once its outcome is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Starttls {
    /// When it was decided.
    pub time: Timestamp,
    /// Of which protocol.
    pub protocol: Protocol,
    /// What became of it.
    pub outcome: StarttlsOutcome,
}

/// Who expected TLS from the first byte where the other did not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImplicitMismatch {
    /// The client sent a ClientHello, the server answers in clear text.
    ServerIsPlain,
    /// The client speaks clear text, the server TLS.
    ClientIsPlain,
}

/// Something that a mail administrator should know of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MailWarning {
    /// A line ends in LF alone.
    BareLf,
    /// A CR without LF.
    BareCr,
    /// The end of a message written in a way that another server may read otherwise (`LF.LF`, `LF.CRLF`, …):
    /// SMTP smuggling.
    Smuggling(String),
    /// Clear text behind STARTTLS, before TLS, from the client: `len` bytes (CVE-2011-0411).
    CommandInjection { len: u64 },
    /// Clear text behind the server's agreement, before its TLS: `len` bytes.
    ResponseInjection { len: u64 },
    /// Clear text again after TLS had begun.
    PlaintextAfterTls,
    /// TLS began where none had been agreed.
    TlsWithoutStarttls,
    /// One side expected TLS from the first byte, the other did not.
    ImplicitMismatch(ImplicitMismatch),
    /// The client spoke before the greeting.
    EarlyTalker,
    /// A password went over the wire in clear text.
    ClearTextAuth,
    /// A command or reply too long or malformed, in words.
    Malformed(String),
}

/// From the mail watcher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MailEvent {
    /// The protocol is known, or guessed; first event of a mail connection, but for [`MailEvent::Proxied`].
    Protocol {
        time: Timestamp,
        protocol: Protocol,
        doubt: Option<Doubt>,
    },
    /// A proxy in front said for whom it speaks; it may be all that is said.
    Proxied(Proxied),
    /// A command.
    Command(Command),
    /// A reply.
    Reply(Reply),
    /// An authentication.
    Auth(Auth),
    /// A mail is over.
    Transaction(Transaction),
    /// STARTTLS / STLS.
    Starttls(Starttls),
    /// Something is odd at `offset`.
    Warning {
        time: Timestamp,
        direction: Direction,
        offset: u64,
        warning: MailWarning,
    },
    /// Both sides go on compressed (IMAP's COMPRESS, RFC 4978); nothing is understood any more.
    Compressed { time: Timestamp },
}
