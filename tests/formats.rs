//! The same packets give the same conversation, whatever they come in; what is broken is said, with where;
//! and no file is made but those asked for.

mod common;

use std::fs;
use std::path::Path;
use std::process::Stdio;

use common::{capture, captures, console, flowdump, listing, run, run_with_input};

/// The plain conversation: it ends with the server's farewell.
fn plain() -> Vec<u8> {
    fs::read(capture("smtp-plain.pcap")).expect("the capture is there")
}

/// Offsets of the records of a little-endian pcap file, and its end.
fn records(file: &[u8]) -> Vec<usize> {
    let mut offsets = vec![24];
    while let Some(length) = file
        .get(offsets[offsets.len() - 1] + 8..)
        .and_then(|rest| rest.first_chunk())
    {
        offsets.push(offsets[offsets.len() - 1] + 16 + u32::from_le_bytes(*length) as usize);
    }
    offsets
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> std::path::PathBuf {
    let path = folder.join(name);
    fs::write(&path, bytes).expect("a file in a temporary folder can be written");
    path
}

#[test]
fn every_container_gives_the_same_conversation() {
    let expected = console(&capture("smtp-plain.pcap"));
    assert!(expected.contains("221 2.0.0 Bye"), "{expected}");
    for name in [
        "smtp-plain.pcapng",
        "smtp-plain-nanoseconds.pcap",
        "smtp-plain.pcap.gz",
        "smtp-plain.pcap.zst",
    ] {
        assert_eq!(console(&capture(name)), expected, "{name}");
    }
}

#[test]
fn the_content_tells_the_format_and_not_the_name() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let expected = console(&capture("smtp-plain.pcap"));
    for (real, pretended) in [
        ("smtp-plain.pcap.gz", "named.pcap"),
        ("smtp-plain.pcap.zst", "named.gz"),
        ("smtp-plain.pcapng", "named.pcap.zst"),
        ("smtp-plain.pcap", "named"),
    ] {
        let bytes = fs::read(capture(real)).expect("the capture is there");
        assert_eq!(
            console(&write(folder.path(), pretended, &bytes)),
            expected,
            "{real} named {pretended}"
        );
    }
}

#[test]
fn big_endian_captures_are_read_as_well() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut file = plain();
    for offset in records(&plain()) {
        let fields: &[(usize, usize)] = if offset == 24 {
            &[(0, 4), (4, 2), (6, 2), (8, 4), (12, 4), (16, 4), (20, 4)]
        } else {
            &[]
        };
        for (start, length) in fields {
            file[*start..start + length].reverse();
        }
        for field in file
            .get_mut(offset..offset + 16)
            .into_iter()
            .flat_map(|header| header.chunks_mut(4))
        {
            field.reverse();
        }
    }
    assert_eq!(
        console(&write(folder.path(), "big-endian", &file)),
        console(&capture("smtp-plain.pcap"))
    );
}

#[test]
fn old_versions_have_the_lengths_of_a_record_the_other_way_round() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let snaplen = 80;
    // A file of this version whose packets are cut, and whether its lengths are turned round.
    let file = |[major, minor]: [u16; 2], turned: bool| {
        let whole = plain();
        let mut file = whole[..24].to_vec();
        file[4..6].copy_from_slice(&major.to_le_bytes());
        file[6..8].copy_from_slice(&minor.to_le_bytes());
        for record in records(&whole).windows(2) {
            let (header, packet) = whole[record[0]..record[1]].split_at(16);
            let kept = &packet[..packet.len().min(snaplen)];
            let captured = u32::try_from(kept.len()).expect("a small packet");
            let (captured, wire) = (&captured.to_le_bytes()[..], &header[12..]);
            let (first, second) = if turned {
                (wire, captured)
            } else {
                (captured, wire)
            };
            file.extend([&header[..8], first, second, kept].concat());
        }
        console(&write(folder.path(), &format!("{major}.{minor}-{turned}"), &file))
    };
    let expected = file([2, 4], false);
    assert!(expected.contains("cut by the snaplen]"), "{expected}");
    for (version, turned) in [([2, 2], true), ([2, 3], true), ([2, 3], false), ([543, 0], true)] {
        assert_eq!(file(version, turned), expected, "{version:?}, turned: {turned}");
    }
}

#[test]
fn a_frame_check_sequence_in_the_link_type_is_passed_over() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut file = plain();
    file[23] = 0x24;
    assert_eq!(
        console(&write(folder.path(), "fcs.pcap", &file)),
        console(&capture("smtp-plain.pcap"))
    );
}

#[test]
fn a_time_that_cannot_be_is_told_of_even_if_it_is_the_last() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut file = plain();
    let offsets = records(&file);
    let last = offsets[offsets.len() - 2];
    file[last + 4..last + 8].fill(0xff);
    let ran = run(flowdump()
        .arg("-c")
        .arg("-r")
        .arg(write(folder.path(), "odd.pcap", &file)));
    assert!(
        ran.stderr.contains("a fraction of a second or more"),
        "{}",
        ran.stderr
    );
}

#[test]
fn standard_input_may_be_a_pipe_or_a_file_compressed_or_not() {
    let expected = console(&capture("smtp-plain.pcap"));
    for name in [
        "smtp-plain.pcap",
        "smtp-plain.pcapng",
        "smtp-plain.pcap.gz",
        "smtp-plain.pcap.zst",
    ] {
        let bytes = fs::read(capture(name)).expect("the capture is there");
        let mut command = flowdump();
        command.args(["-c", "--color", "never", "-r", "-"]);
        assert_eq!(
            run_with_input(&mut command, &bytes).ok().text(),
            expected,
            "{name} through a pipe"
        );
        let file = fs::File::open(capture(name)).expect("the capture is there");
        assert_eq!(
            run(command.stdin(Stdio::from(file))).ok().text(),
            expected,
            "{name} as standard input"
        );
    }
}

#[test]
fn a_fifo_is_read_as_it_fills() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let fifo = folder.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("a FIFO can be made");
    let writer = {
        let fifo = fifo.clone();
        std::thread::spawn(move || fs::write(fifo, plain()))
    };
    assert_eq!(console(&fifo), console(&capture("smtp-plain.pcap")));
    writer.join().expect("the writer ends").expect("all was taken");
}

#[test]
fn rotated_files_are_one_capture_in_whatever_order_they_are_named() {
    let expected = console(&capture("smtp-plain.pcap"));
    let (first, second) = (capture("smtp-rotated-1.pcap"), capture("smtp-rotated-2.pcap"));
    for (a, b) in [(&first, &second), (&second, &first)] {
        let read = run(flowdump()
            .args(["-c", "--color", "never", "-r"])
            .arg(a)
            .arg("-r")
            .arg(b))
        .ok();
        assert_eq!(read.text(), expected);
        let listed = run(flowdump().args(["-c", "--color", "never", "-l"]).arg(a).arg(b)).ok();
        assert_eq!(listed.text(), expected);
    }
}

#[test]
fn a_cut_file_gives_what_is_whole_and_a_warning_that_says_where() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = plain();
    let offsets = records(&file);
    let last = offsets[offsets.len() - 2];
    let whole = console(&write(folder.path(), "whole", &file[..last]));
    // Within the packet, within its header, and just before its end.
    for end in [last + 20, last + 7, file.len() - 1] {
        let cut = write(folder.path(), "cut.pcap", &file[..end]);
        let ran = run(flowdump().args(["-c", "--color", "never", "-r"]).arg(&cut)).ok();
        assert_eq!(ran.text(), whole, "cut at {end}");
        assert!(
            ran.stderr.contains("cut.pcap") && ran.stderr.contains(&last.to_string()),
            "{}",
            ran.stderr
        );
    }
    assert!(
        !run(flowdump().args(["-c", "-r"]).arg(capture("smtp-plain.pcap")))
            .stderr
            .contains("cut")
    );
}

#[test]
fn a_broken_record_is_an_error_with_its_offset_after_all_before_it_was_shown() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = plain();
    let broken_at = records(&file)[10];
    let before = console(&write(folder.path(), "before", &file[..broken_at]));
    let mut broken = file.clone();
    broken[broken_at + 8..broken_at + 12].copy_from_slice(&0xffff_fff0_u32.to_le_bytes());
    let ran = run(flowdump().args(["-c", "--color", "never", "-r"]).arg(write(
        folder.path(),
        "broken.pcap",
        &broken,
    )));
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert_eq!(ran.text(), before);
    assert!(
        ran.stderr.contains("broken.pcap") && ran.stderr.contains(&broken_at.to_string()),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_broken_pcapng_block_is_an_error_with_its_offset() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = fs::read(capture("smtp-plain.pcapng")).expect("the capture is there");
    // Blocks lie one after another, each with its length behind its type.
    let mut offset = 0;
    for _ in 0..5 {
        offset += u32::from_le_bytes(*file[offset + 4..].first_chunk().expect("a length")) as usize;
    }
    for (length, what) in [(0_u32, "none"), (13, "odd")] {
        let mut broken = file.clone();
        broken[offset + 4..offset + 8].copy_from_slice(&length.to_le_bytes());
        let path = write(folder.path(), &format!("broken-{what}.pcapng"), &broken);
        let ran = run(flowdump().args(["-c", "-r"]).arg(path));
        assert_eq!(ran.code, Some(1), "{}", ran.stderr);
        assert!(ran.stderr.contains(&offset.to_string()), "{}", ran.stderr);
    }
}

#[test]
fn what_is_no_capture_is_told_from_what_is_not_there() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, bytes) in [
        ("empty", &b""[..]),
        ("text.pcap", b"this is a letter, not a capture\n"),
    ] {
        let ran = run(flowdump()
            .args(["-c", "-r"])
            .arg(write(folder.path(), name, bytes)));
        assert_eq!(ran.code, Some(1), "{name}");
        assert!(ran.stderr.contains(name), "{}", ran.stderr);
        assert!(ran.stdout.is_empty());
    }
    let ran = run(flowdump()
        .args(["-c", "-r", "no-such-file.pcap"])
        .current_dir(folder.path()));
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("no-such-file.pcap"), "{}", ran.stderr);
}

#[test]
fn a_packing_that_is_not_read_is_named_with_what_unpacks_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (start, word) in [
        (&b"BZh91AY&SY"[..], "bunzip2"),
        (b"\xfd7zXZ\0\0", "unxz"),
        (b"\x04\x22\x4d\x18\x64\x40", "unlz4"),
    ] {
        let packed = write(folder.path(), "packed", start);
        let ran = run(flowdump().args(["-c", "-r"]).arg(packed));
        assert_eq!(ran.code, Some(1), "{}", ran.stderr);
        assert!(ran.stderr.contains(word), "{}", ran.stderr);
    }
}

#[test]
fn a_wrong_filter_or_option_is_wrong_usage_and_makes_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let demo = capture("demo.pcap");
    for (wrong, word) in [
        (vec!["port", "mail-of-friday"], "mail-of-friday"),
        (vec!["--no-such-option"], "--no-such-option"),
        (vec!["-c", "port 25 and"], "port 25 and"),
        (vec!["/etc/hostname"], "is a file: -r /etc/hostname"),
        (vec!["--json", "events.jsonl"], "--json=FILE"),
        (vec!["-D"], "--console"),
        (vec!["--show-secrets"], "--console"),
        (vec!["-c", "-B", "--tls", "records"], "--tls raw or hide"),
        (vec!["--wide"], "--summary"),
        (vec!["--duration", "5m"], "--duration"),
        (vec!["-w", "x.pcap", "--write-count", "3"], "--write-size"),
        (vec!["-b", "1x"], "K, M or G"),
        (vec!["-m", "17M"], "at most 16M"),
        (vec!["--memory", "2"], "at least 1M"),
        (vec!["--idle-timeout", "0"], "--idle-timeout"),
    ] {
        let ran = run(flowdump()
            .current_dir(folder.path())
            .arg("-r")
            .arg(&demo)
            .args(&wrong));
        assert_eq!(ran.code, Some(2), "{wrong:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(word), "{}", ran.stderr);
        assert_eq!(listing(folder.path()), [], "{wrong:?}");
    }
}

#[test]
fn a_filter_means_the_same_in_one_argument_or_several() {
    let demo = capture("demo.pcap");
    let all = console(&demo);
    let with = |filter: &[&str]| {
        run(flowdump()
            .args(["-c", "--color", "never", "-r"])
            .arg(&demo)
            .args(filter))
        .ok()
        .text()
    };
    assert_eq!(with(&["port 25 and host 10.77.2.1"]), all);
    assert_eq!(with(&["port", "25", "and", "host", "10.77.2.1"]), all);
    assert_eq!(with(&["port", "26"]), "");
}

#[test]
fn the_console_makes_no_file() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for options in [
        &["-c"][..],
        &["-C"],
        &["-c", "-D"],
        &["-c", "-g", "-FT"],
        &["--summary"],
        &["--json"],
    ] {
        run(flowdump()
            .current_dir(folder.path())
            .args(options)
            .arg("-r")
            .arg(capture("demo.pcap")))
        .ok();
        assert_eq!(listing(folder.path()), [], "{options:?}");
    }
}

/// Names and contents of a folder's streams.
fn streams(folder: &Path) -> Vec<(String, Vec<u8>)> {
    listing(folder)
        .into_iter()
        .filter(|(name, _)| !name.ends_with(".jsonl"))
        .map(|(name, _)| {
            (
                name.clone(),
                fs::read(folder.join(name)).expect("the file is there"),
            )
        })
        .collect()
}

#[test]
fn files_go_into_a_folder_named_after_the_capture_and_a_second_run_has_its_own() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for expected in ["smtp-plain.flows", "smtp-plain.flows~1"] {
        run(flowdump()
            .current_dir(folder.path())
            .arg("-r")
            .arg(capture("smtp-plain.pcap")))
        .ok();
        assert!(folder.path().join(expected).is_dir(), "{expected}");
    }
    let (first, second) = (
        folder.path().join("smtp-plain.flows"),
        folder.path().join("smtp-plain.flows~1"),
    );
    assert_eq!(streams(&first).len(), 2);
    assert_eq!(streams(&first), streams(&second));
}

#[test]
fn files_never_go_over_others() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let read = || {
        run(flowdump()
            .arg("-o")
            .arg(folder.path())
            .arg("-r")
            .arg(capture("smtp-plain.pcap")))
        .ok()
    };
    read();
    let first = streams(folder.path());
    read();
    let both = streams(folder.path());
    assert_eq!(both.len(), 2 * first.len());
    for (name, content) in first {
        assert!(
            both.contains(&(name.clone(), content.clone())),
            "{name} still stands"
        );
        assert!(
            both.contains(&(format!("{name}~1"), content)),
            "{name} of the second run"
        );
    }
}

#[test]
fn the_output_folder_is_where_o_says_and_its_links_are_not_followed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let output = folder.path().join("a/b");
    let read = || {
        run(flowdump()
            .current_dir(folder.path())
            .arg("-o")
            .arg(&output)
            .arg("-r")
            .arg(capture("smtp-plain.pcap")))
    };
    read().ok();
    let names = listing(&output);
    assert!(names.len() == 3, "two streams and the index: {names:?}");
    // Someone plants links where the names will be: what they point to is left alone.
    let victim = write(folder.path(), "victim", b"precious");
    fs::remove_dir_all(&output).expect("the folder can go");
    fs::create_dir_all(&output).expect("the folder can be made");
    for (name, _) in &names {
        std::os::unix::fs::symlink(&victim, output.join(name)).expect("a link can be made");
    }
    read();
    assert_eq!(fs::read(&victim).expect("the victim is there"), b"precious");
}

#[test]
fn a_reader_that_leaves_early_ends_it_quietly() {
    let demo = capture("demo.pcap");
    let mut child = flowdump()
        .args(["-c", "-r"])
        .arg(&demo)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("flowdump runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("flowdump ends");
    assert_eq!(output.status.code(), Some(0));
    assert!(
        !String::from_utf8_lossy(&output.stderr).contains("anic"),
        "{output:?}"
    );
}

#[test]
fn a_full_disk_is_an_error_and_is_said_once() {
    let Ok(full) = fs::OpenOptions::new().write(true).open("/dev/full") else {
        eprintln!("skipped: a_full_disk_is_an_error_and_is_said_once needs /dev/full");
        return;
    };
    let ran = run(flowdump()
        .args(["-c", "-q", "-r"])
        .arg(capture("demo.pcap"))
        .stdout(Stdio::from(full)));
    // `output()` takes standard output over unless it was set: here it is the full device.
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("ended the run at packet "), "{}", ran.stderr);
}

#[test]
fn every_capture_is_read_to_its_end_in_every_way_of_showing_it() {
    for file in captures() {
        for options in [
            &["-c"][..],
            &["-C", "-D"],
            &["-c", "-B"],
            &["--summary"],
            &["--json"],
        ] {
            let ran = run(flowdump().args(options).arg("-r").arg(&file));
            assert_eq!(
                ran.code,
                Some(0),
                "{} {options:?}: {}",
                file.display(),
                ran.stderr
            );
        }
    }
}
