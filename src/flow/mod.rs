//! The connection table and the reassembler: segments in, events out.

mod clock;
mod entry;
mod fit;
mod held;
mod lru;
mod options;
mod out;
mod recent;
mod slab;
mod stream;
mod table;
mod tail;

pub use options::{FlowOptions, FlowStats};
pub use table::FlowTable;
