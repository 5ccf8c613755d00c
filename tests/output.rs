//! What is written where, and when: nothing over another file, nothing later than promised, nothing less because
//! somebody stopped reading.

mod common;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use common::files::pcap_of;
use common::packets::Talk;
use common::{capture, flowdump, listing, run, until};

fn capture_of(talks: &[Talk]) -> Vec<u8> {
    pcap_of(talks.iter().flat_map(|talk| &talk.segments))
}

fn talk(number: usize) -> Talk {
    Talk::between(
        &format!("10.0.{}.{}:1000", number / 250, number % 250 + 1),
        "192.0.2.1:25",
    )
}

#[test]
fn bytes_are_on_disk_after_a_second_also_where_the_clock_goes_back() {
    let (mut ahead, mut before) = (talk(1), talk(2));
    ahead.pause(3600.0).handshake().client(b"an hour ahead");
    before.handshake().client(b"the clock is right again");
    let place = tempfile::tempdir().unwrap();
    let out = place.path().join("out");
    let mut command = flowdump();
    command
        .args(["-q", "-r", "-", "-o"])
        .arg(&out)
        .stdin(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&capture_of(&[ahead, before])).unwrap();
    until("files while the pipe is open", || {
        out.exists() && listing(&out).iter().filter(|(_, size)| *size > 0).count() == 2
    });
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

#[test]
fn events_go_to_a_new_file_that_others_can_t_read_and_to_devices_as_they_are() {
    let place = tempfile::tempdir().unwrap();
    let here = |name: &str| place.path().join(name);
    fs::write(here("mine.jsonl"), "mine").unwrap();
    fs::write(here("mine"), "mine, too").unwrap();
    std::os::unix::fs::symlink(here("mine"), here("link.jsonl")).unwrap();
    let into = |json: &str| {
        let mut command = flowdump();
        command
            .arg(format!("--json={json}"))
            .arg("-r")
            .arg(capture("demo.pcap"));
        run(command.current_dir(place.path())).ok()
    };
    for (asked, taken) in [
        ("new.jsonl", "new.jsonl"),
        ("mine.jsonl", "mine~1.jsonl"),
        ("mine", "mine~1"),
        ("link.jsonl", "link~1.jsonl"),
    ] {
        let said = into(asked).stderr;
        assert_eq!(
            said.contains(&format!("events go to {taken}")),
            asked != taken,
            "{said}"
        );
        let mode = fs::metadata(here(taken)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777 & !0o640, 0, "{taken}: {mode:o}");
        assert!(fs::read_to_string(here(taken)).unwrap().starts_with("{\"v\":1,"));
    }
    assert_eq!(fs::read(here("mine.jsonl")).unwrap(), b"mine");
    assert_eq!(fs::read(here("mine")).unwrap(), b"mine, too");
    assert!(into("/dev/stdout").text().starts_with("{\"v\":1,"));
    assert!(!into("/dev/null").stderr.contains("events go to"));
    nix::unistd::mkfifo(&here("fifo"), nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    let fifo = here("fifo");
    let reader = std::thread::spawn(move || fs::read_to_string(fifo).unwrap());
    into("fifo");
    assert!(reader.join().unwrap().starts_with("{\"v\":1,"));
    assert!(!here("fifo~1").exists());
}

#[test]
fn who_stops_reading_stops_nothing_that_goes_elsewhere() {
    let place = tempfile::tempdir().unwrap();
    let mut talks = vec![talk(1), talk(2)];
    for talk in &mut talks {
        talk.handshake();
        for _ in 0..2000 {
            talk.client(&b"line\r\n".repeat(100));
        }
    }
    let capture = capture_of(&talks);
    fs::write(place.path().join("x.pcap"), &capture).unwrap();
    for (number, read) in [&["-c"][..], &["--json"], &["-c", "--summary"]]
        .iter()
        .enumerate()
    {
        for threads in ["1", "4"] {
            let here = |name: &str| place.path().join(format!("{name}{number}{threads}"));
            let mut command = flowdump();
            command
                .args(["-q", "-r", "x.pcap", "--threads", threads])
                .args(*read);
            command.arg("-o").arg(here("out")).arg("-w").arg(here("packets"));
            if *read != ["--json"] {
                command.arg(format!("--json={}", here("events").display()));
            }
            command.current_dir(place.path()).stdout(Stdio::piped());
            let mut child = command.spawn().unwrap();
            drop(child.stdout.take());
            assert_eq!(child.wait().unwrap().code(), Some(0), "{read:?}");
            let sizes: Vec<_> = listing(&here("out")).into_iter().map(|(_, size)| size).collect();
            assert!(
                sizes.contains(&1_200_000) && sizes.len() == 3,
                "{read:?}: {sizes:?}"
            );
            let index = fs::read_to_string(here("out").join("flows.jsonl")).unwrap();
            assert_eq!(index.lines().count(), 2, "{read:?}");
            assert!(fs::read(here("packets")).unwrap() == capture, "{read:?}");
            if *read != ["--json"] {
                let events = fs::read_to_string(here("events")).unwrap();
                assert_eq!(events.matches("\"event\":\"close\"").count(), 2, "{read:?}");
            }
        }
    }
}

#[test]
fn who_stops_reading_the_packets_ends_the_run_only_where_nothing_else_is_written() {
    let place = tempfile::tempdir().unwrap();
    let mut talk = talk(1);
    talk.handshake();
    for _ in 0..2000 {
        talk.client(&b"line\r\n".repeat(100));
    }
    fs::write(place.path().join("x.pcap"), capture_of(&[talk])).unwrap();
    for more in [&["-o", "out"][..], &[]] {
        let mut command = flowdump();
        command.args(["-q", "-r", "x.pcap", "-w", "-"]).args(more);
        command
            .current_dir(place.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert!(output.stderr.is_empty(), "{output:?}");
    }
    let sizes: Vec<_> = listing(&place.path().join("out"))
        .into_iter()
        .map(|(_, size)| size)
        .collect();
    assert!(sizes.contains(&1_200_000), "{sizes:?}");
}

#[test]
fn a_run_that_nobody_reads_any_more_ends_whoever_went_first() {
    let place = tempfile::tempdir().unwrap();
    let fifo = place.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    let mut talk = talk(1);
    talk.handshake();
    for _ in 0..2000 {
        talk.pause(1.0).client(b"line\r\n");
    }
    let capture = capture_of(&[talk]);
    for lines_first in [true, false] {
        for threads in ["1", "4"] {
            let mut command = flowdump();
            command.args(["-q", "-c", "-r", "-", "--threads", threads, "-w"]);
            command.arg(&fifo).stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut child = command.spawn().unwrap();
            let mut stdin = child.stdin.take().unwrap();
            let mut lines = child.stdout.take();
            let mut feed = |mut piece: &[u8]| {
                while stdin.write(piece).is_ok_and(|written| {
                    piece = &piece[written..];
                    !piece.is_empty()
                }) {}
            };
            let (begin, rest) = capture.split_at(capture.len() / 2);
            feed(&begin[..1000]);
            let mut packets = fs::File::open(&fifo).ok();
            lines.as_mut().unwrap().read_exact(&mut [0; 100]).unwrap();
            packets.as_mut().unwrap().read_exact(&mut [0; 100]).unwrap();
            if lines_first {
                lines = None;
            } else {
                packets = None;
            }
            feed(&begin[1000..]);
            drop((lines, packets));
            // The pipe that it reads stays open.
            feed(rest);
            let ended = std::cell::RefCell::new(child);
            until("end", || ended.borrow_mut().try_wait().unwrap().is_some());
            assert_eq!(
                ended.borrow_mut().wait().unwrap().code(),
                Some(0),
                "{lines_first} {threads}"
            );
        }
    }
}

#[test]
fn rows_of_the_table_and_lines_of_the_console_do_not_break_each_other() {
    let talks: Vec<_> = (0..1500)
        .map(|number| {
            let mut talk = talk(number);
            talk.pause(number as f64 / 10.0)
                .handshake()
                .server(b"220 mx ESMTP\r\n");
            for _ in 0..20 {
                talk.client(b"EHLO a\r\n").server(b"250 mx\r\n");
            }
            talk.client(b"QUIT\r\n").server(b"221 bye\r\n").close();
            talk
        })
        .collect();
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("x.pcap");
    fs::write(&file, capture_of(&talks)).unwrap();
    let shown = |threads: &str| {
        let mut command = flowdump();
        command.args([
            "-q",
            "-c",
            "--color",
            "never",
            "--summary",
            "--threads",
            threads,
            "-r",
        ]);
        run(command.arg(&file)).ok().text()
    };
    assert!(shown("1") == shown("4"));
}

#[test]
fn few_descriptors_are_enough_for_many_streams() {
    // All of them are open at the same time, and each is written again and again.
    let mut all = talk(0);
    for number in 0..200 {
        let mut talk = talk(number);
        talk.handshake();
        for _ in 0..3 {
            talk.client(&[b'x'; 1000]).server_acks().pause(2.0);
        }
        all.segments.extend(talk.segments);
    }
    all.segments.sort_by_key(|segment| segment.time);
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("x.pcap"), capture_of(&[all])).unwrap();
    for (descriptors, threads) in [("64", "4"), ("24", "1"), ("24", "2")] {
        let out = place.path().join(format!("{descriptors}-{threads}"));
        let script = "ulimit -n $1; cat x.pcap | \"$0\" -q --threads $2 -o \"$3\" -r -";
        let mut shell = Command::new("sh");
        shell.args(["-c", script, env!("CARGO_BIN_EXE_flowdump"), descriptors, threads]);
        run(shell.arg(&out).current_dir(place.path())).ok();
        let whole = listing(&out)
            .into_iter()
            .filter(|(_, size)| *size == 3000)
            .count();
        assert_eq!(whole, 200, "{descriptors} descriptors, {threads} threads");
    }
}
