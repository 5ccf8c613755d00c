//! Blocks of a pcapng file: sections, interfaces, packets; all others are passed over.

use super::{Item, LARGEST_BLOCK, Order, Record, link_type_of};
use crate::capture::LinkType;
use crate::time::Timestamp;

/// Interfaces of one section, at the most.
const MOST_INTERFACES: usize = 65_536;

/// One interface of a pcapng section.
#[derive(Debug, Clone, Copy)]
struct Interface {
    link_type: LinkType,
    snaplen: u32,
    resolution: Resolution,
    /// if_tsoffset, seconds.
    offset: i64,
}

/// if_tsresol: units a second.
#[derive(Debug, Clone, Copy)]
enum Resolution {
    Decimal(u32),
    Binary(u32),
}

impl Resolution {
    /// Nanoseconds of `units`, and whether they fit.
    fn nanos(self, units: u64) -> Option<i128> {
        let units = i128::from(units);
        Some(match self {
            Self::Decimal(exponent @ 0..=9) => units.checked_mul(10_i128.pow(9 - exponent))?,
            Self::Decimal(exponent) => units / 10_i128.checked_pow(exponent - 9)?,
            Self::Binary(exponent) => units.checked_mul(1_000_000_000)?.checked_shr(exponent)?,
        })
    }
}

/// State of a pcapng file.
#[derive(Debug, Default)]
pub(in crate::capture) struct Pcapng {
    /// `None` before the first section header.
    order: Option<Order>,
    interfaces: Vec<Interface>,
    /// Interfaces of sections before this one: numbers go on, so that they stay distinct in the file.
    before: u32,
    /// Of the packet before.
    last_time: Timestamp,
}

const SECTION: u32 = 0x0a0d_0d0a;

impl Pcapng {
    /// Whether an interface promises times finer than microseconds.
    pub(super) fn nanoseconds(&self) -> bool {
        self.interfaces
            .iter()
            .any(|interface| match interface.resolution {
                Resolution::Decimal(digits) => digits > 6,
                Resolution::Binary(digits) => digits > 20,
            })
    }

    /// Link types of the section's interfaces so far, each once.
    pub(super) fn link_types(&self) -> Vec<LinkType> {
        let mut types: Vec<_> = self
            .interfaces
            .iter()
            .map(|interface| interface.link_type)
            .collect();
        types.sort_unstable();
        types.dedup();
        types
    }

    pub(super) fn item(&mut self, window: &[u8], packet: &mut Option<Record>) -> Result<Item, String> {
        if window.len() < 12 {
            return Ok(Item::Need(12));
        }
        let section = window.starts_with(&SECTION.to_be_bytes());
        if section {
            // Its byte-order magic says how to read its own length.
            let order = match window.get(8..12) {
                Some([0x4d, 0x3c, 0x2b, 0x1a]) => Order::Little,
                Some([0x1a, 0x2b, 0x3c, 0x4d]) => Order::Big,
                _ => return Err("a section header with an unknown byte-order magic".into()),
            };
            self.order = Some(order);
        }
        let Some(order) = self.order else {
            return Err("no section header at the start".into());
        };
        let (kind, total) = (order.u32(window, 0), order.u32(window, 4));
        if total < 12 || total % 4 != 0 || total > LARGEST_BLOCK {
            return Err(format!(
                "a block of type {kind:#x} claims to be {total} bytes long"
            ));
        }
        let used = total as usize;
        let Some(block) = window.get(..used) else {
            return Ok(Item::Need(used));
        };
        if order.u32(block, used - 4) != total {
            return Err(format!(
                "a block's lengths differ: {total} at its start, {} at its end",
                order.u32(block, used - 4)
            ));
        }
        let body = block.get(8..used - 4).unwrap_or_default();
        match kind {
            SECTION => self.section(order, body)?,
            1 => self.interface(order, body)?,
            2 | 6 => {
                let interface = if kind == 6 {
                    order.u32(body, 0)
                } else {
                    u32::from(order.u16(body, 0))
                };
                *packet = Some(self.packet(order, interface, body, used)?);
                return Ok(Item::Packet);
            }
            3 => {
                *packet = Some(self.simple(order, body, used)?);
                return Ok(Item::Packet);
            }
            _ => {}
        }
        Ok(Item::Passed(used))
    }

    fn section(&mut self, order: Order, body: &[u8]) -> Result<(), String> {
        if body.len() < 16 {
            return Err("a section header that is too short".into());
        }
        let major = order.u16(body, 4);
        if major != 1 {
            return Err(format!("pcapng version {major}, which nobody has defined"));
        }
        options(order, body.get(16..).unwrap_or_default(), |_, _| Ok(()))?;
        self.before = self
            .before
            .saturating_add(u32::try_from(self.interfaces.len()).unwrap_or(u32::MAX));
        self.interfaces.clear();
        Ok(())
    }

    fn interface(&mut self, order: Order, body: &[u8]) -> Result<(), String> {
        if body.len() < 8 {
            return Err("an interface description that is too short".into());
        }
        if self.interfaces.len() >= MOST_INTERFACES {
            return Err(format!("more than {MOST_INTERFACES} interfaces"));
        }
        let mut interface = Interface {
            link_type: link_type_of(u32::from(order.u16(body, 0))),
            snaplen: order.u32(body, 4),
            resolution: Resolution::Decimal(6),
            offset: 0,
        };
        options(order, body.get(8..).unwrap_or_default(), |code, value| {
            match (code, value) {
                (9, [resolution, ..]) => {
                    let exponent = u32::from(resolution & 0x7f);
                    interface.resolution = if resolution & 0x80 == 0 {
                        if exponent > 20 {
                            return Err(format!(
                                "an interface with a time resolution of 10^-{exponent} seconds"
                            ));
                        }
                        Resolution::Decimal(exponent)
                    } else {
                        if exponent > 63 {
                            return Err(format!(
                                "an interface with a time resolution of 2^-{exponent} seconds"
                            ));
                        }
                        Resolution::Binary(exponent)
                    };
                }
                (14, value) => {
                    if let Some(chunk) = value.first_chunk::<8>() {
                        interface.offset = match order {
                            Order::Little => i64::from_le_bytes(*chunk),
                            Order::Big => i64::from_be_bytes(*chunk),
                        };
                    }
                }
                _ => {}
            }
            Ok(())
        })?;
        self.interfaces.push(interface);
        Ok(())
    }

    /// Enhanced Packet Block, and the obsolete Packet Block, whose fixed part has the same shape.
    fn packet(&mut self, order: Order, index: u32, body: &[u8], used: usize) -> Result<Record, String> {
        if body.len() < 20 {
            return Err("a packet block that is too short".into());
        }
        let interface = self.interface_of(index)?;
        let units = u64::from(order.u32(body, 4)) << 32 | u64::from(order.u32(body, 8));
        let (captured, wire_len) = (order.u32(body, 12), order.u32(body, 16));
        if body.len() - 20 < captured as usize {
            return Err(format!(
                "a packet claims {captured} captured bytes in a block of {used}"
            ));
        }
        let nanos = interface.resolution.nanos(units).and_then(|nanos| {
            i64::try_from(nanos.checked_add(i128::from(interface.offset).checked_mul(1_000_000_000)?)?).ok()
        });
        let Some(nanos) = nanos else {
            return Err(format!(
                "a packet's time of {units} units lies beyond the year 2262"
            ));
        };
        let link_type = interface.link_type;
        self.last_time = Timestamp::from_nanos(nanos);
        Ok(Record {
            time: self.last_time,
            link_type,
            interface: self.before.saturating_add(index).into(),
            wire_len: wire_len.max(captured),
            from: 28,
            captured: captured as usize,
            used,
        })
    }

    /// Simple Packet Block: no time (it is taken to be that of the packet before), no captured length; the
    /// snaplen of interface 0 tells.
    fn simple(&self, order: Order, body: &[u8], used: usize) -> Result<Record, String> {
        let interface = self.interface_of(0)?;
        if body.len() < 4 {
            return Err("a simple packet block that is too short".into());
        }
        let wire_len = order.u32(body, 0);
        let limit = if interface.snaplen == 0 {
            wire_len
        } else {
            wire_len.min(interface.snaplen)
        };
        let captured = usize::try_from(limit).unwrap_or(usize::MAX).min(body.len() - 4);
        Ok(Record {
            time: self.last_time,
            link_type: interface.link_type,
            interface: self.before.into(),
            wire_len: wire_len.max(captured as u32),
            from: 12,
            captured,
            used,
        })
    }

    fn interface_of(&self, index: u32) -> Result<&Interface, String> {
        usize::try_from(index)
            .ok()
            .and_then(|index| self.interfaces.get(index))
            .ok_or_else(|| {
                format!(
                    "a packet of interface {index}, of which only {} are described",
                    self.interfaces.len()
                )
            })
    }
}

/// Calls `each` with every option of a block.
fn options(
    order: Order,
    mut rest: &[u8],
    mut each: impl FnMut(u16, &[u8]) -> Result<(), String>,
) -> Result<(), String> {
    while rest.len() >= 4 {
        let (code, len) = (order.u16(rest, 0), usize::from(order.u16(rest, 2)));
        if code == 0 {
            return Ok(());
        }
        let Some(value) = rest.get(4..4 + len) else {
            return Err(format!(
                "an option of {len} bytes in a block that has {} left",
                rest.len() - 4
            ));
        };
        each(code, value)?;
        rest = rest.get(4 + len.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolutions_decimal_and_binary() {
        assert_eq!(Resolution::Decimal(6).nanos(1_500_000), Some(1_500_000_000));
        assert_eq!(Resolution::Decimal(9).nanos(7), Some(7));
        assert_eq!(Resolution::Decimal(12).nanos(7_999), Some(7));
        assert_eq!(Resolution::Binary(8).nanos(384), Some(1_500_000_000));
        assert_eq!(Resolution::Binary(63).nanos(u64::MAX), Some(1_999_999_999));
        assert_eq!(
            Resolution::Decimal(0).nanos(u64::MAX),
            Some(i128::from(u64::MAX) * 1_000_000_000)
        );
    }
}
