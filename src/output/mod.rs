//! Sinks: each takes every event and writes what concerns it.

mod archive;
mod behind;
mod clock;
mod console;
mod digits;
mod escape;
mod facts;
mod files;
mod harmless_json;
mod helo;
mod hex;
mod index;
mod json;
mod marks;
mod name;
mod palette;
mod session;
mod sheet;
mod store;
mod summary;
mod sync;
mod totals;
mod words;

pub use archive::Format;
pub use behind::Behind;
pub use clock::{Clock, TimeStyle};
pub use console::{Body, Console, ConsoleOptions, Show, TlsStyle};
pub use escape::Unprintable;
pub use files::{Files, FilesOptions, Order, Rotation};
pub use json::Json;
pub use name::{Namer, TemplateError};
pub use palette::Palette;
pub use session::MailTotals;
pub use sheet::WriteSheets;
pub use summary::{Summary, SummaryOptions};
pub use totals::Totals;
