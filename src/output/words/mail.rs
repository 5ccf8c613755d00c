//! What to say of mail.

use std::time::Duration;

use super::{Weight, Words, who};
use crate::event::{ClientKnown, Connection, Direction};
use crate::mail::{Auth, Doubt, ImplicitMismatch, MailEvent, MailWarning, Reply, Starttls, StarttlsOutcome};
use crate::output::escape::escaped;
use crate::output::facts::protocol_name;

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
            doubt: Some(doubt),
        } => Some(Words {
            weight: Weight::Remark,
            direction: Direction::ToServer,
            time: Some(*time),
            text: format!(
                "{}, as it seems{}",
                protocol_name(*protocol).to_uppercase(),
                why(connection, *doubt)
            ),
        }),
        // Version 1 is a line of text, and speaks for itself.
        MailEvent::Proxied(proxied) if proxied.version == 2 => Some(Words {
            weight: Weight::Remark,
            direction: Direction::ToServer,
            time: None,
            text: match proxied.peers {
                Some([client, server]) => format!("PROXY: from {client} to {server}"),
                None => "PROXY for no client: a health check?".to_owned(),
            },
        }),
        MailEvent::Compressed { time } => Some(Words {
            weight: Weight::Remark,
            direction: Direction::ToClient,
            time: Some(*time),
            text: "compressed from here on, shown as it is".to_owned(),
        }),
        MailEvent::Reply(reply) => {
            let delay = reply.greeting_delay(connection).filter(|delay| *delay >= SOON)?;
            Some(Words {
                weight: Weight::Remark,
                direction: Direction::ToClient,
                time: Some(reply.time),
                text: format!("the greeting came {:.1} s after the SYN", delay.as_secs_f64()),
            })
        }
        MailEvent::Transaction(mail) if mail.is_unfinished() => Some(Words {
            weight: Weight::Remark,
            direction: Direction::ToServer,
            time: None,
            text: "the end of the message was not seen".to_owned(),
        }),
        MailEvent::Transaction(mail) if mail.is_unanswered() => Some(Words {
            weight: Weight::Remark,
            direction: Direction::ToClient,
            time: None,
            text: "no answer to the message was seen".to_owned(),
        }),
        MailEvent::Protocol { .. }
        | MailEvent::Proxied(_)
        | MailEvent::Command(_)
        | MailEvent::Transaction(_) => None,
    }
}

/// Greetings later than this are worth a word: the name of the client may take a second to look up.
const SOON: Duration = Duration::from_secs(2);

fn why(connection: &Connection, doubt: Doubt) -> &'static str {
    match doubt {
        Doubt::MidStream if connection.client_known == ClientKnown::Guessed => ": its beginning was not seen",
        Doubt::MidStream => ": not all of its beginning was seen",
        Doubt::NoGreeting => ": no greeting was seen before the client spoke",
        Doubt::Hidden => " from the port: TLS begins with the first byte",
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
