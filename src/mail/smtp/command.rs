//! What each command of the client means for the session.

use crate::event::{Direction, SinkError};
use crate::mail::auth::Attempt;
use crate::mail::detect::smtp_verb;
use crate::mail::input::Out;
use crate::mail::line::{Line, split_word, text};
use crate::mail::{Command, Doubt, MailEvent, MailWarning, Protocol};

use super::{Asked, Mode, Smtp, What, Why};
use crate::mail::message::Body;

/// Bytes of an address: RFC 5321, section 4.5.3.1, and some more.
const MAX_ADDRESS: usize = 512;

impl Smtp {
    /// Tells a command and follows it. `secret`: the initial response of AUTH.
    pub(super) fn obey(
        &mut self,
        told: &Command,
        line: &Line,
        argument: &[u8],
        secret: Option<&[u8]>,
        out: &mut Out<'_, '_>,
    ) -> Result<(), SinkError> {
        if told.verb == "LHLO" && self.core.protocol == Protocol::Smtp {
            self.core.protocol = Protocol::Lmtp;
            out.mail(&MailEvent::Protocol {
                time: line.time,
                protocol: Protocol::Lmtp,
                doubt: (!self.core.whole()).then(|| self.core.doubt.unwrap_or(Doubt::MidStream)),
            })?;
        }
        out.mail(&MailEvent::Command(told.clone()))?;
        self.core.odd_line(line, Direction::ToServer, out)?;
        if matches!(told.verb.as_str(), "MAIL" | "AUTH") {
            self.core.switch.not_used(line.time, self.core.protocol, out)?;
        }
        // What came in chunks and was not ended belongs to the mail before.
        if matches!(told.verb.as_str(), "MAIL" | "RSET" | "EHLO" | "HELO" | "LHLO") {
            self.body = None;
        }
        let what = match told.verb.as_str() {
            "EHLO" | "LHLO" => What::Hello(self.mails.last()),
            "HELO" | "RSET" | "QUIT" => What::Ends(self.mails.last()),
            "MAIL" => What::Mail(self.mails.begin(line.time, address(argument), out)?),
            "RCPT" => {
                let depth = self.mails.current(line.time, out)?;
                let to = address(argument).unwrap_or_default();
                What::Recipient(depth, self.mails.recipient(depth, &to))
            }
            "DATA" => What::Data(self.mails.current(line.time, out)?),
            "BDAT" => return self.bdat(told, line, argument, out),
            "AUTH" => What::Auth,
            "STARTTLS" => What::Starttls,
            verb if verb.len() >= 4 && verb.bytes().all(|byte| byte == b'X') => What::Garbled,
            _ => What::Other,
        };
        self.ask_as(told, what);
        match what {
            // Where nobody answers (one side only), what is asked for is taken as given.
            What::Data(_)
                if self.core.seen == [true, false] && self.core.greeted || line.end() < self.given =>
            {
                self.body = Some(Box::new(Body::new()));
                self.mode = Mode::Body;
            }
            What::Data(_) => self.undecided(Why::Data),
            What::Auth => {
                let mut attempt = Attempt::new(line.time, split_word(argument).0);
                let password = secret.is_some_and(|secret| attempt.response(secret));
                self.core.tell_auth(None, out)?;
                self.core.auth = Some(Box::new(attempt));
                if line.end() < self.unseen {
                    self.mode = Mode::Lost;
                } else {
                    self.undecided(Why::Auth);
                }
                if password {
                    self.core.clear_password(line.time, line.offset, out)?;
                }
            }
            What::Starttls => {
                self.core.switch.ask(line.end());
                self.undecided(Why::Starttls);
            }
            _ => {}
        }
        Ok(())
    }

    fn ask_as(&mut self, told: &Command, what: What) {
        // Its reply came before it, behind that to a message: nobody waits.
        if self.early.pop_front().is_some() && matches!(what, What::Ends(_) | What::Other) {
            return;
        }
        self.early.clear();
        self.ask(Asked {
            verb: smtp_verb(&told.verb),
            time: told.time,
            what,
        });
    }

    /// BDAT n [LAST]: RFC 3030, section 2.
    fn bdat(
        &mut self,
        told: &Command,
        line: &Line,
        argument: &[u8],
        out: &mut Out<'_, '_>,
    ) -> Result<(), SinkError> {
        let (size, rest) = split_word(argument);
        let last = rest.eq_ignore_ascii_case(b"LAST");
        let depth = self.mails.current(line.time, out)?;
        self.ask_as(told, What::Chunk(depth, last));
        let digits = !size.is_empty() && size.iter().all(u8::is_ascii_digit);
        let number = std::str::from_utf8(size).ok().and_then(|size| size.parse().ok());
        let wrong = match number.filter(|_| digits) {
            // Servers refuse it without reading a chunk.
            Some(_) if !rest.is_empty() && !last => {
                format!("BDAT with {:?} where LAST may stand", text(rest, 32))
            }
            Some(size) => {
                self.begin_chunk(size, last);
                return Ok(());
            }
            None => format!("BDAT with the size {:?}", text(size, 32)),
        };
        self.mode = Mode::Lost;
        out.warn(
            line.time,
            Direction::ToServer,
            line.offset,
            MailWarning::Malformed(wrong),
        )
    }
}

/// The address in `FROM:<address> …` or `TO:<address> …`.
fn address(argument: &[u8]) -> Option<String> {
    let colon = argument.iter().position(|byte| *byte == b':')?;
    let path = argument.get(colon + 1..)?.trim_ascii();
    let inner = match path.strip_prefix(b"<") {
        Some(inner) => inner.split(|byte| *byte == b'>').next()?,
        None => split_word(path).0,
    };
    Some(text(inner, MAX_ADDRESS))
}

#[cfg(test)]
mod tests {
    use super::address;

    #[test]
    fn addresses_stand_with_and_without_brackets() {
        assert_eq!(address(b"FROM:<a@b.test> SIZE=1").as_deref(), Some("a@b.test"));
        assert_eq!(address(b"TO: <a@b.test>").as_deref(), Some("a@b.test"));
        assert_eq!(address(b"FROM:a@b.test").as_deref(), Some("a@b.test"));
        assert_eq!(address(b"FROM:<>").as_deref(), Some(""));
        assert_eq!(address(b"nobody"), None);
    }
}
