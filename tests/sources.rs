//! What packets may come from and how: interfaces of several kinds side by side, pipes that pause, files in whatever
//! order. And what is left of a run that ends in an error.

mod common;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use common::files::{Block, Frame, PcapStyle, pcap, pcap_of, pcapng, pcapng_of};
use common::packets::{ACK, START, Talk};
use common::{Ran, capture, console, flowdump, listing, run};
use flowdump::capture::{FileSource, Next, Source};
use flowdump::time::Timestamp;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const RAW: u16 = 101;
const NETLINK: u16 = 253;

/// When packet `number` was captured, in microseconds.
fn time(number: usize) -> u64 {
    START as u64 * 1_000_000 + number as u64
}

/// A session of three lines, as raw IP packets.
fn talk() -> Vec<Vec<u8>> {
    let mut talk = Talk::default();
    talk.handshake()
        .server(b"220 mx\r\n")
        .client(b"NOOP\r\n")
        .server(b"250 ok\r\n")
        .close();
    talk.segments.iter().map(|tcp| tcp.ip(None)).collect()
}

/// What it says.
const SAID: &str = "220 mx\nNOOP\n250 ok\n";

fn packets(packets: &[Vec<u8>], interface: u32) -> impl Iterator<Item = Block<'_>> {
    packets
        .iter()
        .enumerate()
        .map(move |(number, packet)| Block::Packet(interface, time(number), packet))
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, bytes).expect("a file in a temporary folder can be written");
    path
}

/// Runs it on a pipe into which these pieces come, with a pause between them.
fn run_on_pipe(command: &mut Command, pieces: &[&[u8]], pause: Duration) -> Ran {
    let mut child = command
        .args(["-r", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("flowdump runs");
    let mut stdin = child.stdin.take().expect("standard input is a pipe");
    for (number, piece) in pieces.iter().enumerate() {
        if number > 0 {
            sleep(pause);
        }
        stdin.write_all(piece).expect("flowdump reads");
    }
    drop(stdin);
    let output = child.wait_with_output().expect("flowdump ends");
    Ran {
        code: output.status.code(),
        stdout: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

#[test]
fn packets_of_a_kind_that_cannot_be_filtered_do_not_match_and_the_others_do() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let talk = talk();
    let (first, second) = talk.split_at(5);
    let netlink = [Block::Interface(NETLINK), Block::Packet(1, time(5), &[0; 40])];
    let ahead: Vec<_> = [Block::Interface(RAW)]
        .into_iter()
        .chain(netlink)
        .chain(packets(&talk, 0))
        .collect();
    let between: Vec<_> = [Block::Interface(RAW)]
        .into_iter()
        .chain(packets(first, 0))
        .chain(netlink)
        .chain(packets(second, 0))
        .collect();
    for (name, blocks) in [("ahead", ahead), ("between", between)] {
        let path = write(folder.path(), name, &pcapng_of(&blocks));
        let ran = run(flowdump()
            .args(["-C", "--color", "never", "-r"])
            .arg(&path)
            .arg("port 25"))
        .ok();
        assert_eq!(ran.text(), SAID, "{name}");
        assert_eq!(ran.stderr.matches("warning").count(), 1, "once: {}", ran.stderr);
        assert!(ran.stderr.contains("253 (NETLINK)"), "{}", ran.stderr);
        assert!(ran.stderr.contains("9 matched the filter"), "{}", ran.stderr);
    }
}

#[test]
fn a_filter_that_fits_nothing_in_the_capture_is_wrong_usage() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let blocks = [Block::Interface(NETLINK), Block::Packet(0, time(0), &[0; 40])];
    let path = write(folder.path(), "netlink", &pcapng_of(&blocks));
    let ran = run(flowdump().args(["-c", "-r"]).arg(&path).arg("port 25"));
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    assert!(ran.stderr.contains("port 25"), "{}", ran.stderr);
}

#[test]
fn an_error_leaves_what_was_good_before_it_in_the_files_and_their_index() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let talk = talk();
    // No FIN: the connection is open when the second link type comes, which -w refuses.
    let blocks: Vec<_> = [Block::Interface(RAW), Block::Interface(1)]
        .into_iter()
        .chain(packets(&talk[..6], 0))
        .chain([Block::Packet(1, time(6), &[0; 60])])
        .collect();
    let path = write(folder.path(), "two.pcapng", &pcapng_of(&blocks));
    let output = folder.path().join("out");
    let ran = run(flowdump()
        .arg("-w")
        .arg(folder.path().join("written.pcap"))
        .arg("-o")
        .arg(&output)
        .arg("-r")
        .arg(&path));
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.stderr.contains("one link type"), "{}", ran.stderr);
    assert_eq!(listing(&output).len(), 3, "two streams and the index");
    let index = fs::read_to_string(output.join("flows.jsonl")).expect("an index");
    assert_eq!(index.lines().count(), 1, "the open connection: {index}");
}

#[test]
fn a_pause_in_a_pipe_makes_no_gap() {
    let mut talk = Talk::default();
    talk.handshake().server(b"220 one\r\n").server(b"220 two\r\n");
    // The acknowledgement was captured before what it acknowledges, as happens with several processors.
    let late = talk.segments.pop().expect("just sent");
    talk.server(b"220 three\r\n").send(0, ACK, b"");
    talk.segments.push(late);
    talk.close();
    let talk: Vec<_> = talk.segments.iter().map(|tcp| tcp.ip(None)).collect();
    let blocks: Vec<_> = [Block::Interface(RAW)]
        .into_iter()
        .chain(packets(&talk, 0))
        .collect();
    let (whole, before) = (pcapng_of(&blocks), pcapng_of(&blocks[..7]));
    let (before, behind) = whole.split_at(before.len());
    let pause = Duration::from_millis(400);
    let mut command = flowdump();
    command.args(["-C", "--color", "never"]);
    let ran = run_on_pipe(&mut command, &[before, behind], pause).ok();
    assert_eq!(ran.text(), "220 one\n220 two\n220 three\n", "{}", ran.stderr);
}

#[test]
fn written_packets_are_of_the_kind_that_came_first() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let written = folder.path().join("written.pcap");
    let talk = talk();
    let blocks: Vec<_> = [Block::Interface(1), Block::Interface(RAW)]
        .into_iter()
        .chain(packets(&talk, 1))
        .collect();
    let read_pipe = |pieces: &[&[u8]]| {
        let mut command = flowdump();
        command.arg("-C").arg("-w").arg(&written);
        run_on_pipe(&mut command, pieces, Duration::from_millis(250)).ok()
    };
    let (whole, header) = (pcapng_of(&blocks), pcapng_of(&[]).len());
    let (start, rest) = whole.split_at(header);
    read_pipe(&[start, rest]);
    let read = run(flowdump().args(["-C", "--color", "never", "-r"]).arg(&written)).ok();
    assert_eq!(read.text(), SAID);
    // Nothing came: a capture nevertheless.
    read_pipe(&[start]);
    assert_eq!(fs::read(&written).expect("the file is there").len(), 24);
    run(flowdump().arg("-C").arg("-r").arg(&written)).ok();
}

#[test]
fn packets_into_a_pipe_that_is_closed_end_quietly() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut child = flowdump()
        .args(["-q", "-w", "-", "-o"])
        .arg(folder.path())
        .arg("-r")
        .arg(capture("demo.pcap"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("flowdump runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("flowdump ends");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
}

#[test]
fn a_time_beyond_ours_is_an_error_with_its_place_after_all_before_it_was_shown() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let talk = talk();
    let year_2300 = 10_413_792_000_000_000;
    let before: Vec<_> = [Block::Interface(RAW)]
        .into_iter()
        .chain(packets(&talk[..6], 0))
        .collect();
    let at = pcapng_of(&before).len();
    let blocks: Vec<_> = before
        .into_iter()
        .chain([Block::Packet(0, year_2300, &talk[6])])
        .collect();
    let path = write(folder.path(), "late.pcapng", &pcapng_of(&blocks));
    let ran = run(flowdump().args(["-C", "--color", "never", "-r"]).arg(&path));
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert_eq!(ran.text(), SAID);
    let place = format!("late.pcapng: at byte {at}: ");
    assert!(
        ran.stderr.contains(&place) && ran.stderr.contains("2262"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_fifo_has_its_place_among_files_by_its_first_packet_however_late_that_comes() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let whole = fs::read(capture("smtp-rotated-1.pcap")).expect("the capture is there");
    let fifo = folder.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("a FIFO can be made");
    let writer = {
        let fifo = fifo.clone();
        std::thread::spawn(move || {
            let mut file = fs::File::options().write(true).open(fifo)?;
            let (header, packets) = whole.split_at(24);
            file.write_all(header)?;
            sleep(Duration::from_millis(300));
            file.write_all(packets)
        })
    };
    let ran = run(flowdump()
        .args(["-c", "--color", "never", "-r"])
        .arg(capture("smtp-rotated-2.pcap"))
        .arg("-r")
        .arg(&fifo))
    .ok();
    assert_eq!(ran.text(), console(&capture("smtp-plain.pcap")));
    writer.join().expect("the writer ends").expect("all was taken");
}

#[test]
fn ctrl_c_ends_the_wait_for_a_pipe() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let fifo = folder.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("a FIFO can be made");
    let header = pcapng_of(&[Block::Interface(RAW)]);
    // Nobody writes it; nothing comes; no packet comes.
    for (path, start) in [
        (fifo.as_path(), &[][..]),
        (Path::new("-"), &[]),
        (Path::new("-"), &header),
    ] {
        if !cfg!(target_os = "linux") && path != Path::new("-") {
            continue;
        }
        let mut child = flowdump()
            .args(["-C", "-r"])
            .arg(path)
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("flowdump runs");
        let mut stdin = child.stdin.take().expect("standard input is a pipe");
        stdin.write_all(start).expect("flowdump reads");
        sleep(Duration::from_millis(500));
        let id = Pid::from_raw(i32::try_from(child.id()).expect("a process id"));
        let (killed, begun) = (kill(id, Signal::SIGINT), Instant::now());
        killed.expect("it waits");
        while child.try_wait().expect("it can be waited for").is_none() {
            if begun.elapsed() > Duration::from_secs(5) {
                child.kill().expect("it can be killed");
            }
            sleep(Duration::from_millis(5));
        }
        let output = child.wait_with_output().expect("flowdump ends");
        assert_eq!(output.status.code(), Some(1), "{path:?}: {output:?}");
        assert!(
            String::from_utf8_lossy(&output.stderr).contains("stopped before"),
            "{output:?}"
        );
    }
}

#[test]
fn nanoseconds_from_a_pipe_are_written_as_nanoseconds() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let written = folder.path().join("written.pcap");
    let mut talk = Talk::default();
    talk.now = talk.now + Duration::from_nanos(7);
    talk.handshake().server(b"220 mx\r\n").close();
    let frames: Vec<_> = talk
        .segments
        .iter()
        .map(|tcp| Frame::new(tcp.time, tcp.frame()))
        .collect();
    let mut command = flowdump();
    command.args(["-C", "-w"]).arg(&written);
    run_on_pipe(&mut command, &[&pcapng(&frames)], Duration::ZERO).ok();
    let style = PcapStyle {
        big_endian: false,
        nanoseconds: true,
    };
    assert!(fs::read(&written).expect("the file is there") == pcap(&frames, style));
}

#[test]
fn a_compressed_capture_that_is_cut_gives_what_is_whole_even_if_that_is_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let plain = fs::read(capture("smtp-plain.pcap")).expect("the capture is there");
    let packed = zstd::encode_all(plain.as_slice(), 1).expect("it can be packed");
    let cut = write(folder.path(), "cut.zst", &packed[..packed.len() / 2]);
    let ran = run(flowdump().args(["-C", "-r"]).arg(cut)).ok();
    assert_eq!(ran.text(), "");
    assert!(
        ran.stderr.contains("cut.zst: cut short") && ran.stderr.contains("at byte 0"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("0 packets"), "the totals: {}", ran.stderr);
}

/// As they are for a run that has given up the right to open them.
#[test]
fn files_that_are_gone_when_their_turn_comes_are_read_however_many_they_are() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let whole = fs::read(capture("smtp-rotated-1.pcap")).expect("the capture is there");
    let paths: Vec<_> = (0..1000)
        .map(|number| write(folder.path(), &number.to_string(), &whole))
        .collect();
    let count = |paths: &[PathBuf], gone: bool| {
        let mut source = FileSource::open(paths).expect("captures");
        if gone {
            paths
                .iter()
                .for_each(|path| fs::remove_file(path).expect("it is there"));
        }
        let mut packets = 0;
        while let Next::Packet(_) = source.next().expect("captures") {
            packets += 1;
        }
        packets
    };
    let one = count(&paths[..1], false);
    assert!(one > 0);
    assert_eq!(count(&paths, true), 1000 * one);
}

#[test]
fn files_that_overlap_in_time_are_named_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let from = |name: &str, seconds: f64| {
        let mut talk = Talk::default();
        talk.pause(seconds).handshake().pause(2.0).close();
        write(folder.path(), name, &pcap_of(&talk.segments))
    };
    let overlaps = |paths: &[&PathBuf]| {
        let ran = run(flowdump().args(["-C", "-l"]).args(paths)).ok();
        let lines = ran.stderr.lines().map(str::to_owned);
        lines
            .filter(|line| line.contains(" begins before "))
            .collect::<Vec<_>>()
    };
    let (long, later) = (from("long", 0.0), from("later", 1.0));
    let (last, behind) = (from("last", 1.5), from("behind", 3.5));
    let told = overlaps(&[&last, &later, &long]);
    let [told] = told.as_slice() else {
        panic!("{told:?}")
    };
    let (long_name, later_name) = (long.display(), later.display());
    assert!(
        told.contains(&format!("{later_name} begins before {long_name} ends")),
        "{told}"
    );
    assert!(overlaps(&[&behind, &long]).is_empty());
}

#[test]
fn names_of_files_do_not_move_the_cursor() {
    let ran = run(flowdump().args(["-r", "no\u{1b}[2Jsuch"]));
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("no\\u{1b}[2Jsuch: "), "{:?}", ran.stderr);
}

#[test]
fn silence_is_shown_while_it_lasts_of_a_pipe_that_gives_what_is_being_captured() {
    let question = |age: Duration| {
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = Timestamp::default() + since_epoch.expect("after 1970");
        let mut talk = Talk {
            now: now - age,
            ..Talk::default()
        };
        talk.handshake().server(b"220 mx\r\n").client(b"EHLO a\r\n");
        pcap_of(&talk.segments)
    };
    let now = question(Duration::ZERO);
    // The answer may be in what the writer's buffer keeps back.
    let more_to_come = [now.as_slice(), &[0; 7]].concat();
    let recorded = question(Duration::from_secs(3600));
    let shown = [now, more_to_come, recorded].map(|capture| {
        std::thread::spawn(move || {
            let ran = run_on_pipe(
                flowdump().args(["-c", "--color", "never", "--time", "none"]),
                &[&capture, &[]],
                Duration::from_secs(11),
            );
            let shown = ran.text();
            assert!(shown.contains("EHLO a"), "{shown}");
            shown.contains("[no answer in 10 s, still open]")
        })
    });
    let shown = shown.map(|ran| ran.join().expect("it was run"));
    assert_eq!(shown, [true, false, false]);
}

#[test]
fn what_the_shell_opened_for_reading_is_not_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let capture = write(
        folder.path(),
        "mail.pcap",
        &pcap(
            &[],
            PcapStyle {
                big_endian: false,
                nanoseconds: false,
            },
        ),
    );
    let there = fs::read(&capture).unwrap();
    let ran = run(flowdump()
        .args(["-c", "-r", "-", "-w"])
        .arg(&capture)
        .stdin(fs::File::open(&capture).unwrap()));
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    assert!(ran.stderr.contains("would write over the capture that is read"));
    assert_eq!(fs::read(&capture).unwrap(), there);
}
