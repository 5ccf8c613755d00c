//! What could lead astray who follows mail, and does not.

mod mail_support;

use mail_support::{Seen, connection, play, script};

/// A dialogue seen from its start.
fn on_port(port: u16, text: &str) -> Seen {
    play(&connection(port, true), &script(text), || usize::MAX)
}

#[test]
fn a_server_whose_name_holds_ftp_may_speak_smtp() {
    for name in ["sftp-gw.corp.example", "giftportal", "ftp.example"] {
        for port in [25, 9999] {
            let seen = on_port(
                port,
                &format!(
                    "S: 220 {name} ready\nC: EHLO c\nS: 250-mx\nS: 250 AUTH PLAIN\nC: AUTH PLAIN AGEAYg==\nS: 235 ok"
                ),
            );
            assert_eq!(seen.told[0], "Smtp sure=true", "{name} {port}");
            assert!(
                seen.has("auth PLAIN a Some(true)"),
                "{name} {port}: {:?}",
                seen.told
            );
        }
    }
}

#[test]
fn ftp_is_no_mail_on_whichever_port() {
    for greeting in ["220 FTP server", "220 (vsFTPd 3.0.3)", "220 ProFTPD Server"] {
        for command in ["USER anonymous", "AUTH TLS", "FEAT"] {
            let seen = on_port(
                25,
                &format!("S: {greeting}\nC: {command}\nS: 234 ok\nC: PASS x\nS: 230 in"),
            );
            assert!(seen.told.is_empty(), "{greeting} {command}: {:?}", seen.told);
        }
    }
}
