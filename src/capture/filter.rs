//! pcap-filter(7), compiled by libpcap, once per link type, and run on packets wherever they come from.

use nix::sys::socket::AddressFamily;
use pcap::{BpfProgram, Capture, Linktype};

use super::{CaptureError, LinkType, Packet};

/// `BPF_LD | BPF_W | BPF_LEN` and `BPF_LDX | BPF_W | BPF_LEN`: the program asks for the packet's length.
const LOADS_LENGTH: [u16; 2] = [0x80, 0x81];

/// Packets are taken for so long at the most when the program asks for their length.
const LONGEST: usize = 1 << 20;

struct Program {
    link_type: LinkType,
    bpf: BpfProgram,
    loads_length: bool,
}

/// A filter expression, ready for every link type that comes.
pub struct Filter {
    expression: String,
    programs: Vec<Program>,
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
    /// [`CaptureError::Filter`] with libpcap's reason.
    pub fn compile(expression: &str, link_types: &[LinkType]) -> Result<Self, CaptureError> {
        let mut filter = Self {
            expression: expression.trim().to_owned(),
            programs: Vec::new(),
            scratch: Vec::new(),
        };
        let fallback = [LinkType::ETHERNET];
        if !filter.expression.is_empty() {
            for link_type in if link_types.is_empty() {
                &fallback
            } else {
                link_types
            } {
                filter.program(*link_type)?;
            }
        }
        Ok(filter)
    }

    /// Whether a packet passes.
    ///
    /// # Errors
    /// [`CaptureError::Filter`]: the expression means nothing for the packet's link type.
    pub fn matches(&mut self, packet: &Packet<'_>) -> Result<bool, CaptureError> {
        if self.expression.is_empty() {
            return Ok(true);
        }
        let index = match self
            .programs
            .iter()
            .position(|program| program.link_type == packet.link_type)
        {
            Some(index) => index,
            None => self.program(packet.link_type)?,
        };
        let Some(program) = self.programs.get(index) else {
            return Ok(false);
        };
        let family = localised(packet);
        // libpcap's binding takes the captured length for the length on the wire.
        let cut = program.loads_length && packet.captured.len() < packet.wire_len as usize;
        if family.is_none() && !cut {
            return Ok(program.bpf.filter(packet.captured));
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
        Ok(program.bpf.filter(&self.scratch))
    }

    fn program(&mut self, link_type: LinkType) -> Result<usize, CaptureError> {
        let error = |reason: String| CaptureError::Filter {
            expression: self.expression.clone(),
            reason,
        };
        let dlt = dlt_of(link_type);
        let bpf = Capture::dead(Linktype(dlt))
            .and_then(|dead| dead.compile(&self.expression, true))
            .map_err(|reason| {
                let reason = match reason {
                    pcap::Error::PcapError(text) => text,
                    other => other.to_string(),
                };
                error(if link_type == LinkType::ETHERNET {
                    reason
                } else {
                    format!("{reason} (for link type {})", link_type.0)
                })
            })?;
        let loads_length = bpf
            .get_instructions()
            .iter()
            .any(|instruction| LOADS_LENGTH.contains(&opcode(instruction)));
        self.programs.push(Program {
            link_type,
            bpf,
            loads_length,
        });
        Ok(self.programs.len() - 1)
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
        assert!(filter.matches(&packet(&[0; 60], 1500)).unwrap());
        assert!(!filter.matches(&packet(&[0; 60], 60)).unwrap());
    }

    #[test]
    fn loopback_captures_of_other_systems_are_understood() {
        let mut filter = Filter::compile("ip6", &[LinkType::NULL]).unwrap();
        let mut of = |family: [u8; 4]| {
            let captured = [&family[..], &[0x60; 48]].concat();
            filter
                .matches(&Packet {
                    link_type: LinkType::NULL,
                    ..packet(&captured, 52)
                })
                .unwrap()
        };
        assert!(of([30, 0, 0, 0]), "macOS");
        assert!(of([0, 0, 0, 28]), "FreeBSD on a big-endian machine");
        assert!(!of([2, 0, 0, 0]), "IPv4");
    }

    #[test]
    fn nothing_typed_lets_everything_pass() {
        let mut filter = Filter::compile("  ", &[]).unwrap();
        assert!(filter.matches(&packet(&[], 0)).unwrap());
    }
}
