//! What is known of a connection's TLS and of its proxy, and the words that indexes and JSON use for facts.

use std::net::{IpAddr, SocketAddr};

use serde::Serialize;

use super::clock::iso;
use crate::event::{ClientKnown, CloseReason, Closing, Direction, GapReason};
use crate::mail::{Protocol, Proxied, StarttlsOutcome};
use crate::tls::{
    Certificate, CertificateProblem, Handshake, Started, TlsEvent, TlsHow, alert_name, version_name,
};

/// What is known of TLS. Field names are Zeek's where it has them.
#[derive(Debug, Default, Clone, Serialize)]
pub struct TlsFacts {
    pub(super) how: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) client_offset: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) server_offset: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cipher: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) curve: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) server_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_protocol: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) resumed: Option<bool>,
    pub(super) established: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) unfinished: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last_alert: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) certificate: Option<CertificateFacts>,
}

/// What is told of a certificate.
#[derive(Debug, Clone, Serialize)]
pub struct CertificateFacts {
    pub(super) subject: String,
    pub(super) issuer: String,
    pub(super) names: Vec<String>,
    pub(super) not_valid_before: String,
    pub(super) not_valid_after: String,
    pub(super) fingerprint: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) problems: Vec<&'static str>,
}

/// What a PROXY header says.
#[derive(Debug, Clone, Serialize)]
pub struct ProxiedFacts {
    version: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_port: Option<u16>,
}

impl ProxiedFacts {
    /// Of this header.
    pub fn of(proxied: &Proxied) -> Self {
        let [client, server] = proxied.peers.map_or([None; 2], |peers| peers.map(Some));
        Self {
            version: proxied.version,
            client: client.as_ref().map(SocketAddr::ip),
            client_port: client.as_ref().map(SocketAddr::port),
            server: server.as_ref().map(SocketAddr::ip),
            server_port: server.as_ref().map(SocketAddr::port),
        }
    }
}

impl TlsFacts {
    /// Begins where TLS does.
    pub fn started(started: &Started) -> Self {
        let [client_offset, server_offset] = started.offsets;
        let how = match started.how {
            TlsHow::Starttls => "starttls",
            TlsHow::Implicit => "implicit",
            TlsHow::Found => "found",
        };
        Self {
            how,
            client_offset,
            server_offset,
            ..Self::default()
        }
    }

    /// Whether a handshake was seen to stop.
    pub fn is_unfinished(&self) -> bool {
        self.unfinished.is_some()
    }

    /// Why, if it did: the alert, or the step that was missing.
    pub fn why_unfinished(&self) -> Option<&str> {
        let step = self.unfinished.as_deref()?;
        Some(self.last_alert.as_deref().unwrap_or(step))
    }

    /// Takes what an event tells.
    pub fn event(&mut self, event: &TlsEvent) {
        match event {
            TlsEvent::Handshake {
                direction, message, ..
            } => match message {
                Handshake::ClientHello(hello) => self.server_name.clone_from(&hello.sni),
                Handshake::ServerHello(hello) if !hello.retry => {
                    self.version = Some(version_name(hello.version).to_string());
                    self.cipher = Some(hello.cipher_name.clone());
                    self.curve.clone_from(&hello.group);
                    self.next_protocol.clone_from(&hello.alpn);
                    self.resumed = hello.resumed;
                }
                Handshake::ServerKeyExchange { group: Some(group) } => self.curve = Some(group.clone()),
                Handshake::Certificates(chain) if *direction == Direction::ToClient => {
                    self.certificate = chain.first().map(CertificateFacts::of);
                }
                _ => {}
            },
            TlsEvent::Established { resumed, .. } => {
                self.established = true;
                self.resumed = resumed.or(self.resumed);
            }
            TlsEvent::Unfinished { step, .. } => self.unfinished = Some(step.clone()),
            TlsEvent::Alert(alert) => {
                if let Some((_, description)) = alert.level_description {
                    self.last_alert = Some(alert_name(description).to_string());
                }
            }
            TlsEvent::Started(_) | TlsEvent::Record(_) | TlsEvent::Broken { .. } => {}
        }
    }
}

impl CertificateFacts {
    /// Of this certificate.
    pub fn of(certificate: &Certificate) -> Self {
        Self {
            subject: certificate.subject.clone(),
            issuer: certificate.issuer.clone(),
            names: certificate.names.clone(),
            not_valid_before: iso(certificate.not_before),
            not_valid_after: iso(certificate.not_after),
            fingerprint: certificate.fingerprint.clone(),
            problems: certificate.problems.iter().map(problem_name).collect(),
        }
    }
}

fn problem_name(problem: &CertificateProblem) -> &'static str {
    match problem {
        CertificateProblem::Expired => "expired",
        CertificateProblem::NotYetValid => "not yet valid",
        CertificateProblem::NameMismatch(_) => "name mismatch",
        CertificateProblem::SelfSigned => "self-signed",
        CertificateProblem::Unreadable(_) => "unreadable",
    }
}

/// As indexes and JSON have it.
pub fn client_known(known: ClientKnown) -> &'static str {
    match known {
        ClientKnown::Syn => "syn",
        ClientKnown::SynAck => "syn-ack",
        ClientKnown::Guessed => "guessed",
    }
}

/// As indexes and JSON have it.
pub fn end_name(reason: CloseReason) -> &'static str {
    match reason {
        CloseReason::Fin => "fin",
        CloseReason::Reset(Direction::ToServer) => "reset by client",
        CloseReason::Reset(Direction::ToClient) => "reset by server",
        CloseReason::Reused => "reused",
        CloseReason::Timeout => "timeout",
        CloseReason::Evicted => "evicted",
        CloseReason::CaptureEnd => "end of capture",
    }
}

/// Who sends a direction.
pub fn sender_name(direction: Direction) -> &'static str {
    match direction {
        Direction::ToServer => "client",
        Direction::ToClient => "server",
    }
}

/// As indexes and JSON have it.
pub fn gap_reason(reason: GapReason) -> &'static str {
    match reason {
        GapReason::Lost => "lost",
        GapReason::Snaplen => "snaplen",
        GapReason::Bound => "bound",
    }
}

/// As indexes and JSON have it.
pub fn protocol_name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Smtp => "smtp",
        Protocol::Lmtp => "lmtp",
        Protocol::Pop3 => "pop3",
        Protocol::Imap => "imap",
        Protocol::ManageSieve => "managesieve",
    }
}

/// As indexes and JSON have it.
pub fn starttls_name(outcome: &StarttlsOutcome) -> &'static str {
    match outcome {
        StarttlsOutcome::OfferedNotUsed => "offered, not used",
        StarttlsOutcome::Stripped(_) => "stripped",
        StarttlsOutcome::Refused(_) => "refused",
        StarttlsOutcome::Accepted { .. } => "accepted",
        StarttlsOutcome::AcceptedNoTls => "accepted, no TLS follows",
        StarttlsOutcome::AcceptedNothing => "accepted, nothing follows",
    }
}

/// Zeek's conn_state.
pub fn conn_state(closing: &Closing) -> &'static str {
    let [client, server] = &closing.totals;
    // Data from the server is as good as its SYN, which the capture may lack.
    match (client.syn, server.syn || client.syn && server.bytes > 0) {
        (true, false) => match (client.reset, server.reset, client.fin) {
            (_, true, _) => "REJ",
            (true, ..) => "RSTOS0",
            (.., true) => "SH",
            _ => "S0",
        },
        (false, true) => match (server.reset, server.fin) {
            (true, _) => "RSTRH",
            (_, true) => "SHR",
            _ => "OTH",
        },
        (false, false) => "OTH",
        (true, true) => match (client.reset, server.reset, client.fin, server.fin) {
            (.., true, true) => "SF",
            (true, ..) => "RSTO",
            (_, true, ..) => "RSTR",
            (.., true, false) => "S2",
            (.., false, true) => "S3",
            _ => "S1",
        },
    }
}
