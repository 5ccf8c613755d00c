//! POP3: RFC 1939, with CAPA (RFC 2449), STLS (RFC 2595), AUTH (RFC 5034).

mod client;
mod server;

use std::collections::VecDeque;

use crate::event::{Direction, SinkError};
use crate::mail::Protocol;
use crate::mail::input::{Input, Out};
use crate::mail::message::Body;
use crate::mail::shared::{Core, Flow, Forgotten};
use crate::time::Timestamp;

/// How the client's lines are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Commands,
    /// A line is a command only if it begins like one.
    Lost,
    Secret,
    /// Behind AUTH or STLS: it depends on the reply.
    Undecided(bool),
}

/// What a reply's further lines are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum More {
    None,
    /// A list, ended by a dot.
    List,
    /// CAPA's.
    Capabilities,
    /// A message, ended by a dot.
    Message,
}

#[derive(Debug)]
struct Asked {
    verb: String,
    time: Timestamp,
    more: More,
}

/// One session.
#[derive(Debug)]
pub(crate) struct Pop3 {
    pub(crate) core: Core,
    mode: Mode,
    known: bool,
    queue: VecDeque<Asked>,
    /// The reply whose lines are coming.
    list: Option<Asked>,
    message: Option<Box<Body>>,
}

impl Pop3 {
    pub(crate) fn new(from_start: bool) -> Self {
        let mut core = Core::new(Protocol::Pop3);
        core.greeted = !from_start;
        Self {
            core,
            mode: Mode::Commands,
            known: true,
            queue: VecDeque::new(),
            list: None,
            message: None,
        }
    }

    /// Bytes of memory that it keeps and could do without.
    #[inline]
    pub(crate) fn keeps(&self) -> usize {
        self.core.keeps() + self.queue.capacity() * size_of::<Asked>()
    }

    pub(crate) fn data(&mut self, input: &mut Input<'_>, out: &mut Out<'_, '_>) -> Result<Flow, SinkError> {
        self.core.see(input);
        while !input.is_empty() {
            let flow = match input.direction {
                Direction::ToServer => self.client(input, out)?,
                Direction::ToClient => self.server(input, out)?,
            };
            if flow != Flow::Go {
                return Ok(flow);
            }
        }
        Ok(Flow::Go)
    }

    pub(crate) fn gap(&mut self, direction: Direction, len: u64) {
        match (direction, &mut self.message) {
            (Direction::ToClient, Some(message)) => {
                message.gap(len);
                self.core.gapped(direction);
            }
            (Direction::ToClient, None) => {
                self.core.gap(direction);
                self.core.greeted = true;
                self.queue.clear();
                self.list = None;
            }
            (Direction::ToServer, _) => {
                self.core.gap(direction);
                self.core.kept = None;
                self.mode = Mode::Lost;
                self.queue.clear();
            }
        }
    }

    pub(crate) fn plain_again(&mut self, direction: Direction) {
        self.core.restart(direction);
        self.core.switch.plain_again();
        self.core.greeted = true;
        if direction == Direction::ToServer {
            self.queue.clear();
            self.core.kept = None;
            self.mode = Mode::Commands;
        }
    }

    pub(crate) fn close(&mut self, time: Timestamp, out: &mut Out<'_, '_>) -> Result<(), SinkError> {
        self.core.close_switch(time, out)?;
        if self.mode == Mode::Undecided(true) {
            self.understand_kept(Mode::Commands, out)?;
        }
        self.core.tell_auth(None, out)
    }

    fn understand_kept(&mut self, mode: Mode, out: &mut Out<'_, '_>) -> Result<(), SinkError> {
        self.mode = mode;
        match self.core.take_kept() {
            Ok(Some(kept)) => self.data(&mut kept.passed(Direction::ToServer), out).map(|_| ()),
            Ok(None) => Ok(()),
            Err(Forgotten) => {
                self.lose_client();
                Ok(())
            }
        }
    }

    /// What the client sends is a command only where it begins like one; the line at hand is none.
    fn lose_client(&mut self) {
        self.mode = Mode::Lost;
        self.known = false;
    }
}
