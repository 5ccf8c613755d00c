//! The binary: parse, run, exit code.
#![forbid(unsafe_code)]

use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use flowdump::capture::{CaptureError, interfaces};
use flowdump::cli::Args;
use flowdump::config::{Config, Surroundings};
use flowdump::event::SinkError;
use flowdump::pipeline::{self, RunError};
use flowdump::tell::tell;

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(asked_for) if !asked_for.use_stderr() => asked_for.exit(),
        Err(error) => {
            tell(&refusal(&error.to_string()));
            return ExitCode::from(2);
        }
    };
    if let Some(shell) = args.completions {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Args::command(), "flowdump", &mut script);
        return print(&script);
    }
    if args.list_interfaces {
        return match interfaces::list().map(|list| interfaces::table(&list)) {
            Ok(table) => print(table.as_bytes()),
            Err(error) => fail(&error, 1),
        };
    }
    let config = match Config::resolve(args, &Surroundings::here()) {
        Ok(config) => config,
        Err(error) => return fail(&error, 2),
    };
    match pipeline::run(&config) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error @ RunError::Capture(CaptureError::Filter { .. })) => {
            fail(&error, 2);
            if let Some(hint) = filter_hint(&config) {
                tell(&hint);
            }
            ExitCode::from(2)
        }
        Err(error) => fail(&error, 1),
    }
}

/// What clap says in paragraphs, in one line as every other error.
fn refusal(text: &str) -> String {
    let paragraphs = text
        .split("\n\n")
        .map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "));
    let said: Vec<_> = paragraphs
        .filter(|paragraph| {
            !paragraph.starts_with("Usage:") && !paragraph.starts_with("For more information")
        })
        .collect();
    let said = said.join("; ");
    let reason = said.strip_prefix("error: ").unwrap_or(&said);
    format!("{reason} (see --help)")
}

/// What was meant by words that are no filter.
fn filter_hint(config: &Config) -> Option<String> {
    let mut words = config.filter.split_whitespace();
    if let Some(file) = words.find(|word| Path::new(word).is_file()) {
        return Some(format!(
            "{file} is a file: -r {file} reads it, -l takes all such words as files"
        ));
    }
    config.json.as_ref().filter(|path| path.as_os_str() == "-")?;
    Some("--json takes its file behind a `=`: --json=FILE".to_owned())
}

/// Text on standard output; a reader that has gone has what it wanted.
fn print(text: &[u8]) -> ExitCode {
    match std::io::stdout().write_all(text) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            fail(&SinkError::io("standard output", error), 1)
        }
        _ => ExitCode::SUCCESS,
    }
}

/// One line on stderr.
fn fail(error: &dyn std::error::Error, code: u8) -> ExitCode {
    tell(&error.to_string());
    ExitCode::from(code)
}
