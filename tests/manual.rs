//! The man page and `--help` know every option, and no other.

use std::collections::BTreeSet;

use clap::CommandFactory;
use flowdump::cli::Args;

/// `--long` and `-s` of every option, hidden ones too.
fn options() -> BTreeSet<String> {
    let mut command = Args::command();
    command.build();
    command
        .get_arguments()
        .filter(|argument| !argument.is_positional())
        .flat_map(|argument| {
            let long = argument.get_long().map(|long| format!("--{long}"));
            let short = argument.get_short().map(|short| format!("-{short}"));
            long.into_iter().chain(short)
        })
        .collect()
}

/// The options that the man page has a heading for.
fn described() -> BTreeSet<String> {
    let page = include_str!("../man/flowdump.1").replace("\\-", "-");
    let (_, options) = page.split_once("\n.SH OPTIONS").expect("it has options");
    let (options, _) = options.split_once("\n.SH ").expect("something follows them");
    let headings = options
        .split("\n.TP\n")
        .skip(1)
        .filter_map(|item| item.lines().next());
    headings
        .flat_map(|heading| {
            let words = heading.split(|c: char| c.is_whitespace() || matches!(c, '"' | ',' | '[' | '='));
            let words: Vec<_> = words
                .map(|word| word.split('\\').next().unwrap_or(word).to_owned())
                .collect();
            words
        })
        .filter(|word| word.starts_with('-') && word.len() > 1)
        .collect()
}

#[test]
fn every_option_stands_in_the_man_page() {
    assert_eq!(described(), options());
}

#[test]
fn help_is_short_and_long() {
    let mut command = Args::command();
    let short = command.render_help().to_string();
    let long = command.render_long_help().to_string();
    for option in options().iter().filter(|option| option.starts_with("--")) {
        assert!(
            short.contains(option.as_str()) && long.contains(option.as_str()),
            "{option}"
        );
    }
    assert!(short.lines().count() < long.lines().count());
}

/// `docs/json.md` and the man page say the same of `--json`.
#[test]
fn every_event_stands_in_both_places() {
    let page = include_str!("../man/flowdump.1").replace("\\-", "-");
    let events = include_str!("../docs/json.md").split("## `flows.jsonl`").next();
    let rows = events
        .unwrap_or_default()
        .lines()
        .filter(|line| line.starts_with("| `"));
    let mut words = 0;
    for row in rows {
        for word in row.split('`').skip(1).step_by(2) {
            words += 1;
            assert!(
                page.contains(&format!("\\fB{word}\\fR")),
                "{word} is in docs/json.md and not in the man page"
            );
        }
    }
    assert!(words > 100, "{words}");
}
