//! A disk that fills up: what is kept is readable, and it is told which of it is whole.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

use common::files::{Frame, PcapStyle, pcap};
use common::packets::Talk;
use common::{flowdump, installed};
use serde_json::Value;

/// A connection for each of these numbers of bytes.
fn capture(path: &Path, sizes: &[usize]) {
    let mut all = Talk::between("10.0.0.1:1", "192.0.2.1:2");
    for (number, size) in sizes.iter().enumerate() {
        let client = format!("10.0.{}.{}:1000", number / 250, number % 250 + 1);
        let mut talk = Talk::between(&client, "192.0.2.1:2000");
        talk.pause(number as f64).handshake();
        for piece in vec![b'x'; *size].chunks(50_000) {
            talk.client(piece).server_acks();
        }
        talk.close();
        all.segments.extend(talk.segments);
    }
    let frames: Vec<_> = all
        .segments
        .iter()
        .map(|segment| Frame::new(segment.time, segment.frame()))
        .collect();
    let style = PcapStyle {
        big_endian: false,
        nanoseconds: false,
    };
    fs::write(path, pcap(&frames, style)).unwrap();
}

/// What a run leaves on a small disk: sizes of files by name, the index, what was said.
struct Left {
    files: BTreeMap<String, u64>,
    index: Vec<Value>,
    said: String,
}

impl Left {
    /// Names of the files that the index says are whole, and their sizes.
    fn whole(&self) -> BTreeMap<String, u64> {
        let sides = self
            .index
            .iter()
            .flat_map(|line| [&line["to_server"], &line["to_client"]]);
        let files = sides.flat_map(|side| side["files"].as_array().unwrap());
        files
            .filter(|file| file.get("not_written").is_none())
            .map(|file| {
                (
                    file["name"].as_str().unwrap().to_owned(),
                    file["bytes"].as_u64().unwrap(),
                )
            })
            .collect()
    }
}

/// Runs on a disk of so many KiB, into `out`; `None`, and said, where no disk can be mounted.
fn run_on(kib: u32, out: &str, threads: &str, sizes: &[usize]) -> Option<Left> {
    let place = tempfile::tempdir().unwrap();
    capture(&place.path().join("x.pcap"), sizes);
    fs::create_dir(place.path().join("small")).unwrap();
    // What is mounted there is gone with the shell.
    let script = "mount -t tmpfs -o size=$1k small small || exit 99; \
        \"$0\" --threads $3 -r x.pcap -o small/$2; code=$?; cp -r small kept; exit $code";
    let output = Command::new("unshare")
        .args(["-m", "sh", "-c", script, env!("CARGO_BIN_EXE_flowdump")])
        .args([&kib.to_string(), out, threads])
        .current_dir(place.path())
        .output();
    let Some(output) = output.ok().filter(|output| output.status.code() == Some(1)) else {
        // Only where it is not allowed.
        assert!(!nix::unistd::geteuid().is_root(), "{kib} {out}");
        eprintln!("skipped: full disks need a mount namespace of their own");
        return None;
    };
    let said = String::from_utf8(output.stderr).unwrap();
    let kept = place.path().join("kept").join(out);
    let folder = place.path().join("unpacked");
    fs::create_dir(&folder).unwrap();
    match out.rsplit_once('.') {
        Some((_, "zip")) => {
            if !installed("python3", "reading archives") {
                return None;
            }
            let script = "import sys, zipfile\nz = zipfile.ZipFile(sys.argv[1])\nassert z.testzip() is None\nz.extractall(sys.argv[2])";
            let mut python = Command::new("python3");
            let read = python
                .args(["-c", script])
                .arg(&kept)
                .arg(&folder)
                .output()
                .unwrap();
            assert!(read.status.success(), "{read:?}");
        }
        Some((_, "tar")) => tar::Archive::new(fs::File::open(&kept).unwrap())
            .unpack(&folder)
            .unwrap(),
        _ => {
            fs::remove_dir(&folder).unwrap();
            fs::rename(&kept, &folder).unwrap();
        }
    }
    let mut files: BTreeMap<_, _> = common::listing(&folder).into_iter().collect();
    files.remove("flows.jsonl").unwrap();
    let index = fs::read_to_string(folder.join("flows.jsonl")).unwrap();
    Some(Left {
        files,
        index: index
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect(),
        said,
    })
}

const SMALL_THEN_LARGE: &[usize] = &[500, 600, 1_000_000];

#[test]
fn the_index_of_a_folder_says_which_files_are_whole() {
    for (kib, sizes) in [
        (64, &[1_000_000][..]),
        (64, SMALL_THEN_LARGE),
        (200, &[3000; 100]),
    ] {
        for threads in ["1", "4"] {
            let Some(left) = run_on(kib, "out", threads, sizes) else {
                return;
            };
            let whole = left.whole();
            assert!(left.said.contains("No space left"), "{}", left.said);
            assert!(!left.index.is_empty(), "{kib} {threads}");
            assert!(
                whole.iter().all(|(name, size)| left.files[name] == *size),
                "{whole:?}"
            );
            let told = |name: &String| left.index.iter().any(|line| line.to_string().contains(name));
            assert!(left.files.keys().all(told), "{:?}", left.files);
            if sizes.len() > 1 {
                assert!(whole.len() >= 2, "{whole:?}");
            }
        }
    }
}

#[test]
fn an_archive_has_all_that_its_index_says_is_whole_and_that_is_what_is_counted() {
    for out in ["x.zip", "x.tar"] {
        for (kib, sizes) in [
            (64, &[1_000_000][..]),
            (64, SMALL_THEN_LARGE),
            (100, &[30, 40_000, 200_000]),
            (200, &[3000; 100]),
            (200, &[50; 1500]),
            (600, &[300_000, 200_000, 100_000, 3000]),
        ] {
            let Some(left) = run_on(kib, out, "3", sizes) else {
                return;
            };
            assert!(left.said.contains("No space left"), "{}", left.said);
            let whole = left.whole();
            assert_eq!(left.files, whole, "{out} {kib} {}", left.said);
            let counted = format!(
                "{} file{} in",
                whole.len(),
                if whole.len() == 1 { "" } else { "s" }
            );
            assert!(left.said.contains(&counted), "{counted}: {}", left.said);
            assert!(!left.index.is_empty(), "{out} {kib}");
            if sizes.len() > 1 {
                assert!(!whole.is_empty(), "{out} {kib}");
            }
        }
    }
}

/// Three mails that are too large and two small ones, on the loopback interface.
const TALK: &str = "
import socket, threading, time
s = socket.socket(); s.bind(('127.0.0.1', 7799)); s.listen(5)
def serve():
    while True:
        c, _ = s.accept()
        while c.recv(65536): pass
        c.close()
threading.Thread(target=serve, daemon=True).start()
for size in (210_000, 210_000, 210_000, 300, 400):
    c = socket.create_connection(('127.0.0.1', 7799))
    for piece in range(0, size, 30_000):
        c.sendall(b'x' * min(30_000, size - piece)); time.sleep(.01)
    c.close(); time.sleep(.2)
time.sleep(2)
";

#[test]
fn live_large_connections_that_do_not_fit_leave_the_space_to_small_ones() {
    if !installed("ip", "a live run") || !installed("python3", "a live run") {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    fs::create_dir(place.path().join("small")).unwrap();
    let script = "ip link set lo up && mount -t tmpfs -o size=64k small small || exit 99; \
        \"$0\" -i lo -o small/x.zip port 7799 2>said & \
        until grep -q 'capturing on' said; do kill -0 $! || exit 98; sleep .01; done; \
        python3 -c \"$1\"; kill -INT $!; wait $!; code=$?; cp small/x.zip .; cat said >&2; exit $code";
    let mut unshare = Command::new("unshare");
    unshare.args(["-mn", "sh", "-c", script, env!("CARGO_BIN_EXE_flowdump"), TALK]);
    let output = unshare.current_dir(place.path()).output();
    let Some(output) = output.ok().filter(|output| output.status.code() == Some(1)) else {
        assert!(!nix::unistd::geteuid().is_root());
        eprintln!("skipped: a live run on a full disk needs namespaces of its own");
        return;
    };
    let script = "import zipfile; print([i.file_size for i in zipfile.ZipFile('x.zip').infolist()[:-1]])";
    let mut python = Command::new("python3");
    let read = python
        .args(["-c", script])
        .current_dir(place.path())
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&read.stdout),
        "[300, 400]\n",
        "{output:?}"
    );
}

#[test]
fn lines_that_do_not_fit_any_more_are_one_error() {
    let place = tempfile::tempdir().unwrap();
    capture(&place.path().join("x.pcap"), &[3_000_000]);
    for threads in ["1", "4"] {
        let script = "ulimit -f 100; \"$0\" -q --threads $1 -C -r x.pcap >lines";
        let output = Command::new("sh")
            .args(["-c", script, env!("CARGO_BIN_EXE_flowdump"), threads])
            .current_dir(place.path())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            said.starts_with("flowdump: standard output: File too large"),
            "{said}"
        );
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(fs::metadata(place.path().join("lines")).unwrap().len() > 40_000);
    }
}

/// Not a full disk, but as sudden: a tcpdump that begins anew takes away what is being read.
#[test]
fn a_capture_truncated_under_a_run_ends_it_in_words() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("x.pcap");
    capture(&path, &[30_000_000]);
    for threads in ["1", "4"] {
        let copy = place.path().join(threads);
        fs::copy(&path, &copy).unwrap();
        let mut run = flowdump()
            .args(["-q", "-C", "--threads", threads, "-r"])
            .arg(&copy)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // It is in the middle: its output is a pipe that nobody empties.
        let mut stdout = run.stdout.take().unwrap();
        stdout.read_exact(&mut [0; 1000]).unwrap();
        fs::File::options()
            .write(true)
            .open(&copy)
            .unwrap()
            .set_len(0)
            .unwrap();
        std::io::copy(&mut stdout, &mut std::io::sink()).unwrap();
        let output = run.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("was truncated while it was read"), "{said}");
    }
}
