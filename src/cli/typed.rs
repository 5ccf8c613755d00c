//! What becomes of a command line before anything looks at its options.

use clap::{CommandFactory, Parser};
use clap_complete::Shell;

use super::Args;

/// Why a command line is none of ours.
#[derive(Debug, thiserror::Error)]
#[error("{} (see --help)", in_one_line(&.0.to_string()))]
pub struct Refusal(clap::Error);

impl Args {
    /// The process's own command line. Where it asks for help or the version, that is printed, and the process ends.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn typed() -> Result<Self, Refusal> {
        Self::try_parse().map_err(|error| {
            if error.use_stderr() {
                Refusal(error)
            } else {
                error.exit()
            }
        })
    }
}

/// The script that completes our options in a shell.
pub fn completions(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "flowdump", &mut script);
    script
}

/// clap's paragraphs, of which those that repeat the usage are left out.
fn in_one_line(text: &str) -> String {
    let paragraphs = text
        .split("\n\n")
        .map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "));
    let said: Vec<_> = paragraphs
        .filter(|paragraph| {
            !paragraph.starts_with("Usage:") && !paragraph.starts_with("For more information")
        })
        .collect();
    let said = said.join("; ");
    said.strip_prefix("error: ").unwrap_or(&said).to_owned()
}
