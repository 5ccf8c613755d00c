//! Where in a client's line a secret begins.
//!
//! A line's words are cut by [`split_word`], as the parsers do: what they obey as AUTH is hidden as AUTH.

use memchr::memchr;

use crate::event::Verdict;
use crate::mail::line::{split_word, without_end, word_start};

/// Longest line that [`answers`] waits for.
const MAX_ANSWER: usize = 4096;

fn is_verb(line: &[u8], verb: &str) -> bool {
    let Some((word, rest)) = line.trim_ascii_start().split_at_checked(verb.len()) else {
        return false;
    };
    word.eq_ignore_ascii_case(verb.as_bytes()) && rest.first().is_none_or(u8::is_ascii_whitespace)
}

/// SMTP, and POP3's AUTH: the initial response of AUTH.
pub(crate) fn in_auth(line: &[u8]) -> Option<usize> {
    is_verb(line, "AUTH").then(|| word_start(line, 2)).flatten()
}

/// POP3: PASS, the digest of APOP, and AUTH.
pub(crate) fn in_pop3(line: &[u8]) -> Option<usize> {
    if is_verb(line, "PASS") {
        // All behind one blank: a password may begin with others.
        let end = word_start(line, 0)? + 4;
        line.get(end..)
            .filter(|rest| !rest.is_empty() && *rest != b"\r\n")
            .map(|_| end + 1)
    } else if is_verb(line, "APOP") {
        word_start(line, 2)
    } else {
        in_auth(line)
    }
}

/// IMAP: the password of LOGIN, the initial response of AUTHENTICATE. A user's name may be quoted and hold blanks.
pub(crate) fn in_imap(line: &[u8]) -> Option<usize> {
    let command = split_word(line).1;
    if is_verb(command, "LOGIN") {
        let user = word_start(line, 2)?;
        behind(line, user + argument_len(line.get(user..)?)?)
    } else if is_verb(command, "AUTHENTICATE") {
        behind(line, word_start(line, 3)?)
    } else {
        None
    }
}

/// ManageSieve: the initial response of AUTHENTICATE.
pub(crate) fn in_sieve(line: &[u8]) -> Option<usize> {
    if !is_verb(line, "AUTHENTICATE") {
        return None;
    }
    behind(line, word_start(line, 2)?)
}

/// All from `start` on, but for blanks. A literal's announcement is no secret: its octets are.
pub(crate) fn behind(line: &[u8], start: usize) -> Option<usize> {
    let rest = line.get(start..)?;
    let blanks = rest.len() - rest.trim_ascii_start().len();
    let may_be_secret = |rest: &[u8]| !rest.is_empty() && !may_announce(rest);
    rest.get(blanks..)
        .filter(|rest| may_be_secret(rest))
        .map(|_| start + blanks)
}

/// Whether a line's end, as far as it has come, may announce a literal.
fn may_announce(bytes: &[u8]) -> bool {
    let Some(number) = bytes.strip_prefix(b"{") else {
        return false;
    };
    let digits = number.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let end = match number.get(digits..).unwrap_or_default() {
        [b'+' | b'-', end @ ..] => end,
        end => end,
    };
    matches!(end, b"" | b"}" | b"}\r" | b"}\r\n" | b"}\n")
}

/// In a line of a protocol that is not known yet.
pub(crate) fn in_any(line: &[u8]) -> Option<usize> {
    in_pop3(line).or_else(|| in_sieve(line)).or_else(|| in_imap(line))
}

/// Whether a text is base64, and not a word that happens to be: those are shorter, or of another length.
pub(crate) fn is_base64(text: &[u8]) -> bool {
    let digits = text.strip_suffix(b"=").unwrap_or(text);
    let digits = digits.strip_suffix(b"=").unwrap_or(digits);
    text.len() >= 8 && text.len().is_multiple_of(4) && digits.iter().all(is_base64_digit)
}

fn is_base64_digit(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/')
}

/// Whether all that a client says is one line of base64, quoted or not: it waits for what the server makes of it.
/// A message's lines are not alone. `last`: it says no more.
pub(crate) fn answers(said: &[u8], last: bool) -> Verdict {
    let end = memchr(b'\n', said).map_or(said.len(), |end| end + 1);
    let text = without_end(said);
    let plausible = |byte: &u8| is_base64_digit(byte) || matches!(byte, b'=' | b'"' | b'\r');
    if end < said.len() || said.len() > MAX_ANSWER || !text.iter().all(plausible) {
        return Verdict::No;
    }
    let text = text.strip_prefix(b"\"").unwrap_or(text);
    let text = text.strip_suffix(b"\"").unwrap_or(text);
    match last {
        false => Verdict::Unsure,
        true if text.len() < end && is_base64(text) => Verdict::Yes,
        true => Verdict::No,
    }
}

/// Length of an atom or a quoted string at the start of `bytes`, once its end is there.
fn argument_len(bytes: &[u8]) -> Option<usize> {
    if bytes.first() != Some(&b'"') {
        return bytes.iter().position(u8::is_ascii_whitespace);
    }
    let mut escaped = false;
    for (i, byte) in bytes.iter().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(i + 1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(line: &str, at: Option<usize>) -> (&str, &str) {
        line.split_at(at.unwrap_or(line.len()))
    }

    #[test]
    fn secrets_begin_behind_what_names_them() {
        let smtp = "AUTH PLAIN AGEAYg==";
        assert_eq!(cut(smtp, in_auth(smtp.as_bytes())), ("AUTH PLAIN ", "AGEAYg=="));
        assert_eq!(in_auth(b"AUTH LOGIN"), None);
        let pop3 = "pass  open sesame";
        assert_eq!(cut(pop3, in_pop3(pop3.as_bytes())), ("pass ", " open sesame"));
        let apop = "APOP alice 0123abcd";
        assert_eq!(cut(apop, in_pop3(apop.as_bytes())), ("APOP alice ", "0123abcd"));
        let imap = r#"a1 LOGIN "al \"ice" secret"#;
        assert_eq!(
            cut(imap, in_imap(imap.as_bytes())),
            (r#"a1 LOGIN "al \"ice" "#, "secret")
        );
        assert_eq!(in_imap(b"a1 LOGIN {5}\r\n"), None);
        assert_eq!(in_imap(b"a1 LOGIN alice {6}\r\n"), None);
        assert_eq!(in_imap(b"a1 LOGIN alice {6+"), None);
        let braces = "a1 LOGIN alice {hunter2}\r\n";
        assert_eq!(
            cut(braces, in_imap(braces.as_bytes())),
            ("a1 LOGIN alice ", "{hunter2}\r\n")
        );
        let sieve = r#"AUTHENTICATE "PLAIN" "AGEAYg==""#;
        assert_eq!(
            cut(sieve, in_sieve(sieve.as_bytes())),
            (r#"AUTHENTICATE "PLAIN" "#, r#""AGEAYg==""#)
        );
    }

    #[test]
    fn a_verb_is_one_whatever_blanks_stand_around_it() {
        assert_eq!(in_auth(b"AUTH\tPLAIN AGEAYg=="), Some(11));
        assert_eq!(in_auth(b" AUTH PLAIN AGEAYg=="), Some(12));
        assert_eq!(in_auth(b"AUTHOR PLAIN AGEAYg=="), None);
        assert_eq!(in_pop3(b"PASS\thunter2"), Some(5));
        assert_eq!(in_pop3(b" PASS hunter2"), Some(6));
        assert_eq!(in_pop3(b"PASS\r\n"), None);
        assert_eq!(in_imap(b" a1\tLOGIN\talice\thunter2"), Some(16));
        assert_eq!(in_sieve(b"AUTHENTICATE\tPLAIN AGEAYg=="), Some(19));
    }
}
