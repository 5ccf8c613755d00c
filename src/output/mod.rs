//! Sinks: each takes every event and writes what concerns it.

mod clock;
mod console;
mod escape;
mod files;
mod hex;
mod index;
mod name;
mod palette;
mod store;
mod totals;
mod words;

pub use clock::{Clock, TimeStyle};
pub use console::{Body, Console, ConsoleOptions, Show, TlsStyle};
pub use escape::Unprintable;
pub use files::{Files, FilesOptions, Rotation};
pub use name::{Namer, TemplateError};
pub use palette::Palette;
pub use totals::Totals;
