//! flowdump as a process whose output is read while it comes.
#![allow(dead_code)] // Not every test program uses all of it.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How a run ended.
#[derive(Debug)]
pub struct Ended {
    /// `None`: by a signal.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// What a pipe has given so far, and the thread that reads it.
#[derive(Default)]
struct Reading {
    text: Arc<Mutex<Vec<u8>>>,
    closed: Arc<Mutex<bool>>,
    thread: Option<JoinHandle<()>>,
}

impl Reading {
    fn of(mut pipe: impl Read + Send + 'static) -> Self {
        let reading = Self::default();
        let (text, closed) = (Arc::clone(&reading.text), Arc::clone(&reading.closed));
        let thread = std::thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            while let Ok(len @ 1..) = pipe.read(&mut buffer) {
                text.lock().unwrap().extend_from_slice(&buffer[..len]);
                if *closed.lock().unwrap() {
                    break;
                }
            }
        });
        Self {
            thread: Some(thread),
            ..reading
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.text.lock().unwrap()).into_owned()
    }

    fn until(&self, wanted: &str, patience: Duration) {
        let begun = Instant::now();
        while !self.text().contains(wanted) {
            assert!(
                begun.elapsed() < patience,
                "no {wanted:?} within {patience:?} in {:?}",
                self.text()
            );
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn all(mut self) -> String {
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
        self.text()
    }
}

/// A run.
pub struct Program {
    child: Child,
    stdout: Reading,
    stderr: Reading,
}

impl Program {
    /// Starts a live capture with variables in its environment; it is open when this returns.
    pub fn start(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flowdump"));
        command.envs(variables.iter().copied());
        Self::start_command(command, arguments).listening()
    }

    /// The same by way of another program.
    pub fn start_by(mut command: Command, arguments: &[&str]) -> Self {
        command.arg(env!("CARGO_BIN_EXE_flowdump"));
        let program = Self::start_command(command, arguments);
        if arguments.contains(&"-i") {
            program.listening()
        } else {
            program
        }
    }

    /// Starts a live capture whose output nobody reads.
    pub fn start_unread(arguments: &[&str]) -> Self {
        let mut program = Self::spawn(Command::new(env!("CARGO_BIN_EXE_flowdump")), arguments);
        program.stderr = Reading::of(program.child.stderr.take().unwrap());
        program.listening()
    }

    /// A run to its end.
    pub fn run(arguments: &[&str]) -> Ended {
        Self::start_command(Command::new(env!("CARGO_BIN_EXE_flowdump")), arguments).ended()
    }

    fn start_command(command: Command, arguments: &[&str]) -> Self {
        let mut program = Self::spawn(command, arguments);
        program.stdout = Reading::of(program.child.stdout.take().unwrap());
        program.stderr = Reading::of(program.child.stderr.take().unwrap());
        program
    }

    fn spawn(mut command: Command, arguments: &[&str]) -> Self {
        let child = command
            .args(arguments)
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            child,
            stdout: Reading::default(),
            stderr: Reading::default(),
        }
    }

    fn listening(mut self) -> Self {
        let begun = Instant::now();
        while !self.stderr.text().contains("capturing on") {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("ended at once ({status}): {}", self.stderr.text());
            }
            assert!(
                begun.elapsed() < Duration::from_secs(10),
                "never opened: {}",
                self.stderr.text()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        self
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The status of each of its threads, as /proc has it.
    pub fn threads(&self) -> Vec<String> {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.id())).unwrap();
        threads
            .map(|thread| std::fs::read_to_string(thread.unwrap().path().join("status")).unwrap())
            .collect()
    }

    /// Waits until a text stands in the output.
    pub fn shows(&mut self, wanted: &str, patience: Duration) {
        self.stdout.until(wanted, patience);
    }

    /// Waits until a text was said on stderr.
    pub fn says(&self, wanted: &str, patience: Duration) {
        self.stderr.until(wanted, patience);
    }

    /// The reader goes away, as `head` does, with the next that comes.
    pub fn close_stdout(&mut self) {
        *self.stdout.closed.lock().unwrap() = true;
    }

    pub fn running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.id() as i32), signal).unwrap();
    }

    /// Ends it by a signal.
    pub fn end(self, signal: Signal) -> Ended {
        self.signal(signal);
        self.ended()
    }

    /// Waits for its end.
    pub fn ended(mut self) -> Ended {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if begun.elapsed() > Duration::from_secs(10) {
                let _ = self.child.kill();
                panic!("it does not end; it said {:?}", self.stderr.text());
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        // Nobody read it: what is left in the pipe is not asked for.
        drop(self.child.stdout.take());
        Ended {
            code: status.code(),
            stdout: self.stdout.all(),
            stderr: self.stderr.all(),
        }
    }
}
