//! flowdump: puts TCP streams back together from live traffic or capture files, and understands mail.
//!
//! Data goes one way: `capture` → `decode` → `flow` → watchers (`mail`, `tls`) → `output`.
//! Only `pipeline` knows them all.
#![deny(unsafe_code)] // but for the memory map in `capture`

mod budget;
pub mod capture;
pub mod cli;
pub mod config;
pub mod crew;
pub mod decode;
pub mod event;
pub mod flow;
pub mod lasting;
pub mod limit;
pub mod mail;
pub mod output;
pub mod pipeline;
pub mod privileges;
pub mod relay;
pub mod shard;
pub mod signals;
pub mod slots;
pub mod tell;
pub mod text;
pub mod time;
pub mod tls;
pub mod watch;
