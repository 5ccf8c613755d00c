//! Hex dumps: 16 bytes a row, as `hexdump -C` has them.

use std::io::Write;

/// Bytes a row.
pub const ROW: usize = 16;

/// Appends one row of at most [`ROW`] bytes that stand at `offset`.
pub fn row(offset: u64, bytes: &[u8], out: &mut Vec<u8>) {
    // Writing to a vector can't fail.
    let _ = write!(out, "{offset:08x}  ");
    for column in 0..ROW {
        match bytes.get(column) {
            Some(byte) => {
                let _ = write!(out, "{byte:02x} ");
            }
            None => out.extend_from_slice(b"   "),
        }
        if column == ROW / 2 - 1 {
            out.push(b' ');
        }
    }
    out.extend_from_slice(b" |");
    out.extend(
        bytes
            .iter()
            .take(ROW)
            .map(|byte| if (0x20..0x7f).contains(byte) { *byte } else { b'.' }),
    );
    out.push(b'|');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_looks_like_hexdump_s() {
        let mut out = Vec::new();
        row(16, b"220 mx.example\r\n", &mut out);
        out.push(b'\n');
        row(32, b"E\x1b", &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "00000010  32 32 30 20 6d 78 2e 65  78 61 6d 70 6c 65 0d 0a  |220 mx.example..|\n\
             00000020  45 1b                                             |E.|"
        );
    }
}
