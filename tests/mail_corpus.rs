//! Other people's captures, where they are at hand: no wrong switch, no byte lost, and what each is known for.

mod mail_support;

use std::path::PathBuf;

use flowdump::event::{Direction, Kind};
use flowdump::tls::TlsHow;
use mail_support::{Seen, capture, connection, dialogues, play};

/// The captures of a folder of the corpus; none, and a word on it, where it isn't there.
fn corpus(folder: &str) -> Vec<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../shared/corpus")
        .join(folder);
    let Ok(files) = std::fs::read_dir(&path) else {
        println!("skipped: no ../shared/corpus/{folder}");
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = files
        .filter_map(|file| file.ok().map(|file| file.path()))
        .collect();
    files.retain(|file| {
        file.to_string_lossy().contains(".pcap") && !file.to_string_lossy().ends_with(".keys")
    });
    files.sort();
    files
}

/// Each connection of one capture, if it is there.
fn smtp(name: &str) -> Option<Vec<Seen>> {
    let files = corpus("smtp");
    let file = files
        .iter()
        .find(|file| file.file_name().is_some_and(|file| file == name))?;
    Some(capture(file))
}

fn is_record(bytes: &[u8]) -> bool {
    matches!(bytes, [20..=24, 3, 0..=4, ..] | [128..=255, _, 1, ..])
}

/// The ground truth of a switch: text before the offset, a record behind it, in both directions.
#[test]
fn wherever_starttls_is_said_to_switch_there_is_text_before_and_tls_behind() {
    let mut switches = 0;
    for file in corpus("smtp").into_iter().chain(corpus("tls")) {
        for seen in capture(&file) {
            for (how, offsets) in &seen.started {
                if *how != TlsHow::Starttls {
                    continue;
                }
                switches += 1;
                for direction in Direction::BOTH {
                    let Some(offset) = offsets[direction.index()] else {
                        continue;
                    };
                    let (before, behind) =
                        seen.bytes[direction.index()].split_at(usize::try_from(offset).unwrap());
                    assert!(
                        behind.is_empty() || is_record(behind),
                        "{}: {direction:?} {offset}: {:?}",
                        file.display(),
                        &behind[..behind.len().min(8)]
                    );
                    assert!(
                        before.ends_with(b"\r\n"),
                        "{}: {direction:?} {offset}",
                        file.display()
                    );
                    assert!(
                        before
                            .iter()
                            .all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace())
                    );
                }
            }
        }
    }
    println!("{switches} switches");
}

/// What is labelled TLS begins with a record, and nothing that is labelled otherwise does, behind a switch.
#[test]
fn what_is_labelled_tls_begins_with_a_record() {
    for file in corpus("smtp").into_iter().chain(corpus("tls")) {
        for seen in capture(&file) {
            for run in seen.runs.iter().flatten().filter(|(kind, _)| *kind == Kind::Tls) {
                assert!(
                    is_record(&run.1),
                    "{}: {:?}",
                    file.display(),
                    &run.1[..run.1.len().min(8)]
                );
            }
        }
    }
}

#[test]
fn a_client_hello_to_a_plain_server_is_said_to_be_one() {
    let Some(seen) = smtp("early-garbage-25-and-tlshello-to-plain-465.pcap") else {
        return;
    };
    assert!(seen[0].has("! > @0 EarlyTalker"), "{:?}", seen[0].told);
    assert!(
        seen[3].has("! > @0 ImplicitMismatch(ServerIsPlain)"),
        "{:?}",
        seen[3].told
    );
    assert_eq!(
        seen[3].of(Direction::ToClient, Kind::Reply),
        "220 v02.kerne.org ESMTP Postfix\r\n"
    );
    let Some(seen) = smtp("port465-plaintext-server.pcapng") else {
        return;
    };
    assert!(
        seen[0].has("! > @0 ImplicitMismatch(ServerIsPlain)"),
        "{:?}",
        seen[0].told
    );
}

/// Zeek's captures, and what Zeek's tests expect of them.
#[test]
fn zeek_expects_the_same() {
    let Some(seen) = smtp("bdat-bad-tail-reply-queue.pcap") else {
        return;
    };
    assert!(seen[0].has("< @78 501x1 to BDAT"), "{:?}", seen[0].told);
    assert!(seen[0].has("< @115 250x1 to MAIL"), "{:?}", seen[0].told);
    assert!(seen[0].has("< @129 250x1 to RCPT"), "{:?}", seen[0].told);
    assert!(seen[0].has("< @143 354x1 to DATA"), "{:?}", seen[0].told);
    let Some(seen) = smtp("bdat-last-next-mail.pcap") else {
        return;
    };
    let mails = seen[0].all("mail ");
    assert_eq!(mails.len(), 2);
    assert!(mails[0].contains("size 221 reply 250") && mails[0].ends_with("subject \"single final BDAT\""));
    assert!(
        mails[1].contains("size 237 reply 250") && mails[1].ends_with("subject \"after single final BDAT\"")
    );
    let Some(seen) = smtp("pipelined-post-data-rset.pcap") else {
        return;
    };
    assert!(seen[0].has("< @292 250x1 to RSET"), "{:?}", seen[0].told);
    assert_eq!(seen[0].all("mail ").len(), 2);
    let Some(seen) = smtp("ehlo-rejected.pcap") else {
        return;
    };
    assert_eq!(seen[0].all("mail ").len(), 1, "{:?}", seen[0].told);
    assert!(seen[0].has("mail 1 from \"alice@example.com\" to bob@example.com=250"));
    let Some(seen) = smtp("one-side-only.pcap") else {
        return;
    };
    assert!(seen[0].has("Smtp sure=false"));
    assert_eq!(seen[0].all("mail ").len(), 2);
    assert!(
        seen[0]
            .all("mail ")
            .iter()
            .all(|mail| mail.contains("reply ? accepted None"))
    );
}

#[test]
fn what_lies_in_a_message_is_no_reply_and_no_command() {
    let Some(seen) = smtp("pop3-retr-with-smtp-text.pcap") else {
        return;
    };
    assert!(
        seen[0].all("< ").iter().all(|reply| reply.contains("+OK")),
        "{:?}",
        seen[0].told
    );
    let Some(seen) = smtp("inside-http-connect.pcap") else {
        return;
    };
    assert!(
        seen[0].has("Smtp sure=true") && seen[0].has("< @39 220x1 to nothing"),
        "{:?}",
        seen[0].told
    );
}

/// FTP, IRC, LDAP and PostgreSQL switch to TLS, too: found, and not taken for mail.
#[test]
fn other_protocols_that_switch_are_no_mail() {
    for file in corpus("tls") {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        if !["ftp-auth", "irc", "ldap", "postgres"]
            .iter()
            .any(|start| name.starts_with(start))
        {
            continue;
        }
        for seen in capture(&file) {
            assert_eq!(seen.told.len(), 1, "{name}: {:?}", seen.told);
            assert!(seen.has("TLS Found"), "{name}: {:?}", seen.told);
            assert!(
                seen.tls.iter().any(|line| line.starts_with("< ServerHello")),
                "{name}: {:?}",
                seen.tls
            );
        }
    }
}

/// How other people's streams are cut must not matter either.
#[test]
fn any_cut_tells_the_same() {
    for file in corpus("smtp").into_iter().chain(corpus("tls")) {
        for runs in dialogues(&file) {
            for port in [25, 9999] {
                let connection = connection(port, true);
                let whole = play(&connection, &runs, || usize::MAX);
                for size in [1, 3, 64] {
                    let cut = play(&connection, &runs, || size);
                    assert_eq!(whole.told, cut.told, "{} by {size}", file.display());
                    assert_eq!(whole.tls, cut.tls, "{} by {size}", file.display());
                    assert_eq!(whole.runs, cut.runs, "{} by {size}", file.display());
                }
            }
        }
    }
}
