//! What the flow table makes of a conversation, by example: given these segments, this is what comes out.

mod begin_and_end;
#[path = "../common/mod.rs"]
mod common;
mod conflicts;
mod gaps;
mod order;
mod together;
mod which;

use std::time::Duration;

use common::replay::Replay;

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Both streams of the only connection, as text.
fn texts(replay: &Replay) -> (String, String) {
    let seen = replay.only();
    (seen.to_server().text(), seen.to_client().text())
}
