//! The connection table and the reassembler: segments in, events out.
