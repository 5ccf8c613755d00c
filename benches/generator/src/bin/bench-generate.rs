//! Writes a capture of a kind and, beside it, the manifest of what is in it.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Parser;
use flowdump_bench::capture::Capture;
use flowdump_bench::kinds::{Amount, Kind, generate};
use flowdump_bench::manifest::HEAD;

/// Write FILE.pcap and FILE.tsv, the same on every machine for the same arguments.
#[derive(Parser)]
struct Args {
    /// What the traffic is
    kind: Kind,
    /// The capture and its manifest, without their extensions
    file: PathBuf,
    /// Millions of bytes, of all kinds but swarm and synflood
    #[arg(long, default_value_t = 1000)]
    megabytes: u64,
    /// Connections of swarm [default: 1000000], SYNs of synflood [default: 5000000]
    #[arg(long)]
    connections: Option<u64>,
    /// So many times the time between packets: by itself, traffic is as dense as a wire of 1 Gbit/s
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    slower: u64,
    /// Another seed, another capture
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let create = |extension: &str| {
        let path = args.file.with_extension(extension);
        let file = File::create(&path).with_context(|| path.display().to_string())?;
        Ok::<_, anyhow::Error>(BufWriter::with_capacity(1 << 20, file))
    };
    let mut capture = Capture::new(create("pcap")?)?.slower(args.slower);
    let mut manifest = create("tsv")?;
    writeln!(manifest, "{HEAD}")?;
    let default = if args.kind == Kind::Synflood {
        5_000_000
    } else {
        1_000_000
    };
    let amount = Amount {
        size: args.megabytes * 1_000_000,
        connections: args.connections.unwrap_or(default),
    };
    generate(args.kind, amount, args.seed, &mut capture, &mut manifest)?;
    println!(
        "{}: {} packets, {} bytes",
        args.file.display(),
        capture.packets(),
        capture.written()
    );
    capture.finish()?;
    manifest.flush()?;
    Ok(())
}
