//! The TLS watcher: on real captures, on bytes made by hand, against tshark.

#[path = "../common/mod.rs"]
mod common;

mod bytes;
mod chunks;
mod feed;
mod gaps;
mod handshakes;
mod real;
mod story;
mod tshark;
mod unfinished;
