//! Real mail between real programs, seen live, in the namespaces of tests/lab/lab.sh: Postfix, Exim and Dovecot;
//! swaks, curl, openssl and Python's libraries as clients; plain, STARTTLS, implicit TLS, IPv4 and IPv6; on `any` at
//! the server, on the cable at the client, and on a bridge between them.
#![cfg(target_os = "linux")]

#[path = "lab/mail.rs"]
mod mail;
#[path = "lab/program.rs"]
mod program;

use std::path::Path;
use std::time::Duration;

use mail::{Lab, bytes, conversation, transcript};
use nix::sys::signal::Signal;
use program::{Ended, Program};

/// Where a server listens, as flowdump writes it.
struct Server {
    plain: &'static str,
    plain6: &'static str,
    starttls: &'static str,
    starttls6: &'static str,
    implicit: &'static str,
}

#[test]
fn mail_to_postfix_is_shown_kept_and_read_back() {
    let name = "mail_to_postfix_is_shown_kept_and_read_back";
    let Some(lab) = Lab::up(name, &["swaks", "curl"]) else {
        return;
    };
    let postfix = Server {
        plain: "10.77.2.2:25",
        plain6: "[fd77::2]:25",
        starttls: "10.77.2.1:25",
        starttls6: "[fd77::2]:587",
        implicit: "10.77.2.1:465",
    };
    mail_is_shown_kept_and_read_back(&lab, &postfix);
}

#[test]
fn mail_to_exim_is_shown_kept_and_read_back() {
    let name = "mail_to_exim_is_shown_kept_and_read_back";
    let Some(lab) = Lab::up(name, &["swaks", "curl", "target/exim/usr/sbin/exim4"]) else {
        return;
    };
    let exim = Server {
        plain: "10.77.2.1:2526",
        plain6: "[fd77::2]:2526",
        starttls: "10.77.2.1:2525",
        starttls6: "[fd77::2]:2525",
        implicit: "10.77.2.1:2527",
    };
    mail_is_shown_kept_and_read_back(&lab, &exim);
}

fn mail_is_shown_kept_and_read_back(lab: &Lab, server: &Server) {
    let kept = lab.path("any.pcap").display().to_string();
    let flows = lab.path("flows").display().to_string();
    let filter = "tcp and not host 127.0.0.1";
    let on_any = ["-i", "any", "-c", "--color", "never", "-w", &kept, filter];
    let on_any = lab.flowdump(&lab.server, &on_any);
    let on_cable = lab.flowdump(&lab.client, &["-i", "e0", "-c", "--color", "never", "tcp"]);
    let into_files = lab.flowdump(&lab.client, &["-i", "e0", "-o", &flows, "tcp"]);

    let plain = lab.swaks(server.plain, &[]);
    let plain6 = lab.swaks(server.plain6, &[]);
    let starttls = lab.swaks(server.starttls, &["--tls"]);
    by_curl(lab, server.implicit);
    let by_openssl = "echo QUIT | timeout 5 openssl s_client -quiet -crlf -starttls smtp -connect";
    lab.client(&["sh", "-c", &format!("{by_openssl} {}", server.starttls6)]);

    let [on_any, on_cable, _] = ends([on_any, on_cable, into_files]);
    for console in [&on_any.stdout, &on_cable.stdout] {
        for (at, said) in [(server.plain, &plain), (server.plain6, &plain6)] {
            assert_eq!(conversation(console, at), transcript(said), "{console}");
        }
        turns_into_tls(&conversation(console, server.starttls), &transcript(&starttls));
        turns_into_tls(&conversation(console, server.implicit), &[]);
        let by_openssl = conversation(console, server.starttls6);
        let asked = by_openssl.iter().position(|line| *line == (true, "STARTTLS"));
        let asked = asked.unwrap_or_else(|| panic!("{by_openssl:?}"));
        turns_into_tls(&by_openssl, &by_openssl[..asked + 2]);
        assert_eq!(console.matches("TLS starts here").count(), 3, "{console}");
        assert!(!console.contains("sealed"), "{console}");
    }

    // What it showed and what it kept are the same.
    let again = Program::run(&["-r", &kept, "-c", "--color", "never"]);
    let lines = again.stdout.lines().zip(on_any.stdout.lines());
    for (read, live) in lines {
        assert_eq!(read, live, "{}", on_any.stdout);
    }
    assert_eq!(again.stdout.len(), on_any.stdout.len());

    // What the client says it sent is what stands in the file, byte for byte.
    let plain = transcript(&plain);
    let server = server.plain.replace(':', ".");
    let by_client = file(&flows, &|name| name.ends_with(&format!("-{server}")));
    assert_eq!(by_client, bytes(&plain, true));
    let by_server = file(&flows, &|name| name.contains(&format!("_{server}-")));
    assert_eq!(by_server, bytes(&plain, false));
}

/// A mail with `sealed` in it, in TLS from the first byte.
fn by_curl(lab: &Lab, server: &str) {
    let mail = lab.path("mail").display().to_string();
    std::fs::write(&mail, "Subject: by curl\r\n\r\nsealed by curl\r\n").unwrap();
    let url = format!("smtps://{server}/client.sender.test");
    let mut command = vec![
        "curl",
        "-sk",
        "--max-time",
        "10",
        "--url",
        &url,
        "--upload-file",
        &mail,
    ];
    command.extend([
        "--mail-from",
        "carol@sender.test",
        "--mail-rcpt",
        "alice@mx.example.test",
    ]);
    assert_eq!(lab.client(&command), "", "curl succeeds in silence");
}

/// Ends captures once their last packets are through; all of them must have gone well.
fn ends<const N: usize>(captures: [Program; N]) -> [Ended; N] {
    std::thread::sleep(Duration::from_millis(1200));
    let ended = captures.map(|capture| capture.end(Signal::SIGINT));
    for ended in &ended {
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    }
    ended
}

/// What is shown begins with what was said in clear, which ends in TLS of at least a handshake and a record each.
fn turns_into_tls(shown: &[(bool, &str)], in_clear: &[(bool, &str)]) {
    assert!(shown.starts_with(in_clear), "{shown:?} begins with {in_clear:?}");
    let sealed = &shown[in_clear.len()..];
    assert!(sealed.len() > 4, "{sealed:?}");
    assert!(sealed.iter().all(|(_, text)| text.starts_with('[')), "{sealed:?}");
    let hello = sealed
        .iter()
        .any(|(_, text)| text.starts_with("[TLS ServerHello"));
    assert!(hello, "{sealed:?}");
}

/// The text of the one file in a folder whose name is right.
fn file(folder: &str, right: &dyn Fn(&str) -> bool) -> String {
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.retain(|path| right(&name(path)));
    assert_eq!(files.len(), 1, "{files:?}");
    std::fs::read_to_string(&files[0]).unwrap()
}

/// A bridge's cables are interfaces of their own: on `any` every packet comes once from each.
#[test]
fn on_a_bridge_a_packet_seen_twice_is_no_retransmission() {
    let name = "on_a_bridge_a_packet_seen_twice_is_no_retransmission";
    let Some(lab) = Lab::up(name, &["swaks"]) else {
        return;
    };
    let bridge = lab.bridge();
    let flows = lab.path("flows").display().to_string();
    let on_any = lab.flowdump(&bridge, &["-i", "any", "-c", "--color", "never", "tcp"]);
    let into_files = lab.flowdump(&bridge, &["-i", "any", "-o", &flows, "tcp"]);
    let said = lab.swaks("10.77.2.2:25", &[]);
    let [on_any, into_files] = ends([on_any, into_files]);

    let said = transcript(&said);
    assert_eq!(conversation(&on_any.stdout, "10.77.2.2:25"), said);
    let sent = file(&flows, &|name| name.ends_with("-10.77.2.2.25"));
    assert_eq!(sent, bytes(&said, true));
    for ended in [&on_any, &into_files] {
        let seen = number_before(&ended.stderr, " packets (");
        assert!(seen > 30, "{}", ended.stderr);
        let twice = number_before(&ended.stderr, " packets captured twice");
        assert_eq!(2 * twice, seen, "{}", ended.stderr);
    }
    let line = std::fs::read_to_string(Path::new(&flows).join("flows.jsonl")).unwrap();
    let flow: serde_json::Value = serde_json::from_str(&line).unwrap();
    for side in ["to_client", "to_server"].map(|side| &flow[side]) {
        assert_eq!(side["duplicate_captures"], side["packets"], "{flow}");
        assert_eq!(side["retransmissions"], 0, "{flow}");
    }
}

/// Python's libraries; what they say and hear in clear is what their debug output says.
#[test]
fn starttls_by_python_s_libraries() {
    let name = "starttls_by_python_s_libraries";
    let Some(lab) = Lab::up(name, &["python3", "dovecot"]) else {
        return;
    };
    let arguments = [
        "-i",
        "any",
        "-c",
        "--color",
        "never",
        "tcp and not host 127.0.0.1",
    ];
    let console = lab.flowdump(&lab.server, &arguments);
    let smtp = lab.client(&["python3", "-c", SMTPLIB]);
    let imap = lab.client(&["python3", "-c", IMAPLIB]);
    assert!(
        smtp.contains("221 2.0.0 Bye") && imap.contains("BYE Logging out"),
        "{smtp}{imap}"
    );
    let [console] = ends([console]);
    let console = console.stdout;

    // send: 'STARTTLS\r\n'
    // reply: b'220 2.0.0 Ready to start TLS\r\n'
    let smtp = told(&smtp, "send: '", "reply: b'", "\\r\\n'");
    let in_clear = up_to(&smtp, "220 2.0.0 Ready to start TLS");
    turns_into_tls(&conversation(&console, "10.77.2.1:25"), in_clear);

    //   16:35.77 > b'NGPC1 STARTTLS'
    //   16:35.77 < b'NGPC1 OK Begin TLS negotiation now.'
    let imap = told(&imap, " > b'", " < b'", "'");
    let in_clear = up_to(&imap, " OK Begin TLS negotiation now.");
    turns_into_tls(&conversation(&console, "10.77.2.1:143"), in_clear);

    assert_eq!(console.matches("TLS starts here").count(), 2, "{console}");
    for sealed in ["secret", "sealed", "LOGOUT", "QUIT"] {
        assert!(!console.contains(sealed), "{console}");
    }
}

const SMTPLIB: &str = r#"
import smtplib, ssl
context = ssl._create_unverified_context()
smtplib.SMTP.debuglevel = 1
smtp = smtplib.SMTP("10.77.2.1", local_hostname="client.sender.test")
smtp.starttls(context=context)
smtp.sendmail("carol@sender.test", ["alice@mx.example.test"], "Subject: by Python\n\nsealed\n")
smtp.quit()
"#;

const IMAPLIB: &str = r#"
import imaplib, ssl
imaplib.Debug = 4
imap = imaplib.IMAP4("10.77.2.1")
imap.starttls(ssl._create_unverified_context())
imap.login("alice", "secret")
imap.select()
imap.logout()
"#;

/// Lines of a library's debug output: whether the client spoke, and what.
fn told<'a>(output: &'a str, sent: &str, heard: &str, end: &str) -> Vec<(bool, &'a str)> {
    let line = |text: &'a str| {
        let by_client = text.split_once(sent).map(|(_, text)| (true, text));
        let (by, text) = by_client.or_else(|| text.split_once(heard).map(|(_, text)| (false, text)))?;
        Some((by, text.strip_suffix(end)?))
    };
    output.lines().filter_map(line).collect()
}

/// The lines up to the one that ends so.
fn up_to<'a, 'b>(lines: &'a [(bool, &'b str)], end: &str) -> &'a [(bool, &'b str)] {
    let last = lines.iter().position(|(_, text)| text.ends_with(end));
    &lines[..=last.unwrap_or_else(|| panic!("no {end:?} in {lines:?}"))]
}

/// `12` of `flowdump: 12 packets (`.
fn number_before(text: &str, what: &str) -> u64 {
    let before = text
        .split_once(what)
        .unwrap_or_else(|| panic!("no {what:?} in {text}"))
        .0;
    before.rsplit(' ').next().unwrap().parse().unwrap()
}
