//! The bare loop: create, write, close every file that a manifest names, and nothing else. What a file
//! system takes for it is what no extractor can go below with one thread.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Parser;
use flowdump_bench::manifest::Line;

/// Make all files of MANIFEST.tsv, with their lengths, in the new folder DIR.
#[derive(Parser)]
struct Args {
    manifest: PathBuf,
    dir: PathBuf,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let manifest = fs::read_to_string(&args.manifest).with_context(|| args.manifest.display().to_string())?;
    fs::create_dir_all(&args.dir)?;
    // Relative names: the folder is looked up once, as with openat().
    std::env::set_current_dir(&args.dir)?;
    let bytes = vec![b'x'; 1 << 20];
    for line in manifest.lines().skip(1) {
        let Line { name, length, .. } = Line::parse(line)?;
        let mut file: File = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o640)
            .open(name)?;
        let mut left = length;
        while left > 0 {
            let run = bytes.len().min(usize::try_from(left)?);
            file.write_all(&bytes[..run])?;
            left -= run as u64;
        }
    }
    Ok(())
}
