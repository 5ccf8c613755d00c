//! Finding one's place again behind a gap.

use crate::event::{Direction, Kind, SinkError, Verdict};
use crate::mail::input::{Input, Out};
use crate::mail::line::Line;
use crate::mail::shared::{Core, Flow};

/// Behind a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Skip {
    /// All is read.
    #[default]
    No,
    /// At its first byte: it may be the start of a line.
    Look,
    /// In the rest of a line whose start is missing.
    Rest,
}

impl Core {
    /// Behind a gap: finds the next start of a line. `None` where none is looked for (any more).
    ///
    /// What begins like a line of the protocol is one; the rest of anything else is passed on.
    pub(crate) fn skip(
        &mut self,
        input: &mut Input<'_>,
        begins: fn(&[u8]) -> Verdict,
        out: &mut Out<'_, '_>,
    ) -> Result<Option<Flow>, SinkError> {
        let index = input.direction.index();
        let skip = self.skip.get(index).copied().unwrap_or_default();
        let look = match skip {
            Skip::No => return Ok(None),
            Skip::Look => begins(input.rest()),
            Skip::Rest => Verdict::No,
        };
        let next = match look {
            Verdict::Yes => Skip::No,
            Verdict::Unsure if !input.last => return Ok(Some(Flow::Hold)),
            _ => {
                let n = Line::extent(input);
                let done = input.rest().get(..n).is_some_and(|line| line.ends_with(b"\n"));
                let kind = match input.direction {
                    Direction::ToServer => self.unknown_kind(),
                    Direction::ToClient => Kind::Plain,
                };
                input.pass(n, kind, out)?;
                if done && input.direction == Direction::ToServer {
                    self.challenged = false;
                }
                if done { Skip::No } else { Skip::Rest }
            }
        };
        if let Some(skip) = self.skip.get_mut(index) {
            *skip = next;
        }
        Ok((look != Verdict::Yes).then_some(Flow::Go))
    }

    /// What the client's bytes are called when they are not understood.
    pub(crate) fn unknown_kind(&self) -> Kind {
        if self.auth.is_some() || self.challenged || self.forgot {
            Kind::Secret
        } else {
            Kind::Plain
        }
    }

    /// A challenge of a command that was not seen, `lost` being whether the client's bytes are in doubt already.
    /// True where its next line is a secret; else it is one if a gap comes before it, which then held the command:
    /// of bytes that are missing one hears when those behind them come.
    pub(crate) fn challenge(&mut self, lost: bool) -> bool {
        self.challenged = true;
        lost || self.doubt.is_some() || self.forgot
    }

    /// The line in the making, cut short by a gap.
    pub(crate) fn cut_line(&mut self, direction: Direction) -> Option<Line> {
        Some(self.line(direction).take()).filter(|line| !line.is_empty())
    }

    /// Notes a gap.
    pub(crate) fn gapped(&mut self, direction: Direction) {
        if let Some(gapped) = self.gapped.get_mut(direction.index()) {
            *gapped = true;
        }
    }

    /// Notes a gap; the line in the making is lost.
    pub(crate) fn gap(&mut self, direction: Direction) {
        *self.line(direction) = Line::default();
        self.gapped(direction);
        if let Some(skip) = self.skip.get_mut(direction.index()) {
            *skip = Skip::Look;
        }
        if direction == Direction::ToClient {
            self.reply = None;
        }
    }

    /// Starts anew at the start of a line.
    pub(crate) fn restart(&mut self, direction: Direction) {
        *self.line(direction) = Line::default();
        if let Some(skip) = self.skip.get_mut(direction.index()) {
            *skip = Skip::No;
        }
        if direction == Direction::ToClient {
            self.reply = None;
        }
    }
}
