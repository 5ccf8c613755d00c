//! The command line as typed: the one place that knows clap.
//!
//! Short letters follow tcpflow; what tcpdump or Wireshark add has long names only.

mod typed;
mod values;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use crate::shard::Shard;
pub use typed::{Refusal, completions};
use values::{duration, gap, memory, size32, size64, some_size, some_time};

const HEADING_INPUT: &str = "Input";
const HEADING_OUTPUT: &str = "Output";
const HEADING_CONSOLE: &str = "Console";
const HEADING_FILES: &str = "Files";
const HEADING_LIMITS: &str = "Limits";
const HEADING_OTHER: &str = "Other";

/// Either makes a conversation on the console, which some options are about.
const ON_CONSOLE: &str = "on_console";

/// Put TCP streams back together, and see what mail servers say to each other.
///
/// Reads a live interface or capture files, puts TCP back together, and writes each direction of every
/// connection as a file, or with -c both directions interleaved on the console. Knows SMTP, POP3, IMAP,
/// LMTP and ManageSieve, and marks where traffic turns to TLS.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "flowdump",
    version,
    max_term_width = 100,
    args_override_self = true,
    group = clap::ArgGroup::new(ON_CONSOLE).multiple(true),
    after_help = "Examples:\n  \
        sudo flowdump -i any -c port 25           watch mail as it comes and goes\n  \
        flowdump -c -r mail.pcap port 25 | less -R  read a capture like a transcript\n  \
        flowdump -r mail.pcap                     every stream as a file in mail.flows/\n  \
        flowdump --summary -r mail.pcap           one line a mail session\n\n\
        See man flowdump for all of it."
)]
pub struct Args {
    /// Packets to look at, as pcap-filter(7): `port 25 and host 192.0.2.1`
    #[arg(value_name = "FILTER")]
    pub filter: Vec<String>,

    /// Read a capture file (pcap, pcapng, also .gz and .zst; `-` is stdin). Repeatable: one capture
    #[arg(short, long, value_name = "FILE", help_heading = HEADING_INPUT)]
    pub read: Vec<PathBuf>,

    /// The remaining arguments are capture files
    #[arg(short, long, help_heading = HEADING_INPUT)]
    pub list: bool,

    /// Capture live from an interface; `any` for all
    #[arg(short, long, value_name = "IF", help_heading = HEADING_INPUT, conflicts_with_all = ["read", "list"])]
    pub interface: Option<String>,

    /// List the interfaces and leave
    #[arg(long, help_heading = HEADING_INPUT)]
    pub list_interfaces: bool,

    /// Do not put the interface into promiscuous mode
    #[arg(short = 'p', long, help_heading = HEADING_INPUT)]
    pub no_promiscuous: bool,

    /// Bytes kept of each packet
    #[arg(long, value_name = "BYTES", default_value = "262144", value_parser = size32, help_heading = HEADING_INPUT)]
    pub snaplen: u32,

    /// Memory that the kernel holds packets in until we take them
    #[arg(long, value_name = "SIZE", default_value = "64M", value_parser = size32, help_heading = HEADING_INPUT)]
    pub buffer_size: u32,

    /// Stop a live capture after this time (`90`, `5m`, `1h`)
    #[arg(long, value_name = "TIME", value_parser = duration, conflicts_with_all = ["read", "list"], help_heading = HEADING_INPUT)]
    pub duration: Option<Duration>,

    /// Wait for the interface to appear, and to come back
    #[arg(long, conflicts_with_all = ["read", "list"], help_heading = HEADING_INPUT)]
    pub wait: bool,

    /// Take packets in different VLANs or tunnels for one conversation
    #[arg(long, help_heading = HEADING_INPUT)]
    pub ignore_vlan: bool,

    /// Both directions interleaved on stdout; no files
    #[arg(short, long, group = ON_CONSOLE, help_heading = HEADING_OUTPUT)]
    pub console: bool,

    /// The same without time and addresses
    #[arg(short = 'C', long, group = ON_CONSOLE, help_heading = HEADING_OUTPUT)]
    pub console_bare: bool,

    /// One line a mail session
    #[arg(long, help_heading = HEADING_OUTPUT)]
    pub summary: bool,

    /// Do not cut the summary's columns to the width of the terminal
    #[arg(long, requires = "summary", help_heading = HEADING_OUTPUT)]
    pub wide: bool,

    /// Events as JSON Lines, on stdout or into FILE
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "-", help_heading = HEADING_OUTPUT)]
    pub json: Option<PathBuf>,

    /// Where files go: a folder, or one archive, NAME.zip or NAME.tar
    /// [default: <capture>.flows/, live flowdump-<start>.flows/]
    #[arg(short, long, value_name = "DIR", help_heading = HEADING_OUTPUT)]
    pub output_dir: Option<PathBuf>,

    /// Also write the packets that pass the filter, as pcap (`-` is stdout)
    #[arg(short, long, value_name = "FILE", help_heading = HEADING_OUTPUT)]
    pub write: Option<PathBuf>,

    /// With -w: a new file after so many bytes (FILE1, FILE2, …)
    #[arg(long, value_name = "SIZE", value_parser = some_size, requires = "write", group = "write_rotation", help_heading = HEADING_OUTPUT)]
    pub write_size: Option<u64>,

    /// With -w: a new file after so much time
    #[arg(long, value_name = "TIME", value_parser = some_time, requires = "write", group = "write_rotation", help_heading = HEADING_OUTPUT)]
    pub write_every: Option<Duration>,

    /// With -w: keep so many files, the oldest go
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), requires = "write_rotation", help_heading = HEADING_OUTPUT)]
    pub write_count: Option<u32>,

    /// Colours, always (the same as --color always)
    #[arg(short = 'g', long, overrides_with = "color", help_heading = HEADING_CONSOLE)]
    pub colour: bool,

    /// When to colour [default: always with -c, made for less -R; NO_COLOR is respected]
    #[arg(long, value_name = "WHEN", overrides_with = "colour", help_heading = HEADING_CONSOLE)]
    pub color: Option<When>,

    /// How times are shown
    #[arg(long, value_name = "HOW", default_value = "utc", help_heading = HEADING_CONSOLE)]
    pub time: TimeMode,

    /// What is shown of TLS: a line a record run, raw bytes, or the marker alone
    /// [default: records; raw with -D and -B]
    #[arg(long, value_name = "HOW", requires = ON_CONSOLE, help_heading = HEADING_CONSOLE)]
    pub tls: Option<TlsMode>,

    /// Lines shown of each message: a number, `all` or `none` [default: 20 on a terminal, else all]
    #[arg(long, value_name = "LINES", requires = ON_CONSOLE, conflicts_with_all = ["hex", "binary"], help_heading = HEADING_CONSOLE)]
    pub body: Option<BodyLines>,

    /// Show passwords and what else AUTH carries
    #[arg(long, requires = ON_CONSOLE, help_heading = HEADING_CONSOLE)]
    pub show_secrets: bool,

    /// As a hex dump
    #[arg(short = 'D', long, requires = ON_CONSOLE, help_heading = HEADING_CONSOLE, conflicts_with = "binary")]
    pub hex: bool,

    /// Raw bytes: nothing escaped. Not for a terminal
    #[arg(short = 'B', long, requires = ON_CONSOLE, help_heading = HEADING_CONSOLE)]
    pub binary: bool,

    /// A dot for each byte that can't be printed
    #[arg(short, long, requires = ON_CONSOLE, help_heading = HEADING_CONSOLE)]
    pub strip: bool,

    /// File names as tcpflow's -F makes them: c t T X M k m g
    #[arg(short = 'F', long, value_name = "LETTERS", help_heading = HEADING_FILES)]
    pub file_letters: Option<String>,

    /// File names by tcpflow's template: %A %a %B %b %T %t %c …
    #[arg(short = 'T', long, value_name = "TEMPLATE", help_heading = HEADING_FILES)]
    pub template: Option<String>,

    /// A gap of so many bytes or more starts a new file
    #[arg(short, long, value_name = "BYTES", default_value = "16M", value_parser = gap, help_heading = HEADING_FILES)]
    pub min_gap: u64,

    /// Keep clear text and TLS of a stream in one file
    #[arg(long, help_heading = HEADING_FILES)]
    pub no_split_tls: bool,

    /// A new folder each day, or after so many bytes
    #[arg(long, value_name = "day|SIZE", help_heading = HEADING_FILES)]
    pub rotate: Option<Rotate>,

    /// Bytes kept of each direction
    #[arg(short = 'b', long, value_name = "BYTES", value_parser = size64, help_heading = HEADING_LIMITS)]
    pub max_bytes: Option<u64>,

    /// Memory for connections and for data that waits for its turn
    #[arg(long, value_name = "SIZE", default_value = "192M", value_parser = memory, help_heading = HEADING_LIMITS)]
    pub memory: u64,

    /// Connections followed at the same time; beyond it the idlest go
    #[arg(long, value_name = "N", default_value_t = 1 << 20, help_heading = HEADING_LIMITS)]
    pub max_connections: usize,

    /// Only part K of N of all connections: N such runs over the same captures find all, each once
    #[arg(long, value_name = "K/N", help_heading = HEADING_INPUT)]
    pub shard: Option<Shard>,

    /// A connection is over when nothing came for so long
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = some_time, help_heading = HEADING_LIMITS)]
    pub idle_timeout: Duration,

    /// Read and write on so many threads [default: two for each processor and one, at most 9]
    #[arg(long, value_name = "N", help_heading = HEADING_LIMITS)]
    pub threads: Option<usize>,

    /// After opening the interface become this user
    #[arg(short = 'U', long, value_name = "USER", help_heading = HEADING_OTHER)]
    pub relinquish_privileges: Option<String>,

    /// No totals, no progress, no warnings; errors only
    #[arg(short, long, conflicts_with = "verbose", help_heading = HEADING_OTHER)]
    pub quiet: bool,

    /// On the console also what TCP does: connections opened and closed, retransmissions, zero windows, …
    #[arg(short, long, help_heading = HEADING_OTHER)]
    pub verbose: bool,

    /// Print completions for a shell and leave
    #[arg(long, value_name = "SHELL", help_heading = HEADING_OTHER)]
    pub completions: Option<clap_complete::Shell>,
}

/// When to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum When {
    /// Also into files and pipes.
    Always,
    /// Only on a terminal.
    Auto,
    /// Not at all.
    Never,
}

/// How times are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TimeMode {
    /// ISO 8601, UTC, microseconds.
    Utc,
    /// ISO 8601 with the local offset.
    Local,
    /// Seconds since the first packet.
    Relative,
    /// Seconds since the line before.
    Delta,
    /// No times.
    None,
}

/// What is shown of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TlsMode {
    /// One line a run of records.
    Records,
    /// The bytes.
    Raw,
    /// Only where it starts.
    Hide,
}

/// How much of each message body is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyLines {
    /// So many lines.
    Lines(u64),
    /// Every line.
    All,
    /// No line.
    None,
}

impl std::str::FromStr for BodyLines {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "all" => Ok(Self::All),
            "none" => Ok(Self::None),
            number => number
                .parse()
                .map(Self::Lines)
                .map_err(|_| "a number, `all` or `none`".to_owned()),
        }
    }
}

/// When files go to a new folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotate {
    /// At midnight UTC, by packet time.
    Day,
    /// After so many bytes of streams.
    Size(u64),
}

impl std::str::FromStr for Rotate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "day" => Ok(Self::Day),
            size => some_size(size)
                .map(Self::Size)
                .map_err(|reason| format!("`day` or a size: {reason}")),
        }
    }
}
