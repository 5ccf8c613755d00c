//! Names of stream files: our own, and tcpflow's `-F` and `-T`.

use std::fmt::Write as _;
use std::net::IpAddr;

use super::clock::{basic_iso_bytes, utc};
use super::digits::{push_address, push_number};
use crate::decode::Endpoint;
use crate::event::{Connection, Direction};

/// tcpflow's default template.
const TCPFLOW: &str = "%A.%a-%B.%b%V%v%C%c";

/// What is wrong with a template or letters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A letter of `-T` that means nothing.
    #[error(
        "`%{0}` in -T means nothing; tcpflow's are %A %a %B %b %E %e %V %v %T %t %C %c %# %N %K %M %G %S %%"
    )]
    Unknown(char),
    /// A `%` at the end.
    #[error("-T ends in a single `%`")]
    Open,
    /// It leads out of the output folder.
    #[error("-T must stay in the output folder: no leading `/`, no `..`, no empty name")]
    Outside,
    /// A letter of `-F` that means nothing.
    #[error("`{0}` in -F means nothing; tcpflow's are c t T X M k m g")]
    Letter(char),
}

/// Makes file names, folders in them separated by `/`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Namer {
    /// `None` is our own way.
    template: Option<Vec<Part>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Letter(char),
}

impl Namer {
    /// tcpflow's names, by its `-F` letters and `-T` template.
    ///
    /// # Errors
    /// [`TemplateError`].
    pub fn tcpflow(letters: &str, template: Option<&str>) -> Result<Self, TemplateError> {
        let mut text = template.unwrap_or(TCPFLOW).to_owned();
        // The counter alone is empty for the first file.
        if text
            .replace("%C", "")
            .replace("%c", "")
            .split('/')
            .any(|part| matches!(part, ".." | ""))
        {
            return Err(TemplateError::Outside);
        }
        if !text.contains("%c") && !text.contains("%#") {
            text.push_str("%C%c");
        }
        for letter in letters.chars() {
            match letter {
                't' => text.insert_str(0, "%tT"),
                'T' => text.insert_str(0, "%T"),
                'k' => text.insert_str(0, "%K/"),
                'm' => text.insert_str(0, "%M000-%M999/%M%K/"),
                'g' => text.insert_str(0, "%G000000-%G999999/%G%M000-%G%M999/%G%M%K/"),
                // A counter on all files: the first has none in tcpflow either. No files: the caller's
                // business. MD5 in tcpflow's report: we write no report.
                'c' | 'X' | 'M' => {}
                other => return Err(TemplateError::Letter(other)),
            }
        }
        let mut parts = Vec::new();
        let mut rest = text.as_str();
        while let Some((before, after)) = rest.split_once('%') {
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            let letter = after.chars().next().ok_or(TemplateError::Open)?;
            match letter {
                '%' => parts.push(Part::Text("%".to_owned())),
                _ if "AaBbEeVvTtCc#NKMGS".contains(letter) => parts.push(Part::Letter(letter)),
                other => return Err(TemplateError::Unknown(other)),
            }
            rest = after.get(letter.len_utf8()..).unwrap_or_default();
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self {
            template: Some(parts),
        })
    }

    /// Whether different connections have different names, but for those with the same addresses.
    pub fn is_unique(&self) -> bool {
        self.template.is_none()
    }

    /// The name of a direction's file. Ours has no colons: every file system takes it. `count` is how many
    /// files with this name there are already.
    pub fn name(&self, connection: &Connection, direction: Direction, count: u32) -> String {
        let (from, to) = connection.endpoints(direction);
        let Some(template) = &self.template else {
            let mut name = Vec::with_capacity(80);
            name.extend_from_slice(&basic_iso_bytes(connection.first_time));
            for (separator, endpoint) in [(b'_', from), (b'-', to)] {
                name.push(separator);
                let address = name.len();
                push_address(endpoint.address, &mut name);
                if endpoint.address.is_ipv6() {
                    for byte in name.iter_mut().skip(address).filter(|byte| **byte == b':') {
                        *byte = b'_';
                    }
                }
                name.push(b'.');
                push_number(endpoint.port.into(), &mut name);
            }
            let name = String::from_utf8(name).unwrap_or_default();
            return numbered(name, count);
        };
        let mut name = String::new();
        for part in template {
            // Writing to a string can't fail.
            let _ = match part {
                Part::Text(text) => name.write_str(text),
                Part::Letter(letter) => letter_text(*letter, connection, direction, count, &mut name),
            };
        }
        inside(name)
    }
}

/// The name, which can't lead out of the folder: letters may stand for nothing, as `%v` does without a VLAN.
fn inside(name: String) -> String {
    let leads_out = |part: &str| matches!(part, "" | "..");
    if !name.split('/').any(leads_out) {
        return name;
    }
    let parts = name.split('/').map(|part| match part {
        part if leads_out(part) => format!("_{part}"),
        part => part.to_owned(),
    });
    parts.collect::<Vec<_>>().join("/")
}

/// `NAME`, `NAME~1`, `NAME~2`, …
pub fn numbered(name: String, count: u32) -> String {
    if count == 0 {
        name
    } else {
        format!("{name}~{count}")
    }
}

fn letter_text(
    letter: char,
    connection: &Connection,
    direction: Direction,
    count: u32,
    name: &mut String,
) -> std::fmt::Result {
    let (from, to) = connection.endpoints(direction);
    let mac = |first: bool| {
        let (client, server) = connection.mac.unwrap_or_default();
        let [a, b, c, d, e, f] = if first == (direction == Direction::ToServer) {
            client
        } else {
            server
        };
        format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
    };
    // tcpflow numbers directions, from 0, the client's first.
    let number = connection
        .id
        .saturating_sub(1)
        .saturating_mul(2)
        .saturating_add(direction.index() as u64);
    match letter {
        'A' => name.write_str(&padded(from)),
        'B' => name.write_str(&padded(to)),
        'a' => write!(name, "{:05}", from.port),
        'b' => write!(name, "{:05}", to.port),
        'E' => name.write_str(&mac(true)),
        'e' => name.write_str(&mac(false)),
        'V' if connection.vlan.is_some() => name.write_str("--"),
        'v' => connection.vlan.map_or(Ok(()), |vlan| write!(name, "{vlan}")),
        'T' => write!(
            name,
            "{}",
            utc(connection.first_time).format("%Y-%m-%dT%H:%M:%SZ")
        ),
        't' => write!(name, "{}", connection.first_time.seconds()),
        'C' if count > 0 => name.write_char('c'),
        'c' if count > 0 => write!(name, "{count}"),
        '#' => write!(name, "{count}"),
        'N' => write!(name, "{:03}", number % 1000),
        'K' => write!(name, "{:03}", number / 1000 % 1000),
        'M' => write!(name, "{:03}", number / 1_000_000 % 1000),
        'G' => write!(name, "{:03}", number / 1_000_000_000 % 1000),
        'S' => write!(name, "{:020}", connection.id.saturating_sub(1)),
        _ => Ok(()),
    }
}

/// tcpflow's addresses: IPv4 with zeros, IPv6 as text.
fn padded(endpoint: Endpoint) -> String {
    match endpoint.address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            format!("{a:03}.{b:03}.{c:03}.{d:03}")
        }
        IpAddr::V6(address) => address.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::Scope;
    use crate::event::ClientKnown;
    use crate::time::Timestamp;

    fn connection(client: &str, server: &str) -> Connection {
        let endpoint = |address: &str, port| Endpoint {
            address: address.parse().unwrap(),
            port,
        };
        Connection {
            id: 1,
            slot: 0,
            client: endpoint(client, 49298),
            server: endpoint(server, 25),
            client_known: ClientKnown::Syn,
            first_time: Timestamp::from_nanos(1_795_225_103_120_345_000),
            scope: Scope::default(),
            vlan: None,
            mac: None,
        }
    }

    #[test]
    fn ours_has_time_and_addresses_and_no_colon() {
        let namer = Namer::default();
        let v4 = connection("10.77.1.1", "10.77.2.1");
        assert_eq!(
            namer.name(&v4, Direction::ToServer, 0),
            "20261121T013823.120345Z_10.77.1.1.49298-10.77.2.1.25"
        );
        assert_eq!(
            namer.name(&v4, Direction::ToClient, 2),
            "20261121T013823.120345Z_10.77.2.1.25-10.77.1.1.49298~2"
        );
        let v6 = connection("2001:db8::1", "2001:db8::2");
        assert_eq!(
            namer.name(&v6, Direction::ToServer, 0),
            "20261121T013823.120345Z_2001_db8__1.49298-2001_db8__2.25"
        );
    }

    #[test]
    fn tcpflow_s_names_are_tcpflow_s() {
        let v4 = connection("10.77.1.1", "10.77.2.1");
        let name = |letters: &str, template, count| {
            Namer::tcpflow(letters, template)
                .unwrap()
                .name(&v4, Direction::ToServer, count)
        };
        assert_eq!(name("", None, 0), "010.077.001.001.49298-010.077.002.001.00025");
        assert_eq!(name("", None, 1), "010.077.001.001.49298-010.077.002.001.00025c1");
        assert_eq!(
            name("T", None, 0),
            "2026-11-21T01:38:23Z010.077.001.001.49298-010.077.002.001.00025"
        );
        assert_eq!(
            name("t", None, 0),
            "1795225103T010.077.001.001.49298-010.077.002.001.00025"
        );
        assert_eq!(
            name("k", None, 0),
            "000/010.077.001.001.49298-010.077.002.001.00025"
        );
        assert_eq!(name("", Some("%N-%S"), 3), "000-00000000000000000000c3");
    }

    #[test]
    fn letters_that_stand_for_nothing_do_not_lead_out_of_the_folder() {
        let v4 = connection("10.77.1.1", "10.77.2.1");
        for (template, wanted) in [
            ("%v/tmp/x_%A", "_/tmp/x_010.077.001.001"),
            ("%V%v../esc_%A", "_../esc_010.077.001.001"),
            ("a/%V.%v./%V/%a", "a/_../_/49298"),
            ("%A/%V%v", "010.077.001.001/_"),
            ("%v", "_"),
        ] {
            let namer = Namer::tcpflow("", Some(template)).unwrap();
            assert_eq!(namer.name(&v4, Direction::ToServer, 0), wanted, "{template}");
        }
    }

    #[test]
    fn a_template_can_t_lead_out_of_the_folder() {
        for template in ["/etc/%A", "../%A", "a/../../%A", "a//%A", "%A/", "", "%C"] {
            assert_eq!(
                Namer::tcpflow("", Some(template)),
                Err(TemplateError::Outside),
                "{template}"
            );
        }
        assert_eq!(Namer::tcpflow("", Some("%Q")), Err(TemplateError::Unknown('Q')));
        assert_eq!(Namer::tcpflow("", Some("%c%")), Err(TemplateError::Open));
        assert_eq!(Namer::tcpflow("z", None), Err(TemplateError::Letter('z')));
    }
}
