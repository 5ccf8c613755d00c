//! The hot path of the console: a packet's whole lines, which differ in nothing but what they say.
//!
//! 64 bytes are looked at at once for what may end or disturb a line, which costs less than a search for each
//! line end and a second look at what stands between them.

use memchr::memchr;

use super::page::{Page, put_harmless};
use super::state::State;
use crate::event::{Direction, Kind};
use crate::output::escape::harmless_width;
use crate::output::marks::{BLOCK, Block};
use crate::time::Timestamp;

/// After so many characters beyond ASCII, those of a block are looked at together: there will be more.
const ONE_BY_ONE: usize = 16;

impl Page<'_> {
    /// Shows the whole lines that `bytes` begin with. Returns what is left.
    pub(super) fn whole_lines<'b>(
        &mut self,
        state: &mut State,
        direction: Direction,
        time: Timestamp,
        kind: Kind,
        bytes: &'b [u8],
    ) -> &'b [u8] {
        if memchr(b'\n', bytes).is_none() {
            return bytes;
        }
        if kind != Kind::Body {
            self.unfold(state, direction);
        }
        self.margin
            .fill(self.options, self.clock, state, direction, time, kind);
        let out = &mut *self.out;
        out.put(self.margin.start());
        let [between, between_bare] = self.margin.between();
        // Where the line at hand begins, and where what was not looked at yet does.
        let (mut begin, mut new) = (0, 0);
        let mut beyond_ascii = 0;
        let mut at_block = 0;
        'blocks: while let Some(ahead @ [_, ..]) = bytes.get(at_block..) {
            let mut marks = Block::first_of(ahead).marks();
            while marks != 0 {
                let at = at_block + marks.trailing_zeros() as usize;
                marks &= marks - 1;
                if at < new {
                    continue;
                }
                let (Some(line), Some(rest)) = (bytes.get(begin..), bytes.get(at..)) else {
                    break 'blocks;
                };
                let (line_end, between) = match *rest {
                    [b'\r', b'\n', ..] => {
                        // The mark of the LF.
                        marks &= marks.wrapping_sub(1);
                        (2, between)
                    }
                    [b'\n', ..] => (1, between_bare),
                    [b'\t', ..] => continue,
                    _ => {
                        let width = harmless_width(rest);
                        if width > 0 {
                            new = at + width;
                            beyond_ascii += 1;
                            if beyond_ascii > ONE_BY_ONE {
                                marks &= !Block::first_of(ahead).harmless_characters();
                            }
                            continue;
                        }
                        // Whatever else is in this line is for the careful way.
                        let Some(end) = memchr(b'\n', rest).map(|end| at + end + 1) else {
                            break 'blocks;
                        };
                        let line = bytes.get(begin..end).unwrap_or_default();
                        put_harmless(line, self.options.show.unprintable(), out);
                        let (text, len) = between;
                        out.put(text.get(..len).unwrap_or_default());
                        (begin, new, at_block) = (end, end, end);
                        continue 'blocks;
                    }
                };
                out.put_firsts((line, at - begin), between);
                begin = at + line_end;
                new = begin;
            }
            at_block += BLOCK;
        }
        // The one that follows no line.
        out.take_back(self.margin.start().len());
        bytes.get(begin..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::decode::{Endpoint, Scope};
    use crate::event::{ClientKnown, Connection, Direction, Event, Kind, Sink};
    use crate::output::console::{Body, Console, ConsoleOptions, Show, TlsStyle};
    use crate::output::{Palette, TimeStyle, Unprintable};
    use crate::text::is_harmless;
    use crate::time::Timestamp;

    /// What the console shows of a stream that comes in these pieces.
    fn shown(pieces: &[&[u8]]) -> String {
        let options = ConsoleOptions {
            palette: Palette::none(),
            time: TimeStyle::None,
            prefix: true,
            show: Show::Lines(Unprintable::Escape),
            tls: TlsStyle::Records,
            body: Body::All,
            secrets: false,
            unicode: true,
            verbose: false,
            patience: std::time::Duration::from_secs(1),
        };
        let endpoint = Endpoint {
            address: std::net::Ipv4Addr::LOCALHOST.into(),
            port: 25,
        };
        let connection = Connection {
            id: 1,
            slot: 0,
            client: endpoint,
            server: endpoint,
            client_known: ClientKnown::Syn,
            first_time: Timestamp::default(),
            scope: Scope::default(),
            vlan: None,
            mac: None,
        };
        let mut console = Console::new(Vec::new(), options);
        for bytes in pieces {
            let event = Event::Data {
                direction: Direction::ToServer,
                offset: 0,
                time: Timestamp::default(),
                kind: Kind::Plain,
                bytes,
            };
            console.event(&connection, &event).unwrap();
        }
        console.finish().unwrap();
        String::from_utf8(console.writer).unwrap()
    }

    /// The same a character at a time.
    fn plainly(stream: &[u8]) -> String {
        let mut out = String::new();
        for line in stream.split_inclusive(|byte| *byte == b'\n') {
            out += "127.0.0.1:25 > 127.0.0.1:25  ";
            for chunk in line.strip_suffix(b"\r\n").unwrap_or(line).utf8_chunks() {
                for character in chunk.valid().chars() {
                    match character {
                        '\n' => out += "\\n",
                        '\r' => out += "\\r",
                        _ if is_harmless(character) => out.push(character),
                        '\0'..='\x7f' => out += &format!("\\x{:02x}", u32::from(character)),
                        _ => out += &format!("\\u{{{:x}}}", u32::from(character)),
                    }
                }
                for byte in chunk.invalid() {
                    out += &format!("\\x{byte:02x}");
                }
            }
            out.push('\n');
        }
        out
    }

    /// Bytes of which lines are made, the usual ones first.
    fn piece() -> impl Strategy<Value = Vec<u8>> {
        let text = |text: &'static str| Just(text.as_bytes().to_vec());
        prop_oneof![
            20 => "[ -~]{0,80}".prop_map(String::into_bytes),
            15 => text("\r\n"),
            3 => prop::sample::select(vec!["\n", "\r", "\t", "\x1b[2J", "\x7f", "\0"]).prop_map(|text| text.into()),
            3 => prop::sample::select(vec!["gr\u{fc}\u{df}e", "\u{201e}quoted\u{201c}", "\u{43f}\u{440}\u{438}\u{432}\u{435}\u{442}"])
                .prop_map(|text| text.into()),
            2 => any::<char>().prop_map(|character| character.to_string().into_bytes()),
            2 => "[\u{80}-\u{ad}\u{34f}\u{61c}\u{115f}\u{17b4}\u{180e}\u{200b}-\u{206f}\u{3164}\u{fe0f}\u{feff}\u{e0041}]"
                .prop_map(String::into_bytes),
            1 => prop::collection::vec(any::<u8>(), 0..100),
        ]
    }

    proptest! {
        #[test]
        fn however_lines_are_cut_they_are_shown_as_one_would_write_them(
            pieces in prop::collection::vec(piece(), 0..80),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..5),
        ) {
            let mut stream = pieces.concat();
            stream.extend_from_slice(b"\n");
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
            cuts.extend([0, stream.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts
                .windows(2)
                .map(|cut| &stream[cut[0]..cut[1]])
                .filter(|piece| !piece.is_empty())
                .collect();
            prop_assert_eq!(shown(&pieces), plainly(&stream));
        }
    }
}
