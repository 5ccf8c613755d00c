//! An authentication as it goes: who tries, by which mechanism.

use crate::mail::Auth;
use crate::mail::line::text;
use crate::time::Timestamp;

/// Bytes of a user's name.
const MAX_USER: usize = 256;

/// An authentication under way.
#[derive(Debug)]
pub(crate) struct Attempt {
    auth: Auth,
    responses: u32,
}

impl Attempt {
    /// It begins, with this mechanism.
    pub(crate) fn new(time: Timestamp, mechanism: &[u8]) -> Self {
        let mut mechanism = text(mechanism, 32);
        mechanism.make_ascii_uppercase();
        Self {
            auth: Auth {
                time,
                mechanism,
                user: None,
                accepted: None,
            },
            responses: 0,
        }
    }

    /// It begins with a name in clear.
    pub(crate) fn of_user(time: Timestamp, mechanism: &[u8], user: &[u8]) -> Self {
        let mut attempt = Self::new(time, mechanism);
        attempt.auth.user = Some(text(user, MAX_USER));
        attempt
    }

    /// A line from the client: base64 of what the mechanism says. True if it carries a password in clear.
    pub(crate) fn response(&mut self, line: &[u8]) -> bool {
        self.responses = self.responses.saturating_add(1);
        let Some(plain) = base64(line) else {
            return false;
        };
        let (user, password) = match self.auth.mechanism.as_str() {
            "PLAIN" => (plain.split(|byte| *byte == 0).nth(1), true),
            "LOGIN" if self.responses == 1 => (Some(plain.as_slice()), false),
            "LOGIN" => (None, true),
            "CRAM-MD5" => (plain.rsplitn(2, |byte| *byte == b' ').nth(1), false),
            "EXTERNAL" => (Some(plain.as_slice()), false),
            "DIGEST-MD5" => (between(&plain, b"username=\"", b'"'), false),
            "XOAUTH2" => (between(&plain, b"user=", 1), true),
            "OAUTHBEARER" => (between(&plain, b"a=", b','), true),
            name if name.starts_with("SCRAM-") && self.responses == 1 => {
                (between(&plain, b"n=", b','), false)
            }
            _ => (None, false),
        };
        if self.auth.user.is_none() {
            self.auth.user = user
                .filter(|user| !user.is_empty())
                .map(|user| text(user, MAX_USER));
        }
        password
    }

    /// Its outcome, if known.
    pub(crate) fn finish(self, accepted: Option<bool>) -> Auth {
        Auth {
            accepted,
            ..self.auth
        }
    }
}

/// What stands between `start` and the next `end`, or the end of all.
fn between<'a>(bytes: &'a [u8], start: &[u8], end: u8) -> Option<&'a [u8]> {
    let at = memchr::memmem::find(bytes, start)?;
    let rest = bytes.get(at + start.len()..)?;
    rest.split(|byte| *byte == end).next()
}

/// RFC 4648, section 4, padding not insisted upon; `None` where it is something else.
fn base64(encoded: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(encoded.len() / 4 * 3 + 3);
    let (mut bits, mut count) = (0u32, 0u32);
    for byte in encoded.trim_ascii().iter().take_while(|byte| **byte != b'=') {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(mechanism: &str, lines: &[&str]) -> Option<String> {
        let mut attempt = Attempt::new(Timestamp::default(), mechanism.as_bytes());
        for line in lines {
            attempt.response(line.as_bytes());
        }
        attempt.finish(None).user
    }

    #[test]
    fn user_names_are_decoded() {
        assert_eq!(user("plain", &["AGFsaWNlAHNlY3JldA=="]).as_deref(), Some("alice"));
        assert_eq!(user("LOGIN", &["YWxpY2U=", "c2VjcmV0"]).as_deref(), Some("alice"));
        assert_eq!(user("CRAM-MD5", &["YWxpY2UgZGlnZXN0"]).as_deref(), Some("alice"));
        assert_eq!(user("PLAIN", &["*"]), None);
        assert_eq!(user("NTLM", &["TlRMTVNTUAABAAAA"]), None);
    }
}
