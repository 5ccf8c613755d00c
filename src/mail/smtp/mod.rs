//! SMTP and LMTP: RFC 5321, RFC 2033, with PIPELINING, CHUNKING, AUTH and STARTTLS.
//!
//! Two line parsers and a queue of the commands that wait for their replies. Bytes of the client whose
//! meaning a reply decides (behind DATA, AUTH, STARTTLS) are passed on at once, and understood when it comes.

mod client;
mod command;
mod recipients;
mod reply;
mod transaction;

use std::borrow::Cow;
use std::collections::VecDeque;

use crate::event::{Direction, SinkError, Verdict};
use crate::mail::detect::begins_like_smtp;
use crate::mail::input::{Input, Out};
use crate::mail::shared::{Core, Flow, Forgotten};
use crate::mail::{Protocol, Reply};
use crate::time::Timestamp;

use crate::mail::message::Body;
use transaction::Mails;

/// How the client's bytes are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// A command a line.
    Commands,
    /// Bytes are missing: a line is a command only if it begins like one.
    Lost,
    /// The next line is a secret.
    Secret,
    /// A message, until its dot.
    Body,
    /// So many octets of a message, the last ones of it or not.
    Chunk { left: u64, last: bool },
    /// It depends on the reply to come.
    Undecided(Why),
}

/// What the client waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    Data,
    Auth,
    Starttls,
}

/// A command that has not been answered.
#[derive(Debug)]
struct Asked {
    verb: Cow<'static, str>,
    time: Timestamp,
    what: What,
}

/// What its reply decides. Numbers are those of transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Other,
    /// EHLO, LHLO: the reply has the keywords, and mails up to this one are over.
    Hello(u32),
    /// RSET, QUIT, HELO: mails up to this one are over.
    Ends(u32),
    Mail(u32),
    Recipient(u32, u16),
    Data(u32),
    /// The final dot. LMTP: so many replies are still to come, once known.
    Dot(u32, Option<u32>),
    Chunk(u32, bool),
    Auth,
    Starttls,
    /// STARTTLS as a firewall garbles it.
    Garbled,
}

/// One session.
#[derive(Debug)]
pub(crate) struct Smtp {
    pub(crate) core: Core,
    mode: Mode,
    /// The line at hand begins like a command.
    known: bool,
    /// Behind DATA: the lines that come look like a message.
    looks_like_body: bool,
    queue: VecDeque<Asked>,
    /// No DATA, no AUTH is among these, as the last look for one showed: a server may send what answers them
    /// as often as it likes.
    lacks: [bool; 2],
    mails: Mails,
    body: Option<Box<Body>>,
    /// Before this offset of the client's, DATA is taken to have been agreed to.
    given: u64,
    /// And AUTH to have had a reply that was not seen.
    unseen: u64,
    /// Replies that came while a message passed.
    early: VecDeque<Reply>,
}

impl Smtp {
    /// `from_start`: the server's first bytes are its greeting.
    pub(crate) fn new(protocol: Protocol, from_start: bool) -> Self {
        let mut core = Core::new(protocol);
        core.greeted = !from_start;
        Self {
            core,
            mode: Mode::Commands,
            known: false,
            looks_like_body: false,
            queue: VecDeque::new(),
            lacks: [false; 2],
            mails: Mails::new(),
            body: None,
            given: 0,
            unseen: 0,
            early: VecDeque::new(),
        }
    }

    /// Bytes of memory that it keeps and could do without.
    #[inline]
    pub(crate) fn keeps(&self) -> usize {
        self.core.keeps() + self.queue.capacity() * size_of::<Asked>()
    }

    /// Bytes of one direction.
    pub(crate) fn data(&mut self, input: &mut Input<'_>, out: &mut Out<'_, '_>) -> Result<Flow, SinkError> {
        self.core.see(input);
        let step = match input.direction {
            Direction::ToServer => Self::client,
            Direction::ToClient => Self::server,
        };
        while !input.is_empty() {
            let flow = step(self, input, out)?;
            if flow != Flow::Go {
                return Ok(flow);
            }
        }
        Ok(Flow::Go)
    }

    /// What the client sends is a command only where it begins like one; the line at hand is none.
    pub(crate) fn lose_client(&mut self) {
        self.mode = Mode::Lost;
        self.known = false;
    }

    /// Bytes are missing.
    pub(crate) fn gap(
        &mut self,
        direction: Direction,
        len: u64,
        out: &mut Out<'_, '_>,
    ) -> Result<(), SinkError> {
        match direction {
            Direction::ToServer => self.client_gap(len, out),
            Direction::ToClient => {
                // A reply whose text alone is cut short is one (snaplen).
                if let Some(line) = self.core.cut_line(direction) {
                    self.reply_line(&line, out)?;
                }
                self.core.gap(direction);
                self.core.greeted = true;
                self.queue.clear();
                match self.mode {
                    Mode::Undecided(Why::Data) if self.looks_like_body => self.begin_body(out),
                    _ => Ok(()),
                }
            }
        }
    }

    /// TLS is over, or was none: clear text follows in this direction.
    pub(crate) fn plain_again(&mut self, direction: Direction) {
        self.core.restart(direction);
        self.core.switch.plain_again();
        self.core.greeted = true;
        if direction == Direction::ToServer {
            self.queue.clear();
            self.core.kept = None;
            self.mode = Mode::Commands;
            self.body = None;
        }
    }

    /// The connection is over.
    pub(crate) fn close(&mut self, time: Timestamp, out: &mut Out<'_, '_>) -> Result<(), SinkError> {
        self.core.close_switch(time, out)?;
        // Where no reply came, the client may have gone on all the same.
        loop {
            match self.mode {
                Mode::Undecided(Why::Starttls) => self.understand_kept(Mode::Commands, out)?,
                Mode::Undecided(Why::Data) if self.keeps_a_message() => self.begin_body(out)?,
                _ => break,
            }
        }
        self.core.tell_auth(None, out)?;
        // Behind a chunk that was not the last others were to come.
        if let Some(body) = self.body.take() {
            self.mails.cut_off(*body);
        }
        self.mails.close(out)
    }

    /// Whether what was kept behind DATA is a message, or the start of one.
    fn keeps_a_message(&self) -> bool {
        let kept = self.core.kept.as_ref().filter(|kept| !kept.is_empty());
        kept.is_some_and(|kept| begins_like_smtp(kept.bytes()) != Verdict::Yes)
    }

    fn ask(&mut self, asked: Asked) {
        if self.queue.len() >= self.core.max_queue() {
            self.queue.pop_front();
        }
        let [data, auth] = &mut self.lacks;
        *data &= !matches!(asked.what, What::Data(_));
        *auth &= asked.what != What::Auth;
        self.queue.push_back(asked);
    }

    /// Reads what the client sent while nobody could tell what it was.
    fn understand_kept(&mut self, mode: Mode, out: &mut Out<'_, '_>) -> Result<(), SinkError> {
        self.mode = mode;
        match self.core.take_kept() {
            Ok(Some(kept)) => self.data(&mut kept.passed(Direction::ToServer), out).map(|_| ()),
            Ok(None) => Ok(()),
            Err(Forgotten) => {
                self.body = None;
                self.lose_client();
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Connection, Event};
    use crate::mail::MailEvent;

    /// A session in which the client says `flood` in packets of `size` bytes, and how many commands were told.
    fn flooded(flood: &[u8], size: usize) -> (Smtp, usize) {
        let mut told = 0;
        let mut emit = |_: &Connection, event: &Event<'_>| {
            told += usize::from(matches!(event, Event::Mail(MailEvent::Command(_))));
            Ok(())
        };
        let connection = crate::mail::tests::connection();
        let mut out = Out::new(&connection, &mut emit);
        let mut smtp = Smtp::new(Protocol::Smtp, true);
        let times = [(0, Timestamp::default())];
        let mut greeting = Input::new(Direction::ToClient, 0, b"220 mx ESMTP\r\n", &times);
        smtp.data(&mut greeting, &mut out).unwrap();
        let (mut from, mut to) = (0, 0);
        while to < flood.len() {
            to = flood.len().min(to + size);
            let mut input = Input::new(Direction::ToServer, from as u64, &flood[from..to], &times);
            smtp.data(&mut input, &mut out).unwrap();
            from = to - input.rest().len();
        }
        (smtp, told)
    }

    /// What is forgotten would have been read more than sixteen times.
    #[test]
    fn what_passes_the_bound_is_read_once() {
        for size in [9, 1000, 100_000] {
            let (smtp, told) = flooded(&b"DATA\r\n.\r\n".repeat(10_000), size);
            assert!(!smtp.core.forgot, "in packets of {size}");
            assert!(told > 8000, "{told} commands in packets of {size}");
        }
    }

    #[test]
    fn commands_without_replies_are_read_once_when_a_mail_shows_that_there_are_none() {
        let mut flood = b"AUTH X\r\n".repeat(1900);
        flood.extend_from_slice(b"MAIL FROM:<a@b.test>\r\n");
        let (smtp, told) = flooded(&flood.repeat(20), 1000);
        assert_eq!((smtp.core.forgot, told), (false, 20 * 1901));
    }

    /// That no AUTH, no DATA waits is remembered, until one does.
    #[test]
    fn a_reply_finds_a_command_that_comes_behind_one_that_nobody_asked_for() {
        type Said = &'static [u8];
        let auth: [Said; 3] = [b"334 \r\n", b"NOOP\r\n", b"AUTH LOGIN\r\n"];
        // A message that nobody asked for has its end, too.
        let data: [Said; 3] = [b"354 go\r\n", b".\r\n", b"DATA\r\n"];
        for ([code, between, command], mode, lacks) in [
            (auth, Mode::Secret, [false, true]),
            (data, Mode::Body, [true, false]),
        ] {
            let mut emit = |_: &Connection, _: &Event<'_>| Ok(());
            let connection = crate::mail::tests::connection();
            let mut out = Out::new(&connection, &mut emit);
            let mut smtp = Smtp::new(Protocol::Smtp, true);
            let mut offsets = [0; 2];
            let mut say = |smtp: &mut Smtp, direction: Direction, line: &[u8]| {
                let offset = direction.of_mut(&mut offsets);
                let times = [(0, Timestamp::default())];
                let mut input = Input::new(direction, *offset, line, &times);
                smtp.data(&mut input, &mut out).unwrap();
                *offset += line.len() as u64;
            };
            say(&mut smtp, Direction::ToClient, b"220 mx ESMTP\r\n");
            say(&mut smtp, Direction::ToServer, b"NOOP\r\n");
            say(&mut smtp, Direction::ToClient, code);
            assert_eq!((smtp.lacks, smtp.queue.len()), (lacks, 1));
            say(&mut smtp, Direction::ToServer, between);
            assert_eq!(smtp.lacks, lacks);
            say(&mut smtp, Direction::ToServer, command);
            assert_eq!(smtp.lacks, [false; 2]);
            say(&mut smtp, Direction::ToClient, code);
            assert_eq!((smtp.lacks, smtp.mode), ([false; 2], mode));
        }
    }

    #[test]
    fn messages_without_replies_do_not_nest() {
        let mut flood = b"AUTH X\r\nDATA\r\n.\r\n".repeat(900);
        flood.extend_from_slice(b"MAIL FROM:<a@b.test>");
        flood.extend_from_slice(&b"x".repeat(20_000));
        flood.extend_from_slice(b"\r\n");
        // Each of them would take some of the stack.
        let thread = std::thread::Builder::new().stack_size(256 * 1024);
        let flooded = thread.spawn(move || flooded(&flood.repeat(4), 100_000).1);
        assert!(flooded.unwrap().join().unwrap() > 4 * 900);
    }
}
