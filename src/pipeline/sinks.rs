//! All sinks of a run, or of one of several threads.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use super::readers::Readers;
use super::{RunError, say};
use crate::config::{Config, Input};
use crate::event::{Connection, Event, Sink, SinkError};
use crate::lasting::Lasting;
use crate::output::{
    Behind, Console, Files, Json, Order, Summary, SummaryOptions, WriteSheets, create_new, open_existing,
};
use crate::time::Timestamp;

/// What the console writes to. Copying into a file or a pipe takes the system longer than lines take us: a thread waits
/// for it. Live, and for a terminal, nothing is to lie between; nor where the table's rows go the same way.
fn console_output(output: File, config: &Config) -> Result<Box<dyn WriteSheets + Send>, RunError> {
    let failed = |error| RunError::System("standard output", error);
    let kind = output.metadata().map_err(failed)?.file_type();
    let takes_long = kind.is_file() || kind.is_fifo();
    let alone = config.summary.is_none();
    if config.threads > 2 && takes_long && alone && matches!(config.input, Input::Files(_)) {
        Ok(Box::new(Behind::new(output).map_err(failed)?))
    } else {
        Ok(Box::new(output))
    }
}

/// Events into a file, which is a new one, readable by owner and group: who wrote to whom stands in it.
fn json_file(path: &Path, config: &Config) -> Result<Json<File>, SinkError> {
    let opened = match open_existing(path) {
        Ok(Some(file)) => Ok((file, path.to_owned())),
        Ok(None) => create_new(path, 0o640),
        Err(error) => Err(error),
    };
    let (file, taken) = opened.map_err(|error| SinkError::io(path.display().to_string(), error))?;
    if taken != path {
        let (asked, taken) = (path.display(), taken.display());
        say(config, &format!("{asked} is there already: events go to {taken}"));
    }
    Ok(Json::new(file, taken.display().to_string()))
}

/// What is written to.
pub(super) enum Made {
    /// By one thread.
    One(Box<Sinks>),
    /// By several, and the order of their index.
    Shared(Order, Vec<Sinks>),
}

impl Made {
    pub(super) fn new(config: &Config, lasting: &Lasting, readers: &Readers) -> Result<Self, RunError> {
        let threads = config.threads.saturating_sub(1).min(u8::MAX.into());
        // Connections can be shared out where nobody wants to see all of them.
        let alone = config.console.is_none() && config.json.is_none() && config.summary.is_none();
        let shares = threads > 1 && alone && matches!(config.input, Input::Files(_));
        let files = config.files.as_ref();
        let Some(files) = files.filter(|files| shares && Files::can_be_shared(files)) else {
            return Ok(Self::One(Box::new(Sinks::new(config, lasting, readers)?)));
        };
        let (order, files) = Files::shared(files, lasting, threads)?;
        let one = |files| Sinks {
            console: None,
            files: Some(files),
            json: None,
            summary: Summary::new(None, SummaryOptions::default()),
            readers: readers.clone(),
        };
        Ok(Self::Shared(order, files.into_iter().map(one).collect()))
    }

    /// The folder that files go to.
    pub(super) fn folder(&self) -> Option<PathBuf> {
        let sinks = match self {
            Self::One(sinks) => Some(&**sinks),
            Self::Shared(_, sinks) => sinks.first(),
        };
        sinks?.files.as_ref().map(Files::folder)
    }
}

/// Where everything ends.
pub(super) struct Sinks {
    pub(super) console: Option<Console<Box<dyn WriteSheets + Send>>>,
    pub(super) files: Option<Files>,
    pub(super) json: Option<Json<File>>,
    /// Behind the console: at the end of a file the table stands below the conversation.
    pub(super) summary: Summary<File>,
    readers: Readers,
}

impl Sinks {
    /// Makes what is written to.
    fn new(config: &Config, lasting: &Lasting, readers: &Readers) -> Result<Self, RunError> {
        let standard_output = || {
            let owned = std::io::stdout().as_fd().try_clone_to_owned();
            owned
                .map(File::from)
                .map_err(|error| RunError::System("standard output", error))
        };
        let console = match &config.console {
            Some(options) => {
                let output = console_output(standard_output()?, config)?;
                Some(Console::new(output, options.clone()).within(config.buffers()))
            }
            None => None,
        };
        let files = config.files.clone();
        let files = files
            .map(|options| Files::new(options, lasting.clone()))
            .transpose()?;
        let json = match &config.json {
            Some(path) if path.as_os_str() == "-" => {
                Some(Json::new(standard_output()?, "standard output".to_owned()))
            }
            Some(path) => Some(json_file(path, config)?),
            None => None,
        };
        let table = if config.summary.is_some() {
            Some(standard_output()?)
        } else {
            None
        };
        let summary = Summary::new(table, config.summary.clone().unwrap_or_default());
        Ok(Self {
            console,
            files,
            json,
            summary,
            readers: readers.clone(),
        })
    }

    /// Where the reader of one has gone, the others go on without it.
    fn each(&mut self, mut act: impl FnMut(&mut dyn Sink) -> Result<(), SinkError>) -> Result<(), SinkError> {
        let mut kept = Ok(());
        if let Some(console) = &mut self.console
            && is_gone(act(console))?
        {
            self.console = None;
            kept = self.readers.one_gone();
        }
        if let Some(files) = &mut self.files {
            act(files)?;
        }
        if let Some(json) = &mut self.json
            && is_gone(act(json))?
        {
            self.json = None;
            kept = kept.and(self.readers.one_gone());
        }
        if is_gone(act(&mut self.summary))? {
            self.summary.only_count();
            kept = kept.and(self.readers.one_gone());
        }
        kept
    }
}

/// Whether a sink's reader has gone.
fn is_gone(told: Result<(), SinkError>) -> Result<bool, SinkError> {
    match told {
        Err(SinkError::Closed) => Ok(true),
        told => told.map(|()| false),
    }
}

impl Sink for Sinks {
    fn event(&mut self, connection: &Connection, event: &Event<'_>) -> Result<(), SinkError> {
        self.each(|sink| sink.event(connection, event))
    }

    fn tick(&mut self, now: Timestamp) -> Result<(), SinkError> {
        self.each(|sink| sink.tick(now))
    }

    fn silent(&mut self, now: Timestamp) -> Result<(), SinkError> {
        self.each(|sink| sink.silent(now))
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        self.each(|sink| sink.flush())
    }

    fn take_warnings(&mut self) -> Vec<String> {
        self.files.as_mut().map_or_else(Vec::new, Files::take_warnings)
    }

    /// All of them, whatever one says.
    fn finish(&mut self) -> Result<(), SinkError> {
        let mut outcome = Ok(());
        let gone = self.each(|sink| match sink.finish() {
            Err(SinkError::Closed) => Err(SinkError::Closed),
            finished => {
                outcome = std::mem::replace(&mut outcome, Ok(())).and(finished);
                Ok(())
            }
        });
        outcome.and(gone)
    }
}
