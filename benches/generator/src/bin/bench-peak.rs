//! Runs a command and says the most memory it held: in all, and without what is mapped from files, which
//! the kernel takes back whenever it wants.

use std::fs;
use std::process::{Command, ExitCode};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// Prints `wall seconds, peak KiB, peak KiB not mapped from files`, tab-separated, on standard error's last
/// line. Sampled every two milliseconds: a shorter peak may be missed.
fn main() -> Result<ExitCode> {
    let mut args = std::env::args_os().skip(1);
    let program = args.next().context("usage: bench-peak COMMAND [ARGUMENT]…")?;
    let start = Instant::now();
    let mut child = Command::new(program).args(args).spawn()?;
    let path = format!("/proc/{}/status", child.id());
    let (mut all, mut anonymous) = (0, 0);
    let status = loop {
        if let Ok(text) = fs::read_to_string(&path) {
            let field = |name: &str| -> u64 {
                let line = text.lines().find_map(|line| line.strip_prefix(name));
                line.and_then(|line| line.split_whitespace().next()?.parse().ok())
                    .unwrap_or(0)
            };
            all = all.max(field("VmHWM:"));
            anonymous = anonymous.max(field("RssAnon:"));
        }
        if let Some(status) = child.try_wait()? {
            break status;
        }
        sleep(Duration::from_millis(2));
    };
    eprintln!("{:.3}\t{all}\t{anonymous}", start.elapsed().as_secs_f64());
    Ok(ExitCode::from(
        status
            .code()
            .and_then(|code| u8::try_from(code).ok())
            .unwrap_or(1),
    ))
}
