//! Real servers and clients for the live mail tests: the namespaces of lab.sh, and what was said in them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use super::program::Program;

/// The namespaces and servers, until dropped.
pub struct Lab {
    folder: tempfile::TempDir,
    pub client: String,
    pub server: String,
}

impl Lab {
    /// `None`, said by the test's name, where something that it takes is missing.
    pub fn up(test: &str, needs: &[&str]) -> Option<Self> {
        static LABS: AtomicU32 = AtomicU32::new(0);
        let missing = ["ip", "postfix", "openssl"]
            .iter()
            .chain(needs)
            .find(|tool| !installed(tool));
        if let Some(tool) = missing {
            eprintln!("skipped: {test}: {tool} is not installed (make test-deps)");
            return None;
        }
        let allowed = Command::new("unshare").args(["-n", "-m", "true"]).output();
        if !nix::unistd::geteuid().is_root() || !allowed.is_ok_and(|ran| ran.status.success()) {
            eprintln!("skipped: {test}: needs root, for network namespaces");
            return None;
        }
        let number = LABS.fetch_add(1, Ordering::Relaxed);
        let name = format!("fd-live-{}-{number}", std::process::id());
        let lab = Self {
            folder: tempfile::tempdir_in("/tmp").unwrap(),
            client: format!("{name}-c"),
            server: format!("{name}-s"),
        };
        lab.script("up", &[&lab.client, &lab.server]);
        Some(lab)
    }

    /// The namespace in the middle, with a bridge that the cable now goes through.
    pub fn bridge(&self) -> String {
        self.script("bridge", &[]);
        format!("{}-wire", self.client)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn script(&self, action: &str, more: &[&str]) {
        // Other users must be able to pass through.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(self.folder.path(), mode).unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/lab.sh");
        // A file: the servers keep it open for as long as they live.
        let log = std::fs::File::create(self.path("script.log")).unwrap();
        let status = Command::new("bash")
            .arg(script)
            .arg(action)
            .arg(self.path("lab"))
            .args(more)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .status();
        assert!(
            status.unwrap().success(),
            "{}",
            std::fs::read_to_string(self.path("script.log")).unwrap()
        );
    }

    pub fn flowdump(&self, namespace: &str, arguments: &[&str]) -> Program {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", namespace]);
        Program::start_by(command, arguments)
    }

    /// A client's own account of what it said and heard.
    pub fn client(&self, command: &[&str]) -> String {
        let output = Command::new("ip")
            .args(["netns", "exec", &self.client])
            .args(command)
            .stdin(Stdio::null())
            .output();
        let output = output.unwrap();
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    }

    /// A mail by swaks to a server as flowdump writes it; more options.
    pub fn swaks(&self, server: &str, more: &[&str]) -> String {
        let (host, port) = server.rsplit_once(':').unwrap();
        let mut command = vec!["swaks", "--server", host, "--port", port];
        command.extend(["--helo", "client.sender.test", "--from", "carol@sender.test"]);
        command.extend(["--to", "alice@mx.example.test", "--body", "line one\\nline two"]);
        command.extend(more);
        let said = self.client(&command);
        assert!(said.contains("QUIT\n") && !said.contains("\n***"), "{said}");
        said
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.script("down", &[]);
    }
}

/// A command in PATH, or a file below the repository.
fn installed(tool: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let mut folders: Vec<_> = std::env::split_paths(&path).collect();
    folders.push(env!("CARGO_MANIFEST_DIR").into());
    folders.iter().any(|folder| folder.join(tool).exists())
}

/// What swaks says went over the wire in clear: whether the client spoke, and the line.
pub fn transcript(swaks: &str) -> Vec<(bool, &str)> {
    swaks
        .lines()
        .filter_map(|line| {
            let sent = line.strip_prefix(" -> ").map(|text| (true, text));
            sent.or_else(|| line.strip_prefix("<-  ").map(|text| (false, text)))
        })
        .collect()
}

/// The console's lines of the conversation with a server: whether the client spoke, and what.
pub fn conversation<'a>(console: &'a str, server: &str) -> Vec<(bool, &'a str)> {
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

/// One side of a transcript as the bytes that it was.
pub fn bytes(transcript: &[(bool, &str)], by_client: bool) -> String {
    transcript
        .iter()
        .filter(|(by, _)| *by == by_client)
        .map(|(_, text)| format!("{text}\r\n"))
        .collect()
}
