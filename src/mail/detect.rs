//! Which mail protocol a connection speaks, by the first line of each side; its port is a hint only.

use std::borrow::Cow;

use memchr::memchr;

use crate::event::{Direction, Verdict};
use crate::mail::Protocol;
use crate::mail::line::split_word;
use crate::mail::literal::is_string;
use crate::mail::secret::is_base64;

/// Longest beginning that [`begins`] wants to see.
const LONGEST: usize = 48;
/// And [`challenges`].
const LONG: usize = 512;

/// What a side's first line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Evidence {
    /// It speaks this protocol.
    Strong(Protocol),
    /// It may: others begin so, too.
    Weak(Protocol),
    /// A line of several protocols.
    Any,
    /// It speaks something else.
    Not,
}

/// What both sides together say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// This protocol, for certain or as a guess.
    Mail(Protocol, bool),
    /// More must be seen.
    Wait,
    /// No mail.
    Not,
}

/// The protocol that belongs to a port by IANA's list or by custom, and whether it begins with TLS.
pub(crate) fn port_hint(port: u16) -> Option<(Protocol, bool)> {
    Some(match port {
        25 | 587 | 2525 => (Protocol::Smtp, false),
        465 => (Protocol::Smtp, true),
        24 => (Protocol::Lmtp, false),
        110 => (Protocol::Pop3, false),
        995 => (Protocol::Pop3, true),
        143 => (Protocol::Imap, false),
        993 => (Protocol::Imap, true),
        4190 => (Protocol::ManageSieve, false),
        _ => return None,
    })
}

/// Whether a line that begins so may be one of mail, before all of it is there.
pub(crate) fn begins(direction: Direction, line: &[u8]) -> Verdict {
    match direction {
        Direction::ToClient => server_begins(line),
        Direction::ToServer => client_begins(line),
    }
}

/// Whether a server's line that begins so may be one of mail.
pub(crate) fn server_begins(line: &[u8]) -> Verdict {
    match line {
        [] => Verdict::Unsure,
        [b'2'..=b'5', rest @ ..] => match rest {
            [] => Verdict::Unsure,
            [b'0'..=b'9'] => Verdict::Unsure,
            [b'0'..=b'9', b'0'..=b'9'] => Verdict::Unsure,
            [b'0'..=b'9', b'0'..=b'9', b' ' | b'-' | b'\r' | b'\n', ..] => Verdict::Yes,
            _ => Verdict::No,
        },
        _ => starts(line, &[b"+OK", b"-ERR", b"* ", b"\"IMPLEMENTATION\""]),
    }
}

fn client_begins(line: &[u8]) -> Verdict {
    let blanks = line
        .iter()
        .take_while(|byte| matches!(byte, b' ' | b'\t'))
        .count();
    let line = line.get(blanks..).unwrap_or_default();
    let word = line.split(u8::is_ascii_whitespace).next().unwrap_or_default();
    let whole = word.len() < line.len();
    let printable = word.iter().all(u8::is_ascii_graphic);
    if !printable || blanks + word.len() >= LONGEST {
        return Verdict::No;
    }
    if !whole {
        return Verdict::Unsure;
    }
    match client_word(word) {
        Evidence::Not => {}
        _ => return Verdict::Yes,
    }
    // IMAP: a tag, then a command.
    if word.is_empty() || word.len() > 16 || !word.iter().all(u8::is_ascii_alphanumeric) {
        return Verdict::No;
    }
    let rest = line.get(word.len() + 1..).unwrap_or_default();
    match rest.iter().position(u8::is_ascii_whitespace) {
        Some(end) if is_imap(rest.get(..end).unwrap_or_default()) => Verdict::Yes,
        Some(_) => Verdict::No,
        None if rest.len() >= LONGEST - 16 => Verdict::No,
        None => Verdict::Unsure,
    }
}

fn starts(line: &[u8], with: &[&[u8]]) -> Verdict {
    let mut verdict = Verdict::No;
    for word in with {
        if line.starts_with(word) {
            return Verdict::Yes;
        }
        if word.starts_with(line) {
            verdict = Verdict::Unsure;
        }
    }
    verdict
}

/// Whether a server's line is a challenge in this protocol, as far as its shape tells.
pub(crate) fn challenges(protocol: Protocol, line: &[u8]) -> Verdict {
    let head = line.get(..LONG).unwrap_or(line);
    let whole = memchr(b'\n', head);
    let text = head.get(..whole.unwrap_or(head.len())).unwrap_or_default();
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    let may = match (protocol, text) {
        (Protocol::Imap | Protocol::Pop3, [b'+'] | [b'+', b' ', ..]) => true,
        (Protocol::ManageSieve, [b'"' | b'{', ..]) => whole.is_none() || is_string(text),
        _ => false,
    };
    match may && text.iter().all(|byte| matches!(byte, b' '..=b'~')) {
        false => Verdict::No,
        true if whole.is_some() || head.len() == LONG => Verdict::Yes,
        true => Verdict::Unsure,
    }
}

/// What the server's first line says. `greeting`: it is the first of the connection, and nobody spoke before.
pub(crate) fn server_line(line: &[u8], greeting: bool) -> Evidence {
    let contains = |word: &[u8]| {
        line.windows(word.len())
            .any(|window| window.eq_ignore_ascii_case(word))
    };
    match line {
        [b'2'..=b'5', b'0'..=b'9', b'0'..=b'9', ..] if contains(b"LMTP") => Evidence::Strong(Protocol::Lmtp),
        [b'2'..=b'5', b'0'..=b'9', b'0'..=b'9', ..] if contains(b"SMTP") => Evidence::Strong(Protocol::Smtp),
        // A host's name may hold these letters, or be this word: the client's command decides.
        [b'2'..=b'5', b'0'..=b'9', b'0'..=b'9', ..] if names_ftp(line) => Evidence::Any,
        [b'3', b'3', b'4', text @ ..] if may_be_challenge(text.trim_ascii()) => {
            Evidence::Strong(Protocol::Smtp)
        }
        // NNTP greets by 200 and 201, and so do others; SMTP by 220, or by what says why not.
        [b'2', b'0', ..] if greeting => Evidence::Not,
        [b'2'..=b'5', b'0'..=b'9', b'0'..=b'9', ..] => Evidence::Weak(Protocol::Smtp),
        [b'+', b'O', b'K', ..] if greeting => Evidence::Strong(Protocol::Pop3),
        [b'+', b'O', b'K', ..] | [b'-', b'E', b'R', b'R', ..] => Evidence::Weak(Protocol::Pop3),
        [b'*', b' ', rest @ ..] => {
            let word = split_word(rest).0;
            match ["OK", "PREAUTH", "BYE"]
                .iter()
                .any(|w| word.eq_ignore_ascii_case(w.as_bytes()))
            {
                true if greeting => Evidence::Strong(Protocol::Imap),
                _ => Evidence::Weak(Protocol::Imap),
            }
        }
        _ if line.starts_with(b"\"IMPLEMENTATION\"") => Evidence::Strong(Protocol::ManageSieve),
        _ => Evidence::Not,
    }
}

/// Behind AUTH.
fn may_be_challenge(text: &[u8]) -> bool {
    text.is_empty() || is_base64(text)
}

fn names_ftp(greeting: &[u8]) -> bool {
    const NAMES: [&str; 4] = ["FTP", "FTPD", "ProFTPD", "vsFTPd"];
    let mut words = greeting.split(|byte| !byte.is_ascii_alphanumeric());
    words.any(|word| {
        NAMES
            .iter()
            .any(|name| word.eq_ignore_ascii_case(name.as_bytes()))
    })
}

/// What the client's first line says.
pub(crate) fn client_line(line: &[u8]) -> Evidence {
    let (word, rest) = split_word(line);
    let is_ftp = ["TLS", "SSL"]
        .iter()
        .any(|mechanism| rest.eq_ignore_ascii_case(mechanism.as_bytes()));
    match client_word(word) {
        Evidence::Any if is_ftp => Evidence::Not,
        Evidence::Not if is_imap(split_word(rest).0) => Evidence::Strong(Protocol::Imap),
        Evidence::Weak(Protocol::Smtp) if starts_with_path(rest) => Evidence::Strong(Protocol::Smtp),
        evidence => evidence,
    }
}

fn starts_with_path(rest: &[u8]) -> bool {
    let prefix = |with: &[u8]| {
        rest.get(..with.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(with))
    };
    prefix(b"FROM:") || prefix(b"TO:")
}

fn client_word(word: &[u8]) -> Evidence {
    let is = |words: &[&str]| words.iter().any(|w| word.eq_ignore_ascii_case(w.as_bytes()));
    if is(&["EHLO", "HELO"]) {
        Evidence::Strong(Protocol::Smtp)
    } else if is(&["LHLO"]) {
        Evidence::Strong(Protocol::Lmtp)
    } else if is(&[
        "MAIL", "RCPT", "DATA", "BDAT", "RSET", "VRFY", "EXPN", "XCLIENT", "XFORWARD", "STARTTLS",
    ]) {
        Evidence::Weak(Protocol::Smtp)
    } else if is(&["STLS", "APOP", "UIDL", "CAPA"]) {
        Evidence::Strong(Protocol::Pop3)
    } else if is(&["USER", "PASS", "STAT", "LIST", "RETR", "DELE", "TOP"]) {
        Evidence::Weak(Protocol::Pop3)
    } else if is(&[
        "LISTSCRIPTS",
        "PUTSCRIPT",
        "SETACTIVE",
        "GETSCRIPT",
        "HAVESPACE",
        "CHECKSCRIPT",
    ]) {
        Evidence::Strong(Protocol::ManageSieve)
    } else if is(&["AUTHENTICATE", "CAPABILITY"]) {
        Evidence::Weak(Protocol::ManageSieve)
    } else if is(&["QUIT", "NOOP", "AUTH", "HELP", "LOGOUT"]) {
        Evidence::Any
    } else {
        Evidence::Not
    }
}

fn is_imap(word: &[u8]) -> bool {
    const VERBS: [&str; 22] = [
        "CAPABILITY",
        "NOOP",
        "LOGOUT",
        "STARTTLS",
        "AUTHENTICATE",
        "LOGIN",
        "SELECT",
        "EXAMINE",
        "LIST",
        "LSUB",
        "STATUS",
        "APPEND",
        "IDLE",
        "FETCH",
        "STORE",
        "SEARCH",
        "UID",
        "ID",
        "NAMESPACE",
        "ENABLE",
        "COMPRESS",
        "CLOSE",
    ];
    VERBS
        .iter()
        .any(|verb| word.eq_ignore_ascii_case(verb.as_bytes()))
}

/// SMTP's commands.
const SMTP: [&str; 21] = [
    "EHLO", "HELO", "LHLO", "MAIL", "RCPT", "DATA", "BDAT", "RSET", "NOOP", "QUIT", "VRFY", "EXPN", "HELP",
    "AUTH", "STARTTLS", "XCLIENT", "XFORWARD", "ETRN", "TURN", "ATRN", "SEND",
];

/// A verb of SMTP, without memory of its own if it is a known one.
pub(crate) fn smtp_verb(verb: &str) -> Cow<'static, str> {
    let known = SMTP.iter().find(|known| **known == verb);
    known.map_or_else(|| Cow::Owned(verb.to_owned()), |known| Cow::Borrowed(*known))
}

/// POP3's commands.
const POP3: [&str; 15] = [
    "USER", "PASS", "APOP", "AUTH", "STLS", "CAPA", "STAT", "LIST", "RETR", "DELE", "NOOP", "RSET", "TOP",
    "UIDL", "QUIT",
];

/// Whether a line that begins so is a command of SMTP, where it may be something else.
pub(crate) fn begins_like_smtp(line: &[u8]) -> Verdict {
    begins_with_word(line, &SMTP)
}

/// Whether a line that begins so is a command of POP3, where it may be something else.
pub(crate) fn begins_like_pop3(line: &[u8]) -> Verdict {
    begins_with_word(line, &POP3)
}

/// Whether a line that begins so is a command of IMAP or ManageSieve, where it may be something else.
pub(crate) fn begins_like_imap(line: &[u8]) -> Verdict {
    client_begins(line)
}

/// `Unsure` where the line is too short to tell.
fn begins_with_word(line: &[u8], words: &[&str]) -> Verdict {
    let mut verdict = Verdict::No;
    for word in words {
        let (head, after) = line.split_at(line.len().min(word.len()));
        let same = head.eq_ignore_ascii_case(word.as_bytes().get(..head.len()).unwrap_or_default());
        match after.first() {
            Some(b' ' | b'\r' | b'\n' | b'\t') if same => return Verdict::Yes,
            None if same => verdict = Verdict::Unsure,
            _ => {}
        }
    }
    verdict
}

/// Weighs both sides' first lines. `from_start`: nothing came before them.
pub(crate) fn judge(
    client: Option<Evidence>,
    server: Option<Evidence>,
    hint: Option<Protocol>,
    from_start: bool,
) -> Judgement {
    use Evidence::{Any, Not, Strong, Weak};
    match (client, server) {
        (_, Some(Strong(protocol))) => Judgement::Mail(protocol, from_start),
        (Some(Strong(protocol)), Some(Weak(other))) if family(protocol) == family(other) => {
            Judgement::Mail(protocol, from_start)
        }
        (Some(Strong(_)), Some(Weak(_))) => Judgement::Not,
        (Some(Strong(protocol @ (Protocol::Smtp | Protocol::Lmtp))), Some(Any)) => {
            Judgement::Mail(protocol, from_start)
        }
        (Some(Strong(protocol)), _) => Judgement::Mail(protocol, false),
        (Some(Weak(protocol)), Some(Weak(other))) if family(protocol) == family(other) => {
            Judgement::Mail(protocol, from_start)
        }
        (_, Some(Weak(protocol))) if hint.map(family) == Some(family(protocol)) => {
            Judgement::Mail(hint.unwrap_or(protocol), from_start)
        }
        (Some(Weak(protocol)), None) if hint.map(family) == Some(family(protocol)) => {
            Judgement::Mail(protocol, false)
        }
        (Some(Any), None) if hint.is_some() => Judgement::Mail(hint.unwrap_or(Protocol::Smtp), false),
        (Some(Not | Weak(_)), Some(_)) | (Some(Any), Some(Not)) => Judgement::Not,
        (None, Some(Not)) => Judgement::Not,
        _ => Judgement::Wait,
    }
}

/// LMTP is SMTP but for a few words.
fn family(protocol: Protocol) -> Protocol {
    match protocol {
        Protocol::Lmtp => Protocol::Smtp,
        other => other,
    }
}
