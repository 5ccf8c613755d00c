//! The TLS watcher: on real captures, on bytes made by hand, against tshark.

#[path = "../common/mod.rs"]
mod common;

mod chunks;
mod feed;
mod real;
mod story;
mod tshark;
