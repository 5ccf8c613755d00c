//! pcap-filter(7), compiled by libpcap, once per link type, and run on packets wherever they come from.

use nix::sys::socket::AddressFamily;
use pcap::{BpfProgram, Capture, Linktype};

use super::{CaptureError, LinkType, Packet};

/// `BPF_LD | BPF_W | BPF_LEN` and `BPF_LDX | BPF_W | BPF_LEN`: the program asks for the packet's length.
const LOADS_LENGTH: [u16; 2] = [0x80, 0x81];

/// Packets are taken for so long at the most when the program asks for their length.
const LONGEST: usize = 1 << 20;

/// Link types that are filtered. A capture has a few of them; one made up to be a burden may have 65,536, each to be
/// compiled for, looked up for each packet, and warned of.
const MOST: usize = 64;

struct Program {
    link_type: LinkType,
    /// None: libpcap has no such program for this link type.
    bpf: Option<Bpf>,
}

struct Bpf {
    program: BpfProgram,
    loads_length: bool,
}

/// A filter expression, ready for every link type that comes.
pub struct Filter {
    expression: String,
    /// One for each link type that is known to be in the capture, up to [`MOST`].
    programs: Vec<Program>,
    /// There were more.
    full: bool,
    /// Packets with a VLAN tag that did not pass.
    tagged: u64,
    /// Why the first link type has none, among those that have none.
    refused: Option<CaptureError>,
    warnings: Vec<String>,
    scratch: Vec<u8>,
}

impl std::fmt::Debug for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Filter")
            .field("expression", &self.expression)
            .finish_non_exhaustive()
    }
}

impl Filter {
    /// Compiles an expression for the link types that are known to come (for Ethernet where none is, so
    /// that a mistake shows at once). An empty expression lets everything pass.
    ///
    /// # Errors
    /// [`CaptureError::Filter`] with libpcap's reason, if it means nothing for any of them.
    pub fn compile(expression: &str, link_types: &[LinkType]) -> Result<Self, CaptureError> {
        let mut filter = Self {
            expression: expression.trim().to_owned(),
            programs: Vec::new(),
            full: false,
            tagged: 0,
            refused: None,
            warnings: Vec::new(),
            scratch: Vec::new(),
        };
        if !filter.expression.is_empty() {
            if link_types.is_empty() {
                filter.bpf(LinkType::ETHERNET)?;
            }
            for link_type in link_types {
                filter.add(*link_type);
            }
            filter.verdict()?;
        }
        Ok(filter)
    }

    /// Whether a packet passes. None passes of a link type for which the expression means nothing, nor of one that comes
    /// after too many others.
    pub fn matches(&mut self, packet: &Packet<'_>) -> bool {
        if self.expression.is_empty() {
            return true;
        }
        let passes = self.passes(packet);
        self.tagged += u64::from(!passes && is_tagged(packet));
        passes
    }

    fn passes(&mut self, packet: &Packet<'_>) -> bool {
        let index = self
            .programs
            .iter()
            .position(|program| program.link_type == packet.link_type)
            .or_else(|| self.add(packet.link_type));
        let program = index.and_then(|index| self.programs.get(index));
        let Some(bpf) = program.and_then(|program| program.bpf.as_ref()) else {
            return false;
        };
        let family = localised(packet);
        // libpcap's binding takes the captured length for the length on the wire.
        let cut = bpf.loads_length && packet.captured.len() < packet.wire_len as usize;
        if family.is_none() && !cut {
            return bpf.program.filter(packet.captured);
        }
        self.scratch.clear();
        self.scratch.extend_from_slice(packet.captured);
        if let (Some(family), Some(place)) = (family, self.scratch.first_chunk_mut()) {
            *place = family;
        }
        if cut {
            let wire_len = (packet.wire_len as usize).min(LONGEST);
            self.scratch.resize(wire_len.max(packet.captured.len()), 0);
        }
        bpf.program.filter(&self.scratch)
    }

    /// Sentences on packets that do not pass and may have been meant, each told once.
    pub fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    /// All packets have come.
    ///
    /// # Errors
    /// [`CaptureError::Filter`]: the expression means nothing for any link type that came.
    pub fn verdict(&mut self) -> Result<(), CaptureError> {
        let (tagged, expression) = (std::mem::take(&mut self.tagged), &self.expression);
        if tagged > 0 && !expression.contains("vlan") {
            let s = if tagged == 1 { "" } else { "s" };
            self.warnings.push(format!(
                "{tagged} packet{s} with a VLAN tag did not pass: `{expression}` looks behind no tag, `vlan and ({expression})` does"
            ));
        }
        let useless = self.programs.iter().all(|program| program.bpf.is_none());
        self.refused.take_if(|_| useless).map_or(Ok(()), Err)
    }

    /// Takes a link type up, with or without a program, as long as there are not too many.
    #[cold]
    fn add(&mut self, link_type: LinkType) -> Option<usize> {
        if self.programs.len() >= MOST {
            if !std::mem::replace(&mut self.full, true) {
                self.warnings.push(format!(
                    "no packet of further link types passes: {MOST} of them are filtered"
                ));
            }
            return None;
        }
        let bpf = match self.bpf(link_type) {
            Ok(bpf) => Some(bpf),
            Err(error) => {
                let name = Linktype(dlt_of(link_type)).get_name();
                let name = name.map_or_else(|_| String::new(), |name| format!(" ({name})"));
                self.warnings.push(format!(
                    "no packet of link type {}{name} passes: {error}",
                    link_type.0
                ));
                self.refused.get_or_insert(error);
                None
            }
        };
        self.programs.push(Program { link_type, bpf });
        Some(self.programs.len() - 1)
    }

    fn bpf(&self, link_type: LinkType) -> Result<Bpf, CaptureError> {
        let program = Capture::dead(Linktype(dlt_of(link_type)))
            .and_then(|dead| dead.compile(&self.expression, true))
            .map_err(|error| refusal(&self.expression, error))?;
        let loads_length = program
            .get_instructions()
            .iter()
            .any(|instruction| LOADS_LENGTH.contains(&opcode(instruction)));
        Ok(Bpf {
            program,
            loads_length,
        })
    }
}

/// NULL and LOOP begin with an address family, whose number for IPv6 differs by system, as NULL's byte order
/// does by machine: libpcap compiles for this one. What it expects, where the packet has something else.
fn localised(packet: &Packet<'_>) -> Option<[u8; 4]> {
    let to_bytes = match packet.link_type.0 {
        0 => i32::to_ne_bytes,
        108 => i32::to_be_bytes,
        _ => return None,
    };
    let found = packet.captured.first_chunk::<4>()?;
    let family = match u32::from_be_bytes(*found) {
        big if big < 0x1_0000 => big,
        _ => u32::from_le_bytes(*found),
    };
    let local = match family {
        2 => AddressFamily::Inet as i32,
        10 | 23 | 24 | 28 | 30 => AddressFamily::Inet6 as i32,
        _ => return None,
    };
    Some(to_bytes(local)).filter(|local| local != found)
}

/// The operation code of an instruction. The binding keeps its fields private but shows them.
fn opcode(instruction: &pcap::BpfInstruction) -> u16 {
    instruction
        .to_string()
        .split_whitespace()
        .next()
        .and_then(|code| code.parse().ok())
        .unwrap_or(0)
}

/// Why an expression does not compile, and what to do about it where that is known.
pub(super) fn refusal(expression: &str, error: pcap::Error) -> CaptureError {
    let mut reason = text(error);
    // Into packets of version 1 libpcap puts the tags back.
    if reason == "no VLAN support for Linux cooked v2" {
        reason.push_str(" (on `any` tags are taken off already; leave `vlan` out)");
    }
    CaptureError::Filter {
        expression: expression.to_owned(),
        reason,
    }
}

/// libpcap's words.
pub(super) fn text(error: pcap::Error) -> String {
    match error {
        pcap::Error::PcapError(text) => text,
        other => other.to_string(),
    }
}

/// libpcap wants the DLT number of this system, files hold LINKTYPE numbers.
pub(super) fn dlt_of(link_type: LinkType) -> i32 {
    match link_type.0 {
        // DLT_RAW is 12 everywhere but on OpenBSD; DLT_LOOP, DLT_PPP_SERIAL … are the same.
        101 => 12,
        228 => 12,
        229 => 12,
        other => i32::try_from(other).unwrap_or(0),
    }
}

/// The LINKTYPE of a DLT of this system.
pub(super) fn link_type_of_dlt(dlt: i32) -> LinkType {
    match dlt {
        12 | 14 => LinkType::RAW,
        other => LinkType(u32::try_from(other).unwrap_or(u32::MAX)),
    }
}

/// Whether it has a VLAN tag, for which an expression has to say `vlan`.
fn is_tagged(packet: &Packet<'_>) -> bool {
    let ethertype = packet.captured.get(12..14);
    packet.link_type == LinkType::ETHERNET && matches!(ethertype, Some([0x81, 0x00] | [0x88, 0xa8]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    fn packet(captured: &[u8], wire_len: u32) -> Packet<'_> {
        Packet {
            time: Timestamp::default(),
            link_type: LinkType::ETHERNET,
            interface: 0,
            captured,
            wire_len,
        }
    }

    #[test]
    fn a_bad_expression_gives_libpcap_s_reason() {
        let error = Filter::compile("prot 25", &[]).unwrap_err();
        assert!(
            matches!(&error, CaptureError::Filter { expression, reason } if expression == "prot 25" && reason.contains("error")),
            "{error}"
        );
    }

    #[test]
    fn the_length_is_the_length_on_the_wire() {
        let mut filter = Filter::compile("greater 1000", &[LinkType::ETHERNET]).unwrap();
        assert!(filter.matches(&packet(&[0; 60], 1500)));
        assert!(!filter.matches(&packet(&[0; 60], 60)));
    }

    #[test]
    fn loopback_captures_of_other_systems_are_understood() {
        let mut filter = Filter::compile("ip6", &[LinkType::NULL]).unwrap();
        let mut of = |family: [u8; 4]| {
            let captured = [&family[..], &[0x60; 48]].concat();
            filter.matches(&Packet {
                link_type: LinkType::NULL,
                ..packet(&captured, 52)
            })
        };
        assert!(of([30, 0, 0, 0]), "macOS");
        assert!(of([0, 0, 0, 28]), "FreeBSD on a big-endian machine");
        assert!(!of([2, 0, 0, 0]), "IPv4");
    }

    #[test]
    fn vlan_where_tags_are_taken_off_already_comes_with_a_hint() {
        let error = Filter::compile("port 25 or (vlan and port 25)", &[LinkType::LINUX_SLL2]).unwrap_err();
        assert!(error.to_string().contains("leave `vlan` out"), "{error}");
    }

    #[test]
    fn nothing_typed_lets_everything_pass() {
        let mut filter = Filter::compile("  ", &[]).unwrap();
        assert!(filter.matches(&packet(&[], 0)));
    }

    #[test]
    fn of_a_link_type_that_cannot_be_filtered_no_packet_passes_and_it_is_said_once() {
        let netlink = LinkType(253);
        let mut filter = Filter::compile("port 25", &[LinkType::ETHERNET]).unwrap();
        for _ in 0..2 {
            assert!(!filter.matches(&Packet {
                link_type: netlink,
                ..packet(&[0; 60], 60)
            }));
        }
        let warnings = filter.take_warnings();
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].contains("link type 253 (NETLINK)"), "{warnings:?}");
        filter.verdict().unwrap();
        Filter::compile("port 25", &[LinkType::ETHERNET, netlink]).unwrap();
        Filter::compile("port 25", &[netlink]).unwrap_err();
    }

    #[test]
    fn an_expression_for_no_link_type_that_came_is_wrong_in_the_end() {
        let mut filter = Filter::compile("port 25", &[]).unwrap();
        filter.verdict().unwrap();
        filter.matches(&Packet {
            link_type: LinkType(253),
            ..packet(&[0; 60], 60)
        });
        assert!(matches!(filter.verdict(), Err(CaptureError::Filter { .. })));
    }

    #[test]
    fn ever_more_link_types_are_not_compiled_for_nor_warned_of_one_by_one() {
        let mut filter = Filter::compile("port 25", &[]).unwrap();
        for number in 1000..=u32::from(u16::MAX) {
            assert!(!filter.matches(&Packet {
                link_type: LinkType(number),
                ..packet(&[0; 60], 60)
            }));
        }
        let warnings = filter.take_warnings();
        assert_eq!((filter.programs.len(), warnings.len()), (MOST, MOST + 1));
        assert!(warnings[MOST].contains("further link types"), "{warnings:?}");
    }
}
