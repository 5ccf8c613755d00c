//! A look at 64 bytes at once: which of them need a closer one.

/// Bytes looked at at once.
pub const BLOCK: usize = u64::BITS as usize;

/// Which of the first [`BLOCK`] of `bytes` are controls or, unless `only_controls`, beyond ASCII: a bit for each,
/// the first one lowest.
#[inline]
pub fn marks(bytes: &[u8], only_controls: bool) -> u64 {
    let last;
    let block = match bytes.first_chunk() {
        Some(block) => block,
        None => {
            last = padded(bytes);
            &last
        }
    };
    if only_controls {
        mask(block, |byte| byte < 0x20 || byte == 0x7f)
    } else {
        // One comparison for all: delete and what is beyond ASCII become negative.
        mask(block, |byte| (byte.wrapping_add(1) as i8) <= 0x20)
    }
}

#[inline]
fn mask(block: &[u8; BLOCK], is_marked: impl Fn(u8) -> bool) -> u64 {
    let mut flags = [0; BLOCK];
    for (flag, byte) in flags.iter_mut().zip(block) {
        *flag = u8::from(is_marked(*byte));
    }
    flag_bits(&flags)
}

/// A bit for each byte that is 1 and not 0.
#[inline]
pub fn flag_bits(flags: &[u8; BLOCK]) -> u64 {
    let mut bits = [0; BLOCK / 8];
    for (byte, eight) in bits.iter_mut().zip(flags.as_chunks().0) {
        // Moves the lowest bits of eight bytes side by side to the top.
        *byte = (u64::from_le_bytes(*eight).wrapping_mul(0x0102_0408_1020_4080) >> 56) as u8;
    }
    u64::from_le_bytes(bits)
}

/// What is left where there is too little for a block.
#[cold]
fn padded(bytes: &[u8]) -> [u8; BLOCK] {
    let mut block = [b' '; BLOCK];
    for (to, from) in block.iter_mut().zip(bytes) {
        *to = *from;
    }
    block
}
