//! Many sessions at the same time.

use std::io::{self, Write};

use crate::capture::Capture;
use crate::conversation::Session;
use crate::random::Random;
use crate::script::Script;

/// Runs sessions, `at_once` of them at the same time, until `next` gives none and all are over.
///
/// # Errors
/// What writing gave.
pub fn run<W: Write, S: Script>(
    capture: &mut Capture<W>,
    manifest: &mut impl Write,
    random: &mut Random,
    at_once: usize,
    mut next: impl FnMut(&Capture<W>, &mut Random) -> Option<Session<S>>,
) -> io::Result<()> {
    let mut active: Vec<Session<S>> = Vec::new();
    loop {
        while active.len() < at_once {
            match next(capture, random) {
                Some(session) => active.push(session),
                None => break,
            }
        }
        if active.is_empty() {
            return Ok(());
        }
        let at = random.below(active.len() as u64) as usize;
        capture.wait(random.between(1, 20));
        if !active[at].step(capture, random)? {
            active.swap_remove(at).describe(manifest)?;
        }
    }
}
