//! The name by which a client says hello.

use crate::mail::MailEvent;

/// Characters kept: RFC 1035 allows 255.
const KEPT: usize = 256;

/// What the server accepted; until it accepts one, what the client said last.
#[derive(Debug, Default)]
pub struct Helo {
    said: Option<String>,
    accepted: Option<String>,
}

fn is_hello(verb: &str) -> bool {
    matches!(verb, "EHLO" | "HELO" | "LHLO")
}

impl Helo {
    /// Takes what an event tells.
    pub fn event(&mut self, event: &MailEvent) {
        match event {
            MailEvent::Command(command) if is_hello(&command.verb) => {
                let name = &command.argument;
                self.said = (!name.is_empty()).then(|| name.chars().take(KEPT).collect());
            }
            MailEvent::Reply(reply)
                if reply.code.starts_with('2') && reply.answers.as_deref().is_some_and(is_hello) =>
            {
                self.accepted = self.said.take().or(self.accepted.take());
            }
            _ => {}
        }
    }

    /// The name, if there is one.
    pub fn name(&self) -> Option<&str> {
        self.accepted.as_deref().or(self.said.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{Command, Reply};

    /// The name after these commands, each with the code that answers it, if one does.
    fn name(dialogue: &[(&str, &str)]) -> Option<String> {
        let mut helo = Helo::default();
        for (line, code) in dialogue {
            let (verb, argument) = line.split_once(' ').unwrap_or((line, ""));
            helo.event(&MailEvent::Command(Command {
                time: Default::default(),
                offset: 0,
                tag: String::new(),
                verb: verb.into(),
                argument: argument.into(),
            }));
            if !code.is_empty() {
                helo.event(&MailEvent::Reply(Reply {
                    time: Default::default(),
                    offset: 0,
                    code: (*code).into(),
                    lines: Vec::new(),
                    answers: Some(verb.into()),
                    latency: None,
                }));
            }
        }
        helo.name().map(str::to_owned)
    }

    #[test]
    fn what_is_refused_or_empty_replaces_no_name() {
        let client = Some("client.example".to_owned());
        assert_eq!(name(&[("HELO client.example", "250"), ("EHLO", "501")]), client);
        assert_eq!(
            name(&[("HELO client.example", "250"), ("EHLO bad_name", "501")]),
            client
        );
        assert_eq!(name(&[("HELO client.example", "250"), ("EHLO", "250")]), client);
    }

    #[test]
    fn the_last_accepted_name_counts_else_the_last_one_said() {
        let client = Some("client.example".to_owned());
        assert_eq!(name(&[("EHLO a", "250"), ("EHLO client.example", "250")]), client);
        assert_eq!(name(&[("EHLO a", "502"), ("HELO client.example", "250")]), client);
        assert_eq!(name(&[("EHLO a", ""), ("EHLO client.example", "")]), client);
        assert_eq!(name(&[("EHLO client.example", "554")]), client);
    }

    #[test]
    fn an_empty_name_is_none() {
        assert_eq!(name(&[("EHLO", "250")]), None);
    }
}
