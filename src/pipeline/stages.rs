//! All that comes behind the flow table: watchers, the limit, sinks; on the thread that reads, on one of their own, or
//! on several, each with the connections that fall to it.

use super::RunError;
use super::sinks::{Made, Sinks};
use crate::config::Config;
use crate::crew::Crew;
use crate::event::{Connection, Event, Sink, SinkError};
use crate::lasting::Lasting;
use crate::limit::Limit;
use crate::relay::Relay;
use crate::time::Timestamp;
use crate::watch::Watchers;

/// What one thread does with a connection.
pub(super) struct Stages {
    watchers: Watchers,
    limit: Option<Limit>,
    pub(super) sinks: Sinks,
}

impl Stages {
    /// `members`: so many threads share what the watchers of all of them may keep.
    fn new(config: &Config, sinks: Sinks, members: usize) -> Self {
        Self {
            watchers: Watchers::new().within(config.buffers() / members.max(1)),
            limit: config.max_bytes.map(Limit::new),
            sinks,
        }
    }

    /// Streams that the limit cut.
    pub(super) fn cut(&self) -> u64 {
        self.limit.as_ref().map_or(0, Limit::cut)
    }
}

impl Sink for Stages {
    fn event(&mut self, connection: &Connection, event: &Event<'_>) -> Result<(), SinkError> {
        let Self {
            watchers,
            limit,
            sinks,
        } = self;
        watchers.event(connection, event, &mut |connection, event| match limit {
            Some(limit) => limit.event(connection, event, &mut |connection, event| {
                sinks.event(connection, event)
            }),
            None => sinks.event(connection, event),
        })
    }

    fn tick(&mut self, now: Timestamp) -> Result<(), SinkError> {
        self.sinks.tick(now)
    }

    fn silent(&mut self, now: Timestamp) -> Result<(), SinkError> {
        self.sinks.silent(now)
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        self.sinks.flush()
    }

    fn take_warnings(&mut self) -> Vec<String> {
        self.sinks.take_warnings()
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        self.sinks.finish()
    }
}

/// Where the stages are.
pub(super) enum Ends {
    Here(Box<Stages>),
    There(Box<Relay<Stages>>),
    Shared(Crew<Stages>),
}

impl Ends {
    /// Starts the threads that `config` asks for.
    pub(super) fn start(made: Made, config: &Config, lasting: &Lasting) -> Result<Self, RunError> {
        let ends = match made {
            Made::One(sinks) if config.threads < 2 => {
                Ok(Self::Here(Box::new(Stages::new(config, *sinks, 1))))
            }
            Made::One(sinks) => {
                let relay = Relay::new(Stages::new(config, *sinks, 1), lasting.clone());
                relay.map(|relay| Self::There(Box::new(relay)))
            }
            Made::Shared(order, sinks) => {
                let members = sinks.len();
                let stages = sinks.into_iter().map(|sinks| Stages::new(config, sinks, members));
                Crew::new(stages.collect(), order, lasting).map(Self::Shared)
            }
        };
        ends.map_err(|error| RunError::System("a thread to write on", error))
    }

    /// All of them, once the run is over.
    pub(super) fn into_stages(self) -> Vec<Stages> {
        match self {
            Self::Here(stages) => vec![*stages],
            Self::There(relay) => (*relay).into_sink().into_iter().collect(),
            Self::Shared(crew) => crew.into_sinks(),
        }
    }

    fn sink(&mut self) -> &mut dyn Sink {
        match self {
            Self::Here(stages) => &mut **stages,
            Self::There(relay) => &mut **relay,
            Self::Shared(crew) => crew,
        }
    }
}

impl Sink for Ends {
    fn event(&mut self, connection: &Connection, event: &Event<'_>) -> Result<(), SinkError> {
        match self {
            Self::Here(stages) => stages.event(connection, event),
            Self::There(relay) => relay.event(connection, event),
            Self::Shared(crew) => crew.event(connection, event),
        }
    }

    fn tick(&mut self, now: Timestamp) -> Result<(), SinkError> {
        self.sink().tick(now)
    }

    fn silent(&mut self, now: Timestamp) -> Result<(), SinkError> {
        self.sink().silent(now)
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
