//! All sinks of a run, on the thread that reads or on one of their own.

use std::fs::File;
use std::os::fd::AsFd;

use super::RunError;
use crate::config::Config;
use crate::event::{Connection, Event, Sink, SinkError};
use crate::lasting::Lasting;
use crate::output::{Console, Files, Json, Summary};
use crate::relay::Relay;
use crate::time::Timestamp;

/// The sinks, on this thread or on one of their own.
pub(super) enum Ends {
    Here(Sinks),
    There(Relay<Sinks>),
}

impl Ends {
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

/// Where everything ends.
pub(super) struct Sinks {
    pub(super) console: Option<Console<File>>,
    pub(super) files: Option<Files>,
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
            Some(options) => Some(Console::new(standard_output()?, options.clone())),
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
            act(files)?;
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
        self.files.as_mut().map_or_else(Vec::new, Files::take_warnings)
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
