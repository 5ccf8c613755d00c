//! What of the process's surroundings matters: terminals, locale, environment.

use std::ffi::OsString;
use std::io::IsTerminal;

use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};
use nix::sys::stat::{SFlag, fstat};

use super::OPEN_FILES;

/// Descriptors for what is no stream's file: captures, indexes, terminals, what libraries open.
const OTHERS: rlim_t = 32;

/// What of the surroundings matters.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// Processors that this process may use.
    pub cores: usize,
    /// Streams' files that this process may have open.
    pub open_files: usize,
    /// stdout is a terminal.
    pub stdout_terminal: bool,
    /// stdout is a pipe.
    pub stdout_pipe: bool,
    /// How wide stdout's terminal is.
    pub width: Option<usize>,
    /// stderr is a terminal.
    pub stderr_terminal: bool,
    /// `NO_COLOR`.
    pub no_color: Option<OsString>,
    /// The locale's character set is UTF-8.
    pub utf8: bool,
    /// The time now, as a file name has it.
    pub start: String,
}

impl Surroundings {
    /// The surroundings of this process.
    pub fn here() -> Self {
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
            .into_iter()
            .filter_map(std::env::var_os)
            .find(|value| !value.is_empty())
            .unwrap_or_default()
            .to_string_lossy()
            .to_ascii_lowercase();
        Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            open_files: open_files(),
            stdout_terminal: std::io::stdout().is_terminal(),
            stdout_pipe: fstat(std::io::stdout())
                .is_ok_and(|stat| SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFIFO),
            width: terminal_size::terminal_size_of(std::io::stdout()).map(|(width, _)| usize::from(width.0)),
            stderr_terminal: std::io::stderr().is_terminal(),
            no_color: std::env::var_os("NO_COLOR"),
            utf8: locale.contains("utf-8") || locale.contains("utf8"),
            start: chrono::Utc::now().format("%Y%m%dT%H%M%SZ").to_string(),
        }
    }
}

/// How many streams' files may be open. What the system lets us have more is asked for where it takes that.
fn open_files() -> usize {
    let wanted = OPEN_FILES as rlim_t + OTHERS;
    let Ok((mut may, at_most)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return OPEN_FILES;
    };
    let more = wanted.min(at_most);
    if may < more && setrlimit(Resource::RLIMIT_NOFILE, more, at_most).is_ok() {
        may = more;
    }
    usize::try_from(may.saturating_sub(OTHERS)).unwrap_or(OPEN_FILES)
}
