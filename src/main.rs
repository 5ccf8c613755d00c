//! The binary: parse, run, exit code.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use flowdump::capture::{CaptureError, interfaces};
use flowdump::cli::{Args, completions};
use flowdump::config::{Config, Surroundings};
use flowdump::pipeline::{self, RunError};
use flowdump::tell::{print, tell};

fn main() -> ExitCode {
    ExitCode::from(run().unwrap_or_else(|(error, code)| {
        tell(&error);
        code
    }))
}

/// An exit code; or what to say, and the exit code for that.
fn run() -> Result<u8, (String, u8)> {
    let args = Args::typed().map_err(|refusal| (refusal.to_string(), 2))?;
    let printed = |text: &[u8]| print(text).map_or_else(failed, |()| Ok(0));
    if let Some(shell) = args.completions {
        return printed(&completions(shell));
    }
    if args.list_interfaces {
        return printed(interfaces::table(&interfaces::list().or_else(failed)?).as_bytes());
    }
    let config = Config::resolve(args, &Surroundings::here()).map_err(|error| (error.to_string(), 2))?;
    match pipeline::run(&config) {
        Ok(whole) => Ok(u8::from(!whole)),
        Err(RunError::Capture(error @ CaptureError::Filter { .. })) => Err((config.wrong_filter(&error), 2)),
        Err(error) => failed(error),
    }
}

fn failed<T>(error: impl std::error::Error) -> Result<T, (String, u8)> {
    Err((error.to_string(), 1))
}
