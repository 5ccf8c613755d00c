//! What a mail administrator asks first where the servers do not say it: who hung up, was there an answer, did it get
//! through.

mod common;

use std::path::PathBuf;

use common::files::pcap_of;
use common::packets::{ACK, FIN, RST, SYN, Talk};
use common::{console, flowdump, run};

/// A talk as a capture.
fn saved(talk: &Talk) -> (tempfile::TempDir, PathBuf) {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("talk.pcap");
    std::fs::write(&path, pcap_of(&talk.segments)).unwrap();
    (place, path)
}

/// What the console shows of a talk, without times and addresses.
fn shown(talk: &Talk) -> Vec<String> {
    let (_place, path) = saved(talk);
    let text = console(&path);
    let lines = text.lines().map(|line| line.split_once("  ").unwrap().1);
    lines.map(str::to_owned).collect()
}

/// The table's rows, by column: the last columns are the reply, seconds, and the end.
fn summary(talk: &Talk) -> (String, String) {
    let (_place, path) = saved(talk);
    let ran = run(flowdump().args(["--summary", "--color", "never", "-r"]).arg(path)).ok();
    (ran.text().lines().last().unwrap().to_owned(), ran.stderr)
}

/// A session up to where mail may come.
fn greeted() -> Talk {
    let mut talk = Talk::default();
    talk.handshake()
        .server(b"220 mx ESMTP\r\n")
        .client(b"EHLO c\r\n")
        .server(b"250 mx\r\n");
    talk
}

/// A session up to the message, of which the first part is sent.
fn message_under_way() -> Talk {
    let mut talk = greeted();
    talk.client(b"MAIL FROM:<a@c.test>\r\n")
        .server(b"250 ok\r\n")
        .client(b"RCPT TO:<b@mx.test>\r\n")
        .server(b"250 ok\r\n")
        .client(b"DATA\r\n")
        .server(b"354 go\r\n")
        .client(b"Subject: x\r\n\r\nhello\r\n.\r\n");
    talk
}

#[test]
fn a_message_whose_end_the_client_did_not_send_wants_no_answer() {
    for how in ["fin by client", "reset by client", "end of capture"] {
        let mut talk = message_under_way();
        talk.last().payload.truncate(b"Subject: x\r\n\r\nhello\r\n".len());
        talk.seq[0] -= 3;
        talk.server_acks().pause(2.0);
        match how {
            "fin by client" => _ = talk.close(),
            "reset by client" => _ = talk.send(0, RST | ACK, b""),
            _ => {}
        }
        let lines = shown(&talk);
        assert_eq!(
            lines.last().unwrap(),
            "[the end of the message was not seen]",
            "{how}"
        );
        let (row, totals) = summary(&talk);
        assert!(row.contains("message not finished"), "{row}");
        assert!(row.ends_with(how), "{row}");
        assert!(
            totals.contains("mails: 0 accepted, 0 refused, 1 not finished"),
            "{totals}"
        );
        let (_place, path) = saved(&talk);
        let events = run(flowdump().arg("--json").arg("-r").arg(path)).ok().text();
        assert!(events.contains(r#""unfinished":true"#), "{events}");
    }
}

#[test]
fn a_message_in_chunks_without_the_last_is_not_finished() {
    let mut talk = greeted();
    talk.client(b"MAIL FROM:<a@c.test>\r\n")
        .server(b"250 ok\r\n")
        .client(b"RCPT TO:<b@mx.test>\r\n")
        .server(b"250 ok\r\n")
        .client(b"BDAT 7\r\nhello\r\n")
        .server(b"250 7 octets received\r\n")
        .close();
    let (row, totals) = summary(&talk);
    assert!(row.contains("message not finished"), "{row}");
    assert!(totals.contains("1 not finished"), "{totals}");
}

#[test]
fn a_command_out_of_sequence_makes_no_mail() {
    let mut talk = greeted();
    talk.client(b"RCPT TO:<b@mx.test>\r\n")
        .server(b"503 5.5.1 need MAIL first\r\n")
        .client(b"MAIL FROM:<a@c.test>\r\n")
        .server(b"250 ok\r\n")
        .client(b"RCPT TO:<b@mx.test>\r\n")
        .server(b"250 ok\r\n")
        .client(b"DATA\r\n")
        .server(b"354 go\r\n")
        .client(b"x\r\n.\r\n")
        .server(b"250 queued\r\n")
        .close();
    let (row, totals) = summary(&talk);
    assert!(row.contains("a@c.test") && row.contains("250 queued"), "{row}");
    assert!(totals.contains("mails: 1 accepted, 0 refused\n"), "{totals}");
}

#[test]
fn nothing_was_said_and_somebody_hung_up() {
    let mut silent_server = Talk::default();
    silent_server.handshake().pause(6.0).close();
    assert_eq!(
        shown(&silent_server),
        ["[closed by the client after 6.0 s, no data]"]
    );
    let (row, _) = summary(&silent_server);
    assert!(row.ends_with("fin by client"), "{row}");
    let mut turned_away = Talk::default();
    turned_away
        .handshake()
        .send(1, FIN | ACK, b"")
        .send(0, FIN | ACK, b"")
        .send(1, ACK, b"");
    assert_eq!(
        shown(&turned_away),
        ["[closed by the server after 0.0 s, no data]"]
    );
    let mut open = Talk::default();
    open.handshake().pause(2.0).server_acks();
    assert_eq!(shown(&open), ["[no data in 2.0 s]"]);
    // Only its end was captured: nobody can say what was said before.
    let mut end_of_it = Talk::default();
    end_of_it.close();
    assert_eq!(shown(&end_of_it), [""; 0]);
}

/// A SYN after each of these pauses.
fn knocking(pauses: &[f64]) -> Talk {
    let mut talk = Talk::default();
    let isn = talk.seq[0];
    for pause in pauses {
        talk.seq[0] = isn;
        talk.pause(*pause).send(0, SYN, b"");
    }
    talk
}

#[test]
fn nobody_answered_the_syn() {
    assert_eq!(shown(&knocking(&[0.0])), ["[no answer to the SYN]"]);
    assert_eq!(
        shown(&knocking(&[0.0, 1.0])),
        ["[no answer to the SYN, sent 2 times]"]
    );
    let so_far = "[no answer to the SYN so far, sent 3 times]";
    assert_eq!(
        shown(&knocking(&[0.0, 1.0, 2.0, 4.0])),
        [so_far, "[no answer to the SYN, sent 4 times]"]
    );
    let mut at_last = knocking(&[0.0, 1.0, 2.0]);
    at_last
        .send(1, SYN | ACK, b"")
        .send(0, ACK, b"")
        .server(b"220 mx ESMTP\r\n")
        .close();
    assert_eq!(
        shown(&at_last),
        [so_far, "220 mx ESMTP", "[the greeting came 3.0 s after the SYN]"]
    );
    let (_, totals) = summary(&at_last);
    assert!(totals.contains("1 connection,"), "{totals}");
}

#[test]
fn many_that_nobody_answers_are_told_of_within_the_bounds_of_memory() {
    let mut all = Talk::default();
    for again in 0..3 {
        for port in 1024..6024 {
            all.client.set_port(port);
            all.seq[0] = u32::from(port);
            all.pause(0.0001).send(0, SYN, b"");
        }
        all.pause(f64::from(again) + 1.0);
    }
    let (_place, path) = saved(&all);
    for (memory, fit) in [("256M", true), ("4M", false)] {
        let ran = run(flowdump().args(["--json", "--memory", memory, "-r"]).arg(&path)).ok();
        let count = |event: &str| ran.text().matches(&format!(r#""event":"{event}""#)).count();
        assert_eq!(count("connection"), count("close"), "{memory}");
        assert!(count("connection") >= if fit { 5000 } else { 1000 }, "{memory}");
        assert_eq!(
            ran.stderr.contains("without answer forgotten"),
            !fit,
            "{memory}: {}",
            ran.stderr
        );
    }
}

#[test]
fn the_greeting_was_late() {
    for (seconds, said) in [(1.0, 0), (4.0, 1)] {
        let mut talk = Talk::default();
        talk.handshake()
            .pause(seconds)
            .server(b"220 mx ESMTP\r\n")
            .close();
        let lines = shown(&talk);
        let late = lines
            .iter()
            .filter(|line| *line == "[the greeting came 4.0 s after the SYN]");
        assert_eq!(late.count(), said, "{lines:?}");
        let (_place, path) = saved(&talk);
        let events = run(flowdump().args(["-q", "--json", "-r"]).arg(path)).ok().text();
        let latency = format!(r#""latency":{:.3}"#, seconds + 0.003);
        assert!(events.contains(&latency), "{events}");
    }
}

#[test]
fn a_message_had_no_answer_before_the_client_gave_up() {
    let mut answered = message_under_way();
    let mut talk = answered.clone();
    talk.server_acks().pause(4.0).close();
    assert_eq!(
        shown(&talk).last().unwrap(),
        "[no answer to the message was seen]"
    );
    let (row, totals) = summary(&talk);
    assert!(row.contains("no answer seen"), "{row}");
    assert!(row.ends_with("fin by client"), "{row}");
    assert!(
        totals.contains("mails: 0 accepted, 0 refused, 1 without an answer"),
        "{totals}"
    );
    answered.server(b"250 queued\r\n").close();
    let (row, totals) = summary(&answered);
    assert!(row.contains("250 queued"), "{row}");
    assert!(totals.contains("mails: 1 accepted, 0 refused\n"), "{totals}");
}

#[test]
fn what_was_sent_again_and_never_acknowledged_did_not_get_through() {
    let short = message_under_way();
    let mut long = Talk::default();
    long.handshake().client(&[b'x'; 1400]);
    for (mut talk, bytes, too_large) in [
        (short, "24 bytes from byte 57", ""),
        (long, "1400 bytes from byte 0", ", or too large for it (path MTU)"),
    ] {
        let last = talk.last().clone();
        for seconds in 1..4 {
            talk.segments
                .push(last.later(std::time::Duration::from_secs(seconds)));
        }
        let said =
            format!("{bytes} on were never acknowledged, with 3 retransmissions: lost on the way{too_large}");
        let mut reset = talk.clone();
        reset.pause(5.0).send(0, RST | ACK, b"");
        assert!(shown(&reset).contains(&format!("[{said}]")));
        let early = format!("[{said}, or the capture ended too soon]");
        assert_eq!(*shown(&talk).last().unwrap(), early);
        talk.pause(5.0).server_acks();
        assert!(!shown(&talk).iter().any(|line| line.contains("acknowledged")));
    }
}

#[test]
fn a_reset_comes_behind_all_that_was_said() {
    let mut talk = Talk::default();
    talk.handshake()
        .server(b"220 mx ESMTP\r\n")
        .client(b"MAIL FRO")
        .send(1, RST | ACK, b"");
    assert_eq!(
        shown(&talk),
        ["220 mx ESMTP", "MAIL FRO [unfinished]", "[connection reset]",]
    );
    // What nobody has understood yet.
    let mut talk = Talk::default();
    talk.handshake().client(b"hello\n").send(1, RST | ACK, b"");
    assert_eq!(shown(&talk), ["hello\\n", "[connection reset]"]);
}

#[test]
fn a_command_behind_a_chunk_that_ends_within_a_line_has_its_own() {
    let mut talk = Talk::default();
    talk.handshake()
        .server(b"220 mx ESMTP\r\n")
        .client(b"EHLO c\r\n")
        .server(b"250-mx\r\n250-PIPELINING\r\n250 CHUNKING\r\n")
        .client(b"MAIL FROM:<a@c.test>\r\n")
        .server(b"250 ok\r\n")
        .client(b"RCPT TO:<b@mx.test>\r\n")
        .server(b"250 ok\r\n")
        .client(b"BDAT 17\r\nSubject: x\r\n\r\nhelBDAT 5 LAST\r\nlo\r\nyQUIT\r\n")
        .server(b"250 ok\r\n250 queued\r\n221 bye\r\n")
        .close();
    let lines = shown(&talk);
    let begin = lines.iter().position(|line| line == "BDAT 17").unwrap();
    assert_eq!(
        lines[begin..][..8],
        [
            "BDAT 17",
            "Subject: x",
            "",
            "hel [unfinished]",
            "BDAT 5 LAST",
            "lo",
            "y [unfinished]",
            "QUIT",
        ]
    );
}

#[test]
fn a_mail_of_which_a_recipient_was_refused_is_not_all_well() {
    let mut talk = Talk::default();
    talk.handshake()
        .server(b"220 mx ESMTP\r\n")
        .client(b"HELO c\r\n")
        .server(b"250 mx\r\n")
        .client(b"MAIL FROM:<a@c.test>\r\n")
        .server(b"250 ok\r\n")
        .client(b"RCPT TO:<b@mx.test>\r\n")
        .server(b"250 ok\r\n")
        .client(b"RCPT TO:<nobody@mx.test>\r\n")
        .server(b"550 no such user\r\n")
        .client(b"DATA\r\n")
        .server(b"354 go\r\n")
        .client(b"hello\r\n.\r\n")
        .server(b"250 queued\r\n")
        .close();
    let (_place, path) = saved(&talk);
    let ran = run(flowdump()
        .args(["--summary", "--color", "always", "-r"])
        .arg(path))
    .ok();
    let text = ran.text();
    let row = text.lines().last().unwrap();
    assert!(row.contains("b@mx.test +1 (1 refused)"), "{row}");
    assert!(row.starts_with("\x1b["), "{row}");
}

#[test]
fn only_one_direction_was_captured() {
    let mut talk = message_under_way();
    let client = talk.client;
    talk.segments.retain(|segment| segment.source == client);
    let (_, totals) = summary(&talk);
    assert!(
        totals.contains("only one direction of 1 connection seen"),
        "{totals}"
    );
    // Nor need it have said anything.
    let mut talk = Talk::default();
    talk.handshake().client(b"QUIT\r\n").server_acks().close();
    talk.segments.retain(|segment| segment.source != client);
    let (_, totals) = summary(&talk);
    assert!(
        totals.contains("only one direction of 1 connection seen"),
        "{totals}"
    );
    let (_, totals) = summary(&message_under_way());
    assert!(!totals.contains("only one direction"), "{totals}");
}

#[test]
fn a_proxy_is_told_of_in_words_where_its_header_is_none() {
    const HEADER: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
    let speaks_for = [
        HEADER,
        b"\x21\x11\0\x0c\xc0\0\x02\x07\xc6\x33\x64\x01\x9c\x40\0\x19",
    ]
    .concat();
    let mut talk = Talk::default();
    talk.handshake()
        .client(&[&speaks_for, &b"EHLO c\r\n"[..]].concat())
        .server(b"220 mx ESMTP\r\n")
        .close();
    let lines = shown(&talk);
    let said = lines.iter().position(|line| line.starts_with("[PROXY")).unwrap();
    assert_eq!(lines[said], "[PROXY: from 192.0.2.7:40000 to 198.51.100.1:25]");
    assert!(lines.iter().skip(said).any(|line| line == "EHLO c"), "{lines:?}");
    let (row, _) = summary(&talk);
    assert!(row.contains("  192.0.2.7:40000 via 10.0.0.1:40000  "), "{row}");

    // HAProxy's own check hangs up at once.
    let mut talk = Talk::default();
    talk.handshake()
        .client(&[HEADER, b"\x20\0\0\0"].concat())
        .send(0, RST | ACK, b"");
    let lines = shown(&talk);
    assert_eq!(
        lines[lines.len() - 2..],
        ["[PROXY for no client: a health check?]", "[connection reset]"]
    );
}
