//! The hot path of the console: a packet's whole lines, which differ in nothing but what they say.
//!
//! 64 bytes are looked at at once for what may end or disturb a line, which costs less than a search for each
//! line end and a second look at what stands between them.

use fearless_simd::{Level, Simd, dispatch};
use memchr::memchr;

use super::page::{Page, put_harmless};
use super::state::State;
use crate::event::{Direction, Kind};
use crate::output::escape::{Unprintable, harmless_width};
use crate::output::marks::{BLOCK, Block, bits_below};
use crate::output::sheet::Sheet;
use crate::time::Timestamp;

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
        let margin = self
            .margins
            .of(self.options, self.clock, state, direction, time, kind);
        let out = &mut *self.out;
        out.put(margin.start());
        let mut lines = Lines {
            bytes,
            begin: 0,
            between: margin.between(),
            unprintable: self.options.show.unprintable(),
            out,
        };
        dispatch!(Level::new(), simd => lines.put(simd));
        let begin = lines.begin;
        // The one that follows no line.
        self.out.take_back(margin.start().len());
        bytes.get(begin..).unwrap_or_default()
    }
}

/// Lines on their way to a sheet.
struct Lines<'a> {
    bytes: &'a [u8],
    /// Where the line at hand begins.
    begin: usize,
    /// What stands between lines, and how much of it is meant; the same behind a line that ended without a CR.
    between: [(&'a [u8], usize); 2],
    unprintable: Unprintable,
    out: &'a mut Sheet,
}

impl Lines<'_> {
    /// Puts down the whole lines.
    #[inline(always)]
    fn put(&mut self, simd: impl Simd) {
        let mut at_block = 0;
        while let Some(ahead @ [_, ..]) = self.bytes.get(at_block..) {
            let block = Block::first_of(simd, ahead);
            let ends = block.equal(b'\n');
            let crs = block.equal(b'\r') & ends >> 1;
            // Now and then a letter with an accent, which no branch is to be asked about: one in three would be foreseen
            // wrongly, which costs as much as the rest of the line.
            let as_it_is = ends | crs | block.equal(b'\t') | block.latin_letters();
            let mut odd = block.marks() & !as_it_is;
            let mut looked_at = BLOCK;
            if odd != 0 {
                // The last one is mostly a CR whose LF begins the next block.
                if odd << 1 != 0 {
                    odd &= !block.harmless_characters();
                }
                if odd << 1 != 0 {
                    odd &= !block.rarer_harmless_characters();
                }
                looked_at = first_harmful(ahead, odd);
            }
            self.put_up_to(at_block, ends & bits_below(looked_at));
            at_block += looked_at;
            // What may go on behind the block begins the next one.
            if looked_at < CUT_OFF || looked_at < BLOCK && ahead.len() <= BLOCK {
                match self.put_carefully(at_block) {
                    Some(next) => at_block = next,
                    None => return,
                }
            }
        }
    }

    /// Puts down the line at hand, whose end is looked for from `from` on, and those behind it up to the first one that
    /// is shown as it is: what is no text goes on so. Returns where the next line begins, if the last one has an end.
    #[inline(always)]
    fn put_carefully(&mut self, mut from: usize) -> Option<usize> {
        let [(between, len), _] = self.between;
        loop {
            let end = from + memchr(b'\n', self.bytes.get(from..)?)? + 1;
            let line = self.bytes.get(self.begin..end)?;
            let as_it_is = put_harmless(line, self.unprintable, self.out);
            self.out.put(between.get(..len).unwrap_or_default());
            (self.begin, from) = (end, end);
            if as_it_is {
                return Some(end);
            }
        }
    }

    /// Puts down the lines that end in the block at `at_block`, at the LFs for which these bits stand.
    #[inline(always)]
    fn put_up_to(&mut self, at_block: usize, mut ends: u64) {
        while ends != 0 {
            let end = at_block + ends.trailing_zeros() as usize;
            ends &= ends - 1;
            let Some(line) = self.bytes.get(self.begin..) else {
                return;
            };
            let len = end - self.begin;
            let [between, between_bare] = self.between;
            match line.get(len.wrapping_sub(1)) {
                Some(b'\r') => self.out.put_firsts((line, len - 1), between),
                _ => self.out.put_firsts((line, len), between_bare),
            }
            self.begin = end + 1;
        }
    }
}

/// From here on a character of a block may be cut off by its end.
const CUT_OFF: usize = BLOCK - 3;

/// Where the first of the bytes for which these bits stand is that does not belong to a character that can be shown
/// as it is. Behind the end of the block, where the last character ends, if none is.
#[inline]
fn first_harmful(block: &[u8], mut odd: u64) -> usize {
    while odd != 0 {
        let at = odd.trailing_zeros() as usize;
        let width = harmless_width(block.get(at..).unwrap_or_default());
        if width == 0 {
            return at;
        }
        if at + width >= BLOCK {
            return at + width;
        }
        odd &= !bits_below(at + width);
    }
    BLOCK
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::event::{Direction, Event, Kind, Sink};
    use crate::output::console::{Console, testing};
    use crate::text::is_harmless;
    use crate::time::Timestamp;

    /// What the console shows of a stream that comes in these pieces.
    fn shown(pieces: &[&[u8]]) -> String {
        let connection = testing::connection();
        let options = testing::options();
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
            out += "127.0.0.1:1025 > 127.0.0.1:25  ";
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
            3 => prop::sample::select(vec![
                "gr\u{fc}\u{df}e", "\u{201e}quoted\u{201c}", "\u{43f}\u{440}\u{438}\u{432}\u{435}\u{442}",
                "\u{e2a}\u{e27}\u{e31}\u{e2a}\u{e14}\u{e35}", "th\u{1ebf} gi\u{1edb}i", "\u{d55c}\u{ad6d}\u{c5b4}",
                "\u{90ae}\u{4ef6}\u{ff0c}", "\u{1f4e7}\u{1f600}",
            ]).prop_map(|text| text.into()),
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
