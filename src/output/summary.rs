//! One line a mail session, as a table: written as sessions end, so that it works live and in little memory.

use std::io::Write;

use super::clock::{Clock, TimeStyle};
use super::escape::escaped;
use super::palette::Palette;
use super::session::{MailTotals, Session, Verdict};
use super::words::endpoint;
use crate::event::{Closing, Connection, Direction, Event, Kind, Sink, SinkError};
use crate::slots::Slots;
use crate::time::Timestamp;

/// How the table looks.
#[derive(Debug, Clone, Default)]
pub struct SummaryOptions {
    /// Columns that it may take, where values are cut to fit; `None` is full values, however wide.
    pub width: Option<usize>,
    /// Times: UTC or local.
    pub time: TimeStyle,
    /// Colours.
    pub palette: Palette,
    /// What is cut ends in `…` rather than `~`.
    pub unicode: bool,
}

/// A column: what it is called, how narrow it may be, how wide it wants to be, and when it gives way (the
/// highest number first).
struct Column {
    name: &'static str,
    least: usize,
    most: usize,
    gives_way: u8,
}

const fn column(name: &'static str, least: usize, most: usize, gives_way: u8) -> Column {
    Column {
        name,
        least,
        most,
        gives_way,
    }
}

/// In the order in which they stand.
const COLUMNS: [Column; 12] = [
    column("TIME", 8, 8, 0),
    column("CLIENT", 13, 15, 1),
    column("SERVER", 15, 21, 2),
    column("EHLO", 8, 28, 9),
    column("AUTH", 8, 26, 8),
    column("TLS", 8, 44, 4),
    column("FROM", 8, 32, 6),
    column("TO", 8, 36, 5),
    column("SIZE", 6, 8, 7),
    column("REPLY", 18, 60, 3),
    column("SECONDS", 7, 9, 10),
    column("END", 15, 15, 11),
];

/// The place of the server's.
const SERVER: usize = 2;

/// A time with its date.
const ISO_LEN: usize = "2026-11-21T07:03:23.204589Z".len();

/// The place of what was replied, which says most.
const REPLY: usize = 9;

/// Between columns.
const SPACE: usize = 2;

/// The table.
#[derive(Debug)]
pub struct Summary<W> {
    /// `None` only counts.
    writer: Option<W>,
    options: SummaryOptions,
    totals: MailTotals,
    /// Width of each column, 0 for one that gave way.
    widths: [usize; COLUMNS.len()],
    sessions: Slots<Session>,
    headed: bool,
    clock: Clock,
    /// The one that the last row was of, with its offset from UTC.
    day: String,
    out: Vec<u8>,
}

impl<W: Write> Summary<W> {
    /// A table on `writer`, which should not buffer; without one sessions are only counted.
    pub fn new(writer: Option<W>, options: SummaryOptions) -> Self {
        let widths = options.width.map_or_else(|| full_widths(options.time), widths);
        let (sessions, day, out) = Default::default();
        Self {
            writer,
            clock: Clock::new(options.time),
            day,
            options,
            totals: MailTotals::default(),
            widths,
            sessions,
            headed: false,
            out,
        }
    }

    /// Counts so far.
    pub fn totals(&self) -> MailTotals {
        self.totals
    }

    /// Nobody reads the table any more.
    pub fn only_count(&mut self) {
        self.writer = None;
    }

    fn row(&mut self, connection: &Connection, closing: &Closing, session: &Session) {
        if !std::mem::replace(&mut self.headed, true) {
            let names: [String; COLUMNS.len()] =
                std::array::from_fn(|at| COLUMNS.get(at).map_or("", |c| c.name).to_owned());
            let start = self.options.palette.marker().to_vec();
            self.cells(&start, &names);
        }
        let wide = self.options.width.is_none();
        let text = |value: Option<&str>| value.map_or_else(|| "-".to_owned(), escaped);
        let time = self.time(connection.first_time);
        let auth = session.auth.as_ref().map(|(user, accepted)| {
            let outcome = match accepted {
                Some(true) => "ok",
                Some(false) => "REFUSED",
                None => "?",
            };
            format!("{outcome} {}", user.as_deref().unwrap_or(""))
                .trim_end()
                .to_owned()
        });
        let more = |first: &Option<String>, count: u64| {
            let first = first
                .as_deref()
                .map(|first| if first.is_empty() { "<>" } else { first });
            let first = first.unwrap_or("-");
            if count > 1 {
                format!("{} +{}", escaped(first), count - 1)
            } else {
                escaped(first)
            }
        };
        let size = if session.mails > 0 {
            session.size.to_string()
        } else {
            "-".to_owned()
        };
        let mut recipients = more(&session.recipient, session.recipients);
        if session.recipients > 1 && session.recipients_refused > 0 {
            recipients += &format!(" ({} refused)", session.recipients_refused);
        }
        let end = Session::end(closing);
        let end_is_shown = self.widths.last().is_some_and(|width| *width > 0);
        let instead = Some(end.as_str()).filter(|_| !end_is_shown);
        let mut client = if wide {
            endpoint(connection.client)
        } else {
            connection.client.address.to_string()
        };
        if let Some(behind) = session.speaks_for {
            client = if wide {
                format!("{behind} via {client}")
            } else {
                format!("{} via {client}", behind.ip())
            };
        }
        let cells = [
            time,
            client,
            endpoint(connection.server),
            text(session.helo.name()),
            text(auth.as_deref()),
            tls(session),
            more(&session.mail_from, session.mails),
            recipients,
            size,
            text(session.reply.as_deref().or(instead)),
            format!(
                "{:.3}",
                closing.last_time.since(connection.first_time).as_secs_f64()
            ),
            end.clone(),
        ];
        let palette = &self.options.palette;
        let start = match session.verdict() {
            Verdict::Fine => Vec::new(),
            Verdict::Trouble => palette.text(Direction::ToClient, Kind::TransientReply).to_vec(),
            Verdict::Failed => palette.text(Direction::ToClient, Kind::PermanentReply).to_vec(),
        };
        self.cells(&start, &cells);
    }

    /// The cell of a time: of the day, below a line that names the day, or in full.
    fn time(&mut self, time: Timestamp) -> String {
        let mut text = Vec::new();
        self.clock.write(time, &mut text);
        let text = String::from_utf8_lossy(&text);
        if self.options.width.is_none() {
            return text.into_owned();
        }
        let part = |range| text.get(range).unwrap_or_default();
        let zone = text
            .get(ISO_LEN - 1..)
            .filter(|zone| *zone != "Z")
            .unwrap_or("UTC");
        let day = format!("{} {zone}", part(0..10));
        if self.day != day {
            self.out.extend_from_slice(self.options.palette.own());
            self.out.extend_from_slice(day.as_bytes());
            self.out.extend_from_slice(self.options.palette.end());
            self.out.push(b'\n');
            self.day = day;
        }
        part(11..19).to_owned()
    }

    /// A line of cells; `start` colours it.
    fn cells(&mut self, start: &[u8], cells: &[String; COLUMNS.len()]) {
        let mut line = String::new();
        let mut pad = 0;
        for (column, (cell, width)) in cells.iter().zip(self.widths).enumerate() {
            if width == 0 {
                continue;
            }
            line.extend(std::iter::repeat_n(' ', pad));
            let len = cell.chars().count();
            if len <= width || self.options.width.is_none() {
                line.push_str(cell);
                pad = width.saturating_sub(len) + SPACE;
            } else {
                // A server's port says more than the rest of its address.
                let port = cell.rfind("]:").or_else(|| cell.rfind(':'));
                let port = port.and_then(|at| cell.get(at..)).filter(|_| column == SERVER);
                let behind = port.unwrap_or("");
                line.extend(cell.chars().take((width - 1).saturating_sub(behind.len())));
                line.push(if self.options.unicode { '…' } else { '~' });
                line.push_str(behind);
                pad = SPACE;
            }
        }
        if start.is_empty() {
            self.out.extend_from_slice(line.as_bytes());
        } else {
            self.out.extend_from_slice(start);
            self.out.extend_from_slice(line.as_bytes());
            self.out.extend_from_slice(self.options.palette.end());
        }
        self.out.push(b'\n');
    }
}

/// What became of TLS.
fn tls(session: &Session) -> String {
    let Some(tls) = &session.tls else {
        return session
            .starttls
            .map_or_else(|| "none".to_owned(), |outcome| format!("none: {outcome}"));
    };
    let version = tls.version.as_deref().unwrap_or("TLS");
    let cipher = tls.cipher.as_deref().unwrap_or("");
    let unfinished = if tls.unfinished.is_some() {
        "UNFINISHED "
    } else {
        ""
    };
    // What is cut off first is known best.
    format!("{unfinished}{version} {} {cipher}", tls.how)
        .trim_end()
        .to_owned()
}

/// Widths that most full values are within, which have the date and the client's port.
fn full_widths(style: TimeStyle) -> [usize; COLUMNS.len()] {
    let mut widths = COLUMNS.map(|column| column.most);
    let [time, client, server, ..] = &mut widths;
    let offset = if style == TimeStyle::Local {
        "+00:00".len() - "Z".len()
    } else {
        0
    };
    (*time, *client) = (ISO_LEN + offset, *server);
    widths
}

/// Widths within `width`: columns give way until the least widths fit, the rest share what is left.
fn widths(width: usize) -> [usize; COLUMNS.len()] {
    let mut widths = COLUMNS.map(|column| column.least);
    let total = |widths: &[usize]| {
        widths
            .iter()
            .filter(|width| **width > 0)
            .map(|width| width + SPACE)
            .sum::<usize>()
    };
    let mut order: Vec<usize> = (0..COLUMNS.len()).collect();
    order.sort_by_key(|at| COLUMNS.get(*at).map_or(0, |column| u8::MAX - column.gives_way));
    for at in order.iter().take(COLUMNS.len() - 2) {
        if total(&widths) <= width + SPACE {
            break;
        }
        if let Some(place) = widths.get_mut(*at) {
            *place = 0;
        }
    }
    // The reply gets half of what is left; of the rest those get most that want most.
    let left = (width + SPACE).saturating_sub(total(&widths));
    if let (Some(place @ 1..), Some(column)) = (widths.get_mut(REPLY), COLUMNS.get(REPLY)) {
        *place += (left / 2).min(column.most - column.least);
    }
    let wants: Vec<usize> = widths
        .iter()
        .zip(&COLUMNS)
        .map(|(width, column)| if *width > 0 { column.most - width } else { 0 })
        .collect();
    let wanted = wants.iter().sum::<usize>();
    let left = (width + SPACE).saturating_sub(total(&widths)).min(wanted);
    for (place, want) in widths.iter_mut().zip(&wants) {
        *place += want * left / wanted.max(1);
    }
    widths
}

impl<W: Write> Sink for Summary<W> {
    fn event(&mut self, connection: &Connection, event: &Event<'_>) -> Result<(), SinkError> {
        match event {
            Event::Mail(_) | Event::Tls(_) => self.sessions.get_or_default(connection.slot).event(event),
            Event::Closed(closing) => {
                let session = self.sessions.take(connection.slot);
                // Most connections have none: it is not put on the heap for them.
                let none = Session::default();
                let session = session.as_deref().unwrap_or(&none);
                if session.is_mail(connection) {
                    self.totals.add(session);
                    if self.writer.is_some() {
                        self.row(connection, closing, session);
                    }
                }
            }
            _ => {}
        }
        if self.out.len() > 64 << 10 {
            self.flush()
        } else {
            Ok(())
        }
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        let written = self
            .writer
            .as_mut()
            .map_or(Ok(()), |writer| writer.write_all(&self.out));
        self.out.clear();
        written.map_err(|source| SinkError::io("standard output", source))
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        self.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_fits_every_width() {
        for width in 30..300 {
            let widths = widths(width);
            let shown: Vec<_> = widths.iter().filter(|width| **width > 0).collect();
            let total = shown.iter().copied().sum::<usize>() + SPACE * (shown.len() - 1);
            assert!(total <= width, "{total} > {width}: {widths:?}");
        }
        assert!(
            widths(400)
                .iter()
                .zip(&COLUMNS)
                .all(|(width, column)| *width == column.most)
        );
    }

    #[test]
    fn a_terminal_s_table_names_each_day_once_and_keeps_the_server_s_port() {
        let options = SummaryOptions {
            width: Some(60),
            ..SummaryOptions::default()
        };
        let mut table = Summary::new(Some(Vec::new()), options);
        for second in [1_795_305_598, 1_795_305_599, 1_795_305_600] {
            let mut cells: [String; COLUMNS.len()] = Default::default();
            cells[0] = table.time(Timestamp::from_nanos(second * 1_000_000_000));
            cells[SERVER] = "[2001:db8::1234]:587".to_owned();
            table.cells(&[], &cells);
        }
        let text = String::from_utf8(table.out.clone()).unwrap();
        let lines: Vec<_> = text
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        let server = "[2001:db8~]:587";
        assert_eq!(
            lines,
            [
                "2026-11-21 UTC".to_owned(),
                format!("23:59:58 {server}"),
                format!("23:59:59 {server}"),
                "2026-11-22 UTC".to_owned(),
                format!("00:00:00 {server}"),
            ]
        );
    }
}
