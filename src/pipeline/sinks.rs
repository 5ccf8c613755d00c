//! All sinks of a run, on the thread that reads or on others.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;

use super::RunError;
use crate::config::{Config, Input};
use crate::event::{Connection, Event, Sink, SinkError};
use crate::lasting::Lasting;
use crate::output::{Behind, Console, Crew, Files, FilesOptions, Json, Summary};
use crate::relay::Relay;
use crate::time::Timestamp;

/// The sinks, on this thread or on one of their own.
pub(super) enum Ends {
    Here(Sinks),
    There(Relay<Sinks>),
}

impl Ends {
    /// Starts the threads that `config` asks for.
    pub(super) fn start(sinks: Sinks, config: &Config, lasting: Lasting) -> Result<Self, RunError> {
        // A crew has threads of its own, and what else there is takes little time.
        if config.threads < 2 || matches!(sinks.files, Some(Streams::Crew(_))) {
            return Ok(Self::Here(sinks));
        }
        let relay = Relay::new(sinks, lasting);
        let relay = relay.map_err(|error| RunError::System("a thread to write on", error))?;
        Ok(Self::There(relay))
    }

    /// The sinks once the run is over.
    pub(super) fn into_sinks(self) -> Option<Sinks> {
        match self {
            Self::Here(sinks) => Some(sinks),
            Self::There(relay) => relay.into_sink(),
        }
    }

    fn sink(&mut self) -> &mut dyn Sink {
        match self {
            Self::Here(sinks) => sinks,
            Self::There(relay) => relay,
        }
    }
}

impl Sink for Ends {
    fn event(&mut self, connection: &Connection, event: &Event<'_>) -> Result<(), SinkError> {
        match self {
            Self::Here(sinks) => sinks.event(connection, event),
            Self::There(relay) => relay.event(connection, event),
        }
    }

    fn tick(&mut self, now: Timestamp) -> Result<(), SinkError> {
        self.sink().tick(now)
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        self.sink().flush()
    }

    fn take_warnings(&mut self) -> Vec<String> {
        self.sink().take_warnings()
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        self.sink().finish()
    }
}

/// Streams as files, written on one thread or by several.
pub(super) enum Streams {
    Files(Box<Files>),
    Crew(Crew),
}

impl Streams {
    fn new(options: FilesOptions, config: &Config, lasting: &Lasting) -> Result<Self, SinkError> {
        let writers = u8::try_from(config.threads.saturating_sub(1)).unwrap_or(u8::MAX);
        // Events that others need, too, go to one thread for all.
        let alone = config.console.is_none() && config.json.is_none();
        let crew = writers > 1 && alone && matches!(config.input, Input::Files(_)) && Crew::can(&options);
        if crew {
            Crew::new(&options, lasting, writers).map(Self::Crew)
        } else {
            Files::new(options, lasting.clone()).map(|files| Self::Files(Box::new(files)))
        }
    }

    /// Where files go.
    pub(super) fn folder(&self) -> PathBuf {
        match self {
            Self::Files(files) => files.folder(),
            Self::Crew(crew) => crew.folder().to_owned(),
        }
    }

    /// Files made, once all is over.
    pub(super) fn made(&self) -> u64 {
        match self {
            Self::Files(files) => files.made(),
            Self::Crew(crew) => crew.made(),
        }
    }

    fn sink(&mut self) -> &mut dyn Sink {
        match self {
            Self::Files(files) => &mut **files,
            Self::Crew(crew) => crew,
        }
    }
}

/// What the console writes to. Copying into a file or a pipe takes the system longer than lines take us: a thread waits
/// for it. Live, and for a terminal, nothing is to lie between.
fn console_output(output: File, config: &Config) -> Result<Box<dyn Write + Send>, RunError> {
    let failed = |error| RunError::System("standard output", error);
    let kind = output.metadata().map_err(failed)?.file_type();
    let takes_long = kind.is_file() || kind.is_fifo();
    if config.threads > 2 && takes_long && matches!(config.input, Input::Files(_)) {
        Ok(Box::new(Behind::new(output).map_err(failed)?))
    } else {
        Ok(Box::new(output))
    }
}

/// Where everything ends.
pub(super) struct Sinks {
    pub(super) console: Option<Console<Box<dyn Write + Send>>>,
    pub(super) files: Option<Streams>,
    pub(super) json: Option<Json<File>>,
    /// Behind the console: at the end of a file the table stands below the conversation.
    pub(super) summary: Summary<File>,
}

impl Sinks {
    /// Makes what is written to.
    pub(super) fn new(config: &Config, lasting: &Lasting) -> Result<Self, RunError> {
        let standard_output = || {
            let owned = std::io::stdout().as_fd().try_clone_to_owned();
            owned
                .map(File::from)
                .map_err(|error| RunError::System("standard output", error))
        };
        let console = match &config.console {
            Some(options) => Some(Console::new(
                console_output(standard_output()?, config)?,
                options.clone(),
            )),
            None => None,
        };
        let files = config.files.clone();
        let files = files
            .map(|options| Streams::new(options, config, lasting))
            .transpose()?;
        let json = match &config.json {
            Some(path) if path.as_os_str() == "-" => {
                Some(Json::new(standard_output()?, "standard output".to_owned()))
            }
            Some(path) => {
                let name = path.display().to_string();
                let file = File::create(path).map_err(|error| SinkError::io(name.clone(), error))?;
                Some(Json::new(file, name))
            }
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
        })
    }

    fn each(&mut self, mut act: impl FnMut(&mut dyn Sink) -> Result<(), SinkError>) -> Result<(), SinkError> {
        if let Some(console) = &mut self.console {
            act(console)?;
        }
        if let Some(files) = &mut self.files {
            act(files.sink())?;
        }
        if let Some(json) = &mut self.json {
            act(json)?;
        }
        act(&mut self.summary)
    }
}

impl Sink for Sinks {
    fn event(&mut self, connection: &Connection, event: &Event<'_>) -> Result<(), SinkError> {
        self.each(|sink| sink.event(connection, event))
    }

    fn tick(&mut self, now: Timestamp) -> Result<(), SinkError> {
        self.each(|sink| sink.tick(now))
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        self.each(|sink| sink.flush())
    }

    fn take_warnings(&mut self) -> Vec<String> {
        self.files
            .as_mut()
            .map_or_else(Vec::new, |files| files.sink().take_warnings())
    }

    /// All of them, whatever one says.
    fn finish(&mut self) -> Result<(), SinkError> {
        let mut outcome = Ok(());
        self.each(|sink| {
            let finished = sink.finish();
            outcome = std::mem::replace(&mut outcome, Ok(())).and(finished);
            Ok(())
        })?;
        outcome
    }
}
