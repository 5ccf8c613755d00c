//! Events as lines that can be read: `>` is the client's, `<` the server's.

use flowdump::event::Direction;
use flowdump::tls::{Certificate, CertificateProblem, Handshake, TlsEvent, alert_name};
use flowdump::tls::{handshake_name, version_name};

/// All but the records of application data.
pub fn story(events: &[TlsEvent]) -> Vec<String> {
    let told = |event: &&TlsEvent| !matches!(event, TlsEvent::Record(record) if record.content_type == 23);
    events.iter().filter(told).map(line).collect()
}

/// Only what is not a record.
pub fn facts(events: &[TlsEvent]) -> Vec<String> {
    let told = |event: &&TlsEvent| !matches!(event, TlsEvent::Record(_));
    events.iter().filter(told).map(line).collect()
}

fn content_type(number: u8) -> String {
    match number {
        20 => "change cipher spec".into(),
        21 => "alert".into(),
        22 => "handshake".into(),
        23 => "application data".into(),
        24 => "heartbeat".into(),
        other => format!("record type {other}"),
    }
}

/// One.
pub fn line(event: &TlsEvent) -> String {
    match event {
        TlsEvent::Started(_) => unreachable!("that is for the caller to tell"),
        TlsEvent::Record(record) => format!(
            "{} [{}, {} bytes at {}{}{}]",
            arrow(record.direction),
            content_type(record.content_type),
            record.len,
            record.offset,
            if record.encrypted { ", encrypted" } else { "" },
            if record.whole { "" } else { ", not whole" },
        ),
        TlsEvent::Handshake {
            direction, message, ..
        } => format!("{} {}", arrow(*direction), words(message)),
        TlsEvent::Alert(alert) => {
            let what = match alert.level_description {
                Some((1, description)) => format!("warning {}", alert_name(description)),
                Some((_, description)) => format!("fatal {}", alert_name(description)),
                None => "encrypted".into(),
            };
            format!("{} alert: {what}", arrow(alert.direction))
        }
        TlsEvent::Established { resumed, .. } => match resumed {
            Some(true) => "established, resumed".into(),
            Some(false) => "established".into(),
            None => "established, perhaps resumed".into(),
        },
        TlsEvent::Unfinished { step, .. } => format!("unfinished: {step}"),
        TlsEvent::Broken {
            direction,
            offset,
            reason,
            ..
        } => {
            format!("{} at {offset}: {reason}", arrow(*direction))
        }
    }
}

fn words(message: &Handshake) -> String {
    match message {
        Handshake::ClientHello(hello) => {
            let versions: Vec<_> = hello
                .versions
                .iter()
                .map(|&version| version_name(version))
                .collect();
            let mut words = format!(
                "ClientHello {}, {} ciphers",
                versions.join(" "),
                hello.cipher_count
            );
            if let Some(sni) = &hello.sni {
                words += &format!(", SNI {sni}");
            }
            if !hello.alpn.is_empty() {
                words += &format!(", ALPN {}", hello.alpn.join(" "));
            }
            for (is, what) in [
                (hello.post_quantum, "post-quantum"),
                (hello.resumption_offered, "resumption offered"),
                (hello.sslv2, "SSLv2 format"),
            ] {
                if is {
                    words += &format!(", {what}");
                }
            }
            words
        }
        Handshake::ServerHello(hello) => {
            let name = if hello.retry {
                "HelloRetryRequest"
            } else {
                "ServerHello"
            };
            let mut words = format!("{name} {}, {}", version_name(hello.version), hello.cipher_name);
            if let Some(group) = &hello.group {
                words += &format!(", {group}");
            }
            if let Some(alpn) = &hello.alpn {
                words += &format!(", ALPN {alpn}");
            }
            if hello.resumed == Some(true) {
                words += ", resumed";
            }
            words
        }
        Handshake::Certificates(chain) => {
            let chain: Vec<String> = chain.iter().map(certificate).collect();
            format!("Certificate {}", chain.join(" < "))
        }
        Handshake::CertificateRequest => "CertificateRequest".into(),
        Handshake::ServerKeyExchange { group } => {
            format!("ServerKeyExchange {}", group.as_deref().unwrap_or("-"))
        }
        Handshake::Other(number) => handshake_name(*number).into_owned(),
    }
}

fn certificate(certificate: &Certificate) -> String {
    let mut words = certificate.subject.clone();
    for problem in &certificate.problems {
        words += &match problem {
            CertificateProblem::Expired => " (expired)".into(),
            CertificateProblem::NotYetValid => " (not yet valid)".into(),
            CertificateProblem::NameMismatch(name) => format!(" (not {name})"),
            CertificateProblem::SelfSigned => " (self-signed)".into(),
            CertificateProblem::Unreadable(_) => "unreadable".into(),
        };
    }
    words
}

fn arrow(direction: Direction) -> char {
    match direction {
        Direction::ToServer => '>',
        Direction::ToClient => '<',
    }
}
