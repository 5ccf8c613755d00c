//! `flows.jsonl`: one JSON object a connection, with all that the run knows of it and no bytes.

mod line;

use serde::Serialize;

use super::clock::whole_micros;
use super::digits::push_uid;
use super::facts::{
    ProxiedFacts, TlsFacts, client_known, end_name, gap_reason, protocol_name, sender_name, starttls_name,
};
use crate::event::{Closing, Connection, Direction, Event, TcpNote};
use crate::mail::{MailEvent, Protocol};
use crate::tls::TlsEvent;
use line::Line;
pub use line::list;

/// Gaps and conflicts listed for each direction; more are only counted.
const LISTED: usize = 1000;

/// What is gathered of a connection while it lives.
#[derive(Debug, Default)]
pub struct Gathered {
    /// Where there is something in them.
    directions: [Option<Box<Ranges>>; 2],
    mail: MailFacts,
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

#[derive(Debug, Default)]
struct MailFacts {
    proxied: Option<Box<ProxiedFacts>>,
    protocol: Option<Protocol>,
    sure: bool,
    starttls: Option<&'static str>,
}

/// A file of a direction.
#[derive(Debug, Clone, Default)]
pub struct FileEntry {
    /// Its name within the folder.
    pub name: String,
    /// Where in the stream its first byte stands.
    pub offset: u64,
    /// Its length.
    pub bytes: u64,
    /// Bytes that could not be written (disk full); zeros where others follow.
    pub not_written: u64,
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

    /// Where TLS begins in a direction, as far as it is known.
    pub fn tls_offset(&self, direction: Direction) -> Option<u64> {
        let tls = self.tls.as_ref()?;
        match direction {
            Direction::ToServer => tls.client_offset,
            Direction::ToClient => tls.server_offset,
        }
    }

    fn side(&mut self, direction: Direction) -> &mut Ranges {
        direction.of_mut(&mut self.directions).get_or_insert_default()
    }

    fn mail_event(&mut self, event: &MailEvent) {
        match event {
            MailEvent::Protocol { protocol, doubt, .. } => {
                self.mail.protocol = Some(*protocol);
                self.mail.sure = doubt.is_none();
            }
            MailEvent::Proxied(proxied) => self.mail.proxied = Some(Box::new(ProxiedFacts::of(proxied))),
            MailEvent::Starttls(starttls) => {
                self.mail.starttls = Some(starttls_name(&starttls.outcome));
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

    /// Puts the line of the index into `line`, in place of what was in it. `files` are [`list`]s. There is no closing
    /// where the run failed first.
    ///
    /// # Errors
    /// Those of serde, which writes what is rare.
    pub fn line(
        &self,
        connection: &Connection,
        closing: Option<&Closing>,
        files: &[Vec<u8>; 2],
        line: &mut Vec<u8>,
    ) -> serde_json::Result<()> {
        line.clear();
        let mut line = Line(line);
        line.number(r#"{"id":"#, connection.id);
        line.quoted(r#","uid":"#, |out| push_uid(connection, out));
        line.address(r#","client":"#, connection.client.address);
        line.number(r#","client_port":"#, connection.client.port.into());
        line.address(r#","server":"#, connection.server.address);
        line.number(r#","server_port":"#, connection.server.port.into());
        line.word(r#","client_known":"#, client_known(connection.client_known));
        if let Some(vlan) = connection.vlan {
            line.number(r#","vlan":"#, vlan.into());
        }
        line.time(r#","first_time":"#, connection.first_time);
        if let Some(closing) = closing {
            line.time(r#","last_time":"#, closing.last_time);
            let duration = closing.last_time.since(connection.first_time);
            line.value(r#","duration":"#, &whole_micros(duration))?;
            line.flag(r#","handshake":"#, closing.handshake);
        }
        line.word(
            r#","end":"#,
            closing.map_or("run failed", |closing| end_name(closing.reason)),
        );
        if let Some(direction) = closing.and_then(|closing| closing.first_fin) {
            line.word(r#","first_fin":"#, sender_name(direction));
        }
        let mail = &self.mail;
        if let Some(proxied) = &mail.proxied {
            line.value(r#","proxied":"#, proxied)?;
        }
        if let Some(protocol) = mail.protocol {
            line.word(r#","protocol":"#, protocol_name(protocol));
            line.flag(r#","sure":"#, mail.sure);
        }
        if let Some(starttls) = mail.starttls {
            line.word(r#","starttls":"#, starttls);
        }
        if let Some(tls) = &self.tls {
            line.value(r#","tls":"#, tls)?;
        }
        for (direction, before) in Direction::BOTH
            .iter()
            .zip([r#","to_server":{"#, r#"},"to_client":{"#])
        {
            line.text(before);
            line.text(r#""files":["#);
            line.0.extend_from_slice(direction.of::<Vec<u8>>(files));
            line.text("]");
            if let Some(closing) = closing {
                let ranges = direction.of(&self.directions);
                line.side(ranges.as_deref(), direction.of(&closing.totals))?;
            }
        }
        line.text("}}\n");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{Endpoint, Scope};
    use crate::event::{ClientKnown, CloseReason, GapReason, Totals};
    use crate::mail::Protocol;
    use crate::time::Timestamp;

    #[test]
    fn a_line_is_one_object_with_all_that_is_known() {
        let endpoint = |address: &str, port| Endpoint {
            address: address.parse().unwrap(),
            port,
        };
        let connection = Connection {
            id: 7,
            slot: 0,
            client: endpoint("2001:db8::1", 49298),
            server: endpoint("192.0.2.25", 25),
            client_known: ClientKnown::Syn,
            first_time: Timestamp::from_nanos(1_795_225_103_120_345_000),
            scope: Scope::default(),
            vlan: Some(4),
            mac: None,
        };
        let quiet = Totals {
            bytes: 12,
            packets: 3,
            ..Totals::default()
        };
        let lossy = Totals {
            gaps: 1,
            gap_bytes: 5,
            ..Totals::default()
        };
        let closing = Closing {
            reason: CloseReason::Reset(Direction::ToClient),
            last_time: Timestamp::from_nanos(1_795_225_104_620_345_000),
            handshake: true,
            first_fin: None,
            totals: [quiet, lossy],
        };
        let mut gathered = Gathered::default();
        gathered.event(&Event::Mail(&MailEvent::Protocol {
            time: connection.first_time,
            protocol: Protocol::Smtp,
            doubt: None,
        }));
        gathered.event(&Event::Gap {
            direction: Direction::ToClient,
            offset: 8,
            len: 5,
            time: connection.first_time,
            reason: GapReason::Lost,
        });
        let file = FileEntry {
            name: "a \"quoted\" name".to_owned(),
            offset: 0,
            bytes: 12,
            not_written: 0,
        };
        let mut line = b"the line before".to_vec();
        let mut files = [Vec::new(), Vec::new()];
        list(&[file], &mut files[0]).unwrap();
        gathered
            .line(&connection, Some(&closing), &files, &mut line)
            .unwrap();
        let quiet = r#""retransmissions":0,"retransmitted_bytes":0,"out_of_order":0,"duplicate_captures":0,"conflict_count":0,"conflicts":[],"zero_windows":0,"keep_alives":0,"outside_bytes":0,"unacknowledged":0}"#;
        let wanted = [
            r#"{"id":7,"uid":"C18e9ebb8435a27a8.7","client":"2001:db8::1","client_port":49298,"#,
            r#""server":"192.0.2.25","server_port":25,"#,
            r#""client_known":"syn","vlan":4,"first_time":"2026-11-21T01:38:23.120345Z","#,
            r#""last_time":"2026-11-21T01:38:24.620345Z","duration":1.5,"handshake":true,"#,
            r#""end":"reset by server","protocol":"smtp","sure":true,"#,
            r#""to_server":{"files":[{"name":"a \"quoted\" name","offset":0,"bytes":12}],"#,
            r#""bytes":12,"packets":3,"gap_bytes":0,"gap_count":0,"gaps":[],"#,
            quiet,
            r#","to_client":{"files":[],"bytes":0,"packets":0,"#,
            r#""gap_bytes":5,"gap_count":1,"gaps":[{"offset":8,"len":5,"reason":"lost"}],"#,
            quiet,
            "}\n",
        ];
        assert_eq!(String::from_utf8(line).unwrap(), wanted.concat());
    }
}
