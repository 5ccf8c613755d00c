//! Headers of tar members, by the tar crate.

use std::io;

use tar::{Builder, Header};

use crate::time::Timestamp;

/// Headers and contents fill blocks of so many bytes.
pub const BLOCK: usize = 512;

/// The header of a member of `len` bytes, and a long name's before it (GNU).
///
/// # Errors
/// A name that the format can't have.
pub fn header(name: &str, time: Timestamp, len: u64, out: &mut Vec<u8>) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_size(len);
    header.set_mode(0o640);
    header.set_mtime(u64::try_from(time.seconds()).unwrap_or(0));
    let mut builder = Builder::new(std::mem::take(out));
    // The content is written by us; the builder looks at the header alone.
    let appended = builder.append_data(&mut header, name, io::empty());
    *out = std::mem::take(builder.get_mut());
    appended
}

/// Zeros behind a content of `len` bytes.
pub const fn padding(len: u64) -> usize {
    let over = (len % BLOCK as u64) as usize;
    (BLOCK - over) % BLOCK
}
