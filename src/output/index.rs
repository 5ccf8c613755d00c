//! `flows.jsonl`: one JSON object a connection, with all that the run knows of it and no bytes.

use std::net::IpAddr;

use serde::Serialize;

use super::clock::iso;
use super::facts::{TlsFacts, client_known, end_name, gap_reason, protocol_name, starttls_name};
use crate::event::{Closing, Connection, Direction, Event, TcpNote, Totals};
use crate::mail::MailEvent;
use crate::tls::TlsEvent;

/// Gaps and conflicts listed for each direction; more are only counted.
const LISTED: usize = 1000;

/// What is gathered of a connection while it lives.
#[derive(Debug, Default)]
pub struct Gathered {
    directions: [Ranges; 2],
    mail: Option<MailFacts>,
    tls: Option<Box<TlsFacts>>,
}

/// Lists of one direction.
#[derive(Debug, Default)]
struct Ranges {
    gaps: Vec<GapRange>,
    conflicts: Vec<Range>,
    cut: Option<u64>,
}

#[derive(Debug, Clone, Serialize)]
struct GapRange {
    offset: u64,
    len: u64,
    reason: &'static str,
}

#[derive(Debug, Clone, Serialize)]
struct Range {
    offset: u64,
    len: u64,
}

#[derive(Debug, Clone, Serialize)]
struct MailFacts {
    protocol: &'static str,
    sure: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    starttls: Option<&'static str>,
}

/// A file of a direction.
#[derive(Debug, Clone, Serialize)]
pub struct FileEntry {
    /// Its name within the folder.
    pub name: String,
    /// Where in the stream its first byte stands.
    pub offset: u64,
    /// Its length.
    pub bytes: u64,
    /// Bytes that could not be written (disk full); zeros where others follow.
    #[serde(skip_serializing_if = "is_zero")]
    pub not_written: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(value: &u64) -> bool {
    *value == 0
}

#[derive(Serialize)]
struct Entry<'a> {
    id: u64,
    client: IpAddr,
    client_port: u16,
    server: IpAddr,
    server_port: u16,
    client_known: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    vlan: Option<u16>,
    first_time: String,
    last_time: String,
    duration: f64,
    handshake: bool,
    end: &'static str,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    mail: &'a Option<MailFacts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<&'a TlsFacts>,
    to_server: Side<'a>,
    to_client: Side<'a>,
}

#[derive(Serialize)]
struct Side<'a> {
    files: &'a [FileEntry],
    bytes: u64,
    packets: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    cut_at: Option<u64>,
    gap_bytes: u64,
    gap_count: u64,
    gaps: &'a [GapRange],
    retransmissions: u64,
    retransmitted_bytes: u64,
    out_of_order: u64,
    duplicate_captures: u64,
    conflict_count: u64,
    conflicts: &'a [Range],
    zero_windows: u64,
    keep_alives: u64,
    outside_bytes: u64,
}

impl Gathered {
    /// Takes what the index tells of an event.
    pub fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::Gap {
                direction,
                offset,
                len,
                reason,
                ..
            } => {
                let gaps = &mut self.side(*direction).gaps;
                if gaps.len() < LISTED {
                    gaps.push(GapRange {
                        offset: *offset,
                        len: *len,
                        reason: gap_reason(*reason),
                    });
                }
            }
            Event::Note {
                direction,
                note: TcpNote::Conflict { offset, len },
                ..
            } => {
                let conflicts = &mut self.side(*direction).conflicts;
                if conflicts.len() < LISTED {
                    conflicts.push(Range {
                        offset: *offset,
                        len: *len,
                    });
                }
            }
            Event::Cut {
                direction, offset, ..
            } => self.side(*direction).cut = Some(*offset),
            Event::Mail(event) => self.mail_event(event),
            Event::Tls(event) => self.tls_event(event),
            _ => {}
        }
    }

    fn side(&mut self, direction: Direction) -> &mut Ranges {
        direction.of_mut(&mut self.directions)
    }

    fn mail_event(&mut self, event: &MailEvent) {
        match event {
            MailEvent::Protocol { protocol, sure, .. } => {
                self.mail = Some(MailFacts {
                    protocol: protocol_name(*protocol),
                    sure: *sure,
                    starttls: None,
                });
            }
            MailEvent::Starttls(starttls) => {
                if let Some(mail) = &mut self.mail {
                    mail.starttls = Some(starttls_name(&starttls.outcome));
                }
            }
            _ => {}
        }
    }

    fn tls_event(&mut self, event: &TlsEvent) {
        match (event, &mut self.tls) {
            (TlsEvent::Started(started), _) => self.tls = Some(Box::new(TlsFacts::started(started))),
            (_, Some(tls)) => tls.event(event),
            (_, None) => {}
        }
    }

    /// The line of the index.
    pub fn line(
        &self,
        connection: &Connection,
        closing: &Closing,
        files: [&[FileEntry]; 2],
    ) -> serde_json::Result<Vec<u8>> {
        let [client, server] = &self.directions;
        let [client_totals, server_totals] = &closing.totals;
        let [client_files, server_files] = files;
        let entry = Entry {
            id: connection.id,
            client: connection.client.address,
            client_port: connection.client.port,
            server: connection.server.address,
            server_port: connection.server.port,
            client_known: client_known(connection.client_known),
            vlan: connection.vlan,
            first_time: iso(connection.first_time),
            last_time: iso(closing.last_time),
            duration: closing.last_time.since(connection.first_time).as_secs_f64(),
            handshake: closing.handshake,
            end: end_name(closing.reason),
            mail: &self.mail,
            tls: self.tls.as_deref(),
            to_server: side(client, client_totals, client_files),
            to_client: side(server, server_totals, server_files),
        };
        let mut line = serde_json::to_vec(&entry)?;
        line.push(b'\n');
        Ok(line)
    }
}

fn side<'a>(ranges: &'a Ranges, totals: &Totals, files: &'a [FileEntry]) -> Side<'a> {
    Side {
        files,
        bytes: totals.bytes,
        packets: totals.packets,
        cut_at: ranges.cut,
        gap_bytes: totals.gap_bytes,
        gap_count: totals.gaps,
        gaps: &ranges.gaps,
        retransmissions: totals.retransmissions,
        retransmitted_bytes: totals.retransmitted_bytes,
        out_of_order: totals.out_of_order,
        duplicate_captures: totals.duplicate_captures,
        conflict_count: totals.conflicts,
        conflicts: &ranges.conflicts,
        zero_windows: totals.zero_windows,
        keep_alives: totals.keep_alives,
        outside_bytes: totals.outside_bytes,
    }
}
