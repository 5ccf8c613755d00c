//! Arguments and what is made of them.

use clap::Parser;

use super::*;

fn config(arguments: &str, here: &Surroundings) -> Result<Config, UsageError> {
    let arguments = std::iter::once("flowdump").chain(arguments.split_whitespace());
    Config::resolve(Args::try_parse_from(arguments).unwrap(), here)
}

fn has_colour(config: &Config) -> bool {
    config
        .console
        .as_ref()
        .is_some_and(|console| !console.palette.end().is_empty())
}

#[test]
fn the_console_is_coloured_unless_something_says_no() {
    let here = Surroundings::default();
    let no_color = Surroundings {
        no_color: Some("1".into()),
        ..Surroundings::default()
    };
    let empty = Surroundings {
        no_color: Some("".into()),
        ..Surroundings::default()
    };
    for (arguments, surroundings, coloured) in [
        ("-r x -c", &here, true),
        ("-r x -c", &no_color, false),
        ("-r x -c", &empty, true),
        ("-r x -c -g", &no_color, true),
        ("-r x -c --color always", &no_color, true),
        ("-r x -c --color never", &here, false),
        ("-r x -c --color auto", &here, false),
        ("-r x -c -g --color never", &here, false),
        ("-r x -c --color never -g", &here, true),
        ("-r x -C", &here, true),
        ("-r x -C -B", &here, false),
        ("-r x -C -B -g", &here, true),
    ] {
        assert_eq!(
            has_colour(&config(arguments, surroundings).unwrap()),
            coloured,
            "{arguments}"
        );
    }
}

#[test]
fn the_line_typed_for_tcpflow_is_understood() {
    let config = config("-i any -g -FT -c port 25", &Surroundings::default()).unwrap();
    assert!(matches!(&config.input, Input::Live(live) if live.interface == "any"));
    assert_eq!(config.filter, "port 25");
    assert!(config.console.is_some() && config.files.is_none() && has_colour(&config));
}

#[test]
fn files_are_made_when_nothing_else_is_asked_for() {
    let here = Surroundings::default();
    let folder = |arguments| config(arguments, &here).unwrap().files.map(|files| files.folder);
    assert_eq!(folder("-r /a/mail.pcap.gz"), Some("mail.flows".into()));
    assert_eq!(folder("-r /a/trace.1"), Some("trace.1.flows".into()));
    assert_eq!(folder("-r -"), Some("stdin.flows".into()));
    assert_eq!(folder("-c -r mail.pcap"), None);
    assert_eq!(folder("-c -r mail.pcap -o out"), Some("out".into()));
    assert_eq!(folder("-FX -r mail.pcap"), None);
}

#[test]
fn what_is_read_is_not_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let capture = folder.path().join("mail.pcap0");
    std::fs::write(&capture, "").unwrap();
    std::os::unix::fs::symlink(&capture, folder.path().join("link")).unwrap();
    std::fs::hard_link(&capture, folder.path().join("hard")).unwrap();
    let over = |option: &str, output: &str| {
        let arguments = format!(
            "-r {} {option}{}/{output}",
            capture.display(),
            folder.path().display()
        );
        matches!(
            config(&arguments, &Surroundings::default()),
            Err(UsageError::OverInput(..))
        )
    };
    assert!(over("-w ", "mail.pcap0"));
    assert!(over("-w ", "link"));
    assert!(over("-w ", "hard"));
    assert!(over("--json=", "hard"));
    assert!(over("-w ", "mail.pcap"), "the first of the numbered files");
    assert!(over("--json=", "mail.pcap0"));
    assert!(!over("-w ", "other.pcap"));
}

#[test]
fn a_folder_is_no_standard_output() {
    let refused = |arguments| config(arguments, &Surroundings::default()).err();
    assert!(matches!(refused("-r x -o -"), Some(UsageError::FolderOnStdout)));
    assert!(refused("-r x -o ./-").is_none());
    assert!(matches!(
        refused("-r x -o x.zip --rotate day"),
        Some(UsageError::RotatedArchive)
    ));
}

#[test]
fn two_outputs_can_t_share_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path().display();
    let shared = |packets: &str, events: &str| {
        let arguments = format!("-r x -w {packets} --json={events}");
        matches!(
            config(&arguments, &Surroundings::default()),
            Err(UsageError::SameFile(..))
        )
    };
    let (same, other) = (format!("{here}/same"), format!("{here}/other"));
    assert!(shared(&same, &same), "before it is there");
    assert!(shared("same", "./same"));
    assert!(shared("same", "same1"), "one of the numbered files");
    assert!(!shared(&same, &other));
    std::fs::write(&same, "").unwrap();
    std::fs::hard_link(&same, &other).unwrap();
    assert!(shared(&same, &other));
    assert!(!shared("/dev/null", "/dev/null"));
}

#[test]
fn two_outputs_can_t_share_stdout() {
    let error = config("-c --json -r x", &Surroundings::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "-c and --json can't both write to standard output"
    );
}

#[test]
fn what_can_mean_nothing_is_refused() {
    for arguments in [
        "--idle-timeout 0",
        "--rotate 0",
        "-w x --write-size 0",
        "-w x --write-every 0",
        "-w x --write-size 1K --write-count 0",
        "-r x --duration 5",
        "-l --duration 5 x",
        "-r x --wait",
        "-l --wait x",
    ] {
        let arguments = std::iter::once("flowdump").chain(arguments.split_whitespace());
        let arguments: Vec<_> = arguments.collect();
        assert!(Args::try_parse_from(&arguments).is_err(), "{arguments:?}");
    }
}

#[test]
fn a_pager_s_page_is_not_written_over() {
    let paged = |arguments: &str, stderr_terminal: bool, stdout_pipe: bool| {
        let here = Surroundings {
            stderr_terminal,
            stdout_pipe,
            ..Surroundings::default()
        };
        config(arguments, &here).unwrap().paged
    };
    for (arguments, expected) in [
        ("-r x -c", true),
        ("-r x --summary", true),
        ("-r x -c -v", false),
        ("-r x -w -", false),
        ("-i lo -c", false),
    ] {
        assert_eq!(paged(arguments, true, true), expected, "{arguments}");
        assert!(!paged(arguments, false, true), "{arguments}");
        assert!(!paged(arguments, true, false), "{arguments}");
    }
}
