//! What flowdump says of mail and TLS, in plain words.
//!
//! Whatever these texts quote from the wire is made harmless here.

use std::net::SocketAddr;

use super::escape::escaped;
use super::facts::protocol_name;
use crate::decode::Endpoint;
use crate::event::{ClientKnown, Connection, Direction, TcpNote};
use crate::mail::{Auth, ImplicitMismatch, MailEvent, MailWarning, Reply, Starttls, StarttlsOutcome};
use crate::time::Timestamp;
use crate::tls::{
    Alert, Certificate, CertificateProblem, ClientHello, Handshake, Record, ServerHello, Started, TlsEvent,
    TlsHow, alert_name, handshake_name, version_name,
};

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
    SocketAddr::new(endpoint.address, endpoint.port).to_string()
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
        TcpNote::ResetIgnored => "reset that does not fit, not believed".to_owned(),
        TcpNote::OutsideStream { len } => format!("{len} bytes that fit nowhere in the stream"),
    }
}

/// `454 4.7.0 TLS not available`.
fn quoted(reply: &Reply) -> String {
    let first = reply.lines.first().map_or("", String::as_str);
    escaped(format!("{} {first}", reply.code).trim_end())
}

/// What to say of a mail event; most speak for themselves.
pub fn mail(connection: &Connection, event: &MailEvent) -> Option<Words> {
    match event {
        MailEvent::Auth(auth) => Some(authentication(auth)),
        MailEvent::Starttls(starttls) => outcome(connection, starttls),
        MailEvent::Warning {
            time,
            direction,
            warning: what,
            ..
        } => Some(Words {
            weight: Weight::Warning,
            direction: *direction,
            time: Some(*time),
            text: warning(what),
        }),
        MailEvent::Protocol {
            time,
            protocol,
            sure: false,
        } => Some(Words {
            weight: Weight::Remark,
            direction: Direction::ToServer,
            time: Some(*time),
            text: format!(
                "{}, as it seems: its beginning was not seen",
                protocol_name(*protocol).to_uppercase()
            ),
        }),
        MailEvent::Protocol { .. }
        | MailEvent::Command(_)
        | MailEvent::Reply(_)
        | MailEvent::Transaction(_) => None,
    }
}

fn authentication(auth: &Auth) -> Words {
    let user = auth
        .user
        .as_ref()
        .map_or_else(String::new, |user| format!(", user {}", escaped(user)));
    let outcome = match auth.accepted {
        Some(true) => ", accepted",
        Some(false) => ", refused",
        None => ", outcome not seen",
    };
    Words {
        weight: Weight::Remark,
        direction: Direction::ToServer,
        // When its outcome is known, not when it began.
        time: None,
        text: format!("AUTH {}{user}{outcome}", escaped(&auth.mechanism)),
    }
}

fn outcome(connection: &Connection, starttls: &Starttls) -> Option<Words> {
    let text = match &starttls.outcome {
        // The marker where TLS starts says it.
        StarttlsOutcome::Accepted { .. } => return None,
        StarttlsOutcome::OfferedNotUsed => "STARTTLS was offered and not used".to_owned(),
        StarttlsOutcome::Stripped(instead) => {
            format!(
                "STARTTLS was stripped on the way: the server's offer reads {}",
                escaped(instead)
            )
        }
        StarttlsOutcome::Refused(reply) => format!("STARTTLS refused: {}", quoted(reply)),
        StarttlsOutcome::AcceptedNoTls => "STARTTLS accepted, but what follows is not TLS".to_owned(),
        StarttlsOutcome::AcceptedNothing => "STARTTLS accepted, but nothing follows".to_owned(),
    };
    Some(Words {
        weight: Weight::Marker,
        direction: Direction::ToClient,
        time: Some(starttls.time),
        text: format!("{text}, {}", who(connection)),
    })
}

/// One word for programs.
pub fn warning_name(warning: &MailWarning) -> &'static str {
    match warning {
        MailWarning::BareLf => "bare_lf",
        MailWarning::BareCr => "bare_cr",
        MailWarning::Smuggling(_) => "smuggling",
        MailWarning::CommandInjection { .. } => "command_injection",
        MailWarning::ResponseInjection { .. } => "response_injection",
        MailWarning::PlaintextAfterTls => "plaintext_after_tls",
        MailWarning::TlsWithoutStarttls => "tls_without_starttls",
        MailWarning::ImplicitMismatch(_) => "implicit_mismatch",
        MailWarning::EarlyTalker => "early_talker",
        MailWarning::ClearTextAuth => "clear_text_auth",
        MailWarning::Malformed(_) => "malformed",
    }
}

/// A sentence on what is odd.
pub fn warning(warning: &MailWarning) -> String {
    match warning {
        MailWarning::BareLf => "line ended by LF alone".to_owned(),
        MailWarning::BareCr => "CR without LF".to_owned(),
        MailWarning::Smuggling(how) => {
            format!(
                "end of message written as {}: another server may read it otherwise (SMTP smuggling)",
                escaped(how)
            )
        }
        MailWarning::CommandInjection { len } => {
            format!(
                "{len} bytes of clear text behind STARTTLS, before TLS: command injection (CVE-2011-0411)"
            )
        }
        MailWarning::ResponseInjection { len } => {
            format!("{len} bytes of clear text behind the server's agreement, before TLS: response injection")
        }
        MailWarning::PlaintextAfterTls => "clear text again, after TLS had begun".to_owned(),
        MailWarning::TlsWithoutStarttls => "TLS begins, but nobody had agreed on it".to_owned(),
        MailWarning::ImplicitMismatch(ImplicitMismatch::ServerIsPlain) => {
            "the client begins with TLS, the server speaks in clear: implicit TLS to a STARTTLS port?"
                .to_owned()
        }
        MailWarning::ImplicitMismatch(ImplicitMismatch::ClientIsPlain) => {
            "the client speaks in clear to a server that expects TLS: STARTTLS to an implicit TLS port?"
                .to_owned()
        }
        MailWarning::EarlyTalker => "the client spoke before the greeting".to_owned(),
        MailWarning::ClearTextAuth => "a password went over the wire in clear text".to_owned(),
        MailWarning::Malformed(what) => escaped(what),
    }
}

/// What to say of a TLS event. `handshake` is the time and the bytes of the records that carried a message.
pub fn tls(connection: &Connection, event: &TlsEvent, handshake: Option<(Timestamp, u64)>) -> Option<Words> {
    let (weight, direction, time, text) = match event {
        TlsEvent::Started(started) => {
            return Some(Words {
                weight: Weight::Marker,
                direction: Direction::ToServer,
                time: Some(started.time),
                text: format!("TLS starts here: {}, {}", how(started), who(connection)),
            });
        }
        TlsEvent::Handshake {
            time,
            direction,
            message,
        } => {
            let (time, bytes) = handshake.map_or((*time, None), |(time, bytes)| (time, Some(bytes)));
            let problems = match message {
                Handshake::Certificates(chain) => chain
                    .iter()
                    .any(|one| !one.problems.is_empty() && !is_anchor(one)),
                _ => false,
            };
            let weight = if problems { Weight::Warning } else { Weight::Remark };
            (weight, *direction, time, message_text(message, bytes))
        }
        TlsEvent::Alert(alert) => return alert_words(alert),
        TlsEvent::Unfinished { time, step } => (
            Weight::Warning,
            Direction::ToServer,
            *time,
            format!("TLS handshake did not finish: {}", escaped(step)),
        ),
        TlsEvent::Broken {
            time,
            direction,
            reason,
            ..
        } => (
            Weight::Remark,
            *direction,
            *time,
            format!("not TLS any more: {}", escaped(reason)),
        ),
        TlsEvent::Record(_) | TlsEvent::Established { .. } => return None,
    };
    Some(Words {
        weight,
        direction,
        time: Some(time),
        text,
    })
}

fn how(started: &Started) -> &'static str {
    match started.how {
        TlsHow::Starttls => "STARTTLS accepted",
        TlsHow::Implicit => "from the first byte",
        TlsHow::Found => "found in mid-stream, a guess",
    }
}

/// A root that a server sends along is self-signed by nature.
fn is_anchor(certificate: &Certificate) -> bool {
    certificate.problems == [CertificateProblem::SelfSigned] && certificate.names.is_empty()
}

fn alert_words(alert: &Alert) -> Option<Words> {
    // An encrypted one is told as a record.
    let (level, description) = alert.level_description?;
    let level_text = match level {
        1 => "warning",
        2 => "fatal",
        _ => "unknown level",
    };
    let harmless = description == 0;
    Some(Words {
        weight: if harmless { Weight::Remark } else { Weight::Warning },
        direction: alert.direction,
        time: Some(alert.time),
        text: format!(
            "TLS alert, {level_text}, {} ({description})",
            alert_name(description)
        ),
    })
}

fn message_text(message: &Handshake, bytes: Option<u64>) -> String {
    let mut parts = match message {
        Handshake::ClientHello(hello) => client_hello(hello),
        Handshake::ServerHello(hello) => server_hello(hello),
        Handshake::Certificates(chain) => certificates(chain),
        Handshake::CertificateRequest => vec!["CertificateRequest".to_owned()],
        Handshake::ServerKeyExchange { group } => std::iter::once("ServerKeyExchange".to_owned())
            .chain(group.clone())
            .collect(),
        Handshake::Other(number) => vec![handshake_name(*number).into_owned()],
    };
    if let (Some(bytes), Handshake::ClientHello(_)) = (bytes, message) {
        parts.push(format!("{bytes} bytes"));
    }
    format!("TLS {}", parts.join(", "))
}

fn client_hello(hello: &ClientHello) -> Vec<String> {
    let mut parts = vec![
        if hello.sslv2 {
            "ClientHello in SSLv2 format"
        } else {
            "ClientHello"
        }
        .to_owned(),
    ];
    // `TLS 1.3 1.2`: the name once.
    let mut versions = String::new();
    for version in &hello.versions {
        let name = version_name(*version);
        match name.strip_prefix("TLS ").filter(|_| versions.starts_with("TLS ")) {
            Some(number) => versions.push_str(&format!(" {number}")),
            None if versions.is_empty() => versions.push_str(&name),
            None => versions.push_str(&format!(" {name}")),
        }
    }
    parts.extend((!versions.is_empty()).then_some(versions));
    parts.push(
        hello
            .sni
            .as_ref()
            .map_or_else(|| "no SNI".to_owned(), |sni| format!("SNI {}", escaped(sni))),
    );
    if !hello.alpn.is_empty() {
        parts.push(format!("ALPN {}", escaped(&hello.alpn.join(" "))));
    }
    parts.push(format!("{} ciphers", hello.cipher_count));
    parts.extend(hello.post_quantum.then(|| "post-quantum".to_owned()));
    parts
}

fn server_hello(hello: &ServerHello) -> Vec<String> {
    let mut parts = vec![
        if hello.retry {
            "HelloRetryRequest"
        } else {
            "ServerHello"
        }
        .to_owned(),
    ];
    parts.push(version_name(hello.version).into_owned());
    parts.push(hello.cipher_name.clone());
    parts.extend(hello.group.clone());
    parts.extend(hello.alpn.as_ref().map(|alpn| format!("ALPN {}", escaped(alpn))));
    parts.extend((hello.resumed == Some(true)).then(|| "resumed".to_owned()));
    parts.extend((!hello.encrypts).then(|| "no encryption".to_owned()));
    parts
}

fn certificates(chain: &[Certificate]) -> Vec<String> {
    let Some(leaf) = chain.first() else {
        return vec!["Certificate, none".to_owned()];
    };
    let mut parts = vec!["Certificate".to_owned(), escaped(&leaf.subject)];
    let others: Vec<_> = leaf
        .names
        .iter()
        .filter(|name| !leaf.subject.contains(name.as_str()))
        .collect();
    if let Some(first) = others.first() {
        let more = if others.len() > 1 {
            format!(" and {} more", others.len() - 1)
        } else {
            String::new()
        };
        parts.push(format!("for {}{more}", escaped(first)));
    }
    parts.push(format!("by {}", escaped(&leaf.issuer)));
    let date = |time| super::clock::utc(time).format("%Y-%m-%d").to_string();
    parts.push(format!(
        "valid {} to {}",
        date(leaf.not_before),
        date(leaf.not_after)
    ));
    parts.extend(leaf.problems.iter().map(|problem| match problem {
        CertificateProblem::Expired => "EXPIRED".to_owned(),
        CertificateProblem::NotYetValid => "NOT YET VALID".to_owned(),
        CertificateProblem::NameMismatch(sni) => format!("NOT FOR {}", escaped(sni)),
        CertificateProblem::SelfSigned => "self-signed".to_owned(),
        CertificateProblem::Unreadable(why) => format!("unreadable: {}", escaped(why)),
    }));
    parts.extend((chain.len() > 1).then(|| format!("chain of {}", chain.len())));
    parts
}

/// The kind of records that are told as a run; empty for records in clear whose messages are told.
pub fn record(record: &Record) -> &'static str {
    match record.content_type {
        20 => "change cipher spec",
        21 if record.encrypted => "encrypted alert",
        22 if record.encrypted => "encrypted handshake",
        21 | 22 => "",
        23 => "application data",
        24 => "heartbeat",
        _ => "unknown",
    }
}
