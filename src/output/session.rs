//! A mail session as one thing: what was said in it that decides, gathered from events as they come.

use std::fmt;
use std::net::SocketAddr;

use indicatif::HumanCount;

use super::facts::{TlsFacts, starttls_name};
use super::helo::Helo;
use super::words;
use crate::event::{CloseReason, Closing, Connection, Direction, Event};
use crate::mail::{MailEvent, Protocol, Reply, StarttlsOutcome, port_hint};
use crate::tls::TlsEvent;

/// Characters kept of a text from the wire.
const KEPT: usize = 200;

/// What is known of a session.
#[derive(Debug, Default)]
pub struct Session {
    pub protocol: Option<Protocol>,
    /// Whom a proxy speaks for, as its header says.
    pub speaks_for: Option<SocketAddr>,
    /// EHLO, HELO or LHLO name.
    pub helo: Helo,
    /// User, and whether the server took them.
    pub auth: Option<(Option<String>, Option<bool>)>,
    pub tls: Option<Box<TlsFacts>>,
    pub starttls: Option<&'static str>,
    /// Of the first mail.
    pub mail_from: Option<String>,
    /// First recipient of the first mail, and how many recipients there were in all mails.
    pub recipient: Option<String>,
    pub recipients: u64,
    /// Of the recipients whose replies were kept.
    pub recipients_refused: u64,
    pub mails: u64,
    pub accepted: u64,
    pub refused: u64,
    /// Sent, and no answer was seen.
    pub unanswered: u64,
    /// Begun, and their end was not seen.
    pub not_finished: u64,
    /// Bytes of all mails.
    pub size: u64,
    /// The reply that decided the last mail, one that was refused if there was one; without a mail, the last refusal,
    /// or the last reply. In its place what is known of a mail without a reply, or of TLS that came to nothing.
    pub reply: Option<String>,
    /// What `reply` is.
    weight: Weight,
}

/// Which replies matter more than others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
enum Weight {
    #[default]
    Any,
    Refusal,
    Mail,
    MailRefused,
    Tls,
}

/// How a session looks in a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is known to have gone wrong.
    Fine,
    /// Something went wrong in part, or for now.
    Trouble,
    /// It came to nothing.
    Failed,
}

fn kept(text: &str) -> String {
    beginning(text).to_owned()
}

fn beginning(text: &str) -> &str {
    if text.len() <= KEPT {
        return text;
    }
    let end = text.char_indices().nth(KEPT).map(|(at, _)| at);
    end.and_then(|end| text.get(..end)).unwrap_or(text)
}

/// `250 2.0.0 Ok: queued as 4F2`, as one line.
pub fn reply_text(reply: &Reply) -> String {
    let lines = reply.lines.iter().map(|line| 1 + line.len());
    let mut text = String::with_capacity(reply.code.len() + lines.sum::<usize>());
    text.push_str(&reply.code);
    for line in &reply.lines {
        text.push(' ');
        text.push_str(line);
    }
    text.truncate(beginning(text.trim_end()).len());
    text.shrink_to_fit();
    text
}

impl Session {
    /// Takes what an event tells.
    pub fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::Mail(event) => self.mail_event(event),
            Event::Tls(event) => self.tls_event(event),
            _ => {}
        }
    }

    fn tls_event(&mut self, event: &TlsEvent) {
        match (event, &mut self.tls) {
            (TlsEvent::Started(started), _) => self.tls = Some(Box::new(TlsFacts::started(started))),
            (_, Some(tls)) => {
                tls.event(event);
                if let Some(why) = tls.why_unfinished() {
                    let text = kept(&format!("TLS: {why}"));
                    self.decide(Weight::Tls, text);
                }
            }
            (_, None) => {}
        }
    }

    /// What decides the session is what weighs most, and of that the last.
    fn decide(&mut self, weight: Weight, text: String) {
        if weight >= self.weight {
            self.reply = Some(text);
            self.weight = weight;
        }
    }

    /// How it went.
    pub fn verdict(&self) -> Verdict {
        let code = self.reply.as_deref().and_then(|reply| reply.bytes().next());
        match (self.weight, code) {
            (Weight::Tls, _) => Verdict::Failed,
            (_, Some(b'5' | b'-' | b'N' | b'B')) if self.accepted == 0 => Verdict::Failed,
            (_, Some(b'4' | b'5')) => Verdict::Trouble,
            _ if self.unanswered + self.not_finished + self.recipients_refused > 0 => Verdict::Trouble,
            _ => Verdict::Fine,
        }
    }

    fn mail_event(&mut self, event: &MailEvent) {
        self.helo.event(event);
        match event {
            MailEvent::Protocol { protocol, .. } => self.protocol = Some(*protocol),
            MailEvent::Proxied(proxied) => self.speaks_for = proxied.peers.map(|[client, _]| client),
            MailEvent::Reply(reply) => {
                let refusal =
                    reply.code.starts_with(['4', '5', '-']) || matches!(reply.code.as_str(), "NO" | "BAD");
                let weight = if refusal { Weight::Refusal } else { Weight::Any };
                self.decide(weight, reply_text(reply));
            }
            MailEvent::Auth(auth) => {
                self.auth = Some((auth.user.as_deref().map(kept), auth.accepted));
                if auth.accepted == Some(true) && self.weight == Weight::Refusal {
                    // Whatever was refused before, they are in now.
                    (self.reply, self.weight) = (None, Weight::Any);
                }
            }
            MailEvent::Transaction(mail) => {
                self.mails += 1;
                self.accepted += u64::from(mail.accepted == Some(true));
                self.refused += u64::from(mail.accepted == Some(false));
                self.size = self.size.saturating_add(mail.size);
                self.recipients += u64::from(mail.recipient_count);
                if self.mails == 1 {
                    self.mail_from = mail.mail_from.as_deref().map(kept);
                    self.recipient = mail.recipients.first().map(|(to, _)| kept(to));
                }
                let refused =
                    |code: &Option<String>| code.as_ref().is_some_and(|code| code.starts_with(['4', '5']));
                let recipients = mail.recipients.iter().filter(|(_, code)| refused(code));
                self.recipients_refused += recipients.count() as u64;
                if mail.is_unfinished() {
                    self.not_finished += 1;
                    self.decide(Weight::Mail, "message not finished".to_owned());
                } else if mail.is_unanswered() {
                    self.unanswered += 1;
                    self.decide(Weight::Mail, "no answer seen".to_owned());
                } else if let Some(reply) = &mail.reply {
                    let weight = match mail.accepted {
                        Some(false) => Weight::MailRefused,
                        _ => Weight::Mail,
                    };
                    self.decide(weight, reply_text(reply));
                }
            }
            MailEvent::Starttls(starttls) => {
                self.starttls = Some(starttls_name(&starttls.outcome));
                if let StarttlsOutcome::Refused(reply) = &starttls.outcome {
                    self.reply = Some(reply_text(reply));
                }
            }
            _ => {}
        }
    }

    /// Whether this was mail, by what was said, or by the port where nothing can be read.
    pub fn is_mail(&self, connection: &Connection) -> bool {
        self.protocol.is_some() || port_hint(connection.server.port).is_some()
    }

    /// Whether anything was said, in clear or not.
    fn has_spoken(&self) -> bool {
        self.protocol.is_some() || self.tls.is_some()
    }

    /// How it ended, in a word or two.
    pub fn end(closing: &Closing) -> String {
        let [client, server] = &closing.totals;
        let silent = client.bytes == 0 && server.bytes == 0;
        match closing.reason {
            CloseReason::Reset(Direction::ToClient) if client.syn && !server.syn && silent => {
                "refused".to_owned()
            }
            _ if client.syn && silent && server.packets == 0 => "no answer".to_owned(),
            _ => words::end(closing),
        }
    }
}

/// Counts of mail for the end of a run.
#[derive(Debug, Clone, Copy, Default)]
pub struct MailTotals {
    sessions: u64,
    /// Connections to mail ports in which nobody said anything.
    silent: u64,
    with_tls: u64,
    /// TLS began and did not finish.
    unfinished: u64,
    accepted: u64,
    refused: u64,
    unanswered: u64,
    not_finished: u64,
}

impl MailTotals {
    /// Counts a session that is over.
    pub fn add(&mut self, session: &Session) {
        if !session.has_spoken() {
            self.silent += 1;
            return;
        }
        self.sessions += 1;
        if let Some(tls) = &session.tls {
            let count = if tls.is_unfinished() {
                &mut self.unfinished
            } else {
                &mut self.with_tls
            };
            *count += 1;
        }
        self.accepted += session.accepted;
        self.refused += session.refused;
        self.unanswered += session.unanswered;
        self.not_finished += session.not_finished;
    }
}

impl std::ops::AddAssign for MailTotals {
    fn add_assign(&mut self, other: Self) {
        self.sessions += other.sessions;
        self.silent += other.silent;
        self.with_tls += other.with_tls;
        self.unfinished += other.unfinished;
        self.accepted += other.accepted;
        self.refused += other.refused;
        self.unanswered += other.unanswered;
        self.not_finished += other.not_finished;
    }
}

impl fmt::Display for MailTotals {
    /// Nothing where there was no mail.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = |count| if count == 1 { "" } else { "s" };
        if self.sessions > 0 {
            write!(
                f,
                "{} mail session{}: {} with TLS, {} without",
                HumanCount(self.sessions),
                plural(self.sessions),
                HumanCount(self.with_tls),
                HumanCount(self.sessions - self.with_tls - self.unfinished),
            )?;
            if self.unfinished > 0 {
                write!(f, ", {} whose TLS did not finish", HumanCount(self.unfinished))?;
            }
            write!(
                f,
                "; mails: {} accepted, {} refused",
                HumanCount(self.accepted),
                HumanCount(self.refused)
            )?;
            if self.unanswered > 0 {
                write!(f, ", {} without an answer", HumanCount(self.unanswered))?;
            }
            if self.not_finished > 0 {
                write!(f, ", {} not finished", HumanCount(self.not_finished))?;
            }
        }
        if self.silent > 0 {
            let behind = if self.sessions > 0 { "; " } else { "" };
            write!(
                f,
                "{behind}nothing said in {} connection{} to mail ports",
                HumanCount(self.silent),
                plural(self.silent)
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::{Handshake, ServerHello, Started, TlsHow};

    /// What the totals say of one session whose TLS began and went on so.
    fn totals(then: &[TlsEvent]) -> String {
        let mut session = Session::default();
        session.event(&Event::Tls(&TlsEvent::Started(Started {
            time: Default::default(),
            how: TlsHow::Implicit,
            offsets: [Some(0), None],
        })));
        for event in then {
            session.event(&Event::Tls(event));
        }
        let mut totals = MailTotals::default();
        totals.add(&session);
        totals.to_string()
    }

    #[test]
    fn lmtps_port_is_one_of_mail_too() {
        let mut connection = crate::mail::tests::connection();
        connection.server.port = 24;
        assert!(Session::default().is_mail(&connection));
        connection.server.port = 80;
        assert!(!Session::default().is_mail(&connection));
    }

    #[test]
    fn tls_that_did_not_finish_is_counted_on_its_own() {
        let time = Default::default();
        let unfinished = TlsEvent::Unfinished {
            time,
            step: "no ServerHello answered the ClientHello".into(),
        };
        let hello = TlsEvent::Handshake {
            time,
            direction: Direction::ToClient,
            message: Handshake::ServerHello(ServerHello::default()),
        };
        let answered = totals(&[hello, unfinished.clone()]);
        for totals in [answered, totals(&[unfinished])] {
            assert!(totals.contains("0 with TLS, 0 without, 1 whose TLS did not finish"));
        }
        let in_mid_stream = totals(&[]);
        assert!(in_mid_stream.contains("1 with TLS, 0 without;"));
    }
}
