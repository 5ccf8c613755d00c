//! Signals as flags that the run looks at when it can.
//!
//! A live capture ends well on one, a file before its end; waiting for a pipe ends, too.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::signal::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGXFSZ};
use signal_hook::flag::{register, register_conditional_shutdown};

/// What signals ask for.
#[derive(Debug, Clone)]
pub struct Signals {
    /// SIGINT, SIGTERM or SIGHUP: end, with everything that was read flushed. Also settable by hand.
    pub stop: Arc<AtomicBool>,
    counts: Arc<AtomicBool>,
}

impl Signals {
    /// Takes the signals over. After this a second SIGINT or SIGTERM ends the process at once, as a shell would
    /// see it (130, 143).
    ///
    /// # Errors
    /// What the system says.
    pub fn install() -> io::Result<Self> {
        let signals = Self {
            stop: Arc::default(),
            counts: Arc::default(),
        };
        for signal in [SIGINT, SIGTERM] {
            // First: it must look at the flag before the signal at hand sets it.
            register_conditional_shutdown(signal, 128 + signal, Arc::clone(&signals.stop))?;
            register(signal, Arc::clone(&signals.stop))?;
        }
        // `nohup flowdump … &` means that the end of the session is none of ours.
        if !hangup_is_ignored() {
            register(SIGHUP, Arc::clone(&signals.stop))?;
        }
        register(SIGUSR1, Arc::clone(&signals.counts))?;
        // Beyond `ulimit -f` writing is to fail, and be told of, not to end the process without a word.
        register(SIGXFSZ, Arc::default())?;
        #[cfg(any(
            target_vendor = "apple",
            target_os = "freebsd",
            target_os = "openbsd",
            target_os = "netbsd"
        ))]
        register(signal_hook::consts::signal::SIGINFO, Arc::clone(&signals.counts))?;
        Ok(signals)
    }

    /// Whether counts were asked for since the last call (SIGUSR1; Ctrl-T where SIGINFO exists).
    pub fn counts_wanted(&self) -> bool {
        self.counts.swap(false, Ordering::Relaxed)
    }
}

/// Whether SIGHUP was ignored when the process began. Linux shows it; elsewhere it is taken over.
fn hangup_is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignored(&status, SIGHUP)
}

fn ignored(status: &str, signal: i32) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0);
    mask >> (signal - 1) & 1 == 1
}

#[cfg(test)]
mod tests {
    use nix::sys::signal::{Signal, raise};

    use super::*;

    #[test]
    fn sigusr1_asks_for_counts_once_and_sigint_for_the_end() {
        let signals = Signals::install().unwrap();
        assert!(!signals.counts_wanted());
        raise(Signal::SIGUSR1).unwrap();
        assert!(signals.counts_wanted());
        assert!(!signals.counts_wanted());
        raise(Signal::SIGINT).unwrap();
        assert!(signals.stop.load(Ordering::Relaxed));
        // Disarmed again, for the sake of whoever wants to end this test run by Ctrl-C.
        signals.stop.store(false, Ordering::Relaxed);
    }

    #[test]
    fn nohup_shows_in_the_mask_of_ignored_signals() {
        assert!(ignored("Name:\tx\nSigIgn:\t0000000000001001\n", SIGHUP));
        assert!(!ignored("Name:\tx\nSigIgn:\t0000000000001000\n", SIGHUP));
        assert!(!ignored("", SIGHUP));
    }
}
