//! How the console looks.

use std::time::Duration;

use crate::output::clock::TimeStyle;
use crate::output::escape::Unprintable;
use crate::output::palette::Palette;

/// How bytes are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Show {
    /// As lines of harmless text.
    Lines(Unprintable),
    /// As a hex dump.
    Hex,
    /// As they are.
    Raw,
}

impl Show {
    /// What stands for what can't be shown.
    pub(super) const fn unprintable(self) -> Unprintable {
        match self {
            Self::Lines(unprintable) => unprintable,
            Self::Hex | Self::Raw => Unprintable::Escape,
        }
    }
}

/// What is shown of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsStyle {
    /// One line for each handshake message and each run of records.
    Records,
    /// The bytes.
    Raw,
    /// Only where it starts.
    Hide,
}

/// How much of each message is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// Every line.
    All,
    /// So many lines, then how many were left out.
    Lines(u64),
}

/// How the console looks.
#[derive(Debug, Clone)]
pub struct ConsoleOptions {
    /// Colours.
    pub palette: Palette,
    /// Times.
    pub time: TimeStyle,
    /// Whether lines begin with time and addresses.
    pub prefix: bool,
    /// How bytes are shown.
    pub show: Show,
    /// What is shown of TLS.
    pub tls: TlsStyle,
    /// How much of each message.
    pub body: Body,
    /// Show passwords.
    pub secrets: bool,
    /// Markers may go beyond ASCII.
    pub unicode: bool,
    /// Also what TCP does.
    pub verbose: bool,
    /// The capture may be being made: silence is shown while it lasts.
    pub live: bool,
    /// An unfinished line is shown after this time.
    pub patience: Duration,
}
