//! The TLS of a capture, ready to be fed to a watcher: found by looking for a ClientHello where a line or a
//! segment begins, which is all that these tests need of a mail watcher.

use std::collections::HashMap;
use std::path::Path;

use flowdump::capture::{FileSource, Next, Source};
use flowdump::decode::{DecodeOptions, Decoder};
use flowdump::event::{Connection, Direction, Event, SinkError, Verdict};
use flowdump::flow::{FlowOptions, FlowTable};
use flowdump::time::Timestamp;
use flowdump::tls::{Started, TlsEvent, TlsHow, TlsWatcher, looks_like_client_hello};

/// One thing to feed.
#[derive(Debug, Clone)]
pub enum Step {
    Data(Direction, u64, Timestamp, Vec<u8>),
    Gap(Direction, u64, Timestamp),
    End(Direction, Timestamp),
    Close(Timestamp),
}

/// One connection's TLS.
#[derive(Debug, Clone)]
pub struct Feed {
    pub connection: Connection,
    pub started: Started,
    pub steps: Vec<Step>,
}

impl Feed {
    /// What a watcher tells of it.
    pub fn events(&self) -> Vec<TlsEvent> {
        let mut events = Vec::new();
        let mut watcher = TlsWatcher::new(self.started.clone());
        let mut tell = |event| events.push(event);
        for step in &self.steps {
            match step {
                Step::Data(direction, offset, time, bytes) => {
                    watcher.data(*direction, *offset, *time, bytes, &mut tell);
                }
                Step::Gap(direction, len, time) => {
                    watcher.gap(*direction, *len, *time, &mut tell);
                }
                Step::End(direction, time) => watcher.end(*direction, *time, &mut tell),
                Step::Close(time) => watcher.close(*time, &mut tell),
            }
        }
        events
    }
}

/// Every connection of a capture in which a ClientHello is found.
pub fn feeds(path: &Path) -> Vec<Feed> {
    let mut source = FileSource::open(&[path.to_owned()]).expect("the capture opens");
    let mut decoder = Decoder::new(DecodeOptions::default());
    let mut table = FlowTable::new(FlowOptions::default());
    let mut finder = Finder::default();
    let mut emit = |connection: &Connection, event: &Event<'_>| -> Result<(), SinkError> {
        finder.event(connection, event);
        Ok(())
    };
    while let Ok(Next::Packet(packet)) = source.next() {
        if let Some(segment) = decoder.decode(&packet) {
            table
                .segment(&segment, &mut emit)
                .expect("the finder never fails");
        }
    }
    table.finish(&mut emit).expect("the finder never fails");
    let mut feeds: Vec<Feed> = finder.found.into_values().collect();
    feeds.sort_by_key(|feed| feed.connection.id);
    feeds
}

#[derive(Default)]
struct Finder {
    lens: HashMap<u64, [u64; 2]>,
    found: HashMap<u64, Feed>,
}

impl Finder {
    fn event(&mut self, connection: &Connection, event: &Event<'_>) {
        let lens = self.lens.entry(connection.id).or_default();
        let steps = self.found.get_mut(&connection.id).map(|feed| &mut feed.steps);
        match (event, steps) {
            (
                &Event::Data {
                    direction,
                    offset,
                    time,
                    bytes,
                    ..
                },
                steps,
            ) => {
                lens[direction.index()] += bytes.len() as u64;
                match (steps, hello_in(bytes)) {
                    (Some(steps), _) => steps.push(Step::Data(direction, offset, time, bytes.to_vec())),
                    (None, Some(at)) => {
                        let mut offsets = lens.map(Some);
                        offsets[direction.index()] = Some(offset + at as u64);
                        let how = if offsets == [Some(0); 2] {
                            TlsHow::Implicit
                        } else {
                            TlsHow::Starttls
                        };
                        let first = Step::Data(direction, offset + at as u64, time, bytes[at..].to_vec());
                        let feed = Feed {
                            connection: connection.clone(),
                            started: Started { time, how, offsets },
                            steps: vec![first],
                        };
                        self.found.insert(connection.id, feed);
                    }
                    (None, None) => {}
                }
            }
            (
                &Event::Gap {
                    direction, len, time, ..
                },
                steps,
            ) => {
                lens[direction.index()] += len;
                if let Some(steps) = steps {
                    steps.push(Step::Gap(direction, len, time));
                }
            }
            (&Event::End { direction, time, .. }, Some(steps)) => steps.push(Step::End(direction, time)),
            (Event::Closed(closing), Some(steps)) => steps.push(Step::Close(closing.last_time)),
            _ => {}
        }
    }
}

fn hello_in(bytes: &[u8]) -> Option<usize> {
    (0..bytes.len()).find(|&at| {
        (at == 0 || bytes[at - 1] == b'\n') && looks_like_client_hello(&bytes[at..]) == Verdict::Yes
    })
}
