//! `flowdump -i …` as users run it, in network namespaces that the tests make: what it shows while it happens, how
//! it ends, and what is left when it is killed.
#![cfg(target_os = "linux")]

#[path = "lab/namespace.rs"]
mod namespace;
#[path = "lab/program.rs"]
mod program;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use namespace::{cable, enter, ip};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use program::Program;

/// A client and a server of one line at a time, on loopback.
struct Talk {
    client: TcpStream,
    server: TcpStream,
}

impl Talk {
    fn on(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        client.set_nodelay(true).unwrap();
        let server = listener.accept().unwrap().0;
        Self { client, server }
    }

    /// The client says something and the server has read it.
    fn say(&mut self, text: &str) {
        self.client.write_all(text.as_bytes()).unwrap();
        self.server.read_exact(&mut vec![0; text.len()]).unwrap();
    }

    /// The server answers.
    fn answer(&mut self, text: &str) {
        self.server.write_all(text.as_bytes()).unwrap();
        self.client.read_exact(&mut vec![0; text.len()]).unwrap();
    }
}

#[test]
fn lines_come_out_while_they_are_said_and_ctrl_c_is_success() {
    let Some(()) = enter("lines_come_out_while_they_are_said_and_ctrl_c_is_success") else {
        return;
    };
    let mut flowdump = Program::start(&["-i", "lo", "-c", "--color", "never", "port", "25"], &[]);
    let mut talk = Talk::on(25);
    let mut delays = Vec::new();
    for number in 0..20 {
        let line = format!("NOOP {number}");
        let said = Instant::now();
        talk.say(&format!("{line}\r\n"));
        flowdump.shows(&line, Duration::from_secs(2));
        delays.push(said.elapsed());
        talk.answer("250 2.0.0 Ok\r\n");
    }
    delays.sort();
    // The tests beside this one may have the processor for a while: half of the lines are enough.
    assert!(delays[10] < Duration::from_millis(100), "{delays:?}");
    talk.say("MAIL FR");
    flowdump.shows("MAIL FR", Duration::from_secs(3));
    talk.say("OM:<carol@sender.test>\r\n");
    drop(talk);
    let ended = flowdump.end(Signal::SIGINT);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(
        ended.stdout.contains("OM:<carol@sender.test>"),
        "what was said last: {ended:?}"
    );
    assert_eq!(ended.stdout.matches("250 2.0.0 Ok").count(), 20);
    assert!(ended.stderr.contains("dropped"), "the counts: {}", ended.stderr);
}

#[test]
fn silence_is_shown_while_it_lasts() {
    let Some(()) = enter("silence_is_shown_while_it_lasts") else {
        return;
    };
    let mut flowdump = Program::start(&["-i", "lo", "-c", "--color", "never", "tcp"], &[]);
    let silent = Talk::on(25);
    let mut busy = Talk::on(587);
    busy.answer("220 mx.example.test ESMTP\r\n");
    busy.say("EHLO client.sender.test\r\n");
    flowdump.shows("[no data in 10 s, still open]", Duration::from_secs(15));
    flowdump.shows("[no answer in 10 s, still open]", Duration::from_secs(5));
    drop(silent);
    busy.answer("250 mx.example.test\r\n");
    let ended = flowdump.end(Signal::SIGINT);
    assert_eq!(ended.stdout.matches("still open").count(), 2, "{ended:?}");
    assert!(
        ended.stdout.contains("[closed by the client after 1"),
        "{ended:?}"
    );
}

#[test]
fn sigusr1_tells_counts_and_the_run_goes_on() {
    let Some(()) = enter("sigusr1_tells_counts_and_the_run_goes_on") else {
        return;
    };
    let mut flowdump = Program::start(&["-i", "lo", "-c", "port", "25"], &[]);
    let mut talk = Talk::on(25);
    talk.say("NOOP one\r\n");
    flowdump.shows("NOOP one", Duration::from_secs(2));
    flowdump.signal(Signal::SIGUSR1);
    flowdump.says("1 connection, 10 bytes of streams", Duration::from_secs(2));
    flowdump.says("1 connection open, 0 closed", Duration::from_secs(2));
    flowdump.says("0 dropped by the kernel", Duration::from_secs(2));
    talk.say("NOOP two\r\n");
    flowdump.shows("NOOP two", Duration::from_secs(2));
    assert_eq!(flowdump.end(Signal::SIGTERM).code, Some(0));
}

#[test]
fn a_reader_that_has_had_enough_ends_it_quietly() {
    let Some(()) = enter("a_reader_that_has_had_enough_ends_it_quietly") else {
        return;
    };
    let mut flowdump = Program::start(
        &["-i", "lo", "-c", "--color", "never", "port", "25"],
        &[("SUDO_UID", "65534")],
    );
    let mut talk = Talk::on(25);
    talk.say("NOOP one\r\n");
    flowdump.shows("NOOP one", Duration::from_secs(2));
    flowdump.close_stdout();
    let begun = Instant::now();
    while flowdump.running() {
        assert!(
            begun.elapsed() < Duration::from_secs(3),
            "it writes into a closed pipe for ever"
        );
        talk.say("NOOP again\r\n");
        std::thread::sleep(Duration::from_millis(50));
    }
    let ended = flowdump.ended();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(!ended.stderr.contains("pipe"), "{}", ended.stderr);
}

#[test]
fn a_second_ctrl_c_ends_a_run_that_is_stuck() {
    let Some(()) = enter("a_second_ctrl_c_ends_a_run_that_is_stuck") else {
        return;
    };
    let mut flowdump = Program::start_unread(&["-i", "lo", "-c", "--body", "all", "port", "25"]);
    let mut talk = Talk::on(25);
    // More than a pipe holds, and nobody reads it.
    for _ in 0..300 {
        talk.say(&format!("NOOP {}\r\n", "x".repeat(800)));
    }
    std::thread::sleep(Duration::from_millis(300));
    flowdump.signal(Signal::SIGINT);
    std::thread::sleep(Duration::from_millis(300));
    assert!(flowdump.running(), "the rest of the lines would be lost");
    flowdump.signal(Signal::SIGINT);
    assert_eq!(flowdump.ended().code, Some(130));
}

#[test]
fn killed_without_warning_it_leaves_what_was_said_a_second_before() {
    let Some(()) = enter("killed_without_warning_it_leaves_what_was_said_a_second_before") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let flowdump = Program::start(
        &[
            "-i",
            "lo",
            "-o",
            &path("flows"),
            "-w",
            &path("kept.pcap"),
            "port",
            "25",
        ],
        &[],
    );
    let mut talk = Talk::on(25);
    let mut said = String::new();
    for number in 0..15 {
        let line = format!("NOOP {number}\r\n");
        talk.say(&line);
        said.push_str(&line);
        std::thread::sleep(Duration::from_millis(50));
    }
    std::thread::sleep(Duration::from_millis(1000));
    // Not so old.
    talk.say("NOOP now\r\n");
    assert_eq!(flowdump.end(Signal::SIGKILL).code, None);
    let stream = |folder: &str| {
        let names = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let name = names
            .into_iter()
            .find(|name| name.display().to_string().ends_with("-127.0.0.1.25"))
            .unwrap();
        std::fs::read_to_string(name).unwrap()
    };
    let kept = stream(&path("flows"));
    assert!(kept.starts_with(&said), "{kept:?}");
    let again = Program::run(&["-r", &path("kept.pcap"), "-o", &path("again")]);
    assert_eq!(again.code, Some(0), "{again:?}");
    assert!(stream(&path("again")).starts_with(&said));
}

#[test]
fn an_interface_that_goes_away_is_an_error_after_its_last_line() {
    let Some(()) = enter("an_interface_that_goes_away_is_an_error_after_its_last_line") else {
        return;
    };
    cable();
    let flowdump = Program::start(&["-i", "in", "-c"], &[]);
    ip("link del out");
    let ended = flowdump.ended();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(
        ended.stderr.contains("in: the interface went away"),
        "{}",
        ended.stderr
    );
}

#[test]
fn under_sudo_files_belong_to_who_called_it_and_root_is_gone() {
    let Some(()) = enter("under_sudo_files_belong_to_who_called_it_and_root_is_gone") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::chown(folder.path(), Some(65534), Some(65534)).unwrap();
    let flows = folder.path().join("flows").display().to_string();
    let kept = folder.path().join("kept.pcap").display().to_string();
    let variables = [("SUDO_UID", "65534"), ("SUDO_GID", "65534")];
    let flowdump = Program::start(&["-i", "lo", "-o", &flows, "-w", &kept, "port", "25"], &variables);
    let mut talk = Talk::on(25);
    talk.say("NOOP\r\n");
    std::thread::sleep(Duration::from_millis(500));
    for status in flowdump.threads() {
        let has = |line: &str| status.lines().any(|other| other == line);
        assert!(
            has("Uid:\t65534\t65534\t65534\t65534") && has("NoNewPrivs:\t1"),
            "{status}"
        );
        assert!(
            has("CapPrm:\t0000000000000000") && has("CapEff:\t0000000000000000"),
            "{status}"
        );
    }
    drop(talk);
    let ended = flowdump.end(Signal::SIGINT);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let made: Vec<_> = std::fs::read_dir(&flows)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert!(
        ended.stderr.contains("running as nobody from here on"),
        "{}",
        ended.stderr
    );
    assert!(made.len() >= 2, "{made:?}");
    for path in made.iter().chain([&flows.clone().into(), &kept.clone().into()]) {
        let owner = std::fs::metadata(path).unwrap();
        assert_eq!((owner.uid(), owner.gid()), (65534, 65534), "{}", path.display());
    }
}

#[test]
fn with_wait_only_the_thread_that_captures_may_open_interfaces_again() {
    let Some(()) = enter("with_wait_only_the_thread_that_captures_may_open_interfaces_again") else {
        return;
    };
    cable();
    let variables = [("SUDO_UID", "65534"), ("SUDO_GID", "65534")];
    let mut flowdump = Program::start(&["-i", "in", "--wait", "-c", "--threads", "2"], &variables);
    std::thread::sleep(Duration::from_millis(300));
    for status in flowdump.threads() {
        let capturing = status.starts_with("Name:\tcapture\n");
        let kept = if capturing {
            "CapPrm:\t0000000000002000\n"
        } else {
            "CapPrm:\t0000000000000000\n"
        };
        assert!(
            status.contains(kept) && status.contains("CapEff:\t0000000000000000\n"),
            "{status}"
        );
    }
    ip("link del in");
    flowdump.says(
        "in: the interface went away; waiting for it to come back",
        Duration::from_secs(3),
    );
    cable();
    flowdump.says("in: is back", Duration::from_secs(3));
    assert!(flowdump.running());
    assert_eq!(flowdump.end(Signal::SIGINT).code, Some(0));
}

#[test]
fn it_ends_by_itself_after_its_time_and_with_the_session() {
    let Some(()) = enter("it_ends_by_itself_after_its_time_and_with_the_session") else {
        return;
    };
    let begun = Instant::now();
    let ended = Program::start(&["-i", "lo", "-c", "--duration", "1"], &[]).ended();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(
        (900..3000).contains(&begun.elapsed().as_millis()),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(
        Program::start(&["-i", "lo", "-c"], &[]).end(Signal::SIGHUP).code,
        Some(0)
    );
}

#[test]
fn folders_and_packet_files_are_rotated_without_rights_and_in_the_sandbox() {
    let Some(()) = enter("folders_and_packet_files_are_rotated_without_rights_and_in_the_sandbox") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::chown(folder.path(), Some(65534), Some(65534)).unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (flows, kept) = (path("flows"), path("kept"));
    let arguments = [
        "-i",
        "lo",
        "-o",
        &flows,
        "--rotate",
        "100K",
        "-w",
        &kept,
        "--write-size",
        "100K",
        "--write-count",
        "2",
        "port",
        "25",
    ];
    let flowdump = Program::start(&arguments, &[("SUDO_UID", "65534"), ("SUDO_GID", "65534")]);
    for _ in 0..4 {
        let mut talk = Talk::on(25);
        for _ in 0..80 {
            talk.say(&format!("{}\r\n", "x".repeat(998)));
        }
        drop(talk);
        // A folder is named by its second.
        std::thread::sleep(Duration::from_millis(1100));
    }
    let ended = flowdump.end(Signal::SIGINT);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let folders: Vec<_> = std::fs::read_dir(&flows)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert!(folders.len() >= 2, "{folders:?}");
    assert!(
        folders.iter().all(|folder| folder.join("flows.jsonl").exists()),
        "{folders:?}"
    );
    for number in 0..2 {
        assert!(std::fs::metadata(format!("{kept}{number}")).unwrap().len() > 10_000);
    }
}

/// As a service runs: never root, the one capability from outside.
#[test]
fn with_the_capability_alone_it_captures_and_gives_it_up() {
    let Some(()) = enter("with_the_capability_alone_it_captures_and_gives_it_up") else {
        return;
    };
    let mut command = Command::new("setpriv");
    command.args([
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "--inh-caps=+net_raw",
        "--ambient-caps=+net_raw",
    ]);
    let mut flowdump = Program::start_by(command, &["-i", "lo", "-c", "port", "25"]);
    let mut talk = Talk::on(25);
    talk.say("NOOP\r\n");
    flowdump.shows("NOOP", Duration::from_secs(2));
    let status = std::fs::read_to_string(format!("/proc/{}/status", flowdump.id())).unwrap();
    assert!(status.contains("CapPrm:\t0000000000000000\n"), "{status}");
    assert!(!flowdump.end(Signal::SIGINT).stderr.contains("root"));
}

/// A disk of 4 MiB.
#[test]
fn a_full_disk_is_told_and_the_run_goes_on_to_its_end() {
    const NAME: &str = "a_full_disk_is_told_and_the_run_goes_on_to_its_end";
    let Some(()) = enter(NAME) else { return };
    let folder = tempfile::tempdir().unwrap();
    if nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS | nix::sched::CloneFlags::CLONE_FS).is_err() {
        eprintln!("skipped: {NAME}: needs a mount namespace of its own");
        return;
    }
    let mount =
        |arguments: &[&str]| assert!(Command::new("mount").args(arguments).status().unwrap().success());
    mount(&["--make-rprivate", "/"]);
    mount(&[
        "-t",
        "tmpfs",
        "-o",
        "size=4m",
        "small",
        folder.path().to_str().unwrap(),
    ]);
    let flows = folder.path().join("flows").display().to_string();
    let flowdump = Program::start(&["-i", "lo", "-o", &flows, "port", "25"], &[]);
    let mut talk = Talk::on(25);
    let line = format!("{}\r\n", "x".repeat(998));
    for _ in 0..8000 {
        talk.say(&line);
    }
    flowdump.says("No space left", Duration::from_secs(5));
    drop(talk);
    std::thread::sleep(Duration::from_millis(300));
    let ended = flowdump.end(Signal::SIGINT);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let kept: u64 = std::fs::read_dir(&flows)
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    assert!(kept > 3 << 20, "{kept} bytes of 4 MiB");
    assert_eq!(
        ended.stderr.matches("No space left").count(),
        1,
        "once a minute: {}",
        ended.stderr
    );
    let _ = Command::new("umount").arg(folder.path()).status();
}

#[test]
fn packets_that_find_no_room_to_the_end_are_counted_there() {
    let Some(()) = enter("packets_that_find_no_room_to_the_end_are_counted_there") else {
        return;
    };
    let mut flowdump = Program::start(&["-i", "lo", "-c", "-w", "/dev/full", "port", "25"], &[]);
    let mut talk = Talk::on(25);
    talk.say("NOOP\r\n");
    flowdump.shows("NOOP", Duration::from_secs(2));
    flowdump.says("/dev/full: No space left", Duration::from_secs(2));
    let ended = flowdump.end(Signal::SIGINT);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(
        ended.stderr.contains("packets not written (-w)"),
        "{}",
        ended.stderr
    );
}

#[test]
fn interfaces_are_listed_without_rights() {
    let Some(()) = enter("interfaces_are_listed_without_rights") else {
        return;
    };
    cable();
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    let listed = Program::start_by(command, &["--list-interfaces"]).ended();
    assert_eq!(listed.code, Some(0), "{listed:?}");
    let out = listed
        .stdout
        .lines()
        .find(|line| line.starts_with("out "))
        .unwrap();
    assert!(
        out.contains("up") && out.contains("Ethernet") && out.contains("10.9.0.1 fd09::1"),
        "{out}"
    );
}

#[test]
fn who_stops_waiting_for_an_interface_is_not_told_of_a_capture() {
    let Some(()) = enter("who_stops_waiting_for_an_interface_is_not_told_of_a_capture") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let flows = folder.path().join("flows");
    let mut flowdump = Command::new(env!("CARGO_BIN_EXE_flowdump"))
        .args(["-i", "in", "--wait", "-o"])
        .arg(&flows)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = BufReader::new(flowdump.stderr.take().unwrap());
    let mut line = String::new();
    told.read_line(&mut line).unwrap();
    assert_eq!(line, "flowdump: waiting for in\n");
    kill(Pid::from_raw(flowdump.id() as i32), Signal::SIGINT).unwrap();
    let mut rest = String::new();
    told.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "flowdump: stopped before in came\n");
    assert!(flowdump.wait().unwrap().success());
    assert!(!flows.exists());
}
