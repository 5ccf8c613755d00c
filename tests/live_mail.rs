//! Real mail between real programs, seen live: Postfix in a namespace of tests/lab/lab.sh, swaks, curl and openssl
//! as clients, plain, STARTTLS, implicit TLS, IPv4 and IPv6, on `any` at the server and on the cable at the client.
#![cfg(target_os = "linux")]

#[path = "lab/program.rs"]
mod program;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use program::Program;

const NAME: &str = "real_mail_is_shown_kept_and_read_back";

/// The namespaces and servers, until dropped.
struct Lab {
    folder: tempfile::TempDir,
    client: String,
    server: String,
}

impl Lab {
    /// `None`, said by the test's name, where something that it takes is missing.
    fn up() -> Option<Self> {
        let missing = ["ip", "postfix", "swaks", "curl", "openssl"]
            .iter()
            .find(|tool| !installed(tool));
        if let Some(tool) = missing {
            eprintln!("skipped: {NAME}: {tool} is not installed (make test-deps)");
            return None;
        }
        if !nix::unistd::geteuid().is_root() {
            eprintln!("skipped: {NAME}: needs root");
            return None;
        }
        let (client, server) = ["c", "s"]
            .map(|end| format!("fd-live-{}-{end}", std::process::id()))
            .into();
        let lab = Self {
            folder: tempfile::tempdir_in("/tmp").unwrap(),
            client,
            server,
        };
        lab.script(&["up", lab.path("lab").to_str().unwrap(), &lab.client, &lab.server]);
        Some(lab)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn script(&self, arguments: &[&str]) {
        // Other users must be able to pass through.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(self.folder.path(), mode).unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/lab.sh");
        // A file: the servers keep it open for as long as they live.
        let log = std::fs::File::create(self.path("script.log")).unwrap();
        let status = Command::new("bash")
            .arg(script)
            .args(arguments)
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .status();
        assert!(
            status.unwrap().success(),
            "{}",
            std::fs::read_to_string(self.path("script.log")).unwrap()
        );
    }

    fn flowdump(&self, namespace: &str, arguments: &[&str]) -> Program {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", namespace]);
        Program::start_by(command, arguments)
    }

    /// A client's own account of what it said and heard.
    fn client(&self, command: &[&str]) -> String {
        let output = Command::new("ip")
            .args(["netns", "exec", &self.client])
            .args(command)
            .stdin(Stdio::null())
            .output();
        let output = output.unwrap();
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    }

    fn swaks(&self, server: &str, more: &[&str]) -> String {
        let fixed = [
            "swaks",
            "--helo",
            "client.sender.test",
            "--from",
            "carol@sender.test",
            "--to",
            "alice@mx.example.test",
        ];
        let body = ["--server", server, "--body", "line one\\nline two"];
        self.client(&[&fixed[..], &body, more].concat())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.script(&["down", self.path("lab").to_str().unwrap()]);
    }
}

fn installed(tool: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    std::env::split_paths(&path).any(|folder| folder.join(tool).exists())
}

/// What swaks says went over the wire in clear: `->` or `<-` and the line.
fn transcript(swaks: &str) -> Vec<(bool, &str)> {
    swaks
        .lines()
        .filter_map(|line| {
            let sent = line.strip_prefix(" -> ").map(|text| (true, text));
            sent.or_else(|| line.strip_prefix("<-  ").map(|text| (false, text)))
        })
        .collect()
}

/// The console's lines of the conversation with a server: whether the client spoke, and what.
fn conversation<'a>(console: &'a str, server: &str) -> Vec<(bool, &'a str)> {
    console
        .lines()
        .filter_map(|line| {
            let (_time, line) = line.split_once(' ')?;
            let (from, line) = line.split_once(" > ")?;
            let (to, text) = line.split_once("  ").unwrap_or((line, ""));
            let by_client = to == server;
            (by_client || from == server).then_some((by_client, text))
        })
        .collect()
}

#[test]
fn real_mail_is_shown_kept_and_read_back() {
    let Some(lab) = Lab::up() else { return };
    let kept = lab.path("any.pcap").display().to_string();
    let flows = lab.path("flows").display().to_string();
    let on_any = lab.flowdump(
        &lab.server,
        &[
            "-i",
            "any",
            "-c",
            "--color",
            "never",
            "-w",
            &kept,
            "tcp and not host 127.0.0.1",
        ],
    );
    let on_cable = lab.flowdump(&lab.client, &["-i", "e0", "-c", "--color", "never", "tcp"]);
    let into_files = lab.flowdump(&lab.client, &["-i", "e0", "-o", &flows, "tcp"]);

    let plain = lab.swaks("10.77.2.2", &[]);
    let ipv6 = lab.swaks("[fd77::2]", &[]);
    let starttls = lab.swaks("10.77.2.1", &["--tls"]);
    let mail = lab.path("mail");
    std::fs::write(&mail, "Subject: by curl\r\n\r\nsealed by curl\r\n").unwrap();
    let curl = lab.client(&[
        "curl",
        "-sk",
        "--max-time",
        "10",
        "--url",
        "smtps://10.77.2.1:465/client.sender.test",
        "--mail-from",
        "carol@sender.test",
        "--mail-rcpt",
        "alice@mx.example.test",
        "--upload-file",
        mail.to_str().unwrap(),
    ]);
    assert_eq!(curl, "", "curl succeeds in silence");
    lab.client(&[
        "timeout",
        "2",
        "openssl",
        "s_client",
        "-starttls",
        "smtp",
        "-connect",
        "[fd77::2]:587",
    ]);

    std::thread::sleep(Duration::from_millis(1200));
    let [on_any, on_cable, into_files] =
        [on_any, on_cable, into_files].map(|program| program.end(Signal::SIGINT));
    for ended in [&on_any, &on_cable, &into_files] {
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    }

    for console in [&on_any.stdout, &on_cable.stdout] {
        assert_eq!(
            conversation(console, "10.77.2.2:25"),
            transcript(&plain),
            "{console}"
        );
        assert_eq!(
            conversation(console, "[fd77::2]:25"),
            transcript(&ipv6),
            "{console}"
        );
        let in_clear = transcript(&starttls);
        let shown = conversation(console, "10.77.2.1:25");
        assert!(shown.starts_with(&in_clear), "{shown:?} begins with {in_clear:?}");
        let sealed = &shown[in_clear.len()..];
        assert!(
            sealed.len() > 4 && sealed.iter().all(|(_, text)| text.starts_with('[')),
            "{sealed:?}"
        );
        let implicit = conversation(console, "10.77.2.1:465");
        assert!(
            implicit.len() > 4 && implicit.iter().all(|(_, text)| text.starts_with('[')),
            "{implicit:?}"
        );
        let by_openssl = conversation(console, "[fd77::2]:587");
        assert!(by_openssl.contains(&(true, "STARTTLS")), "{by_openssl:?}");
        assert!(
            by_openssl
                .iter()
                .any(|(_, text)| text.starts_with("[TLS ServerHello")),
            "{by_openssl:?}"
        );
        assert_eq!(console.matches("TLS starts here").count(), 3, "{console}");
        assert!(!console.contains("sealed"), "{console}");
    }

    // What it showed and what it kept are the same.
    let again = Program::run(&["-r", &kept, "-c", "--color", "never"]);
    assert_eq!(again.stdout, on_any.stdout);

    // What the client says it sent is what stands in the file, byte for byte.
    let sent: String = transcript(&plain)
        .iter()
        .filter(|(sent, _)| *sent)
        .map(|(_, text)| format!("{text}\r\n"))
        .collect();
    let heard: String = transcript(&plain)
        .iter()
        .filter(|(sent, _)| !*sent)
        .map(|(_, text)| format!("{text}\r\n"))
        .collect();
    let files: Vec<_> = std::fs::read_dir(&flows)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    let file = |part: &dyn Fn(&str) -> bool| {
        let path = files
            .iter()
            .find(|path| part(path.file_name().unwrap().to_str().unwrap()));
        std::fs::read_to_string(path.unwrap_or_else(|| panic!("{files:?}"))).unwrap()
    };
    assert_eq!(file(&|name| name.ends_with("-10.77.2.2.25")), sent);
    assert_eq!(file(&|name| name.contains("_10.77.2.2.25-")), heard);
}
