//! Colours, decided once and rendered once into byte strings.
//!
//! Each line opens and closes its own colours, so that `grep` and `less -R` lose nothing.

use owo_colors::Style;

use crate::event::{Direction, Kind};

/// What a piece of a line starts with. Time and addresses stand first; all others also end the colours of the piece
/// before them. [`Palette::end`] closes the last one.
#[derive(Debug, Clone, Default)]
pub struct Palette {
    /// Time and addresses, by direction.
    prefix: [Vec<u8>; 2],
    plain: [Vec<u8>; 2],
    command: Vec<u8>,
    transient: Vec<u8>,
    permanent: Vec<u8>,
    injected: Vec<u8>,
    marker: Vec<u8>,
    own: Vec<u8>,
    end: &'static [u8],
}

impl Palette {
    /// No colours.
    pub fn none() -> Self {
        Self::default()
    }

    /// tcpflow's colours: blue for what the client says, red for the server.
    pub fn colours() -> Self {
        let first = |style: Style| style.prefix_formatter().to_string();
        let start = |style: Style| first(style).replace("\x1b[", "\x1b[0;").into_bytes();
        Self {
            prefix: [
                first(Style::new().blue().dimmed()).into_bytes(),
                first(Style::new().red().dimmed()).into_bytes(),
            ],
            plain: [start(Style::new().blue()), start(Style::new().red())],
            command: start(Style::new().blue().bold()),
            transient: start(Style::new().black().on_yellow()),
            permanent: start(Style::new().bold().white().on_red()),
            injected: start(Style::new().black().on_yellow()),
            marker: start(Style::new().bold()),
            own: start(Style::new().dimmed()),
            end: b"\x1b[m",
        }
    }

    /// For time and addresses.
    pub fn prefix(&self, direction: Direction) -> &[u8] {
        self.prefix.get(direction.index()).map_or(&[], Vec::as_slice)
    }

    /// For what the wire says.
    pub fn text(&self, direction: Direction, kind: Kind) -> &[u8] {
        match kind {
            Kind::Command => &self.command,
            Kind::TransientReply => &self.transient,
            Kind::PermanentReply => &self.permanent,
            Kind::Injected => &self.injected,
            Kind::Plain | Kind::Reply | Kind::Body | Kind::Secret | Kind::Tls => {
                self.plain.get(direction.index()).map_or(&[], Vec::as_slice)
            }
        }
    }

    /// For markers and warnings.
    pub fn marker(&self) -> &[u8] {
        &self.marker
    }

    /// For what flowdump says itself.
    pub fn own(&self) -> &[u8] {
        &self.own
    }

    /// Back to the terminal's own colours.
    pub fn end(&self) -> &[u8] {
        self.end
    }
}
