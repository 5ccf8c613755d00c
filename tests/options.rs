//! Options that change what is shown or how files are named, each by example on a capture of ours.

mod common;

use std::path::{Path, PathBuf};

use common::files::pcap_of;
use common::packets::{ACK, Talk, Tcp};
use common::{flowdump, run};

fn capture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/captures")
        .join(name)
}

/// What `-C --color never` and these options print of a capture, without times and addresses.
fn shown(name: &str, options: &[&str]) -> String {
    run(flowdump()
        .args(["-q", "-C", "--color", "never", "-r"])
        .arg(capture(name))
        .args(options))
    .ok()
    .text()
}

/// The same with them.
fn prefixed(name: &str, options: &[&str]) -> String {
    run(flowdump()
        .args(["-q", "-c", "--color", "never", "-r"])
        .arg(capture(name))
        .args(options))
    .ok()
    .text()
}

/// Names and contents of the streams that these options write, sorted.
fn files(name: &str, options: &[&str]) -> Vec<(String, Vec<u8>)> {
    let folder = tempfile::tempdir().unwrap();
    run(flowdump()
        .args(["-q", "-o"])
        .arg(folder.path())
        .arg("-r")
        .arg(capture(name))
        .args(options))
    .ok();
    let mut files = Vec::new();
    collect(folder.path(), folder.path(), &mut files);
    files.retain(|(name, _)| !name.ends_with(".jsonl") && name != "report.xml");
    files.sort();
    files
}

/// These segments as a capture file.
fn saved(segments: &[Tcp], folder: &Path) -> PathBuf {
    let path = folder.join("talk.pcap");
    std::fs::write(&path, pcap_of(segments)).unwrap();
    path
}

fn collect(top: &Path, folder: &Path, files: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(top, &path, files);
        } else {
            let name = path.strip_prefix(top).unwrap().to_str().unwrap().to_owned();
            files.push((name, std::fs::read(&path).unwrap()));
        }
    }
}

#[test]
fn times_are_utc_relative_delta_or_none() {
    let first = |options: &[&str]| {
        prefixed("smtp-plain.pcap", options)
            .lines()
            .next()
            .unwrap()
            .to_owned()
    };
    assert!(first(&[]).contains("Z 10.77."), "{}", first(&[]));
    // From the SYN on: how long a greeting takes is seen.
    assert!(first(&["--time", "relative"]).starts_with("  0.017607 10.77."));
    assert!(first(&["--time", "none"]).starts_with("10.77."));
    let seconds = |more: &[&str], style: &str| -> Vec<f64> {
        prefixed("smtp-plain.pcap", &[more, &["--time", style]].concat())
            .lines()
            .map(|line| line.split_whitespace().next().unwrap().parse().unwrap())
            .collect()
    };
    for more in [&[][..], &["-D"]] {
        let (deltas, relative) = (seconds(more, "delta"), seconds(more, "relative"));
        let mut sum = relative[0];
        for (delta, relative) in deltas.iter().zip(&relative) {
            sum += delta;
            assert!(
                (sum - relative).abs() < 1e-9,
                "each from the line before: {deltas:?}"
            );
        }
        assert_eq!(deltas.len(), relative.len());
        assert!(
            deltas.contains(&0.0) && sum > relative[0],
            "lines of one packet, and of others"
        );
    }
}

#[test]
fn local_time_has_its_offset() {
    let output = run(flowdump()
        .env("TZ", "Asia/Kolkata")
        .args(["-q", "-c", "--color", "never", "--time", "local", "-r"])
        .arg(capture("smtp-plain.pcap")))
    .ok()
    .text();
    assert!(
        output.lines().all(|line| line.contains("+05:30 10.77.")),
        "{output}"
    );
}

#[test]
fn streams_are_cut_after_max_bytes_and_it_is_said() {
    let text = shown("smtp-plain.pcap", &["-b", "10"]);
    assert_eq!(
        text.lines().collect::<Vec<_>>(),
        [
            "220 mx.exa [unfinished]",
            "[cut here, after 10 bytes]",
            "EHLO clien [unfinished]",
            "[cut here, after 10 bytes]"
        ]
    );
    let whole = files("smtp-plain.pcap", &[]);
    let cut = files("smtp-plain.pcap", &["-b", "10"]);
    assert_eq!(whole.len(), 2);
    for ((name, whole), (cut_name, cut)) in whole.iter().zip(&cut) {
        assert_eq!((name, &whole[..10]), (cut_name, &cut[..]));
    }
}

#[test]
fn a_gap_is_cut_after_max_bytes_too_and_the_totals_name_the_cut() {
    let mut talk = Talk::default();
    talk.handshake().server(&[b'x'; 50]);
    talk.server(&[b'y'; 5000]).lost();
    talk.server(b"behind").send(0, ACK, b"").close();
    let folder = tempfile::tempdir().unwrap();
    let path = saved(&talk.segments, folder.path());
    let output = folder.path().join("out");
    let ran = run(flowdump()
        .args(["-b", "100", "-o"])
        .arg(&output)
        .arg("-r")
        .arg(&path))
    .ok();
    assert!(
        ran.stderr.contains("1 stream cut at 100 bytes (-b)"),
        "{}",
        ran.stderr
    );
    let mut files = Vec::new();
    collect(&output, &output, &mut files);
    files.retain(|(name, _)| !name.ends_with(".jsonl"));
    let cut = [&[b'x'; 50][..], &[0; 50]].concat();
    assert_eq!(files.iter().map(|(_, bytes)| bytes).collect::<Vec<_>>(), [&cut]);
    let shown = run(flowdump()
        .args(["-C", "--color", "never", "-b", "100", "-r"])
        .arg(&path))
    .ok();
    assert_eq!(
        shown.text(),
        format!(
            "{} [unfinished]\n[50 bytes missing]\n[cut here, after 100 bytes]\n",
            "x".repeat(50)
        )
    );
}

#[test]
fn binary_output_is_what_was_said_byte_for_byte() {
    let output = run(flowdump()
        .args(["-q", "-C", "-B", "-r"])
        .arg(capture("smtp-escapes.pcap")))
    .ok();
    let mut said: Vec<u8> = output.stdout;
    let mut streams: Vec<u8> = files("smtp-escapes.pcap", &[])
        .into_iter()
        .flat_map(|(_, bytes)| bytes)
        .collect();
    assert!(said.windows(5).any(|window| window == b"\x1b[31m"));
    // The console interleaves, the files do not: the same bytes in another order.
    said.sort_unstable();
    streams.sort_unstable();
    assert!(said == streams);
}

#[test]
fn hex_has_sixteen_bytes_a_row_and_every_row_its_time_and_addresses() {
    let text = prefixed("smtp-plain.pcap", &["-D"]);
    let first = text.lines().next().unwrap();
    assert!(
        first.ends_with("  00000000  32 32 30 20 6d 78 2e 65  78 61 6d 70 6c 65 2e 74  |220 mx.example.t|"),
        "{first}"
    );
    assert!(text.lines().all(|line| line.contains(" > ")));
}

#[test]
fn strip_puts_a_dot_for_what_cannot_be_printed() {
    let text = shown("smtp-escapes.pcap", &["-s"]);
    assert!(text.contains("red .[31malert.[0m"), "{text}");
    assert!(!text.contains("\\x"), "{text}");
}

#[test]
fn bodies_are_folded_and_it_is_said_how_much() {
    let folded = shown("smtp-plain.pcap", &["--body", "2"]);
    let position = folded.lines().position(|line| line.starts_with("354 ")).unwrap();
    let lines: Vec<_> = folded.lines().skip(position + 1).take(4).collect();
    assert!(
        lines[2].starts_with("[… ") && lines[2].contains(" more lines of the message, "),
        "{lines:#?}"
    );
    assert!(lines[3].starts_with("250 ") || lines[3] == ".", "{lines:#?}");
    // A chunk's before the answer to it.
    let chunks = shown("smtp-bdat.pcap", &["--body", "2"]);
    let at = |text| {
        chunks
            .find(text)
            .unwrap_or_else(|| panic!("{text:?} in {chunks}"))
    };
    assert!(at("[… 7 more lines") < at("250 2.0.0 Ok: 181 bytes"), "{chunks}");
    assert!(
        at("[… 1 more line of") < at("250 2.0.0 Ok: 200 bytes"),
        "{chunks}"
    );
    let all = shown("smtp-plain.pcap", &["--body", "all"]);
    assert!(all.lines().count() > folded.lines().count() && !all.contains("more lines"));
}

#[test]
fn secrets_are_hidden_unless_asked_for() {
    let hidden = shown("pop3.pcap", &[]);
    assert!(
        hidden.contains("PASS [hidden]\n") && !hidden.contains("PASS secret"),
        "{hidden}"
    );
    assert!(shown("pop3.pcap", &["--show-secrets"]).contains("PASS secret\n"));
    let dump = |options: &[&str]| shown("pop3.pcap", &[&["-D"], options].concat());
    assert!(dump(&[]).contains("|******..|") && !dump(&[]).contains("secret"));
    assert!(dump(&["--show-secrets"]).contains("|secret..|"));
    let auth = shown("smtp-auth.pcap", &[]);
    assert!(auth.contains("[AUTH PLAIN, user carol"), "{auth}");
    assert!(!auth.contains("AUTH PLAIN A"), "{auth}");
}

#[test]
fn what_follows_the_switch_is_shown_as_records_raw_or_not_at_all() {
    let name = "smtp-starttls-tls12.pcap";
    let records = shown(name, &[]);
    assert!(
        records.contains("[TLS ServerHello, TLS 1.2, TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384]"),
        "{records}"
    );
    let hidden = shown(name, &["--tls", "hide"]);
    let last = hidden.lines().last().unwrap();
    assert!(
        last.starts_with("── TLS starts here: STARTTLS accepted"),
        "{hidden}"
    );
    let raw = shown(name, &["--tls", "raw"]);
    assert!(
        raw.contains("── TLS starts here") && raw.contains("\\x16\\x03\\x01"),
        "{raw}"
    );
}

#[test]
fn markers_are_ascii_where_the_locale_is_not_utf_8() {
    let output = run(flowdump()
        .env("LC_ALL", "C")
        .args(["-q", "-C", "--color", "never", "-r"])
        .arg(capture("smtp-starttls-tls12.pcap")))
    .ok();
    assert!(
        output
            .text()
            .contains("\n-- TLS starts here: STARTTLS accepted, "),
        "{}",
        output.text()
    );
    assert!(output.stdout.is_ascii());
}

#[test]
fn clear_text_and_tls_are_two_files_or_one() {
    let name = "smtp-starttls-tls12.pcap";
    let split = files(name, &[]);
    let whole = files(name, &["--no-split-tls"]);
    assert_eq!((split.len(), whole.len()), (4, 2));
    for (name, bytes) in &whole {
        let clear = &split.iter().find(|(other, _)| other == name).unwrap().1;
        let tls = &split
            .iter()
            .find(|(other, _)| *other == format!("{name}.tls"))
            .unwrap()
            .1;
        assert!(clear.ends_with(b"\r\n") && tls.starts_with(&[22, 3]), "{name}");
        assert!(
            [clear.as_slice(), tls].concat() == *bytes,
            "cat {name} {name}.tls is the whole stream"
        );
    }
}

#[test]
fn a_gap_is_zeros_at_their_place_or_starts_a_file() {
    let zeros = files("smtp-lossy.pcap", &[]);
    let (_, client) = zeros.iter().find(|(name, _)| name.ends_with(".25")).unwrap();
    assert!(
        client
            .windows(1448)
            .any(|window| window.iter().all(|byte| *byte == 0))
    );
    let apart = files("smtp-lossy.pcap", &["-m", "1000"]);
    let parts: Vec<_> = apart
        .iter()
        .filter(|(name, _)| name.contains(".25~gap"))
        .collect();
    assert!(
        !parts.is_empty(),
        "{:?}",
        apart.iter().map(|(name, _)| name).collect::<Vec<_>>()
    );
    assert!(
        parts.iter().all(
            |(_, bytes)| !bytes.contains(&0) && client.windows(bytes.len()).any(|window| window == bytes)
        )
    );
}

#[test]
fn folders_are_rotated_by_size_and_every_one_has_its_index() {
    let folder = tempfile::tempdir().unwrap();
    run(flowdump()
        .args(["-q", "--rotate", "500", "-o"])
        .arg(folder.path())
        .arg("-r")
        .arg(capture("demo.pcap")))
    .ok();
    let folders: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert!(folders.len() > 1, "{folders:?}");
    let lines: usize = folders
        .iter()
        .map(|folder| {
            std::fs::read_to_string(folder.join("flows.jsonl"))
                .unwrap()
                .lines()
                .count()
        })
        .sum();
    assert_eq!(lines, 4, "each connection in one index");
    let days = files("demo.pcap", &["--rotate", "day"]);
    assert!(
        days.iter().all(|(name, _)| name.starts_with("20261121/")),
        "{days:?}"
    );
}

/// tcpflow's names with the same letters and templates, and its bytes, where it gets them right.
#[test]
fn names_are_tcpflow_s_byte_for_byte() {
    if std::process::Command::new("tcpflow").arg("-V").output().is_err() {
        eprintln!("skipped: tcpflow is not installed");
        return;
    }
    for options in [
        &["-T", "%A.%a-%B.%b%V%v%C%c"][..],
        &["-FT"],
        &["-Ft"],
        &["-Fk"],
        &["-Fm"],
        &["-Fg"],
        &["-Fkt"],
        &["-T", "%N_%K_%S_%E_%e"],
    ] {
        for name in ["demo.pcap", "smtp-ipv6.pcap", "smtp-vlan.pcap", "smtp-plain.pcap"] {
            let ours = files(name, &[options, &["--no-split-tls"]].concat());
            let folder = tempfile::tempdir().unwrap();
            let status = std::process::Command::new("tcpflow")
                .current_dir(folder.path())
                .args(["-q", "-o", "."])
                .args(options)
                .arg("-r")
                .arg(capture(name))
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::null())
                .status();
            assert!(status.unwrap().success());
            let mut theirs = Vec::new();
            collect(folder.path(), folder.path(), &mut theirs);
            theirs.retain(|(name, _)| name != "report.xml");
            theirs.sort();
            let names =
                |files: &[(String, Vec<u8>)]| files.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
            assert_eq!(names(&ours), names(&theirs), "{options:?} {name}");
            assert!(ours == theirs, "{options:?} {name}: other bytes");
        }
    }
}

#[test]
fn a_secret_typed_letter_by_letter_leaves_no_trace_of_its_blanks() {
    let mut talk = Talk::between("10.0.0.1:40001", "10.0.0.2:110");
    talk.handshake()
        .server(b"+OK POP3 ready\r\n")
        .client(b"USER me\r\n")
        .server(b"+OK\r\n");
    for letter in b"PASS my\t three  words\r\n" {
        talk.client(&[*letter]);
    }
    talk.server(b"+OK\r\n");
    let folder = tempfile::tempdir().unwrap();
    let file = saved(&talk.segments, folder.path());
    let shown = run(flowdump().args(["-q", "-C", "--color", "never", "-r"]).arg(file))
        .ok()
        .text();
    assert!(shown.contains("\nPASS [hidden]\n"), "{shown}");
}

#[test]
fn a_template_whose_letters_are_empty_writes_nothing_beside_the_folder() {
    let place = tempfile::tempdir().unwrap();
    let absolute = format!("%v{}/absolute_%A", place.path().display());
    for template in [&absolute, "%V%v../above_%A"] {
        for out in ["out", "out.zip"] {
            let mut command = flowdump();
            command.args(["-q", "-T", template, "-o", out, "-r"]);
            run(command.arg(capture("demo.pcap")).current_dir(place.path())).ok();
        }
    }
    let mut beside: Vec<_> = std::fs::read_dir(place.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    beside.sort();
    assert_eq!(beside, ["out", "out.zip", "out~1.zip"]);
    let zip = std::fs::read(place.path().join("out~1.zip")).unwrap();
    assert!(!zip.windows(9).any(|name| name == b"\0../above"));
}

#[test]
fn what_waits_for_its_line_end_is_shown_after_a_second_in_the_order_of_time() {
    // Seconds, and what is said then: `first` comes back with less than a line, before the second is over.
    let mut first = Talk::between("10.0.0.1:40001", "10.0.0.2:25");
    first
        .client(b"a")
        .pause(0.1)
        .client(b"b\r\nsaid at 0.1")
        .pause(1.0);
    let mut second = Talk::between("10.0.0.1:40002", "10.0.0.2:25");
    second.handshake().pause(0.5).client(b"said at 0.5");
    // Time goes on in others' packets.
    let mut others = Talk::between("10.0.0.1:40003", "10.0.0.2:25");
    others
        .pause(1.05)
        .server_acks()
        .pause(1.0)
        .server_acks()
        .client(b"said at 2\r\n");
    let mut segments = [first, second, others].map(|talk| talk.segments).concat();
    segments.sort_by_key(|segment| segment.time);
    let folder = tempfile::tempdir().unwrap();
    let file = saved(&segments, folder.path());
    let shown = run(flowdump().args(["-q", "-c", "--color", "never", "-r"]).arg(file))
        .ok()
        .text();
    let said: Vec<_> = shown
        .lines()
        .map(|line| line.split_once("  ").unwrap().1)
        .collect();
    assert_eq!(
        said,
        [
            "ab",
            "said at 0.1 [unfinished]",
            "said at 0.5 [unfinished]",
            "said at 2"
        ]
    );
}

#[test]
fn names_do_not_grow_with_every_gap() {
    let mut talk = Talk::default();
    talk.handshake();
    for _ in 0..60 {
        talk.server(b"some").server(b"lost").lost();
    }
    talk.server(b"end").send(0, ACK, b"").close();
    let folder = tempfile::tempdir().unwrap();
    let path = saved(&talk.segments, folder.path());
    let output = folder.path().join("out");
    run(flowdump()
        .args(["-q", "-m", "4", "-o"])
        .arg(&output)
        .arg("-r")
        .arg(&path))
    .ok();
    let mut names = Vec::new();
    collect(&output, &output, &mut names);
    let parts: Vec<_> = names.iter().filter(|(_, content)| content == b"some").collect();
    assert_eq!(parts.len(), 60);
    assert!(parts.iter().any(|(name, _)| name.ends_with("~gap~58")));
    assert!(
        parts
            .iter()
            .all(|(name, _)| name.len() < 80 && name.matches("~gap").count() <= 1)
    );
}

#[test]
fn the_summary_has_its_names_above_its_columns_whatever_the_time_is() {
    for time in ["utc", "local"] {
        let ran = run(flowdump()
            .args(["-q", "--summary", "--wide", "--time", time, "-r"])
            .arg(capture("demo.pcap"))
            .env("TZ", "Europe/Berlin"))
        .ok()
        .text();
        let [names, row] = [0, 1].map(|at| ran.lines().nth(at).unwrap_or_default());
        assert!(names.contains("CLIENT"), "{names}");
        assert_eq!(names.find("CLIENT"), row.find("10.77."), "{ran}");
    }
}

#[test]
fn an_option_that_comes_twice_is_one_and_the_last_value_stands() {
    let twice = ["-qq", "-c", "--tls", "hide", "--tls", "records"];
    let name = "smtp-starttls-tls13.pcap";
    assert_eq!(shown(name, &twice), shown(name, &[]));
    assert_ne!(shown(name, &twice[..4]), shown(name, &[]));
}

#[test]
fn what_is_no_option_is_refused_in_one_line_with_what_may_have_been_meant() {
    for (arguments, line) in [
        (
            &["-c", "--colr=never"][..],
            "unexpected argument '--colr' found; tip: a similar argument exists: '--color' (see --help)",
        ),
        (
            &["-m", "17M"],
            "invalid value '17M' for '--min-gap <BYTES>': at most 16M (see --help)",
        ),
        (
            &["--tls", "none", "-c"],
            "invalid value 'none' for '--tls <HOW>' [possible values: records, raw, hide] (see --help)",
        ),
        (
            &["--write-size", "1M"],
            "the following required arguments were not provided: --write <FILE> (see --help)",
        ),
    ] {
        let ran = run(flowdump().args(arguments));
        assert_eq!((ran.code, ran.stderr), (Some(2), format!("flowdump: {line}\n")));
    }
}
