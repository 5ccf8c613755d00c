//! Is this TLS? Looked at before anything is parsed, and again wherever a record must begin.
//!
//! A record header is five bytes: type, version, length (RFC 8446, section 5.1). SSL 2.0's is two: a set high
//! bit and the length; such a hello may still open a handshake of SSL 3.0 or TLS (RFC 5246, appendix E.2).

use crate::event::Verdict;

use super::names::handshake_exists;

/// Bytes of a record header.
pub(super) const HEADER: usize = 5;

/// Most that a record may hold: 2^14 and what encryption may add (RFC 5246, section 6.2.3).
pub(super) const MAX_PAYLOAD: usize = (1 << 14) + 2048;

/// Whether bytes may be the beginning of a record header; of what stands behind it nothing is asked.
pub(super) fn may_be_header(prefix: &[u8]) -> bool {
    let fits = |at: usize, test: &dyn Fn(u8) -> bool| prefix.get(at).is_none_or(|&byte| test(byte));
    fits(0, &|byte| (20..=24).contains(&byte))
        && fits(1, &|byte| byte == 3)
        && fits(2, &|byte| byte <= 4)
        && fits(3, &|byte| usize::from(byte) <= MAX_PAYLOAD >> 8)
        && match prefix {
            // An empty record is allowed for application data alone (RFC 8446, section 5.1).
            &[content_type, _, _, high, low, ..] => {
                let len = usize::from(u16::from_be_bytes([high, low]));
                len <= MAX_PAYLOAD && (len > 0 || content_type == 23)
            }
            _ => true,
        }
}

/// Whether bytes may be the beginning of an SSL 2.0 record that carries the first message of a direction:
/// CLIENT-HELLO (1) or SERVER-HELLO (4).
pub(super) fn may_be_ssl2_hello(prefix: &[u8]) -> bool {
    let fits = |at: usize, test: &dyn Fn(u8) -> bool| prefix.get(at).is_none_or(|&byte| test(byte));
    fits(0, &|byte| byte & 0x80 != 0)
        && match prefix.get(2) {
            None => true,
            Some(1) => match prefix.get(3..) {
                Some(&[major]) => major == 0 || major == 3,
                Some(&[major, minor, ..]) => (major == 0 && minor == 2) || (major == 3 && minor <= 4),
                _ => true,
            },
            Some(4) => fits(3, &|byte| byte <= 1) && fits(4, &|byte| byte <= 1),
            Some(_) => false,
        }
        && match prefix {
            &[high, low, ..] => ssl2_len(high, low) >= 9,
            _ => true,
        }
}

/// Length of what follows a two-byte SSL 2.0 header.
pub(super) fn ssl2_len(high: u8, low: u8) -> usize {
    usize::from(u16::from_be_bytes([high & 0x7f, low]))
}

/// Is this the start of a TLS record? Judged by its header and, in a handshake record, by the first byte behind.
/// `Unsure` while fewer than five bytes are there and all fit.
pub fn looks_like_record(bytes: &[u8]) -> Verdict {
    let message_fits = match bytes {
        &[22, _, _, _, _, message, ..] => handshake_exists(message),
        _ => true,
    };
    let empty = matches!(bytes, [_, _, _, 0, 0, ..]);
    if !may_be_header(bytes) || !message_fits || empty {
        Verdict::No
    } else if bytes.len() < HEADER {
        Verdict::Unsure
    } else {
        Verdict::Yes
    }
}

/// Is this the start of a ClientHello, so that a connection is TLS from its first byte, on whatever port? A
/// handshake record that begins with one, or one in SSL 2.0's format.
/// `Unsure` while too few bytes are there (eleven, or six where the record holds no more) and all fit.
pub fn looks_like_client_hello(bytes: &[u8]) -> Verdict {
    if bytes.first().is_some_and(|byte| byte & 0x80 != 0) {
        return looks_like_ssl2_client_hello(bytes);
    }
    let fits = |at: usize, test: &dyn Fn(u8) -> bool| bytes.get(at).is_none_or(|&byte| test(byte));
    let record = fits(0, &|byte| byte == 22) && looks_like_record(bytes) != Verdict::No;
    // Behind the six bytes stand the message's length and version, if the record is long enough to hold them.
    let long = matches!(bytes, [_, _, _, high, low, ..] if u16::from_be_bytes([*high, *low]) >= 6);
    let message = fits(5, &|byte| byte == 1)
        && (!long
            || (fits(6, &|byte| byte == 0) && fits(9, &|byte| byte == 3) && fits(10, &|byte| byte <= 4)));
    // Not before all of them are there: how the bytes were cut must not matter.
    let looked_at = HEADER + if long { 6 } else { 1 };
    if !record || !message {
        Verdict::No
    } else if bytes.len() < looked_at {
        Verdict::Unsure
    } else {
        Verdict::Yes
    }
}

/// As strict as its lengths allow, because nothing but the high bit marks it.
fn looks_like_ssl2_client_hello(bytes: &[u8]) -> Verdict {
    if !may_be_ssl2_hello(bytes) || bytes.get(2).is_some_and(|&message| message != 1) {
        return Verdict::No;
    }
    let Some(&[high, low, _, _, _, c1, c2, s1, s2, h1, h2]) = bytes.first_chunk::<11>() else {
        return Verdict::Unsure;
    };
    let field = |high, low| usize::from(u16::from_be_bytes([high, low]));
    let (ciphers, session, challenge) = (field(c1, c2), field(s1, s2), field(h1, h2));
    let adds_up = 9 + ciphers + session + challenge == ssl2_len(high, low);
    let plausible =
        ciphers > 0 && ciphers % 3 == 0 && matches!(session, 0 | 16 | 32) && (16..=32).contains(&challenge);
    if adds_up && plausible {
        Verdict::Yes
    } else {
        Verdict::No
    }
}

/// Are these two or more records, one behind the other's end, with nothing in them that contradicts? For the
/// middle of a stream, where a header alone proves too little.
pub fn looks_like_chain(bytes: &[u8]) -> bool {
    let mut headers = 0;
    let mut rest = bytes;
    while let Some(&[_, _, _, high, low]) = rest.first_chunk::<HEADER>() {
        if looks_like_record(rest.get(..HEADER).unwrap_or_default()) != Verdict::Yes {
            return false;
        }
        headers += 1;
        let len = HEADER + usize::from(u16::from_be_bytes([high, low]));
        rest = rest.get(len..).unwrap_or_default();
    }
    headers >= 2 && may_be_header(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT_HELLO: &[u8] = &[22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];

    #[test]
    fn a_client_hello_is_known_by_its_first_eleven_bytes() {
        for len in 0..11 {
            let bytes = CLIENT_HELLO.get(..len).unwrap();
            assert_eq!(looks_like_client_hello(bytes), Verdict::Unsure, "{len} bytes");
        }
        assert_eq!(looks_like_client_hello(CLIENT_HELLO), Verdict::Yes);
    }

    #[test]
    fn a_hello_is_not_known_before_the_bytes_that_may_contradict_it() {
        let text_behind = [22, 3, 1, 0, 45, 1, 0, 0, b'+', b'O', b'K'];
        assert_eq!(looks_like_client_hello(&text_behind[..8]), Verdict::Unsure);
        assert_eq!(looks_like_client_hello(&text_behind), Verdict::No);
        let short_record = [22, 3, 1, 0, 4, 1];
        assert_eq!(looks_like_client_hello(&short_record), Verdict::Yes);
    }

    #[test]
    fn a_record_is_known_by_its_five_bytes() {
        assert_eq!(looks_like_record(&[]), Verdict::Unsure);
        assert_eq!(looks_like_record(&[23, 3, 3, 0]), Verdict::Unsure);
        assert_eq!(looks_like_record(&[23, 3, 3, 0, 40]), Verdict::Yes);
        assert_eq!(looks_like_record(&[22, 3, 3, 0, 40]), Verdict::Yes);
        assert_eq!(looks_like_record(&[22, 3, 3, 0, 40, 2]), Verdict::Yes);
    }

    #[test]
    fn text_and_nonsense_are_no_records() {
        assert_eq!(looks_like_record(b"E"), Verdict::No);
        assert_eq!(looks_like_record(b"220 ready\r\n"), Verdict::No);
        assert_eq!(looks_like_record(&[22, 4]), Verdict::No, "major version 4");
        assert_eq!(looks_like_record(&[22, 3, 5]), Verdict::No, "minor version 5");
        assert_eq!(looks_like_record(&[22, 3, 3, 0, 0]), Verdict::No, "empty");
        assert_eq!(
            looks_like_record(&[22, 3, 3, 0x48, 1]),
            Verdict::No,
            "too long by one"
        );
        assert_eq!(
            looks_like_record(&[23, 3, 3, 0x48, 0]),
            Verdict::Yes,
            "as long as can be"
        );
        assert_eq!(
            looks_like_record(&[22, 3, 3, 0, 40, 99]),
            Verdict::No,
            "no such message"
        );
    }

    #[test]
    fn a_server_hello_or_an_alert_opens_no_connection() {
        assert_eq!(looks_like_client_hello(&[22, 3, 3, 0, 40, 2]), Verdict::No);
        assert_eq!(looks_like_client_hello(&[21, 3, 3, 0, 2]), Verdict::No);
        assert_eq!(looks_like_client_hello(b"EHLO me\r\n"), Verdict::No);
    }

    #[test]
    fn an_ssl2_hello_must_add_up() {
        // 9 bytes, one cipher spec of 3, no session id, a challenge of 16
        let hello = [0x80, 28, 1, 3, 1, 0, 3, 0, 0, 0, 16];
        assert_eq!(looks_like_client_hello(&hello), Verdict::Yes);
        assert_eq!(looks_like_client_hello(&hello[..10]), Verdict::Unsure);
        assert_eq!(
            looks_like_client_hello(&[0x80, 29, 1, 3, 1, 0, 3, 0, 0, 0, 16]),
            Verdict::No
        );
        assert_eq!(looks_like_client_hello(&[0x80, 28, 2]), Verdict::No);
        assert_eq!(
            looks_like_client_hello("ça va ?".as_bytes()),
            Verdict::No,
            "UTF-8 has the high bit too"
        );
    }

    #[test]
    fn a_chain_needs_two_whole_headers() {
        let one = [23, 3, 3, 0, 2, 7, 7];
        assert!(!looks_like_chain(&one));
        assert!(!looks_like_chain(&[&one[..], &[23, 3, 3, 0]].concat()));
        assert!(looks_like_chain(&[&one[..], &[23, 3, 3, 9, 0]].concat()));
        assert!(looks_like_chain(&[&one[..], &one[..], &[21, 3]].concat()));
        assert!(!looks_like_chain(&[&one[..], &one[..], b"QU"].concat()));
    }
}
