//! Where in a client's line a secret begins.

use crate::mail::line::{split_word, word_start};

/// SMTP, and POP3's AUTH: the initial response of AUTH.
pub(crate) fn in_auth(line: &[u8]) -> Option<usize> {
    match line.get(..5) {
        Some(word) if word.eq_ignore_ascii_case(b"AUTH ") => word_start(line, 2),
        _ => None,
    }
}

/// POP3: PASS, the digest of APOP, and AUTH.
pub(crate) fn in_pop3(line: &[u8]) -> Option<usize> {
    match line.get(..5) {
        // All of it: a password may begin with a blank.
        Some(word) if word.eq_ignore_ascii_case(b"PASS ") => Some(5),
        Some(word) if word.eq_ignore_ascii_case(b"APOP ") => word_start(line, 2),
        _ => in_auth(line),
    }
}

/// IMAP: the password of LOGIN, the initial response of AUTHENTICATE. A user's name may be quoted and hold blanks.
pub(crate) fn in_imap(line: &[u8]) -> Option<usize> {
    let verb = split_word(split_word(line).1).0;
    let start = if verb.eq_ignore_ascii_case(b"LOGIN") {
        let user = word_start(line, 2)?;
        let end = user + argument_len(line.get(user..)?)?;
        let blanks = line.get(end..)?.iter().take_while(|byte| **byte == b' ').count();
        end + blanks
    } else if verb.eq_ignore_ascii_case(b"AUTHENTICATE") {
        word_start(line, 3)?
    } else {
        return None;
    };
    // A literal's announcement is none: its octets are.
    line.get(start)
        .filter(|byte| !matches!(byte, b'{' | b'\r' | b'\n'))
        .map(|_| start)
}

/// ManageSieve: the initial response of AUTHENTICATE.
pub(crate) fn in_sieve(line: &[u8]) -> Option<usize> {
    let start = match line.get(..13) {
        Some(word) if word.eq_ignore_ascii_case(b"AUTHENTICATE ") => word_start(line, 2)?,
        _ => return None,
    };
    line.get(start).filter(|byte| **byte != b'{').map(|_| start)
}

/// In a line of a protocol that is not known yet.
pub(crate) fn in_any(line: &[u8]) -> Option<usize> {
    in_pop3(line).or_else(|| in_sieve(line)).or_else(|| in_imap(line))
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
        let sieve = r#"AUTHENTICATE "PLAIN" "AGEAYg==""#;
        assert_eq!(
            cut(sieve, in_sieve(sieve.as_bytes())),
            (r#"AUTHENTICATE "PLAIN" "#, r#""AGEAYg==""#)
        );
    }
}
