//! Captures for benchmarks: deterministic, of any size, their contents known byte for byte.
//!
//! `random` → `script` (what two hosts say) → `conversation` (how TCP carries it, and what goes wrong on
//! the way) → `frame` → `capture`; what a perfect reader would get of it goes into the `manifest`.
//! The same kind, seed and size give the same bytes on every machine.

pub mod capture;
pub mod conversation;
pub mod frame;
pub mod index;
pub mod kinds;
pub mod manifest;
pub mod mix;
pub mod random;
pub mod script;
pub mod smtp;
pub mod text;
