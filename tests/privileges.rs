//! What is left of root's rights after they were dropped. Each scenario is a process of its own: this test
//! program, called again.
#![cfg(target_os = "linux")]

#[path = "lab/namespace.rs"]
mod namespace;

use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use flowdump::capture::{LiveOptions, LiveSource, Next, Source};
use flowdump::privileges::{self, PrivilegeError};
use namespace::{cable, enter, ip, send};

/// Says which process this is, and where it may write.
const CHILD: &str = "FLOWDUMP_TEST_CHILD";
/// nobody, on every Linux.
const NOBODY: u32 = 65534;

/// `None`: this is the process that only starts the scenario, and it has been run. Else the folder for the scenario.
fn scenario(test: &str, variables: &[(&str, &str)]) -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os(CHILD) {
        return Some(folder.into());
    }
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: {test}: needs root to have something to give up");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::chown(folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env_remove("SUDO_UID")
        .env_remove("SUDO_GID")
        .env(CHILD, folder.path())
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&text));
    None
}

/// A line of a thread's status.
fn status(thread: &str, key: &str) -> String {
    let status = std::fs::read_to_string(format!("/proc/{thread}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    line.unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn assert_powerless(uid: u32, gid: u32) {
    let me = "thread-self";
    assert_eq!(status(me, "Uid"), [uid.to_string().as_str(); 4].join(" "));
    assert_eq!(status(me, "Gid"), [gid.to_string().as_str(); 4].join(" "));
    assert_eq!(status(me, "Groups"), gid.to_string());
    assert_eq!(status(me, "NoNewPrivs"), "1");
    for set in ["CapEff", "CapPrm", "CapInh", "CapAmb"] {
        assert_eq!(u64::from_str_radix(&status(me, set), 16), Ok(0), "{set}");
    }
}

#[test]
fn under_sudo_the_run_goes_on_as_who_called_it() {
    let variables = [("SUDO_UID", "65534"), ("SUDO_GID", "65534")];
    let Some(folder) = scenario("under_sudo_the_run_goes_on_as_who_called_it", &variables) else {
        return;
    };
    let dropped = privileges::drop(None).unwrap();
    assert_eq!((dropped.user.as_deref(), dropped.warning), (Some("nobody"), None));
    assert_powerless(NOBODY, NOBODY);
    std::thread::spawn(|| assert_powerless(NOBODY, NOBODY))
        .join()
        .unwrap();
    std::fs::write(folder.join("stream"), "x").unwrap();
    let made = std::fs::metadata(folder.join("stream")).unwrap();
    assert_eq!((made.uid(), made.gid()), (NOBODY, NOBODY));
    assert_eq!(
        std::fs::read("/etc/shadow").unwrap_err().kind(),
        ErrorKind::PermissionDenied
    );
}

#[test]
fn a_named_user_counts_more_than_who_called_sudo() {
    let variables = [("SUDO_UID", "12345"), ("SUDO_GID", "12345")];
    let Some(_) = scenario("a_named_user_counts_more_than_who_called_sudo", &variables) else {
        return;
    };
    assert_eq!(
        privileges::drop(Some("nobody")).unwrap().user.as_deref(),
        Some("nobody")
    );
    assert_powerless(NOBODY, NOBODY);
    let error = privileges::drop(Some("root")).unwrap_err();
    assert!(matches!(error, PrivilegeError::NotRoot(_)), "{error}");
}

#[test]
fn a_caller_without_an_account_has_no_groups_of_root() {
    let variables = [("SUDO_UID", "4242424"), ("SUDO_GID", "4242425")];
    let Some(_) = scenario("a_caller_without_an_account_has_no_groups_of_root", &variables) else {
        return;
    };
    assert_eq!(privileges::drop(None).unwrap().user.as_deref(), Some("4242424"));
    assert_powerless(4_242_424, 4_242_425);
}

#[test]
fn root_that_stays_is_warned_and_keeps_only_files() {
    let Some(folder) = scenario("root_that_stays_is_warned_and_keeps_only_files", &[]) else {
        return;
    };
    let dropped = privileges::drop(None).unwrap();
    assert!(dropped.warning.is_some_and(|warning| warning.contains("-U")));
    assert_eq!(status("thread-self", "CapPrm"), "0000000000000002");
    assert_eq!(status("thread-self", "NoNewPrivs"), "1");
    std::fs::write(folder.join("of-nobody"), "x").unwrap();
}

#[test]
fn a_user_that_does_not_exist_is_an_error_and_nothing_is_dropped() {
    let Some(_) = scenario(
        "a_user_that_does_not_exist_is_an_error_and_nothing_is_dropped",
        &[],
    ) else {
        return;
    };
    let error = privileges::drop(Some("no-such-user")).unwrap_err();
    assert_eq!(error.to_string(), "no such user: no-such-user");
    assert!(nix::unistd::geteuid().is_root());
}

#[test]
fn the_sandbox_leaves_the_output_folder_alone() {
    const NAME: &str = "the_sandbox_leaves_the_output_folder_alone";
    let Some(folder) = scenario(NAME, &[]) else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let outside = tempfile::tempdir().unwrap();
    privileges::drop(None).unwrap();
    if let Some(note) = privileges::sandbox(std::slice::from_ref(&folder)).unwrap() {
        eprintln!("skipped: {NAME}: {note}");
        return;
    }
    let refused =
        |result: std::io::Result<()>| result.is_err_and(|error| error.kind() == ErrorKind::PermissionDenied);
    let inside = |folder: &Path| {
        std::fs::create_dir_all(folder.join("2026-11-21")).unwrap();
        std::fs::write(folder.join("2026-11-21/stream"), "x").unwrap();
        std::fs::write(folder.join("2026-11-21/stream"), "shorter").unwrap();
        std::fs::read(folder.join("2026-11-21/stream")).unwrap();
        std::fs::remove_file(folder.join("2026-11-21/stream")).unwrap();
    };
    inside(&folder);
    std::thread::spawn(move || inside(&folder)).join().unwrap();
    assert!(refused(std::fs::write(outside.path().join("stream"), "x")));
    assert!(refused(std::fs::read("/etc/passwd").map(drop)));
    assert!(refused(Command::new("/bin/true").status().map(drop)));
    assert!(refused(TcpStream::connect(address).map(drop)));
    assert!(refused(TcpListener::bind("127.0.0.1:0").map(drop)));
    std::fs::read_to_string("/proc/self/status").unwrap();
    std::fs::read_dir("/sys/class/net").unwrap();
}

#[test]
fn without_rights_the_two_ways_out_are_told() {
    const NAME: &str = "without_rights_the_two_ways_out_are_told";
    let Some(_) = scenario(NAME, &[]) else { return };
    privileges::drop(Some("nobody")).unwrap();
    let options = live("lo", false);
    let error = LiveSource::open(&options, "", Arc::default())
        .unwrap_err()
        .to_string();
    let program = std::env::current_exe().unwrap();
    let expected = format!(
        "lo: permission denied: run it with sudo, or `sudo setcap cap_net_raw,cap_net_admin+ep {}` (make setcap)",
        program.display()
    );
    assert_eq!(error, expected);
}

#[test]
fn a_capture_goes_on_without_rights_and_in_the_sandbox() {
    const NAME: &str = "a_capture_goes_on_without_rights_and_in_the_sandbox";
    let Some(folder) = scenario(NAME, &[]) else { return };
    let Some(()) = enter(NAME) else { return };
    cable();
    let source = LiveSource::open(&live("in", false), "udp dst port 25", Arc::default());
    let mut source = source.unwrap().unwrap();
    privileges::drop(Some("nobody")).unwrap();
    privileges::sandbox(&[folder]).unwrap();
    assert_eq!(received(&mut source, 25), 10);
    for thread in std::fs::read_dir("/proc/self/task").unwrap() {
        let thread = format!("self/task/{}", thread.unwrap().file_name().display());
        // The test harness has threads of its own, begun before.
        if status(&thread, "Name") == "capture" {
            assert_eq!(
                (
                    status(&thread, "CapPrm").as_str(),
                    status(&thread, "NoNewPrivs").as_str()
                ),
                ("0000000000000000", "1")
            );
            assert_eq!(status(&thread, "Uid"), "65534 65534 65534 65534");
            return;
        }
    }
    panic!("there is no capture thread");
}

#[test]
fn with_wait_only_the_capture_thread_can_open_the_interface_again() {
    const NAME: &str = "with_wait_only_the_capture_thread_can_open_the_interface_again";
    let Some(folder) = scenario(NAME, &[]) else { return };
    let Some(()) = enter(NAME) else { return };
    cable();
    // Somebody else must do that: we shall not be allowed to.
    let later = std::thread::spawn(|| {
        std::thread::sleep(std::time::Duration::from_millis(400));
        ip("link del in");
        cable();
    });
    let source = LiveSource::open(&live("in", true), "udp dst port 25", Arc::default());
    let mut source = source.unwrap().unwrap();
    later.join().unwrap();
    // A thread that has not changed its user with us would make glibc end the process: so it went first.
    privileges::drop_keeping_capture(Some("nobody")).unwrap();
    assert_eq!(status("thread-self", "CapPrm"), "0000000000002000");
    privileges::sandbox(&[folder]).unwrap();
    assert!(matches!(source.next(), Ok(Next::Idle(_))));
    assert_powerless(NOBODY, NOBODY);
    let begun = std::time::Instant::now();
    let mut told = Vec::new();
    while !told.iter().any(|sentence: &String| sentence == "in: is back") {
        assert!(begun.elapsed().as_secs() < 5, "{told:?}");
        assert!(matches!(source.next(), Ok(Next::Idle(_) | Next::Packet(_))));
        told.extend(source.take_warnings());
    }
    assert_eq!(received(&mut source, 25), 10);
}

fn live(interface: &str, wait: bool) -> LiveOptions {
    LiveOptions {
        interface: interface.into(),
        promiscuous: true,
        snaplen: 262_144,
        buffer_size: 32 << 20,
        immediate: true,
        wait,
    }
}

/// Sends ten packets and counts those that come.
fn received(source: &mut LiveSource, port: u16) -> usize {
    assert!(matches!(source.next(), Ok(Next::Idle(_))));
    send(port, 0..10, 100);
    let (mut count, mut idle) = (0, 0);
    while idle < 5 {
        match source.next().unwrap() {
            Next::Packet(_) => count += 1,
            Next::Idle(_) => idle += 1,
            Next::End => break,
        }
    }
    count
}
