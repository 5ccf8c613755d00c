//! What the watcher tells is what tshark tells of the same captures.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use flowdump::tls::{Handshake, TlsEvent};

use crate::common::{captures, corpus, installed};
use crate::feed::feeds;

/// Of one connection, by what both can say; each list sorted.
#[derive(Debug, Default, PartialEq, Eq)]
struct Facts {
    record_lengths: Vec<u32>,
    server_versions: Vec<u16>,
    server_ciphers: Vec<u16>,
    client_versions: Vec<u16>,
    client_ciphers: usize,
    client_groups: usize,
    sni: Vec<String>,
    alpn: Vec<String>,
    serials: Vec<String>,
    names: Vec<String>,
    validity: Vec<String>,
    alerts: Vec<(u8, u8)>,
}

impl Facts {
    fn sorted(mut self) -> Self {
        self.record_lengths.sort_unstable();
        self.server_versions.sort_unstable();
        self.server_ciphers.sort_unstable();
        self.client_versions.sort_unstable();
        self.sni.sort_unstable();
        self.alpn.sort_unstable();
        self.serials.sort_unstable();
        self.names.sort_unstable();
        self.validity.sort_unstable();
        self.alerts.sort_unstable();
        self
    }
}

/// Both ends of a connection.
type Ends = BTreeSet<String>;

const FIELDS: &[&str] = &[
    "ip.src",
    "ip.dst",
    "ipv6.src",
    "ipv6.dst",
    "tcp.srcport",
    "tcp.dstport",
    "tls.record.length",
    "tls.handshake.type",
    "tls.handshake.version",
    "tls.handshake.extensions.supported_version",
    "tls.handshake.ciphersuite",
    "tls.handshake.extensions_supported_group",
    "tls.handshake.extensions_server_name",
    "tls.handshake.extensions_alpn_str",
    "x509af.serialNumber",
    "x509ce.dNSName",
    "x509af.utcTime",
    "tls.alert_message.level",
    "tls.alert_message.desc",
    "x509sat.uTF8String",
    "x509sat.printableString",
    "x509sat.teletexString",
    "x509sat.CountryName",
];

/// What tshark says, and the parts of all distinguished names.
fn theirs(path: &Path) -> (BTreeMap<Ends, Facts>, BTreeMap<Ends, BTreeSet<String>>) {
    let mut command = Command::new("tshark");
    command
        .args([
            "-o",
            "tcp.reassemble_out_of_order:TRUE",
            "-Y",
            "tls",
            "-T",
            "fields",
            "-E",
            "occurrence=a",
            "-E",
            "aggregator=|",
            "-r",
        ])
        .arg(path);
    for field in FIELDS {
        command.args(["-e", field]);
    }
    let output = command.output().expect("tshark runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut all: BTreeMap<Ends, Facts> = BTreeMap::new();
    let mut parts: BTreeMap<Ends, BTreeSet<String>> = BTreeMap::new();
    for row in text.lines() {
        let columns: Vec<Vec<&str>> = row
            .split('\t')
            .map(|column| column.split('|').filter(|value| !value.is_empty()).collect())
            .collect();
        let column = |name: &str| {
            let at = FIELDS.iter().position(|field| *field == name).expect("asked for");
            columns.get(at).cloned().unwrap_or_default()
        };
        let address = |v4, v6| {
            column(v4)
                .last()
                .or(column(v6).last())
                .copied()
                .unwrap_or_default()
                .to_owned()
        };
        let ends = BTreeSet::from([
            format!(
                "{} {}",
                address("ip.src", "ipv6.src"),
                column("tcp.srcport").concat()
            ),
            format!(
                "{} {}",
                address("ip.dst", "ipv6.dst"),
                column("tcp.dstport").concat()
            ),
        ]);
        let facts = all.entry(ends.clone()).or_default();
        facts.record_lengths.extend(
            column("tls.record.length")
                .iter()
                .filter_map(|len| len.parse::<u32>().ok()),
        );
        let types = column("tls.handshake.type");
        let numbers = |name| {
            column(name)
                .into_iter()
                .map(number)
                .filter(|&number| !is_grease(number))
        };
        let true_versions: Vec<u16> = numbers("tls.handshake.extensions.supported_version").collect();
        let versions: Vec<u16> = if true_versions.is_empty() {
            numbers("tls.handshake.version").collect()
        } else {
            true_versions
        };
        if types.contains(&"1") {
            facts.client_versions.extend(versions);
            facts.client_ciphers += numbers("tls.handshake.ciphersuite").count();
            facts.client_groups += numbers("tls.handshake.extensions_supported_group").count();
        } else if types.contains(&"2") {
            facts.server_versions.extend(versions);
            facts.server_ciphers.extend(numbers("tls.handshake.ciphersuite"));
        }
        let texts = |name| column(name).into_iter().map(str::to_owned);
        facts.sni.extend(texts("tls.handshake.extensions_server_name"));
        facts.alpn.extend(texts("tls.handshake.extensions_alpn_str"));
        facts
            .serials
            .extend(texts("x509af.serialNumber").map(|serial| bare(&serial)));
        facts.names.extend(texts("x509ce.dNSName"));
        facts
            .validity
            .extend(texts("x509af.utcTime").map(|time| time.replace(" (UTC)", "")));
        let levels = column("tls.alert_message.level");
        let alerts = levels.iter().zip(column("tls.alert_message.desc"));
        facts
            .alerts
            .extend(alerts.filter_map(|(level, what)| Some((level.parse().ok()?, what.parse().ok()?))));
        for name in [
            "x509sat.uTF8String",
            "x509sat.printableString",
            "x509sat.teletexString",
            "x509sat.CountryName",
        ] {
            parts.entry(ends.clone()).or_default().extend(texts(name));
        }
    }
    (
        all.into_iter()
            .map(|(ends, facts)| (ends, facts.sorted()))
            .collect(),
        parts,
    )
}

fn ours(events: &[TlsEvent]) -> (Facts, Vec<String>) {
    let mut facts = Facts::default();
    let mut values = Vec::new();
    for event in events {
        match event {
            TlsEvent::Record(record) if record.whole => facts.record_lengths.push(record.len - 5),
            TlsEvent::Alert(alert) => facts.alerts.extend(alert.level_description),
            TlsEvent::Handshake { message, .. } => match message {
                Handshake::ClientHello(hello) => {
                    facts.client_versions.extend(&hello.versions);
                    facts.client_ciphers += hello.cipher_count;
                    facts.client_groups += hello.groups.len();
                    facts.sni.extend(hello.sni.clone());
                    facts.alpn.extend(hello.alpn.clone());
                }
                Handshake::ServerHello(hello) => {
                    facts.server_versions.push(hello.version);
                    facts.server_ciphers.push(hello.cipher);
                    facts.alpn.extend(hello.alpn.clone());
                }
                Handshake::Certificates(chain) => {
                    for certificate in chain {
                        facts.serials.push(bare(&certificate.serial));
                        let is_address = |name: &&String| name.parse::<std::net::IpAddr>().is_ok();
                        facts
                            .names
                            .extend(certificate.names.iter().filter(|name| !is_address(name)).cloned());
                        for time in [certificate.not_before, certificate.not_after] {
                            let time = chrono::DateTime::from_timestamp(time.seconds(), 0).expect("in range");
                            facts.validity.push(time.format("%Y-%m-%d %H:%M:%S").to_string());
                        }
                        values.extend(common_values(&certificate.subject));
                        values.extend(common_values(&certificate.issuer));
                    }
                }
                _ => {}
            },
            _ => {}
        }
    }
    (facts.sorted(), values)
}

/// Values of a distinguished name, of the types whose values tshark has fields for.
fn common_values(name: &str) -> Vec<String> {
    let marked = name
        .replace("\\\\", "\u{1}")
        .replace("\\,", "\u{2}")
        .replace("\\+", "\u{3}");
    let parts = marked.split([',', '+']).filter_map(|part| part.split_once('='));
    parts
        .filter(|(kind, _)| ["CN", "O", "OU", "L", "ST", "C"].contains(kind))
        .map(|(_, value)| {
            let value = value.replace('\\', "");
            value
                .replace('\u{1}', "\\")
                .replace('\u{2}', ",")
                .replace('\u{3}', "+")
        })
        .collect()
}

fn number(text: &str) -> u16 {
    u16::from_str_radix(text.trim_start_matches("0x"), 16).expect("a hexadecimal number")
}

fn is_grease(number: u16) -> bool {
    number & 0x0f0f == 0x0a0a && number >> 8 == number & 0xff
}

fn bare(serial: &str) -> String {
    serial
        .replace(':', "")
        .trim_start_matches("0x")
        .trim_start_matches('0')
        .to_owned()
}

/// How many connections were compared.
fn compare(path: &Path) -> usize {
    let feeds = feeds(path);
    if feeds.is_empty() {
        return 0;
    }
    let (theirs, parts) = theirs(path);
    let mut compared = 0;
    for feed in feeds {
        let (client, server) = (feed.connection.client, feed.connection.server);
        let end = |end: flowdump::decode::Endpoint| format!("{} {}", end.address, end.port);
        let ends = BTreeSet::from([end(client), end(server)]);
        // tshark knows STARTTLS by port, and some protocols not at all.
        let Some(their_facts) = theirs.get(&ends).filter(|facts| facts.client_ciphers > 0) else {
            continue;
        };
        let (our_facts, our_values) = ours(&feed.events());
        assert_eq!(&our_facts, their_facts, "{} {ends:?}", path.display());
        for value in &our_values {
            assert!(
                parts[&ends].contains(value),
                "{} {ends:?}: {value}",
                path.display()
            );
        }
        compared += 1;
    }
    compared
}

#[test]
fn our_captures_hold_what_tshark_says() {
    if installed("tshark", "our_captures_hold_what_tshark_says") {
        let compared: usize = captures().iter().map(|path| compare(path)).sum();
        assert!(compared >= 16, "{compared} connections compared");
    }
}

#[test]
fn captures_of_others_hold_what_tshark_says() {
    if installed("tshark", "captures_of_others_hold_what_tshark_says") {
        let mut files = corpus();
        files.retain(|path| {
            let folder = path.parent().expect("it is in a folder");
            folder.ends_with("tls") || folder.ends_with("smtp")
        });
        let compared: usize = files.iter().map(|path| compare(path)).sum();
        assert!(
            files.is_empty() || compared >= 40,
            "{compared} connections compared"
        );
    }
}
