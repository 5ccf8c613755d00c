//! The one place that knows everybody: source → filter → decode → flow → watchers → sinks.

mod packets;
mod readers;
mod report;
mod sinks;
mod stages;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use indicatif::{HumanCount, ProgressBar};

use crate::capture::{
    CaptureError, FileSource, Filter, LinkType, LiveSource, LiveStats, Next, Packet, Source, WriteError,
};
use crate::config::{Config, Input};
use crate::decode::Decoder;
use crate::event::{Sink, SinkError};
use crate::flow::{FlowOptions, FlowTable};
use crate::lasting::Lasting;
use crate::output::{MailTotals, Totals};
use crate::privileges::{self, PrivilegeError};
use crate::signals::Signals;
use crate::tell::tell;
use crate::time::Timestamp;
use packets::Packets;
use readers::Readers;
use sinks::Made;
use stages::Ends;

/// Signals, clocks and warnings are looked after once in so many packets.
const LOOK_EVERY: u64 = 1024;

/// A packet may come so much later than its time: idle time is not believed before.
const SETTLED: Duration = Duration::from_millis(100);

/// Packets may keep coming without a pause: what there is to see waits no longer than this and the time that
/// [`LOOK_EVERY`] packets take.
const SHOW_AFTER: Duration = Duration::from_millis(50);

/// What pcap files of packets from files say of the snaplen.
const SNAPLEN: u32 = 262_144;

/// Why a run failed before its end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The source can't be read, or the filter not compiled.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// A sink can't write.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// `-w` can't write.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// One of these two, once packets were read: how many of them.
    #[error("{0}; it ended the run at packet {packets} or shortly before it", packets = HumanCount(*.1))]
    Ended(Box<RunError>, u64),
    /// Privileges could not be given up.
    #[error(transparent)]
    Privileges(#[from] PrivilegeError),
    /// Signals, standard output.
    #[error("{0}: {1}")]
    System(&'static str, std::io::Error),
}

/// Does what `config` says. What went wrong without ending the run was told on stderr: `false` then.
///
/// # Errors
/// [`RunError`]: what ended the run. What was good before it has been written.
pub fn run(config: &Config) -> Result<bool, RunError> {
    let signals = Signals::install().map_err(|error| RunError::System("signals", error))?;
    match &config.input {
        Input::Files(paths) => {
            let source = FileSource::open_until(paths, signals.stop.clone())?;
            let filter = Filter::compile(&config.filter, source.link_types())?;
            let link_type = source.link_types().first().copied();
            let lasting = source.lasting();
            Run::new(config, &signals, filter, link_type, SNAPLEN, lasting)?.all(source, |_| None)
        }
        Input::Live(options) => {
            if LiveSource::must_wait(options) {
                say(config, &format!("waiting for {}", options.interface));
            }
            // libpcap filters in the kernel; what it lets through needs no second look.
            let source = LiveSource::open(options, &config.filter, signals.stop.clone())?;
            let Some(source) = source else {
                say(config, &format!("stopped before {} came", options.interface));
                return Ok(true);
            };
            let none = Filter::compile("", &[])?;
            let link_type = Some(source.link_type());
            say(config, &format!("capturing on {}", options.interface));
            Run::new(
                config,
                &signals,
                none,
                link_type,
                options.snaplen,
                Lasting::default(),
            )?
            .all(source, |source| Some(source.stats()))
        }
    }
}

/// Says something on stderr, unless nothing is to be said.
fn say(config: &Config, text: &str) {
    if !config.quiet {
        tell(text);
    }
}

/// A run under way.
struct Run<'c> {
    config: &'c Config,
    signals: &'c Signals,
    filter: Filter,
    decoder: Decoder,
    flow: FlowTable,
    ends: Ends,
    copied: Packets<'c>,
    bar: ProgressBar,
    begun: Instant,
    /// When all that there was to see was shown.
    shown: Instant,
    packets: u64,
    packet_bytes: u64,
    matched: u64,
    /// Of the last packet.
    millisecond: i64,
    /// Something went wrong and was told.
    failed: bool,
    /// Warnings told, not to be told twice.
    told: BTreeSet<String>,
}

impl<'c> Run<'c> {
    /// Gives up privileges, then makes what is written to: it belongs to the user.
    fn new(
        config: &'c Config,
        signals: &'c Signals,
        filter: Filter,
        link_type: Option<LinkType>,
        snaplen: u32,
        lasting: Lasting,
    ) -> Result<Self, RunError> {
        let live = match &config.input {
            Input::Live(options) => Some(options),
            Input::Files(_) => None,
        };
        let dropped = match live {
            Some(options) if options.wait => privileges::drop_keeping_capture(config.user.as_deref())?,
            _ => privileges::drop(config.user.as_deref())?,
        };
        if live.is_some() {
            // Whoever may not write here is named before that fails.
            let user = dropped.user.map(|user| format!("running as {user} from here on"));
            user.iter()
                .chain(&dropped.warning)
                .for_each(|sentence| say(config, sentence));
        }
        let readers = Readers::of(config);
        let made = Made::new(config, &lasting, &readers)?;
        let copied = Packets::new(config, link_type, snaplen, readers)?;
        if live.is_some() {
            let mut writable: Vec<PathBuf> = made.folder().into_iter().collect();
            writable.extend(copied.folder());
            if let Some(note) = privileges::sandbox(&writable)? {
                say(config, &note);
            }
        }
        let ends = Ends::start(made, config, &lasting)?;
        Ok(Self {
            config,
            signals,
            filter,
            decoder: Decoder::new(config.decode.clone()),
            flow: FlowTable::new(FlowOptions {
                lasting,
                ..config.flow.clone()
            }),
            ends,
            copied,
            bar: ProgressBar::hidden(),
            begun: Instant::now(),
            shown: Instant::now(),
            packets: 0,
            packet_bytes: 0,
            matched: 0,
            millisecond: i64::MIN,
            failed: false,
            told: BTreeSet::new(),
        })
    }

    /// Takes all that the source gives, and ends well whatever happens.
    fn all<S: Source>(
        mut self,
        mut source: S,
        live: impl Fn(&S) -> Option<LiveStats>,
    ) -> Result<bool, RunError> {
        self.copied.nanoseconds(source.nanoseconds());
        let outcome = match self.read(&mut source, &live) {
            Err(RunError::Sink(error)) => Err(error.into()),
            // What came before it is told; the first error is the one to tell.
            read => read.and(self.finish()),
        };
        self.bar.finish_and_clear();
        self.warnings(&mut source);
        let outcome = match outcome {
            // Whoever read our output has what they wanted, and nothing else is written.
            Err(RunError::Sink(SinkError::Closed)) => return Ok(!self.failed()),
            Err(error) => {
                // What can still be kept is kept; what can't is told, too, but for an output that is given up already.
                match self.ends.finish() {
                    Ok(()) | Err(SinkError::Closed) => {}
                    Err(more) if more.to_string() == error.to_string() => {}
                    Err(more) => tell(&more.to_string()),
                }
                Err(match error {
                    RunError::Sink(_) | RunError::Write(_) => RunError::Ended(error.into(), self.packets),
                    _ => error,
                })
            }
            Ok(()) => Ok(!self.failed()),
        };
        let live = live(&source);
        let mut totals = self.totals(live);
        let Self { config, ends, .. } = self;
        let mut mail = MailTotals::default();
        for stages in ends.into_stages() {
            totals.cut = totals.cut.map(|(streams, most)| (streams + stages.cut(), most));
            let sinks = stages.sinks;
            if let Some(files) = &sinks.files {
                let (made, _) = totals.files.get_or_insert((0, files.folder()));
                *made += files.made();
            }
            mail += sinks.summary.totals();
        }
        totals.mail = Some(mail.to_string());
        if !config.paged || !totals.are_ordinary() {
            say(config, &totals.to_string());
        }
        if let Some(live) = live.filter(|live| live.dropped_by_kernel + live.dropped_by_us > 0) {
            let lost = live.dropped_by_kernel + live.dropped_by_us;
            say(
                config,
                &format!("warning: {lost} packets were dropped: streams may have gaps (--buffer-size)"),
            );
        }
        outcome
    }

    fn read<S: Source>(
        &mut self,
        source: &mut S,
        live: &impl Fn(&S) -> Option<LiveStats>,
    ) -> Result<(), RunError> {
        loop {
            let mut look = false;
            match source.next() {
                Ok(Next::Packet(packet)) => {
                    self.packet(&packet)?;
                    look = self.packets.is_multiple_of(LOOK_EVERY);
                }
                Ok(Next::Idle(now)) => {
                    self.idle(now, source.is_live())?;
                    look = true;
                }
                Ok(Next::End) => return Ok(()),
                Err(error) => {
                    // What came before it is shown before it.
                    self.show()?;
                    self.failed = true;
                    self.bar.suspend(|| tell(&error.to_string()));
                }
            }
            if look {
                // No clock decides where among the lines the table's rows stand.
                let mixed = self.config.console.is_some() && self.config.summary.is_some();
                if !mixed && self.shown.elapsed() >= SHOW_AFTER {
                    self.show()?;
                }
                self.warnings(source);
                self.progress(source);
                if self.signals.counts_wanted() {
                    let totals = Totals {
                        under_way: true,
                        ..self.totals(live(source))
                    };
                    self.bar.suspend(|| tell(&totals.to_string()));
                }
                let is_live = self.is_live();
                if is_live
                    && self
                        .config
                        .duration
                        .is_some_and(|duration| self.begun.elapsed() >= duration)
                {
                    self.signals.stop.store(true, Ordering::Relaxed);
                }
                // A live source empties itself first, and then says that it is at its end.
                if !is_live && self.signals.stop.load(Ordering::Relaxed) {
                    tell("stopped before the end of the capture");
                    self.failed = true;
                    return Ok(());
                }
            }
        }
    }

    fn failed(&self) -> bool {
        self.failed || self.copied.failed()
    }

    fn is_live(&self) -> bool {
        matches!(self.config.input, Input::Live(_))
    }

    fn packet(&mut self, packet: &Packet<'_>) -> Result<(), RunError> {
        self.packets += 1;
        self.packet_bytes += packet.captured.len() as u64;
        if !self.filter.matches(packet) {
            return Ok(());
        }
        self.matched += 1;
        self.copied.packet(packet)?;
        // A millisecond is as fine as sinks need it.
        let millisecond = packet.time.nanos() / 1_000_000;
        if std::mem::replace(&mut self.millisecond, millisecond) != millisecond {
            self.ends.tick(packet.time)?;
        }
        if let Some(segment) = &self.decoder.decode(packet)
            && self.config.shard.is_none_or(|shard| shard.has(segment))
        {
            let ends = &mut self.ends;
            self.flow
                .segment(segment, &mut |connection, event| ends.event(connection, event))?;
        }
        Ok(())
    }

    /// `live`: nothing has come on the wire.
    fn idle(&mut self, now: Timestamp, live: bool) -> Result<(), RunError> {
        let settled = now - SETTLED;
        // What a pipe's writer takes its time to say is not missing, however long that is.
        if self.is_live() {
            let ends = &mut self.ends;
            self.flow
                .tick(settled, &mut |connection, event| ends.event(connection, event))?;
        }
        self.ends.tick(settled)?;
        if live {
            self.ends.silent(settled)?;
        }
        self.show()?;
        // Of a pipe the first packet has yet to say what the file will hold.
        if self.is_live() || self.matched > 0 {
            self.copied.tick(now)?;
        }
        Ok(())
    }

    /// Whoever watches sees now what there is.
    fn show(&mut self) -> Result<(), RunError> {
        self.shown = Instant::now();
        Ok(self.ends.flush()?)
    }

    fn finish(&mut self) -> Result<(), RunError> {
        // Nothing more comes: what waits for time to pass is shown, in the order in which it would have been.
        let ends = &mut self.ends;
        let told = ends.tick(Timestamp::NEVER).and_then(|()| {
            self.flow
                .finish(&mut |connection, event| ends.event(connection, event))
        });
        told.and(self.ends.finish())?;
        self.copied.finish()?;
        Ok(self.filter.verdict()?)
    }
}
