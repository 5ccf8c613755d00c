//! The binary: parse, run, exit code.
#![forbid(unsafe_code)]

use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use flowdump::capture::{CaptureError, interfaces};
use flowdump::cli::Args;
use flowdump::config::{Config, Surroundings};
use flowdump::pipeline::{self, RunError};

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(shell) = args.completions {
        clap_complete::generate(shell, &mut Args::command(), "flowdump", &mut std::io::stdout());
        return ExitCode::SUCCESS;
    }
    if args.list_interfaces {
        return match interfaces::list().map(|list| interfaces::table(&list)) {
            // A reader that has gone is none of our business.
            Ok(table) => std::io::stdout()
                .write_all(table.as_bytes())
                .map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS),
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
        Err(error @ RunError::Capture(CaptureError::Filter { .. })) => fail(&error, 2),
        Err(error) => fail(&error, 1),
    }
}

/// One line on stderr.
fn fail(error: &dyn std::error::Error, code: u8) -> ExitCode {
    eprintln!("flowdump: {error}");
    ExitCode::from(code)
}
