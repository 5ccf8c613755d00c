//! What a run says on stderr while it goes on, and counts for its end.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{Run, say};
use crate::capture::{LiveStats, Source};
use crate::event::Sink;
use crate::output::Totals;
use crate::tell::tell;

/// The progress bar comes after this time.
const BAR_AFTER: Duration = Duration::from_secs(1);

impl Run<'_> {
    pub(super) fn warnings<S: Source>(&mut self, source: &mut S) {
        let mut warnings = source.take_warnings();
        warnings.extend(self.filter.take_warnings());
        // The sinks' warnings repeat on purpose.
        for warning in self.ends.take_warnings() {
            self.bar.suspend(|| tell(&warning));
        }
        warnings.retain(|warning| self.told.insert(warning.clone()));
        for warning in warnings {
            self.bar
                .suspend(|| say(self.config, &format!("warning: {warning}")));
        }
    }

    pub(super) fn progress<S: Source>(&mut self, source: &S) {
        if !self.config.progress || self.begun.elapsed() < BAR_AFTER {
            return;
        }
        let Some((at, len)) = source.progress() else {
            return;
        };
        if self.bar.is_hidden() {
            let style = ProgressStyle::with_template("{wide_bar} {binary_bytes}/{binary_total_bytes} {eta}")
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            self.bar = ProgressBar::with_draw_target(Some(len), ProgressDrawTarget::stderr_with_hz(10))
                .with_style(style);
        }
        self.bar.set_position(at);
    }

    pub(super) fn totals(&self, live: Option<LiveStats>) -> Totals {
        let mut flow = self.flow.stats();
        flow.duplicate_captures += self.decoder.copies();
        Totals {
            packets: self.packets,
            packet_bytes: self.packet_bytes,
            matched: (!self.config.filter.is_empty() && live.is_none()).then_some(self.matched),
            flow,
            unread: self.decoder.unread(),
            live,
            not_written: self.copied.lost(),
            cut: self.config.max_bytes.map(|most| (0, most)),
            files: None,
            mail: None,
            time: self.begun.elapsed(),
            under_way: false,
        }
    }
}
