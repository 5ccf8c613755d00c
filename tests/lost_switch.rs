//! The switch to TLS where the capture lacks bytes of it.

mod common;
mod mail_support;

use std::fs;
use std::path::Path;
use std::process::Command;

use common::files::pcap_of;
use common::packets::Talk;
use common::{flowdump, installed, run};
use flowdump::event::{Direction, Direction::ToClient, Direction::ToServer, Kind};
use flowdump::tls::TlsHow;
use mail_support::{CLIENT_HELLO, GAP, Run, SERVER_HELLO, Seen, connection, play, script};

/// Two records, of which the first bytes may be lost.
const RECORDS: &[u8] = b"\x17\x03\x03\x00\x05hello\x17\x03\x03\x00\x05again";

/// Where STARTTLS is asked for and agreed to: port, dialogue, the offsets behind.
const AGREED: [(u16, &str, [u64; 2]); 4] = [
    (
        25,
        "S: 220 mx ESMTP\nC: EHLO c\nS: 250-mx\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go",
        [18, 44],
    ),
    (110, "S: +OK hi\nC: STLS\nS: +OK go", [6, 16]),
    (143, "S: * OK hi\nC: a1 STARTTLS\nS: a1 OK go", [13, 19]),
    (
        4190,
        "S: \"IMPLEMENTATION\" \"x\"\nS: \"STARTTLS\"\nS: OK\nC: STARTTLS\nS: OK go",
        [10, 45],
    ),
];

fn told(port: u16, dialogue: &str, then: &[(Direction, &[u8])]) -> Seen {
    let then = then.iter().map(|(direction, bytes)| (*direction, bytes.to_vec()));
    let runs: Vec<Run> = script(dialogue).into_iter().chain(then).collect();
    play(&connection(port, true), &runs, || usize::MAX)
}

/// A gap, in place of bytes.
const LOST: &[u8] = b"";

fn behind(bytes: &[u8]) -> &[u8] {
    &bytes[GAP as usize..]
}

fn tls_of(seen: &Seen, direction: Direction) -> Vec<u8> {
    let runs = seen.runs[direction.index()].iter();
    let tls = runs.filter(|(kind, _)| *kind == Kind::Tls);
    tls.flat_map(|(_, bytes)| bytes.clone()).collect()
}

#[test]
fn a_client_hello_whose_start_is_lost_is_tls() {
    for (port, dialogue, [client, server]) in AGREED {
        let seen = told(
            port,
            dialogue,
            &[
                (ToServer, LOST),
                (ToServer, behind(CLIENT_HELLO)),
                (ToServer, RECORDS),
                (ToClient, SERVER_HELLO),
            ],
        );
        assert_eq!(
            seen.started,
            [(TlsHow::Starttls, [Some(client), Some(server)])],
            "{:?}",
            seen.told
        );
        assert_eq!(
            tls_of(&seen, ToServer),
            [behind(CLIENT_HELLO), RECORDS].concat(),
            "{port}"
        );
        assert_eq!(tls_of(&seen, ToClient), SERVER_HELLO, "{port}");
        // Records are found again behind what is left of the hello.
        let first = client + CLIENT_HELLO.len() as u64;
        for at in [first, first + 10] {
            let record = format!("> record 23 @{at} 10");
            assert!(seen.tls.contains(&record), "{record}: {:?}", seen.tls);
        }
        assert!(
            seen.tls.iter().all(|line| !line.contains("broken")),
            "{:?}",
            seen.tls
        );
        assert!(seen.all("!").is_empty(), "{:?}", seen.told);
    }
}

#[test]
fn a_server_hello_whose_start_is_lost_is_tls_whoever_is_seen_first() {
    for (port, dialogue, [client, server]) in AGREED {
        let hello = (ToServer, CLIENT_HELLO);
        let lost = [
            (ToClient, LOST),
            (ToClient, behind(SERVER_HELLO)),
            (ToClient, RECORDS),
        ];
        for then in [[&[hello][..], &lost].concat(), [&lost[..], &[hello]].concat()] {
            let seen = told(port, dialogue, &then);
            assert_eq!(
                seen.started,
                [(TlsHow::Starttls, [Some(client), Some(server)])],
                "{:?}",
                seen.told
            );
            assert_eq!(tls_of(&seen, ToServer), CLIENT_HELLO, "{port}");
            assert_eq!(
                tls_of(&seen, ToClient),
                [behind(SERVER_HELLO), RECORDS].concat(),
                "{port}"
            );
            let hello = format!("> record 22 @{client} 50");
            assert!(seen.tls.contains(&hello), "{hello}: {:?}", seen.tls);
            let record = format!("< record 23 @{} 10", server + SERVER_HELLO.len() as u64);
            assert!(seen.tls.contains(&record), "{record}: {:?}", seen.tls);
        }
    }
}

#[test]
fn both_hellos_may_have_lost_their_starts_in_any_order() {
    let (port, dialogue, offsets) = AGREED[0];
    let client = (ToServer, behind(CLIENT_HELLO));
    let server = (ToClient, behind(SERVER_HELLO));
    for then in [
        [(ToServer, LOST), client, (ToClient, LOST), server],
        [(ToServer, LOST), (ToClient, LOST), client, server],
        [(ToClient, LOST), (ToServer, LOST), client, server],
        [(ToClient, LOST), server, (ToServer, LOST), client],
    ] {
        let seen = told(port, dialogue, &then);
        assert_eq!(
            seen.started,
            [(TlsHow::Starttls, offsets.map(Some))],
            "{:?}",
            seen.told
        );
        assert_eq!(tls_of(&seen, ToServer), behind(CLIENT_HELLO));
        assert_eq!(tls_of(&seen, ToClient), behind(SERVER_HELLO));
    }
}

#[test]
fn the_agreement_may_be_lost_too() {
    let (port, dialogue, _) = AGREED[0];
    let asked = dialogue.strip_suffix("\nS: 220 go").unwrap();
    let client = [(ToServer, LOST), (ToServer, behind(CLIENT_HELLO))];
    let server = [(ToClient, LOST), (ToClient, SERVER_HELLO)];
    for then in [
        [client, server].concat(),
        [&server[..1], &client, &server[1..]].concat(),
    ] {
        let seen = told(port, asked, &then);
        assert_eq!(seen.started.len(), 1, "{:?}", seen.told);
        assert_eq!(tls_of(&seen, ToServer), behind(CLIENT_HELLO));
        assert_eq!(tls_of(&seen, ToClient), SERVER_HELLO);
    }
}

#[test]
fn who_goes_on_in_clear_behind_the_gap_is_in_clear() {
    let (port, dialogue, _) = AGREED[0];
    for text in [
        "MAIL FROM:<a@b>\r\nQUIT\r\n",
        "FROM:<a@b>\r\nQUIT\r\n",
        "\r\nQUIT\r\n",
    ] {
        let seen = told(
            port,
            dialogue,
            &[
                (ToServer, LOST),
                (ToServer, text.as_bytes()),
                (ToClient, b"250 ok\r\n"),
            ],
        );
        assert!(seen.started.is_empty(), "{:?}", seen.told);
        let at = 18 + GAP as usize + text.len() - 6;
        assert!(seen.has(&format!("> @{at} QUIT")), "{:?}", seen.told);
    }
    // The server has thought better of it.
    let seen = told(
        port,
        dialogue,
        &[
            (ToServer, CLIENT_HELLO),
            (ToClient, LOST),
            (ToClient, b"454 no TLS today\r\n"),
        ],
    );
    assert_eq!(tls_of(&seen, ToClient), b"");
    assert!(seen.has("< @51 454x1"), "{:?}", seen.told);
}

#[test]
fn clear_text_before_the_gap_is_injected() {
    let (port, dialogue, _) = AGREED[0];
    let seen = told(
        port,
        dialogue,
        &[
            (ToServer, b"RSET\r\n"),
            (ToServer, LOST),
            (ToServer, behind(CLIENT_HELLO)),
            (ToClient, SERVER_HELLO),
        ],
    );
    assert!(seen.has("! > @18 CommandInjection { len: 6 }"), "{:?}", seen.told);
    assert_eq!(seen.started, [(TlsHow::Starttls, [Some(24), Some(44)])]);
    // With more of it behind the gap, what is missing is clear text, too.
    let seen = told(
        port,
        dialogue,
        &[
            (ToServer, b"RSET\r\n"),
            (ToServer, LOST),
            (ToServer, b"NOOP\r\n"),
            (ToServer, CLIENT_HELLO),
            (ToClient, SERVER_HELLO),
        ],
    );
    assert!(
        seen.has("! > @18 CommandInjection { len: 19 }"),
        "{:?}",
        seen.told
    );
    assert_eq!(seen.started, [(TlsHow::Starttls, [Some(37), Some(44)])]);
}

#[test]
fn names_in_a_hello_are_no_clear_text() {
    let (port, dialogue, _) = AGREED[0];
    let name = b"a-name-that-is-longer-than-others.mail.example.test\0\x17\0\0\0";
    let seen = told(
        port,
        dialogue,
        &[(ToServer, LOST), (ToServer, name), (ToServer, RECORDS)],
    );
    assert_eq!(tls_of(&seen, ToServer), [&name[..], RECORDS].concat());
}

/// STARTTLS on the wire; of the agreement, or of a hello's first `len` bytes, nothing is captured.
fn capture_without(agreement: bool, hello: usize, server_hello: usize) -> Vec<u8> {
    let certificates = [b"\x17\x03\x03\x17\x70", &[7; 6000][..]].concat();
    let server = [SERVER_HELLO, &certificates, RECORDS].concat();
    let client = [CLIENT_HELLO, RECORDS].concat();
    let mut talk = Talk::default();
    talk.handshake().server(b"220 mx\r\n").client(b"EHLO c\r\n");
    talk.server(b"250-mx\r\n250 STARTTLS\r\n")
        .client(b"STARTTLS\r\n")
        .server(b"220 go\r\n");
    if agreement {
        talk.lost();
    }
    for (side, bytes, lost) in [(0, client, hello), (1, server, server_hello)] {
        let (start, rest) = bytes.split_at(lost);
        if lost > 0 {
            talk.send(side, 16, start).lost();
        }
        talk.send(side, 16, rest).send(1 - side, 16, b"");
    }
    talk.close();
    pcap_of(&talk.segments)
}

/// Each file of a folder, and where in its stream the index says that it begins.
fn files(folder: &Path) -> Vec<(String, u64, Vec<u8>)> {
    let index = fs::read_to_string(folder.join("flows.jsonl")).unwrap();
    let line: serde_json::Value = serde_json::from_str(&index).unwrap();
    let sides = ["to_server", "to_client"].iter();
    let entries = sides.flat_map(|side| line[side]["files"].as_array().unwrap());
    let file = |entry: &serde_json::Value| {
        let name = entry["name"].as_str().unwrap();
        let bytes = fs::read(folder.join(name)).unwrap();
        assert_eq!(entry["bytes"], bytes.len(), "{index}");
        (name.to_owned(), entry["offset"].as_u64().unwrap(), bytes)
    };
    entries.map(file).collect()
}

fn written(capture: &[u8], place: &Path, output: &str, arguments: &[&str]) -> std::path::PathBuf {
    fs::write(place.join("x.pcap"), capture).unwrap();
    let mut command = flowdump();
    command.args(["-q", "-r", "x.pcap", "-o", output]).args(arguments);
    run(command.current_dir(place)).ok();
    place.join(output)
}

#[test]
fn what_is_missing_at_the_switch_is_zeros_in_one_of_the_two_files() {
    let zeros = |len: usize| vec![0; len];
    for (agreement, hello, server_hello, starts) in [
        // The 220 is clear text; what a hello lacks is of TLS.
        (true, 0, 0, [18, 38]),
        (false, 20, 0, [18, 38]),
        (false, 0, 20, [18, 38]),
        (false, 20, 5000, [18, 38]),
        // Where the agreement ends in one gap with the hello's start nobody knows.
        (true, 0, 5000, [18, 5038]),
    ] {
        let about = format!("{agreement} {hello} {server_hello}");
        let whole = capture_without(false, 0, 0);
        let lossy = capture_without(agreement, hello, server_hello);
        let place = tempfile::tempdir().unwrap();
        let whole = files(&written(&whole, place.path(), "whole", &["--no-split-tls"]));
        let one = files(&written(&lossy, place.path(), "one", &["--no-split-tls"]));
        let split = files(&written(&lossy, place.path(), "split", &[]));
        assert_eq!((whole.len(), one.len(), split.len()), (2, 2, 4), "{about}");
        for (side, start) in starts.into_iter().enumerate() {
            let [clear, tls] = [&split[side * 2], &split[side * 2 + 1]];
            assert_eq!(tls.0, format!("{}.tls", clear.0), "{about}");
            assert_eq!((clear.1, tls.1), (0, start), "{about}");
            let mut wanted = whole[side].2.clone();
            let (at, len) = match (side, agreement) {
                (0, _) => (18, hello),
                (_, true) => (30, 8 + server_hello),
                (_, false) => (38, server_hello),
            };
            wanted.splice(at..at + len, zeros(len));
            assert!(one[side].2 == wanted, "{about}: one file");
            assert!(
                [&clear.2[..], &tls.2].concat() == wanted,
                "{about}: cat {0} {0}.tls",
                clear.0
            );
        }
        // Archives have the same members.
        for archive in ["x.zip", "x.tar"] {
            if !installed("python3", "members") {
                continue;
            }
            let archive = written(&lossy, place.path(), archive, &[]);
            let members = place.path().join("members");
            let mut unpack = Command::new("python3");
            unpack.args(["-c", "import shutil, sys; shutil.unpack_archive(*sys.argv[1:])"]);
            assert!(unpack.arg(archive).arg(&members).status().unwrap().success());
            assert!(files(&members) == split, "{about}");
            fs::remove_dir_all(members).unwrap();
        }
    }
}

#[test]
fn a_gap_that_starts_a_file_is_in_neither() {
    let place = tempfile::tempdir().unwrap();
    let split = files(&written(
        &capture_without(true, 20, 0),
        place.path(),
        "out",
        &["-m", "8"],
    ));
    let shape: Vec<_> = split
        .iter()
        .map(|(_, offset, bytes)| (*offset, bytes.len()))
        .collect();
    assert_eq!(shape[0..3], [(0, 18), (38, 50), (0, 30)]);
    assert_eq!(shape[3].0, 38);
}
