//! Sizes and times as they are typed.

use std::time::Duration;

/// `4096`, `64K`, `16M`, `1G`, powers of 1024.
pub(super) fn size64(text: &str) -> Result<u64, String> {
    parse_size::Config::new()
        .with_binary()
        .parse_size(text)
        .map_err(|_| "a number of bytes, or one with K, M or G behind it".to_owned())
}

/// Less does not hold a handful of connections: whoever says `--memory 2` means another unit.
pub(super) fn memory(text: &str) -> Result<u64, String> {
    let size = size64(text)?;
    (size >= 1 << 20)
        .then_some(size)
        .ok_or_else(|| "at least 1M".to_owned())
}

/// No sequence number makes a larger hole in a file.
pub(super) fn gap(text: &str) -> Result<u64, String> {
    let size = size64(text)?;
    let most = 16 << 20;
    (size <= most)
        .then_some(size)
        .ok_or_else(|| "at most 16M".to_owned())
}

pub(super) fn size32(text: &str) -> Result<u32, String> {
    let size = size64(text)?;
    i32::try_from(size)
        .ok()
        .and_then(|size| u32::try_from(size).ok())
        .ok_or_else(|| "must be below 2G".to_owned())
}

/// `90` (seconds), `1.5s`, `5m`, `1h 30m`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let seconds = text
        .parse()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let time = seconds.or_else(|| humantime::parse_duration(text).ok());
    time.ok_or_else(|| "seconds, or a time such as `90s`, `5m` or `1h 30m`".to_owned())
}

/// Without any size every packet would have a file, every connection a folder.
pub(super) fn some_size(text: &str) -> Result<u64, String> {
    let size = size64(text)?;
    (size > 0).then_some(size).ok_or_else(more_than_nothing)
}

/// Without any time every packet would have a file, or be a connection.
pub(super) fn some_time(text: &str) -> Result<Duration, String> {
    let time = duration(text)?;
    (!time.is_zero()).then_some(time).ok_or_else(more_than_nothing)
}

fn more_than_nothing() -> String {
    "more than nothing".to_owned()
}
