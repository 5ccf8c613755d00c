//! The text of `flows.jsonl`, field by field: in a flood of connections serde takes longer for it than all else takes
//! for them. What is rare serde writes.

use std::net::IpAddr;
use std::sync::LazyLock;

use serde::Serialize;

use super::{FileEntry, Ranges};
use crate::event::Totals;
use crate::output::clock::iso_bytes;
use crate::output::digits::{push_address, push_number};
use crate::output::harmless_json;
use crate::time::Timestamp;

/// What stands behind a side's bytes and packets where nothing went wrong in it: in nearly all of them.
static QUIET: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut line = Vec::new();
    // There is no list in it to fail on.
    let _ = Line(&mut line).trouble(None, &Totals::default());
    line
});

/// A line that is being written. Each method appends a key with what separates it from the one before, and its value.
pub(super) struct Line<'a>(pub(super) &'a mut Vec<u8>);

impl Line<'_> {
    pub(super) fn text(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
    }

    pub(super) fn number(&mut self, key: &str, number: u64) {
        self.text(key);
        push_number(number, self.0);
    }

    pub(super) fn flag(&mut self, key: &str, flag: bool) {
        self.text(key);
        self.text(if flag { "true" } else { "false" });
    }

    /// One of our own words, in which nothing needs an escape.
    pub(super) fn word(&mut self, key: &str, word: &'static str) {
        self.quoted(key, |out| out.extend_from_slice(word.as_bytes()));
    }

    pub(super) fn address(&mut self, key: &str, address: IpAddr) {
        self.quoted(key, |out| push_address(address, out));
    }

    pub(super) fn time(&mut self, key: &str, time: Timestamp) {
        self.quoted(key, |out| out.extend_from_slice(&iso_bytes(time)));
    }

    pub(super) fn quoted(&mut self, key: &str, write: impl FnOnce(&mut Vec<u8>)) {
        self.text(key);
        self.0.push(b'"');
        write(self.0);
        self.0.push(b'"');
    }

    pub(super) fn value<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) -> serde_json::Result<()> {
        self.text(key);
        harmless_json::write(self.0, value)
    }

    /// In our own names nothing needs an escape; a template's may.
    fn name(&mut self, key: &str, name: &str) -> serde_json::Result<()> {
        let escape = |byte: u8| byte < b' ' || byte == b'"' || byte == b'\\';
        // To the end in any case: without a way out it takes many bytes at once.
        if name.bytes().fold(false, |any, byte| any | escape(byte)) {
            return self.value(key, name);
        }
        self.quoted(key, |out| out.extend_from_slice(name.as_bytes()));
        Ok(())
    }

    pub(super) fn side(&mut self, ranges: Option<&Ranges>, totals: &Totals) -> serde_json::Result<()> {
        self.number(r#","bytes":"#, totals.bytes);
        self.number(r#","packets":"#, totals.packets);
        if let Some(cut) = ranges.and_then(|ranges| ranges.cut) {
            self.number(r#","cut_at":"#, cut);
        }
        let quiet = Totals {
            bytes: totals.bytes,
            packets: totals.packets,
            syn: totals.syn,
            fin: totals.fin,
            reset: totals.reset,
            ..Totals::default()
        };
        if *totals == quiet
            && ranges.is_none_or(|ranges| ranges.gaps.is_empty() && ranges.conflicts.is_empty())
        {
            self.0.extend_from_slice(&QUIET);
            return Ok(());
        }
        self.trouble(ranges, totals)
    }

    fn trouble(&mut self, ranges: Option<&Ranges>, totals: &Totals) -> serde_json::Result<()> {
        let (gaps, conflicts) = ranges.map_or((&[][..], &[][..]), |ranges| (&ranges.gaps, &ranges.conflicts));
        self.number(r#","gap_bytes":"#, totals.gap_bytes);
        self.number(r#","gap_count":"#, totals.gaps);
        self.value(r#","gaps":"#, gaps)?;
        self.number(r#","retransmissions":"#, totals.retransmissions);
        self.number(r#","retransmitted_bytes":"#, totals.retransmitted_bytes);
        self.number(r#","out_of_order":"#, totals.out_of_order);
        self.number(r#","duplicate_captures":"#, totals.duplicate_captures);
        self.number(r#","conflict_count":"#, totals.conflicts);
        self.value(r#","conflicts":"#, conflicts)?;
        self.number(r#","zero_windows":"#, totals.zero_windows);
        self.number(r#","keep_alives":"#, totals.keep_alives);
        self.number(r#","outside_bytes":"#, totals.outside_bytes);
        self.number(r#","unacknowledged":"#, totals.unacknowledged);
        Ok(())
    }
}

/// Adds files to a list of them, as the index has it.
///
/// # Errors
/// Those of serde, which writes names that need escapes.
pub fn list(files: &[FileEntry], list: &mut Vec<u8>) -> serde_json::Result<()> {
    let room: usize = files.iter().map(|file| file.name.len() + 48).sum();
    list.reserve_exact(room);
    let mut list = Line(list);
    for file in files {
        list.name(
            if list.0.is_empty() {
                r#"{"name":"#
            } else {
                r#",{"name":"#
            },
            &file.name,
        )?;
        list.number(r#","offset":"#, file.offset);
        list.number(r#","bytes":"#, file.bytes);
        if file.not_written > 0 {
            list.number(r#","not_written":"#, file.not_written);
        }
        list.text("}");
    }
    Ok(())
}
