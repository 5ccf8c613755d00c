//! What is said at the end, on stderr: what was seen, what is missing, what was not read.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use indicatif::{BinaryBytes, HumanCount};

use crate::capture::LiveStats;
use crate::decode::UnreadCounts;
use crate::flow::FlowStats;

/// Counts of a run.
#[derive(Debug, Clone, Default)]
pub struct Totals {
    /// Packets that the source gave.
    pub packets: u64,
    /// Bytes in them, as captured.
    pub packet_bytes: u64,
    /// Packets that passed the filter, where there is one.
    pub matched: Option<u64>,
    /// What the flow table counted.
    pub flow: FlowStats,
    /// Packets without a segment, by reason.
    pub unread: UnreadCounts,
    /// What the live source counted.
    pub live: Option<LiveStats>,
    /// Packets that `-w` could not write.
    pub not_written: u64,
    /// Streams cut by `--max-bytes`, and where.
    pub cut: Option<(u64, u64)>,
    /// Files made, and where.
    pub files: Option<(u64, PathBuf)>,
    /// Mail sessions, where mail was looked for.
    pub mail: Option<String>,
    /// How long the run took.
    pub time: Duration,
    /// Asked for in the middle of a run: what is open and held now is told, too.
    pub under_way: bool,
}

impl Totals {
    /// Whether there is nothing in them that one has to know: all that the filter let through was read and shown.
    pub fn are_ordinary(&self) -> bool {
        self.matched != Some(0)
            && self.flow.evicted + self.flow.half_open_evicted + self.not_written == 0
            && self.cut.is_none_or(|(streams, _)| streams == 0)
            && self.unread.iter().all(|(reason, _)| reason.is_ordinary())
    }
}

/// `1 gap`, `2 gaps`.
fn count(number: u64, what: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{} {what}{s}", HumanCount(number))
}

/// Joins what is not empty.
fn join(parts: impl IntoIterator<Item = Option<String>>) -> String {
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn some(number: u64, what: &str) -> Option<String> {
    (number > 0).then(|| count(number, what))
}

fn bytes(number: u64) -> String {
    if number < 1024 {
        count(number, "byte")
    } else {
        BinaryBytes(number).to_string()
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flow = &self.flow;
        let matched = self.matched.filter(|matched| *matched != self.packets);
        writeln!(
            f,
            "{} ({}){}, {}, {} of streams, {:.3} s",
            count(self.packets, "packet"),
            bytes(self.packet_bytes),
            matched.map_or_else(String::new, |matched| format!(
                ", {} matched the filter",
                HumanCount(matched)
            )),
            count(flow.opened, "connection"),
            bytes(flow.bytes),
            self.time.as_secs_f64()
        )?;
        let mut line = |label: &str, text: String| {
            if text.is_empty() {
                Ok(())
            } else {
                writeln!(f, "{label}{text}")
            }
        };
        if self.under_way {
            let (open, closed) = (count(flow.open, "connection"), HumanCount(flow.closed));
            line(
                "",
                format!(
                    "{open} open, {closed} closed, {} of memory for them",
                    bytes(flow.memory as u64)
                ),
            )?;
        }
        if let Some(mail) = &self.mail {
            line("", mail.clone())?;
        }
        line(
            "",
            join([
                (flow.gaps > 0)
                    .then(|| format!("{} ({} missing)", count(flow.gaps, "gap"), bytes(flow.gap_bytes))),
                (flow.conflicts > 0).then(|| {
                    let spread = bytes(flow.conflict_bytes);
                    format!(
                        "{} ({spread} came again with other content)",
                        count(flow.conflicts, "conflict")
                    )
                }),
                some(flow.retransmissions, "retransmission"),
                (flow.out_of_order > 0)
                    .then(|| format!("{} out of order", count(flow.out_of_order, "segment"))),
                (flow.duplicate_captures > 0)
                    .then(|| format!("{} captured twice", count(flow.duplicate_captures, "packet"))),
                (flow.one_sided > 0).then(|| {
                    format!(
                        "only one direction of {} seen",
                        count(flow.one_sided, "connection")
                    )
                }),
                (flow.outside_bytes > 0).then(|| format!("{} outside any stream", bytes(flow.outside_bytes))),
                (flow.late_segments > 0).then(|| {
                    format!(
                        "{} for connections that were over",
                        count(flow.late_segments, "segment")
                    )
                }),
            ]),
        )?;
        if flow.doubled > 0 {
            line(
                "",
                format!(
                    "{} seen along two paths (VLANs, tunnels): --ignore-vlan makes one of both",
                    count(flow.doubled, "connection")
                ),
            )?;
        }
        if let Some((streams, most)) = self.cut.filter(|(streams, _)| *streams > 0) {
            line(
                "",
                format!("{} cut at {} (-b)", count(streams, "stream"), count(most, "byte")),
            )?;
        }
        line(
            "to stay within limits: ",
            join([
                (flow.evicted > 0).then(|| format!("{} closed early", count(flow.evicted, "connection"))),
                (flow.half_open_evicted > 0).then(|| {
                    format!(
                        "{} without answer forgotten",
                        count(flow.half_open_evicted, "SYN")
                    )
                }),
            ]),
        )?;
        line(
            "not read: ",
            join(
                self.unread
                    .iter()
                    .map(|(reason, number)| Some(format!("{} ({reason})", count(number, "packet")))),
            ),
        )?;
        if let Some(live) = &self.live {
            line(
                "",
                format!(
                    "{} dropped by the kernel, {} by the interface, {} by flowdump",
                    HumanCount(live.dropped_by_kernel),
                    HumanCount(live.dropped_by_interface),
                    HumanCount(live.dropped_by_us)
                ),
            )?;
        }
        if self.not_written > 0 {
            line(
                "",
                format!("{} not written (-w)", count(self.not_written, "packet")),
            )?;
        }
        if let Some((files, folder)) = &self.files {
            line("", format!("{} in {}", count(*files, "file"), folder.display()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_shown_is_out_of_the_ordinary() {
        let ordinary = Totals {
            packets: 3,
            matched: Some(2),
            cut: Some((0, 10)),
            ..Totals::default()
        };
        assert!(ordinary.are_ordinary());
        let evicted = FlowStats {
            evicted: 1,
            ..FlowStats::default()
        };
        let others = [
            Totals {
                matched: Some(0),
                ..ordinary.clone()
            },
            Totals {
                cut: Some((1, 10)),
                ..ordinary.clone()
            },
            Totals {
                not_written: 1,
                ..ordinary.clone()
            },
            Totals {
                flow: evicted,
                ..ordinary
            },
        ];
        for totals in others {
            assert!(!totals.are_ordinary(), "{totals}");
        }
    }
}
