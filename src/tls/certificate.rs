//! Reads the certificates of a chain, and judges the first by the time of its packet and the name asked for.

use std::net::{Ipv4Addr, Ipv6Addr};

use sha2::{Digest, Sha256};
use tls_parser::{TlsMessageHandshake, parse_tls_handshake_msg_certificate};
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::text::hex;
use crate::time::Timestamp;

use super::distinguished::{common_names, distinguished_name};
use super::event::{Certificate, CertificateProblem};
use super::hostname::matches;
use super::names::listed;

/// Certificates of a chain that are read. Three are usual, OpenSSL follows a hundred.
const MOST: usize = 100;

/// A Certificate message (TLS 1.2 and earlier) without its handshake header; `None` if it is no list.
/// `sni` is the name that the client asked for, given only for a server's chain.
pub(super) fn chain(body: &[u8], time: Timestamp, sni: Option<&str>) -> Option<Vec<Certificate>> {
    let (_, TlsMessageHandshake::Certificate(list)) = parse_tls_handshake_msg_certificate(body).ok()? else {
        return None;
    };
    let mut chain: Vec<Certificate> = Vec::new();
    for raw in list.cert_chain.iter().take(MOST) {
        chain.push(match X509Certificate::from_der(raw.data) {
            Ok((_, parsed)) => {
                let mut certificate = facts(&parsed, raw.data);
                if chain.is_empty() {
                    certificate.problems = problems(&certificate, &parsed, time, sni);
                }
                certificate
            }
            Err(error) => unreadable(raw.data, error.to_string()),
        });
    }
    if let Some(raw) = list.cert_chain.get(MOST) {
        let more = list.cert_chain.len() - MOST;
        chain.push(unreadable(
            raw.data,
            format!("the first of {more} that were not read"),
        ));
    }
    Some(chain)
}

fn facts(parsed: &X509Certificate<'_>, der: &[u8]) -> Certificate {
    Certificate {
        subject: distinguished_name(parsed.subject()),
        issuer: distinguished_name(parsed.issuer()),
        names: listed(alternative_names(parsed)),
        not_before: time_of(parsed.validity().not_before.timestamp()),
        not_after: time_of(parsed.validity().not_after.timestamp()),
        fingerprint: hex(&Sha256::digest(der)),
        serial: serial(parsed.tbs_certificate.raw_serial()),
        problems: Vec::new(),
    }
}

/// Without the zero byte that only says that the number is positive.
fn serial(raw: &[u8]) -> String {
    match raw {
        [0, rest @ ..] if !rest.is_empty() => hex(rest),
        _ => hex(raw),
    }
}

fn unreadable(der: &[u8], why: String) -> Certificate {
    Certificate {
        subject: String::new(),
        issuer: String::new(),
        names: Vec::new(),
        not_before: Timestamp::default(),
        not_after: Timestamp::default(),
        fingerprint: hex(&Sha256::digest(der)),
        serial: String::new(),
        problems: vec![CertificateProblem::Unreadable(why)],
    }
}

fn problems(
    certificate: &Certificate,
    parsed: &X509Certificate<'_>,
    time: Timestamp,
    sni: Option<&str>,
) -> Vec<CertificateProblem> {
    let mut problems = Vec::new();
    if time > certificate.not_after {
        problems.push(CertificateProblem::Expired);
    }
    if time < certificate.not_before {
        problems.push(CertificateProblem::NotYetValid);
    }
    if let Some(sni) = sni {
        // Without alternative names, clients still look at the common name (RFC 6125, section 6.4.4).
        let common = if certificate.names.is_empty() {
            common_names(parsed.subject())
        } else {
            Vec::new()
        };
        if !alternative_names(parsed)
            .chain(common)
            .any(|name| matches(&name, sni))
        {
            problems.push(CertificateProblem::NameMismatch(sni.to_owned()));
        }
    }
    if parsed.issuer().as_raw() == parsed.subject().as_raw() {
        problems.push(CertificateProblem::SelfSigned);
    }
    problems
}

fn alternative_names<'a>(parsed: &'a X509Certificate<'_>) -> impl Iterator<Item = String> + 'a {
    let extensions = parsed.tbs_certificate.iter_extensions();
    let names = extensions.filter_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectAlternativeName(names) => Some(names.general_names.iter()),
        _ => None,
    });
    names.flatten().filter_map(alternative_name)
}

fn alternative_name(name: &GeneralName<'_>) -> Option<String> {
    match *name {
        GeneralName::DNSName(name) => Some(name.to_owned()),
        GeneralName::IPAddress(address) => <[u8; 4]>::try_from(address)
            .map(|octets| Ipv4Addr::from(octets).to_string())
            .or_else(|_| <[u8; 16]>::try_from(address).map(|octets| Ipv6Addr::from(octets).to_string()))
            .ok(),
        _ => None,
    }
}

/// Certificates may be valid to the year 9999; our time ends in 2262.
fn time_of(seconds: i64) -> Timestamp {
    let end = if seconds < 0 { i64::MIN } else { i64::MAX };
    Timestamp::from_parts(seconds, 0).unwrap_or(Timestamp::from_nanos(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_chain_without_end_its_beginning_is_read_and_the_rest_counted() {
        let body = |certificates: u32| {
            let list = vec![0; 3 * certificates as usize];
            [&(list.len() as u32).to_be_bytes()[1..], &list].concat()
        };
        let chain = |certificates| chain(&body(certificates), Timestamp::default(), None).unwrap();
        assert_eq!(chain(3).len(), 3);
        let long = chain(5000);
        assert_eq!(long.len(), MOST + 1);
        let why = CertificateProblem::Unreadable("the first of 4900 that were not read".to_owned());
        assert_eq!(long.last().unwrap().problems, [why]);
    }
}
