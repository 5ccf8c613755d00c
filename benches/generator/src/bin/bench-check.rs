//! Judges what came out: every stream of the manifest must be there, byte for byte, and nothing else.

use std::collections::HashMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use flowdump_bench::index;
use flowdump_bench::manifest::{Line, hex};
use sha2::{Digest, Sha256};

/// Compare the folder DIR that flowdump wrote with MANIFEST.tsv. Exit 1 where a stream is wrong.
#[derive(Parser)]
struct Args {
    manifest: PathBuf,
    dir: PathBuf,
    /// Names are another program's: compare contents alone
    #[arg(long)]
    any_name: bool,
    /// Streams are expected to be one file each, TLS or not
    #[arg(long)]
    no_split_tls: bool,
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    let manifest = fs::read_to_string(&args.manifest).with_context(|| args.manifest.display().to_string())?;
    let (streams, wrong) = if args.any_name {
        by_content(&args, &manifest)?
    } else {
        by_name(&args, &manifest)?
    };
    println!("{}: {streams} streams, {} wrong", args.dir.display(), wrong.len());
    for reason in wrong.iter().take(20) {
        println!("  {reason}");
    }
    Ok(ExitCode::from(u8::from(!wrong.is_empty())))
}

fn by_name(args: &Args, manifest: &str) -> Result<(u64, Vec<String>)> {
    let gaps = index::gaps(&args.dir.join(index::NAME))?;
    let (mut streams, mut files) = (0, 0);
    let mut wrong = Vec::new();
    for line in manifest.lines().skip(1) {
        let line = Line::parse(line)?;
        streams += 1;
        let said = gaps.get(line.name).map_or(&[][..], Vec::as_slice);
        if let Err(error) = stream(args, &line, &mut files) {
            wrong.push(format!("{}: {error:#}", line.name));
        } else if said != line.lost {
            wrong.push(format!(
                "{}: {} says other gaps than there are",
                line.name,
                index::NAME
            ));
        }
    }
    let found = fs::read_dir(&args.dir)?.count() as u64;
    if found != files + 1 {
        wrong.push(format!(
            "{found} files where there should be {files} and {}",
            index::NAME
        ));
    }
    Ok((streams, wrong))
}

/// One stream from its one or two files.
fn stream(args: &Args, line: &Line<'_>, files: &mut u64) -> Result<()> {
    let path = args.dir.join(line.name);
    let mut sum = Sha256::new();
    let mut length = add(&path, &mut sum)?;
    *files += 1;
    if let Some(at) = line.tls_at.filter(|_| !args.no_split_tls) {
        anyhow::ensure!(length == at, "clear text is {length} bytes, not {at}");
        let mut tls = path.into_os_string();
        tls.push(".tls");
        length += add(Path::new(&tls), &mut sum)?;
        *files += 1;
    }
    anyhow::ensure!(length == line.length, "{length} bytes, not {}", line.length);
    anyhow::ensure!(hex(&sum.finalize()) == line.sha256, "other bytes");
    Ok(())
}

/// Adds a file's bytes; how many there were.
fn add(path: &Path, sum: &mut Sha256) -> Result<u64> {
    let mut file = fs::File::open(path).with_context(|| path.display().to_string())?;
    let mut part = [0; 65_536];
    let mut length = 0;
    loop {
        let len = file.read(&mut part)?;
        if len == 0 {
            return Ok(length);
        }
        sum.update(&part[..len]);
        length += len as u64;
    }
}

/// Whether the files' contents are the manifest's streams, whatever their names.
fn by_content(args: &Args, manifest: &str) -> Result<(u64, Vec<String>)> {
    let mut found: HashMap<String, u64> = HashMap::new();
    for entry in fs::read_dir(&args.dir)? {
        let mut sum = Sha256::new();
        add(&entry?.path(), &mut sum)?;
        *found.entry(hex(&sum.finalize())).or_default() += 1;
    }
    let mut streams = 0;
    let mut wrong = Vec::new();
    for line in manifest.lines().skip(1) {
        let line = Line::parse(line)?;
        streams += 1;
        match found.get_mut(line.sha256) {
            Some(left) if *left > 0 => *left -= 1,
            _ => wrong.push(format!("{}: no file has its bytes", line.name)),
        }
    }
    Ok((streams, wrong))
}
