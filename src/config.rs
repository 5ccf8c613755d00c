//! What a run is to do, resolved from the arguments as typed, the environment and the terminal.
//!
//! Nothing past `main` sees the arguments. Everything that can be wrong about them is said here,
//! before anything is opened or created.

use std::ffi::OsStr;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::capture::{LiveOptions, WriteOptions};
use crate::cli::{Args, BodyLines, Rotate, TimeMode, TlsMode, When};
use crate::decode::DecodeOptions;
use crate::flow::FlowOptions;
use crate::output::{Body, ConsoleOptions, FilesOptions, Namer, TimeStyle, TlsStyle};

/// Where packets come from.
#[derive(Debug, Clone)]
pub enum Input {
    /// Capture files, `-` for stdin.
    Files(Vec<PathBuf>),
    /// An interface.
    Live(LiveOptions),
}

/// What a run is to do.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where packets come from.
    pub input: Input,
    /// pcap-filter(7), empty for everything.
    pub filter: String,
    /// For the decoder.
    pub decode: DecodeOptions,
    /// For the flow table.
    pub flow: FlowOptions,
    /// Both directions interleaved on stdout.
    pub console: Option<ConsoleOptions>,
    /// Streams as files.
    pub files: Option<FilesOptions>,
    /// The table of mail sessions.
    pub summary: Option<SummaryConfig>,
    /// JSON Lines, `-` for stdout.
    pub json: Option<PathBuf>,
    /// The packets, `-` for stdout.
    pub write: Option<(PathBuf, WriteOptions)>,
    /// Stop after this time.
    pub duration: Option<Duration>,
    /// Become this user; `None` is who called sudo.
    pub user: Option<String>,
    /// Errors only.
    pub quiet: bool,
    /// 0, 1 or 2.
    pub verbose: u8,
}
