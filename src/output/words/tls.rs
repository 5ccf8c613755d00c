//! What to say of TLS.

use super::{Weight, Words, who};
use crate::event::{Connection, Direction};
use crate::output::clock::utc;
use crate::output::escape::escaped;
use crate::time::Timestamp;
use crate::tls::{
    Alert, Certificate, CertificateProblem, ClientHello, Handshake, Record, ServerHello, Started, TlsEvent,
    TlsHow, alert_name, handshake_name, version_name,
};

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
        TlsHow::Found => "its agreement was not seen",
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
    let date = |time| utc(time).format("%Y-%m-%d").to_string();
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
