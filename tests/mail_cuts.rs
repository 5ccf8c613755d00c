//! How a stream is cut into segments must not matter: the same is told, and the same bytes get the same labels.

mod mail_support;

use std::path::Path;

use flowdump::event::Direction;
use mail_support::{CLIENT_HELLO, GAP, Run, SERVER_HELLO, Seen, connection, dialogues, play, say, show};
use proptest::prelude::*;

fn same(whole: &Seen, cut: &Seen) -> Result<(), TestCaseError> {
    prop_assert_eq!(&whole.told, &cut.told);
    prop_assert_eq!(&whole.tls, &cut.tls);
    for direction in Direction::BOTH {
        let (whole, cut) = (&whole.runs[direction.index()], &cut.runs[direction.index()]);
        prop_assert_eq!(whole.len(), cut.len(), "{:?}: {:?}\n{:?}", direction, whole, cut);
        for (whole, cut) in whole.iter().zip(cut) {
            prop_assert_eq!(whole, cut);
        }
    }
    Ok(())
}

/// No byte is lost, doubled or swapped.
fn intact(runs: &[Run], seen: &Seen) -> Result<(), TestCaseError> {
    for direction in Direction::BOTH {
        let said = runs.iter().filter(|(of, _)| *of == direction);
        let said = said.flat_map(|(_, run)| {
            if run.is_empty() {
                vec![0; GAP as usize]
            } else {
                run.clone()
            }
        });
        let said: Vec<u8> = said.collect();
        prop_assert_eq!(&said, &seen.bytes[direction.index()]);
    }
    Ok(())
}

/// Sizes of segments, over and over: a few bytes as telnet sends them, or a packet.
fn sizes() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(
        prop_oneof![3 => 1..4usize, 2 => 1..40usize, 1 => 1..2000usize],
        1..12,
    )
}

/// Things that mail clients and servers say, and things that they should not.
fn words() -> impl Strategy<Value = Vec<u8>> {
    let fixed = [
        "220 mx ESMTP\r\n",
        "220 mx ready\r\n",
        "220-mx\r\n",
        "220 go\r\n",
        "250-mx\r\n",
        "250-STARTTLS\r\n",
        "250 ok\r\n",
        "250 ok\n",
        "354 go\r\n",
        "334 \r\n",
        "235 ok\r\n",
        "421 bye\r\n",
        "451 later\r\n",
        "454 no\r\n",
        "550 no\r\n",
        "221 bye\r\n",
        "EHLO x\r\n",
        "LHLO x\r\n",
        "MAIL FROM:<a@b>\r\n",
        "RCPT TO:<c@d>\r\n",
        "DATA\r\n",
        "BDAT 5\r\n",
        "BDAT 7 LAST\r\n",
        "BDAT x\r\n",
        "RSET\r\n",
        "QUIT\r\n",
        "NOOP\n",
        "AUTH PLAIN AGEAYg==\r\n",
        "AUTH LOGIN\r\n",
        "YQ==\r\n",
        "STARTTLS\r\n",
        "XXXXXXXX\r\n",
        "Subject: x\r\n",
        "\r\n",
        ".\r\n",
        ".\n",
        "..\r\n",
        "\n",
        "\r",
        ".",
        "text",
        " ",
        "hello world\r\n",
        "+OK hello\r\n",
        "+OK\r\n",
        "-ERR no\r\n",
        "+ \r\n",
        "USER a\r\n",
        "PASS b\r\n",
        "CAPA\r\n",
        "STLS\r\n",
        "RETR 1\r\n",
        "* OK [CAPABILITY STARTTLS] hi\r\n",
        "* 1 FETCH (BODY[] {5}\r\n",
        ")\r\n",
        "a1 OK done\r\n",
        "a1 NO no\r\n",
        "+ go\r\n",
        "a1 LOGIN u p\r\n",
        "a1 LOGIN {1}\r\n",
        "a1 LOGIN {1+}\r\nu {1+}\r\np\r\n",
        "a1 STARTTLS\r\n",
        "a1 FETCH 1 BODY[]\r\n",
        "a1 APPEND x {5}\r\n",
        "a1 AUTHENTICATE PLAIN\r\n",
        "\"IMPLEMENTATION\" \"x\"\r\n\"STARTTLS\"\r\nOK\r\n",
        "OK\r\n",
        "NO\r\n",
        "AUTHENTICATE \"PLAIN\" \"AGEAYg==\"\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
        "CONNECT x:25 HTTP/1.0\r\n\r\n",
        "HTTP/1.0 200 OK\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
    ];
    prop_oneof![
        20 => prop::sample::select(fixed.to_vec()).prop_map(|word| word.as_bytes().to_vec()),
        1 => Just(CLIENT_HELLO.to_vec()),
        1 => Just(SERVER_HELLO.to_vec()),
        1 => Just(b"\x05\x01\x00".to_vec()),
        1 => Just(b"\x05\x00\x05\x00\x00\x01\x01\x02\x03\x04\x00\x19".to_vec()),
        1 => Just(b"\x17\x03\x03\x00\x05hello".to_vec()),
        // Not what begins like a record: behind TLS, the first bytes of such a one count as TLS until it breaks.
        1 => prop::collection::vec(any::<u8>(), 1..30).prop_filter("a record", |bytes| !(20..=24).contains(&bytes[0])),
    ]
}

/// A dialogue that shows itself as text.
#[derive(Clone)]
struct Dialogue(Vec<Run>);

impl std::fmt::Debug for Dialogue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "\n{}", show(&self.0))
    }
}

fn dialogue() -> impl Strategy<Value = Dialogue> {
    prop::collection::vec((any::<bool>(), words()), 1..40).prop_map(|said| {
        let mut runs = Vec::new();
        for (client, word) in said {
            say(&mut runs, side(client), &word);
        }
        Dialogue(runs)
    })
}

/// Behind a greeting, with gaps.
fn gapped() -> impl Strategy<Value = Dialogue> {
    let greetings = [
        "220 mx ESMTP\r\n",
        "220 mx LMTP\r\n",
        "+OK hi\r\n",
        "* OK hi\r\n",
        "\"IMPLEMENTATION\" \"x\"\r\nOK\r\n",
    ];
    let said = prop::collection::vec((any::<bool>(), prop::option::weighted(0.9, words())), 1..40);
    (prop::sample::select(greetings.to_vec()), said).prop_map(|(greeting, said)| {
        let mut runs = vec![(Direction::ToClient, greeting.as_bytes().to_vec())];
        for (client, word) in said {
            match (word, runs.last()) {
                (Some(word), Some((last, run))) if *last == side(client) && run.is_empty() => {
                    runs.push((*last, word))
                }
                (Some(word), _) => say(&mut runs, side(client), &word),
                (None, _) => runs.push((side(client), Vec::new())),
            }
        }
        Dialogue(runs)
    })
}

fn side(client: bool) -> Direction {
    if client {
        Direction::ToServer
    } else {
        Direction::ToClient
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn any_cut_of_anything_tells_the_same(Dialogue(runs) in dialogue(), sizes in sizes(), port in prop::sample::select(vec![25, 143, 110, 4190, 9999])) {
        let connection = connection(port, true);
        let whole = play(&connection, &runs, || usize::MAX);
        let mut sizes = sizes.into_iter().cycle();
        let cut = play(&connection, &runs, || sizes.next().unwrap());
        intact(&runs, &whole)?;
        intact(&runs, &cut)?;
        same(&whole, &cut)?;
    }

    #[test]
    fn any_cut_between_gaps_tells_the_same(Dialogue(runs) in gapped(), sizes in sizes()) {
        let connection = connection(9999, true);
        let whole = play(&connection, &runs, || usize::MAX);
        let mut sizes = sizes.into_iter().cycle();
        let cut = play(&connection, &runs, || sizes.next().unwrap());
        intact(&runs, &whole)?;
        same(&whole, &cut)?;
    }

    #[test]
    fn no_byte_is_lost_in_mid_stream(Dialogue(runs) in dialogue(), sizes in sizes(), port in prop::sample::select(vec![25, 143, 110, 4190, 9999])) {
        let mut sizes = sizes.into_iter().cycle();
        let seen = play(&connection(port, false), &runs, || sizes.next().unwrap());
        intact(&runs, &seen)?;
    }
}

/// Real sessions: each of our captures, cut a byte at a time and by odd sizes.
#[test]
fn any_cut_of_our_captures_tells_the_same() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures");
    let mut sessions = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "pcap") {
            continue;
        }
        for runs in dialogues(&path) {
            let connection = connection(9999, true);
            let whole = play(&connection, &runs, || usize::MAX);
            for size in [1, 2, 3, 5, 7, 64] {
                let cut = play(&connection, &runs, || size);
                same(&whole, &cut).unwrap_or_else(|why| panic!("{} by {size}: {why}", path.display()));
            }
            sessions += 1;
        }
    }
    assert!(sessions > 40, "{sessions}");
}
