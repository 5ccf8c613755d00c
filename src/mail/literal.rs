//! Literals of IMAP (RFC 9051, section 4.3) and ManageSieve (RFC 5804, section 1.2): `{n}`, and n octets behind
//! the line end.

use crate::mail::line::without_end;

/// What a line announces at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Announced {
    /// Octets that follow.
    pub(crate) len: u64,
    /// The sender waits for leave to send them: neither `{n+}` nor `{n-}`.
    pub(crate) waits: bool,
}

/// The literal that a line announces.
pub(crate) fn announced(line: &[u8]) -> Option<Announced> {
    let inner = without_end(line).strip_suffix(b"}")?;
    let open = inner.iter().rposition(|byte| *byte == b'{')?;
    let inner = inner.get(open + 1..)?;
    let (digits, waits) = match inner {
        [digits @ .., b'+' | b'-'] => (digits, false),
        digits => (digits, true),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let len = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(Announced { len, waits })
}

/// Whether a line is one string and nothing else: quoted, or the announcement of a literal.
pub(crate) fn is_string(line: &[u8]) -> bool {
    match line {
        [b'"', inner @ .., b'"'] => !inner.contains(&b'"'),
        [b'{', digits @ .., b'}'] => !digits.is_empty() && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

/// The next argument of a command, quotes undone, and what is behind it.
pub(crate) fn argument(bytes: &[u8]) -> (Vec<u8>, &[u8]) {
    let bytes = bytes.trim_ascii_start();
    let mut text = Vec::new();
    if bytes.first() != Some(&b'"') {
        let end = bytes
            .iter()
            .position(u8::is_ascii_whitespace)
            .unwrap_or(bytes.len());
        let (atom, rest) = bytes.split_at(end);
        return (atom.to_vec(), rest);
    }
    let mut escaped = false;
    for (i, byte) in bytes.iter().enumerate().skip(1) {
        match byte {
            b'\\' if !escaped => {
                escaped = true;
                continue;
            }
            b'"' if !escaped => return (text, bytes.get(i + 1..).unwrap_or_default()),
            _ => text.push(*byte),
        }
        escaped = false;
    }
    (text, &[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_announced_at_the_end_of_a_line() {
        let of = |len, waits| Some(Announced { len, waits });
        assert_eq!(announced(b"a1 LOGIN {5}\r\n"), of(5, true));
        assert_eq!(announced(b"a1 LOGIN {5+}\r\n"), of(5, false));
        assert_eq!(announced(b"a1 LOGIN {5-}\r\n"), of(5, false));
        assert_eq!(announced(b"* 1 FETCH (BODY[] {0}\r\n"), of(0, true));
        assert_eq!(announced(b"a1 LOGIN {5} x\r\n"), None);
        assert_eq!(announced(b"a1 LOGIN {-5}\r\n"), None);
        assert_eq!(announced(b"a1 LOGIN {99999999999999999999}\r\n"), None);
    }

    #[test]
    fn arguments_are_atoms_or_quoted() {
        assert_eq!(argument(b"alice secret"), (b"alice".to_vec(), &b" secret"[..]));
        assert_eq!(
            argument(br#" "al \"ice" x"#),
            (br#"al "ice"#.to_vec(), &b" x"[..])
        );
        assert_eq!(argument(b""), (vec![], &b""[..]));
    }
}
