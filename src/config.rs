//! What a run is to do, resolved from the arguments as typed, the environment and the terminal.
//!
//! Nothing past `main` sees the arguments. Everything that can be wrong about them is said here, before
//! anything is opened or created.

mod looks;
mod surroundings;
#[cfg(test)]
mod tests;

use std::ffi::OsStr;
use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::capture::interfaces::default_interface;
use crate::capture::{CaptureError, LiveOptions, WriteOptions};
use crate::cli::{Args, Rotate, TlsMode};
use crate::decode::DecodeOptions;
use crate::flow::FlowOptions;
use crate::output::{ConsoleOptions, FilesOptions, Format, Namer, Rotation, SummaryOptions, TemplateError};
use crate::shard::Shard;
use looks::{console_options, summary_options};
pub use surroundings::Surroundings;

/// Files open at once, where the system allows it.
pub const OPEN_FILES: usize = 512;

/// An unfinished line is shown, and what was gathered for a file written, after this time.
const PATIENCE: Duration = Duration::from_secs(1);

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
    pub summary: Option<SummaryOptions>,
    /// Events as JSON Lines, `-` for stdout.
    pub json: Option<PathBuf>,
    /// The packets, `-` for stdout.
    pub write: Option<(PathBuf, WriteOptions)>,
    /// One part of all connections.
    pub shard: Option<Shard>,
    /// Bytes kept of each direction.
    pub max_bytes: Option<u64>,
    /// Stop a live capture after this time.
    pub duration: Option<Duration>,
    /// Become this user; `None` is who called sudo.
    pub user: Option<String>,
    /// One reads and, with more than one, the others write: several where only files are written.
    pub threads: usize,
    /// What is shown goes into a pipe, to a pager most likely, on the terminal that stderr is: totals in which nothing is
    /// out of the ordinary would only spoil its page.
    pub paged: bool,
    /// Errors only.
    pub quiet: bool,
    /// A bar on stderr shows how far a file has been read.
    pub progress: bool,
}

/// What is wrong with the arguments.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    /// `-F`, `-T`.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// `-l` alone.
    #[error("-l: the remaining arguments are capture files, and there is none")]
    NoFiles,
    /// More than one output on stdout.
    #[error("{0} and {1} can't both write to standard output")]
    OneOutput(&'static str, &'static str),
    /// No interface to take by default.
    #[error(transparent)]
    Interface(#[from] CaptureError),
    /// `-B --tls records`.
    #[error("-B writes bytes, --tls records words about them: -B goes with --tls raw or hide")]
    WordsInBytes,
    /// `--rotate` with an archive.
    #[error("--rotate makes folders: it does not go with an archive (-o NAME.zip, NAME.tar)")]
    RotatedArchive,
    /// `-o -`, which would be a folder of that name.
    #[error(
        "-o names a folder or an archive: on standard output -c shows streams, --json events, -w - packets"
    )]
    FolderOnStdout,
    /// An output that is an input.
    #[error("{0} {path} would write over the capture that is read", path = .1.display())]
    OverInput(&'static str, PathBuf),
    /// Two outputs in one file.
    #[error("-w and --json can't both write to {}", .0.display())]
    SameFile(PathBuf),
}

impl Config {
    /// Bytes that watchers may keep for all connections together, and as many again the console, beyond a little for each
    /// connection, which the flow table accounts for.
    pub(crate) fn buffers(&self) -> usize {
        self.flow.memory / 4
    }

    /// What to say where the filter does not compile: why, and what was meant where that is known.
    pub fn wrong_filter(&self, error: &CaptureError) -> String {
        let meant = self.meant_by_filter().map(|meant| format!("\n{meant}"));
        format!("{error}{}", meant.unwrap_or_default())
    }

    fn meant_by_filter(&self) -> Option<String> {
        let mut words = self.filter.split_whitespace();
        if let Some(file) = words.find(|word| Path::new(word).is_file()) {
            return Some(format!(
                "{file} is a file: -r {file} reads it, -l takes all such words as files"
            ));
        }
        self.json.as_ref().filter(|path| path.as_os_str() == "-")?;
        Some("--json takes its file behind a `=`: --json=FILE".to_owned())
    }

    /// Resolves the arguments.
    ///
    /// # Errors
    /// [`UsageError`].
    pub fn resolve(args: Args, here: &Surroundings) -> Result<Self, UsageError> {
        let (files_to_read, filter) = if args.list {
            let listed = args.filter.iter().map(PathBuf::from);
            let files: Vec<_> = args.read.iter().cloned().chain(listed).collect();
            if files.is_empty() {
                return Err(UsageError::NoFiles);
            }
            (files, String::new())
        } else {
            (args.read.clone(), args.filter.join(" "))
        };
        for (option, path) in [("-w", &args.write), ("--json", &args.json)] {
            if let Some(path) = path
                .as_ref()
                .filter(|path| files_to_read.iter().any(|input| is_over(path, input)))
            {
                return Err(UsageError::OverInput(option, path.clone()));
            }
        }
        if let (Some(packets), Some(events)) = (&args.write, &args.json)
            && is_over(packets, events)
        {
            return Err(UsageError::SameFile(events.clone()));
        }
        let live = files_to_read.is_empty();
        let is_pipe = |path: &PathBuf| {
            path.as_os_str() == "-" || path.metadata().is_ok_and(|there| there.file_type().is_fifo())
        };
        let reads_pipe = files_to_read.iter().any(is_pipe);
        let console = args.console || args.console_bare;
        let namer = if args.file_letters.is_some() || args.template.is_some() {
            Namer::tcpflow(
                args.file_letters.as_deref().unwrap_or(""),
                args.template.as_deref(),
            )?
        } else {
            Namer::default()
        };
        check_stdout(&args)?;
        if args.binary && args.tls == Some(TlsMode::Records) {
            return Err(UsageError::WordsInBytes);
        }
        let no_files = args
            .file_letters
            .as_deref()
            .is_some_and(|letters| letters.contains('X'));
        let other_output = console || args.summary || args.json.is_some() || args.write.is_some();
        let wants_files = !no_files && (args.output_dir.is_some() || !other_output);
        if args
            .output_dir
            .as_deref()
            .is_some_and(|folder| folder.as_os_str() == "-")
        {
            return Err(UsageError::FolderOnStdout);
        }
        let archive = args.output_dir.as_deref().and_then(Format::of);
        if let (Some(_), Some(_)) = (archive, args.rotate) {
            return Err(UsageError::RotatedArchive);
        }
        let threads = args.threads.unwrap_or((2 * here.cores + 1).min(MOST_THREADS));
        let files = wants_files.then(|| FilesOptions {
            archive,
            // Beside the one that reads and the one that writes.
            aside: threads > 2,
            folder: args
                .output_dir
                .clone()
                .unwrap_or_else(|| default_folder(files_to_read.first(), here)),
            named: args.output_dir.is_some(),
            namer,
            min_gap: args.min_gap,
            split_tls: !args.no_split_tls,
            rotation: args.rotate.map(|rotate| match rotate {
                Rotate::Day => Rotation::Day,
                Rotate::Size(size) => Rotation::Size(size),
            }),
            patience: (live || reads_pipe).then_some(PATIENCE),
            keep_going: live,
            open_files: here.open_files.clamp(1, OPEN_FILES),
        });
        let crowded = console && here.stdout_terminal;
        let shows = console || args.summary;
        let paged = here.stderr_terminal && here.stdout_pipe && shows && !live && !args.verbose;
        let progress = here.stderr_terminal && !live && !args.quiet && !crowded && !paged;
        let bounds = FlowOptions::default();
        let memory = usize::try_from(args.memory).unwrap_or(usize::MAX);
        let flow = FlowOptions {
            memory,
            max_connections: args.max_connections,
            idle_timeout: args.idle_timeout,
            // One direction with a hole is not to push all others out.
            hold_per_direction: bounds.hold_per_direction.min(memory / 12),
            ..bounds
        };
        Ok(Self {
            filter,
            decode: DecodeOptions {
                ignore_vlan: args.ignore_vlan,
                ..DecodeOptions::default()
            },
            flow,
            console: console.then(|| console_options(&args, here, live || reads_pipe)),
            files,
            write: args.write.clone().map(|path| {
                let options = WriteOptions {
                    size: args.write_size,
                    every: args.write_every,
                    count: args.write_count,
                };
                (path, options)
            }),
            summary: args.summary.then(|| summary_options(&args, here)),
            json: args.json.clone(),
            shard: args.shard,
            max_bytes: args.max_bytes,
            duration: args.duration,
            user: args.relinquish_privileges.clone(),
            threads,
            quiet: args.quiet,
            progress,
            paged,
            input: if live {
                Input::Live(live_options(&args, console)?)
            } else {
                Input::Files(files_to_read)
            },
        })
    }
}

/// One that reads can't keep more than so many others busy.
const MOST_THREADS: usize = 9;

/// Whether writing to `output`, or to one of the numbered files that `-w` makes of it, writes over `file`, which need
/// not be there yet.
fn is_over(output: &Path, file: &Path) -> bool {
    let there = |path: &Path| path.metadata().ok();
    if output == Path::new("-") || there(output).is_some_and(|output| !output.is_file()) {
        return false;
    }
    // Which the shell may have opened: `-r - -w FILE <FILE`.
    let file = if file == Path::new("-") {
        Path::new("/dev/stdin")
    } else {
        file
    };
    let inode = |metadata: Metadata| (metadata.dev(), metadata.ino());
    if let (Some(output), Some(file)) = (there(output), there(file))
        && inode(output) == inode(file)
    {
        return true;
    }
    let real = file.canonicalize();
    let Some((output, file)) = place(output).zip(place(real.as_deref().unwrap_or(file))) else {
        return false;
    };
    let number = file.1.as_bytes().strip_prefix(output.1.as_bytes());
    output.0 == file.0 && number.is_some_and(|number| number.iter().all(u8::is_ascii_digit))
}

/// A file's folder, without links on the way, and its name.
fn place(path: &Path) -> Option<(PathBuf, &OsStr)> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new(".")).canonicalize().ok()?;
    Some((folder, path.file_name()?))
}

fn live_options(args: &Args, console: bool) -> Result<LiveOptions, UsageError> {
    let interface = match &args.interface {
        Some(interface) => interface.clone(),
        None => default_interface()?,
    };
    Ok(LiveOptions {
        interface,
        promiscuous: !args.no_promiscuous,
        snaplen: args.snaplen,
        buffer_size: args.buffer_size,
        immediate: console,
        wait: args.wait,
    })
}

fn check_stdout(args: &Args) -> Result<(), UsageError> {
    let is_stdout = |path: &Option<PathBuf>| path.as_deref().map(Path::as_os_str) == Some(OsStr::new("-"));
    let takers = [
        ("-c", args.console || args.console_bare),
        ("--json", is_stdout(&args.json)),
        ("-w -", is_stdout(&args.write)),
    ];
    let mut taken = takers.iter().filter(|(_, takes)| *takes).map(|(name, _)| *name);
    match (taken.next(), taken.next()) {
        (Some(first), Some(second)) => Err(UsageError::OneOutput(first, second)),
        (Some(first @ ("--json" | "-w -")), None) if args.summary => {
            Err(UsageError::OneOutput(first, "--summary"))
        }
        _ => Ok(()),
    }
}

/// `mail.flows` for `/some/where/mail.pcap.gz`, in the current folder.
fn default_folder(first: Option<&PathBuf>, here: &Surroundings) -> PathBuf {
    let Some(first) = first else {
        return PathBuf::from(format!("flowdump-{}.flows", here.start));
    };
    if first.as_os_str() == "-" {
        return PathBuf::from("stdin.flows");
    }
    let mut name = PathBuf::from(first.file_name().unwrap_or(OsStr::new("capture")));
    for endings in [&["gz", "zst"][..], &["pcap", "pcapng", "cap", "dmp", "ntar"][..]] {
        if name
            .extension()
            .is_some_and(|end| endings.iter().any(|ending| end.eq_ignore_ascii_case(ending)))
        {
            name.set_extension("");
        }
    }
    let mut name = name.into_os_string();
    name.push(".flows");
    PathBuf::from(name)
}
