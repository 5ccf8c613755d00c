//! `flows.jsonl`, as far as a check needs it: which gaps flowdump says that a stream's file has.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::manifest::Lost;

/// Beside the streams' files.
pub const NAME: &str = "flows.jsonl";

#[derive(Deserialize)]
struct Connection {
    to_server: Direction,
    to_client: Direction,
}

#[derive(Deserialize)]
struct Direction {
    files: Vec<Written>,
    gaps: Vec<Gap>,
}

#[derive(Deserialize)]
struct Written {
    name: String,
}

#[derive(Deserialize)]
struct Gap {
    offset: u64,
    len: u64,
}

/// Gaps of the streams that have some, by the name of their first file; neighbours are one.
///
/// # Errors
/// The file can't be read, or a line is not what flowdump writes.
pub fn gaps(path: &Path) -> Result<HashMap<String, Vec<Lost>>> {
    let mut gaps = HashMap::new();
    for line in BufReader::new(File::open(path).with_context(|| path.display().to_string())?).lines() {
        let line = line?;
        let connection: Connection = serde_json::from_str(&line).with_context(|| line.clone())?;
        for direction in [connection.to_server, connection.to_client] {
            let Some(first) = direction
                .files
                .into_iter()
                .next()
                .filter(|_| !direction.gaps.is_empty())
            else {
                continue;
            };
            let mut lost: Vec<Lost> = Vec::new();
            for gap in direction.gaps {
                match lost.last_mut() {
                    Some((offset, len)) if *offset + *len == gap.offset => *len += gap.len,
                    _ => lost.push((gap.offset, gap.len)),
                }
            }
            gaps.insert(first.name, lost);
        }
    }
    Ok(gaps)
}
