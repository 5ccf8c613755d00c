//! What a packet costs on its way to an event, stage by stage: read, decode, flow, watch. Nothing
//! is written.
//!
//! Captures are small enough for the second-level caches to help a little; compare figures with each other,
//! and take whole runs from `benches/run.sh`.

use std::cell::Cell;
use std::hint::black_box;
use std::io::BufWriter;
use std::path::PathBuf;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use flowdump::capture::{FileSource, Next, Packet, Source};
use flowdump::decode::{DecodeOptions, Decoder};
use flowdump::event::{Connection, Emit, Event, Sink};
use flowdump::flow::{FlowOptions, FlowTable};
use flowdump::output::{Body, Console, ConsoleOptions, Palette, Show, TimeStyle, TlsStyle, Unprintable};
use flowdump::watch::Watchers;
use flowdump_bench::capture::Capture;
use flowdump_bench::kinds::{Amount, Kind, generate};
use flowdump_bench::manifest::Line;

/// A capture on disk, with its length and the stream bytes that are in it.
struct Load {
    name: &'static str,
    path: PathBuf,
    len: u64,
    bytes: u64,
}

fn load(name: &'static str, kind: Kind) -> Load {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
        .join(name)
        .with_extension("pcap");
    let file = std::fs::File::create(&path).expect("a place for captures");
    let mut capture = Capture::new(BufWriter::new(file)).expect("a capture");
    let mut manifest = Vec::new();
    let amount = Amount {
        size: 30_000_000,
        connections: 50_000,
    };
    generate(kind, amount, 1, &mut capture, &mut manifest).expect("a capture");
    let len = capture.written();
    capture.finish().expect("a capture");
    let lines = String::from_utf8(manifest).expect("text");
    let bytes = lines
        .lines()
        .map(|line| Line::parse(line).expect("a manifest"))
        .map(|line| line.length - line.lost.iter().map(|lost| lost.1).sum::<u64>())
        .sum();
    Load {
        name,
        path,
        len,
        bytes,
    }
}

fn each_packet(load: &Load, mut each: impl FnMut(&Packet<'_>)) {
    let mut source = FileSource::open(std::slice::from_ref(&load.path)).expect("the capture just written");
    while let Ok(Next::Packet(packet)) = source.next() {
        each(&packet);
    }
}

/// What `-c` shows of them, written to nowhere.
fn to_the_console(load: &Load) {
    let mut console = Console::new(
        std::io::sink(),
        ConsoleOptions {
            palette: Palette::colours(),
            time: TimeStyle::Utc,
            prefix: true,
            show: Show::Lines(Unprintable::Escape),
            tls: TlsStyle::Records,
            body: Body::All,
            secrets: false,
            unicode: true,
            verbose: false,
            live: false,
            patience: Duration::from_secs(1),
        },
    );
    let mut watchers = Watchers::new();
    let mut decoder = Decoder::new(DecodeOptions::default());
    let mut table = FlowTable::new(FlowOptions::default());
    let mut show = |connection: &Connection, event: &Event<'_>| {
        watchers.event(connection, event, &mut |connection, event| {
            console.event(connection, event)
        })
    };
    each_packet(load, |packet| {
        if let Some(segment) = decoder.decode(packet) {
            table
                .segment(&segment, &mut show)
                .expect("nowhere takes everything");
        }
    });
    table.finish(&mut show).expect("nowhere takes everything");
    console.finish().expect("nowhere takes everything");
}

/// Stream bytes that come out of the flow table, or of the watchers behind it.
fn through_flow(load: &Load, watchers: Option<&mut Watchers>) -> u64 {
    let mut decoder = Decoder::new(DecodeOptions::default());
    let mut table = FlowTable::new(FlowOptions::default());
    let bytes = Cell::new(0);
    let mut count = |_: &Connection, event: &Event<'_>| {
        if let Event::Data { bytes: data, .. } = event {
            bytes.set(bytes.get() + data.len() as u64);
        }
        Ok(())
    };
    let mut feed = |emit: &mut Emit<'_>| {
        each_packet(load, |packet| {
            if let Some(segment) = decoder.decode(packet) {
                table.segment(&segment, emit).expect("the sink never fails");
            }
        });
        table.finish(emit).expect("the sink never fails");
    };
    match watchers {
        None => feed(&mut count),
        Some(watchers) => {
            feed(&mut |connection, event| watchers.event(connection, event, &mut count));
        }
    }
    bytes.get()
}

fn stages(criterion: &mut Criterion) {
    let loads = [
        load("bulk", Kind::Bulk),
        load("bulk-text", Kind::BulkText),
        load("mail", Kind::Mail),
        load("swarm", Kind::Swarm),
        load("synflood", Kind::Synflood),
        load("lossy", Kind::Lossy),
    ];
    for load in &loads {
        assert_eq!(
            through_flow(load, None),
            load.bytes,
            "{}: stream bytes",
            load.name
        );
        let mut group = criterion.benchmark_group(load.name);
        group.throughput(Throughput::Bytes(load.len));
        group.sample_size(20);
        group.bench_function(BenchmarkId::from_parameter("read"), |bencher| {
            bencher.iter(|| each_packet(load, |packet| _ = black_box(packet.time)));
        });
        group.bench_function(BenchmarkId::from_parameter("decode"), |bencher| {
            bencher.iter(|| {
                let mut decoder = Decoder::new(DecodeOptions::default());
                each_packet(load, |packet| _ = black_box(decoder.decode(packet).is_some()));
            });
        });
        group.bench_function(BenchmarkId::from_parameter("flow"), |bencher| {
            bencher.iter(|| black_box(through_flow(load, None)));
        });
        group.bench_function(BenchmarkId::from_parameter("watch"), |bencher| {
            bencher.iter(|| black_box(through_flow(load, Some(&mut Watchers::new()))));
        });
        group.bench_function(BenchmarkId::from_parameter("console"), |bencher| {
            bencher.iter(|| to_the_console(load));
        });
        group.finish();
    }
}

criterion_group!(benches, stages);
criterion_main!(benches);
