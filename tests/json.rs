//! `--json`: its schema is kept, and what it says is what was said.

mod common;

use std::collections::BTreeSet;
use std::path::Path;

use common::{flowdump, run};
use serde_json::{Value, json};

fn events(name: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/captures")
        .join(name);
    let text = run(flowdump().args(["-q", "--json", "-r"]).arg(path)).ok().text();
    text.lines()
        .map(|line| serde_json::from_str(line).expect("one object a line"))
        .collect()
}

fn of<'a>(events: &'a [Value], kind: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["event"] == kind).collect()
}

/// Every event and every field that any capture of ours gives stands in docs/json.md.
#[test]
fn everything_told_is_documented() {
    let documented = include_str!("../docs/json.md");
    let words: BTreeSet<&str> = documented.split('`').skip(1).step_by(2).collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures");
    let mut kinds = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".md") {
            continue;
        }
        for event in events(&name) {
            assert_eq!(event["v"], 1);
            kinds.insert(event["event"].as_str().unwrap().to_owned());
            for (field, value) in event.as_object().unwrap() {
                assert!(
                    words.contains(field.as_str()),
                    "{name}: field {field} of {event} is not documented"
                );
                assert!(!value.is_null(), "{name}: {event}");
            }
        }
    }
    assert!(
        kinds.iter().all(|kind| words.contains(kind.as_str())),
        "{kinds:?}"
    );
    assert!(kinds.len() >= 15, "{kinds:?}");
}

/// All keys of an object, and of those in it.
fn keys(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                found.insert(key.clone());
                keys(value, found);
            }
        }
        Value::Array(list) => list.iter().for_each(|value| keys(value, found)),
        _ => {}
    }
}

#[test]
fn all_keys_of_the_index_are_documented_and_its_uids_are_those_of_the_events() {
    let documented = include_str!("../docs/json.md");
    let words: BTreeSet<&str> = documented.split('`').skip(1).step_by(2).collect();
    let place = tempfile::tempdir().unwrap();
    for capture in common::captures() {
        let out = place.path().join(capture.file_name().unwrap());
        let mut command = flowdump();
        command.args(["-q", "-b", "2000", "--json", "-o"]).arg(&out);
        let events = run(command.arg("-r").arg(&capture)).ok().text();
        let index = std::fs::read_to_string(out.join("flows.jsonl")).unwrap();
        let lines = |text: &str| -> Vec<Value> {
            let lines = text.lines().map(serde_json::from_str);
            lines.collect::<Result<_, _>>().unwrap()
        };
        let closed = lines(&events);
        let closed: Vec<_> = of(&closed, "close")
            .iter()
            .map(|close| close["uid"].clone())
            .collect();
        let indexed = lines(&index);
        assert_eq!(
            indexed.iter().map(|line| line["uid"].clone()).collect::<Vec<_>>(),
            closed,
            "{capture:?}"
        );
        let mut found = BTreeSet::new();
        indexed.iter().for_each(|line| keys(line, &mut found));
        found.retain(|key| !words.contains(key.as_str()));
        assert!(found.is_empty(), "{capture:?}: {found:?}");
    }
}

#[test]
fn whom_a_proxy_speaks_for_stands_in_the_event_and_in_the_index() {
    let place = tempfile::tempdir().unwrap();
    let out = place.path().join("streams");
    let capture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures/smtp-proxied.pcap");
    run(flowdump().args(["-q", "-o"]).arg(&out).arg("-r").arg(capture)).ok();
    let line: Value = serde_json::from_slice(&std::fs::read(out.join("flows.jsonl")).unwrap()).unwrap();
    let says = json!({
        "version": 1, "client": "192.0.2.7", "client_port": 40000, "server": "10.77.2.1", "server_port": 2505,
    });
    assert_eq!(line["proxied"], says);
    let events = events("smtp-proxied.pcap");
    let event = of(&events, "proxied")[0];
    for (field, value) in says.as_object().unwrap() {
        assert_eq!(&event[field], value, "{field}");
    }
}

#[test]
fn a_mail_is_a_line_as_zeek_has_it() {
    let events = events("smtp-plain.pcap");
    let mails = of(&events, "smtp");
    let [mail] = mails[..] else { panic!("{mails:?}") };
    assert_eq!(mail["trans_depth"], 1);
    assert_eq!(mail["helo"], "client.sender.test");
    assert_eq!(mail["mailfrom"], "carol@sender.test");
    assert_eq!(mail["rcptto"][0], "alice@mx.example.test");
    assert_eq!(mail["subject"], "Minutes of Friday");
    assert_eq!(mail["accepted"], true);
    assert_eq!(mail["tls"], false);
    assert!(
        mail["last_reply"]
            .as_str()
            .unwrap()
            .starts_with("250 2.0.0 Ok: queued as ")
    );
    let close = of(&events, "close")[0];
    assert_eq!(
        (&close["service"], &close["conn_state"]),
        (&Value::from("smtp"), &Value::from("SF"))
    );
    assert_eq!(close["missed_bytes"], 0);
}

#[test]
fn a_handshake_is_a_line_as_zeek_has_it() {
    let events = events("smtp-starttls-expired.pcap");
    let ssl = of(&events, "ssl")[0];
    assert_eq!(ssl["how"], "starttls");
    assert_eq!(ssl["version"], "TLS 1.2");
    assert_eq!(ssl["server_name"], "mx.example.test");
    assert_eq!(ssl["certificate"]["problems"][0], "expired");
    let starttls = of(&events, "starttls")[0];
    assert_eq!(starttls["outcome"], "accepted");
    assert_eq!(starttls["client_offset"], ssl["client_offset"]);
}

#[test]
fn passwords_are_never_in_it() {
    for (name, password) in [
        ("pop3.pcap", "secret"),
        ("imap.pcap", "secret"),
        ("imap.pcap", "wrong"),
        ("smtp-auth.pcap", "AGNhcm9s"),
    ] {
        let text: String = events(name).iter().map(|event| format!("{event}\n")).collect();
        assert!(!text.contains(password), "{name}: {text}");
        assert!(!of(&events(name), "auth").is_empty(), "{name}");
    }
}

#[test]
fn conn_states_are_zeek_s() {
    for (name, state) in [
        ("connection-refused.pcap", "REJ"),
        ("smtp-midstream.pcap", "OTH"),
        ("smtp-client-side-only.pcap", "SH"),
        ("smtp-reset.pcap", "RSTO"),
    ] {
        let events = events(name);
        let states: Vec<_> = of(&events, "close")
            .iter()
            .map(|close| close["conn_state"].clone())
            .collect();
        assert!(states.contains(&Value::from(state)), "{name}: {states:?}");
    }
}
