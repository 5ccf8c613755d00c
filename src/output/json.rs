//! `--json`: one object an event, one event a line. The schema is in docs/json.md; names are Zeek's where it has
//! them, and `v` counts up when a field changes its meaning.

use std::io::Write;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::clock::{iso, whole_micros};
use super::digits::push_uid;
use super::facts::{
    CertificateFacts, ProxiedFacts, TlsFacts, client_known, conn_state, end_name, gap_reason, protocol_name,
    sender_name, starttls_name,
};
use super::harmless_json;
use super::helo::Helo;
use super::session::reply_text;
use super::words;
use crate::event::{Closing, Connection, Event, Sink, SinkError, TcpNote};
use crate::mail::{MailEvent, Protocol, StarttlsOutcome, Transaction};
use crate::slots::Slots;
use crate::time::Timestamp;
use crate::tls::{Handshake, TlsEvent, alert_name, version_name};

/// Version of the schema.
const SCHEMA: u32 = 1;

/// Output waits for so many bytes, unless the source has nothing at hand.
const WRITE_AT: usize = 64 << 10;

/// What is remembered of a connection for its later events.
#[derive(Debug, Default)]
struct Memory {
    protocol: Option<Protocol>,
    helo: Helo,
    tls: Option<Box<TlsFacts>>,
    told_tls: bool,
}

/// Events as JSON Lines.
#[derive(Debug)]
pub struct Json<W> {
    writer: W,
    /// What to call `writer` in an error.
    name: String,
    out: Vec<u8>,
    memory: Slots<Memory>,
}

/// What every object begins with.
#[derive(Serialize)]
struct Line<'a> {
    v: u32,
    event: &'a str,
    ts: f64,
    uid: String,
    #[serde(rename = "id.orig_h")]
    orig_h: std::net::IpAddr,
    #[serde(rename = "id.orig_p")]
    orig_p: u16,
    #[serde(rename = "id.resp_h")]
    resp_h: std::net::IpAddr,
    #[serde(rename = "id.resp_p")]
    resp_p: u16,
    #[serde(flatten)]
    fields: Map<String, Value>,
}

/// Seconds since 1970, as Zeek has them.
fn seconds(time: Timestamp) -> f64 {
    // Microseconds are what a double holds of today's times.
    (time.nanos() / 1000) as f64 / 1e6
}

/// The fields of an object, those without value left out.
fn fields(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(mut map) => {
            map.retain(|_, value| !value.is_null());
            map
        }
        _ => Map::new(),
    }
}

impl<W: Write> Json<W> {
    /// Writes to `writer`, which should not buffer; `name` is for errors.
    pub fn new(writer: W, name: String) -> Self {
        Self {
            writer,
            name,
            out: Vec::new(),
            memory: Slots::default(),
        }
    }

    fn tell(
        &mut self,
        connection: &Connection,
        event: &str,
        time: Timestamp,
        value: Value,
    ) -> Result<(), SinkError> {
        let mut uid = Vec::new();
        push_uid(connection, &mut uid);
        let line = Line {
            v: SCHEMA,
            event,
            ts: seconds(time),
            uid: String::from_utf8(uid).unwrap_or_default(),
            orig_h: connection.client.address,
            orig_p: connection.client.port,
            resp_h: connection.server.address,
            resp_p: connection.server.port,
            fields: fields(value),
        };
        harmless_json::write(&mut self.out, &line)
            .map_err(|error| SinkError::io(self.name.clone(), error.into()))?;
        self.out.push(b'\n');
        if self.out.len() >= WRITE_AT {
            self.write_out()
        } else {
            Ok(())
        }
    }

    fn write_out(&mut self) -> Result<(), SinkError> {
        let written = self.writer.write_all(&self.out);
        self.out.clear();
        written.map_err(|source| SinkError::io(self.name.clone(), source))
    }

    fn memory(&mut self, connection: &Connection) -> &mut Memory {
        self.memory.get_or_default(connection.slot)
    }

    fn mail(&mut self, connection: &Connection, event: &MailEvent) -> Result<(), SinkError> {
        let memory = self.memory(connection);
        memory.helo.event(event);
        let protocol = memory.protocol.map(protocol_name);
        match event {
            MailEvent::Protocol {
                time,
                protocol,
                doubt,
            } => {
                self.memory(connection).protocol = Some(*protocol);
                let value = json!({"service": protocol_name(*protocol), "sure": doubt.is_none()});
                self.tell(connection, "protocol", *time, value)
            }
            MailEvent::Proxied(proxied) => {
                let value = json!(ProxiedFacts::of(proxied));
                self.tell(connection, "proxied", proxied.time, value)
            }
            MailEvent::Command(command) => {
                let tag = (!command.tag.is_empty()).then_some(&command.tag);
                let value = json!({
                    "service": protocol, "offset": command.offset, "tag": tag,
                    "command": command.verb, "argument": command.argument,
                });
                self.tell(connection, "command", command.time, value)
            }
            MailEvent::Reply(reply) => {
                let latency = reply.latency.or_else(|| reply.greeting_delay(connection));
                let value = json!({
                    "service": protocol, "offset": reply.offset, "code": reply.code, "lines": reply.lines,
                    "answers": reply.answers, "latency": latency.map(whole_micros),
                });
                self.tell(connection, "reply", reply.time, value)
            }
            MailEvent::Auth(auth) => {
                let value = json!({
                    "service": protocol, "mechanism": auth.mechanism, "user": auth.user, "accepted": auth.accepted,
                });
                self.tell(connection, "auth", auth.time, value)
            }
            MailEvent::Transaction(mail) => {
                let memory = self.memory(connection);
                let value = transaction(mail, memory.helo.name(), memory.tls.is_some());
                self.tell(connection, "smtp", mail.time, value)
            }
            MailEvent::Starttls(starttls) => {
                let mut value = json!({
                    "service": protocol_name(starttls.protocol), "outcome": starttls_name(&starttls.outcome),
                });
                let more = match &starttls.outcome {
                    StarttlsOutcome::Stripped(instead) => json!({"instead": instead}),
                    StarttlsOutcome::Refused(reply) => json!({"last_reply": reply_text(reply)}),
                    StarttlsOutcome::Accepted {
                        client_offset,
                        server_offset,
                    } => {
                        json!({"client_offset": client_offset, "server_offset": server_offset})
                    }
                    _ => Value::Null,
                };
                if let (Value::Object(value), Value::Object(more)) = (&mut value, more) {
                    value.extend(more);
                }
                self.tell(connection, "starttls", starttls.time, value)
            }
            MailEvent::Warning {
                time,
                direction,
                offset,
                warning,
            } => {
                let value = json!({
                    "service": protocol, "from": sender_name(*direction), "offset": offset,
                    "warning": words::warning_name(warning), "text": words::warning(warning),
                });
                self.tell(connection, "warning", *time, value)
            }
            MailEvent::Compressed { time } => {
                self.tell(connection, "compressed", *time, json!({"service": protocol}))
            }
        }
    }

    fn tls(&mut self, connection: &Connection, event: &TlsEvent) -> Result<(), SinkError> {
        let memory = self.memory(connection);
        match (event, &mut memory.tls) {
            (TlsEvent::Started(started), tls) => *tls = Some(Box::new(TlsFacts::started(started))),
            (_, Some(tls)) => tls.event(event),
            (_, None) => {}
        }
        match event {
            TlsEvent::Started(started) => {
                let [client, server] = started.offsets;
                let how = memory.tls.as_ref().map(|tls| tls.how);
                let value = json!({"how": how, "client_offset": client, "server_offset": server});
                self.tell(connection, "tls", started.time, value)
            }
            TlsEvent::Handshake {
                time,
                message: Handshake::ClientHello(hello),
                ..
            } => {
                let versions: Vec<_> = hello
                    .versions
                    .iter()
                    .map(|version| version_name(*version))
                    .collect();
                let value = json!({
                    "server_name": hello.sni, "versions": versions, "ciphers": hello.cipher_count,
                    "alpn": hello.alpn, "curves": hello.groups, "post_quantum": hello.post_quantum,
                    "resumption_offered": hello.resumption_offered, "sslv2": hello.sslv2,
                });
                self.tell(connection, "client_hello", *time, value)
            }
            TlsEvent::Handshake {
                time,
                direction,
                message: Handshake::Certificates(chain),
            } => {
                let chain: Vec<_> = chain.iter().map(CertificateFacts::of).collect();
                self.tell(
                    connection,
                    "certificates",
                    *time,
                    json!({"from": sender_name(*direction), "chain": chain}),
                )
            }
            TlsEvent::Alert(alert) => {
                let (level, description) = alert.level_description.unzip();
                let value = json!({
                    "from": sender_name(alert.direction), "level": level, "description": description,
                    "name": description.map(alert_name), "encrypted": alert.level_description.is_none(),
                });
                self.tell(connection, "alert", alert.time, value)
            }
            TlsEvent::Established { time, .. } | TlsEvent::Unfinished { time, .. } => {
                memory.told_tls = true;
                let facts = memory
                    .tls
                    .as_deref()
                    .and_then(|tls| serde_json::to_value(tls).ok());
                self.tell(connection, "ssl", *time, facts.unwrap_or_default())
            }
            TlsEvent::Broken {
                time,
                direction,
                offset,
                reason,
            } => {
                let value = json!({"from": sender_name(*direction), "offset": offset, "text": reason});
                self.tell(connection, "tls_broken", *time, value)
            }
            TlsEvent::Record(_) | TlsEvent::Handshake { .. } => Ok(()),
        }
    }

    fn close(&mut self, connection: &Connection, closing: &Closing) -> Result<(), SinkError> {
        let memory = self.memory.take(connection.slot).unwrap_or_default();
        // TLS whose handshake was seen neither to end nor to fail.
        if let Some(tls) = memory.tls.as_deref().filter(|_| !memory.told_tls) {
            let facts = serde_json::to_value(tls).unwrap_or_default();
            self.tell(connection, "ssl", closing.last_time, facts)?;
        }
        let [client, server] = &closing.totals;
        let service = memory
            .protocol
            .map(protocol_name)
            .or(memory.tls.as_ref().map(|_| "ssl"));
        let value = json!({
            "service": service,
            "duration": whole_micros(closing.last_time.since(connection.first_time)),
            "orig_bytes": client.bytes, "resp_bytes": server.bytes,
            "orig_pkts": client.packets, "resp_pkts": server.packets,
            "missed_bytes": client.gap_bytes.saturating_add(server.gap_bytes),
            "conn_state": conn_state(closing), "end": end_name(closing.reason),
            "first_fin": closing.first_fin.map(sender_name), "handshake": closing.handshake,
            "orig_retransmissions": client.retransmissions, "resp_retransmissions": server.retransmissions,
            "orig_conflicts": client.conflicts, "resp_conflicts": server.conflicts,
            "orig_duplicate_captures": client.duplicate_captures,
            "resp_duplicate_captures": server.duplicate_captures,
            "orig_unacknowledged": client.unacknowledged, "resp_unacknowledged": server.unacknowledged,
        });
        self.tell(connection, "close", closing.last_time, value)
    }
}

/// Zeek's smtp.log.
fn transaction(mail: &Transaction, helo: Option<&str>, tls: bool) -> Value {
    let header = |name: &str| {
        mail.headers
            .iter()
            .find(|(field, _)| field == name)
            .map(|(_, value)| value.as_str())
    };
    let recipients: Vec<_> = mail.recipients.iter().map(|(to, _)| to).collect();
    let codes: Vec<_> = mail.recipients.iter().map(|(_, code)| code).collect();
    json!({
        "trans_depth": mail.depth, "helo": helo, "mailfrom": mail.mail_from, "rcptto": recipients,
        "rcptto_codes": codes, "rcptto_count": mail.recipient_count,
        "date": header("date"), "from": header("from"), "to": header("to"), "cc": header("cc"),
        "reply_to": header("reply-to"), "msg_id": header("message-id"), "in_reply_to": header("in-reply-to"),
        "subject": header("subject"), "user_agent": header("user-agent").or_else(|| header("x-mailer")),
        "last_reply": mail.reply.as_ref().map(reply_text), "accepted": mail.accepted,
        "unfinished": mail.is_unfinished(), "size": mail.size, "tls": tls,
    })
}

impl<W: Write> Sink for Json<W> {
    fn event(&mut self, connection: &Connection, event: &Event<'_>) -> Result<(), SinkError> {
        match event {
            Event::Opened => {
                let value = json!({
                    "client_known": client_known(connection.client_known), "vlan": connection.vlan,
                    "start": iso(connection.first_time),
                });
                self.tell(connection, "connection", connection.first_time, value)
            }
            Event::Gap {
                direction,
                offset,
                len,
                time,
                reason,
            } => {
                let value = json!({
                    "from": sender_name(*direction), "offset": offset, "len": len, "reason": gap_reason(*reason),
                });
                self.tell(connection, "gap", *time, value)
            }
            Event::Note {
                direction,
                time,
                note: TcpNote::Conflict { offset, len },
            } => self.tell(
                connection,
                "conflict",
                *time,
                json!({"from": sender_name(*direction), "offset": offset, "len": len}),
            ),
            Event::Cut {
                direction,
                offset,
                time,
            } => self.tell(
                connection,
                "cut",
                *time,
                json!({"from": sender_name(*direction), "offset": offset}),
            ),
            Event::Mail(event) => self.mail(connection, event),
            Event::Tls(event) => self.tls(connection, event),
            Event::Closed(closing) => self.close(connection, closing),
            Event::Data { .. } | Event::Note { .. } | Event::End { .. } => Ok(()),
        }
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        self.write_out()
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        self.write_out()
    }
}
