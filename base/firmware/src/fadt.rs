//! The I/O ports of ACPI's fixed hardware, as the FADT names them (ACPI 6.5 §5.2.9): with
//! them one turns the machine off, resets it, or calls its firmware.
use arrayvec::ArrayVec;

/// Ports that belong to the machine's firmware.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortBlock {
    /// The first port.
    pub first: u16,
    /// The number of ports.
    pub count: u16,
    /// What they are.
    pub name: &'static str,
}

impl PortBlock {
    /// Returns whether one of `count` ports from `first` belongs to the block.
    #[must_use]
    pub fn overlaps(&self, first: u16, count: u16) -> bool {
        let end = |first: u16, count: u16| u32::from(first) + u32::from(count);
        u32::from(first) < end(self.first, self.count) && u32::from(self.first) < end(first, count)
    }
}

/// All blocks of a machine: each register of the FADT has a port and an extended address.
pub type FixedPorts = ArrayVec<PortBlock, { 2 * REGISTERS.len() }>;

/// The name of the power-management timer among the blocks.
const POWER_TIMER: &str = "ACPI's power-management timer";

/// Where the FADT describes one register.
struct Register {
    name: &'static str,
    /// Offset of a 32-bit port number.
    port: Option<usize>,
    /// Offset of the byte that tells how many ports there are; one port without it.
    length: Option<usize>,
    /// Offset of a generic address, which a longer table has instead.
    extended: Option<usize>,
}

const fn register(
    name: &'static str,
    port: Option<usize>,
    length: Option<usize>,
    extended: Option<usize>,
) -> Register {
    Register {
        name,
        port,
        length,
        extended,
    }
}

/// Table 5.9 of the specification.
const REGISTERS: [Register; 12] = [
    register("the firmware's management command", Some(48), None, None),
    register("ACPI's PM1a events", Some(56), Some(88), Some(148)),
    register("ACPI's PM1b events", Some(60), Some(88), Some(160)),
    register("ACPI's PM1a control", Some(64), Some(89), Some(172)),
    register("ACPI's PM1b control", Some(68), Some(89), Some(184)),
    register("ACPI's PM2 control", Some(72), Some(90), Some(196)),
    register(POWER_TIMER, Some(76), Some(91), Some(208)),
    register("ACPI's events 0", Some(80), Some(92), Some(220)),
    register("ACPI's events 1", Some(84), Some(93), Some(232)),
    register("ACPI's reset", None, None, Some(116)),
    register("ACPI's sleep control", None, None, Some(244)),
    register("ACPI's sleep status", None, None, Some(256)),
];

/// Returns the ports that a whole FADT names. Registers in memory are not among them.
#[must_use]
pub fn fixed_ports(fadt: &[u8]) -> FixedPorts {
    let named = REGISTERS.iter().flat_map(|register| {
        let length = register.length.and_then(|at| fadt.get(at).copied());
        let plain = register.port.and_then(|at| plain_port(fadt, at));
        let extended = register.extended.and_then(|at| generic_port(fadt, at));
        let block = move |(first, count): (u16, u16)| PortBlock {
            first,
            count: count.max(u16::from(length.unwrap_or(1))),
            name: register.name,
        };
        [plain, extended].into_iter().flatten().map(block)
    });
    named.collect()
}

/// Returns the port of the power-management timer among `blocks`: the extended address, which
/// comes last, goes before the plain one.
#[must_use]
pub fn power_timer(blocks: &FixedPorts) -> Option<u16> {
    let mut timers = blocks.iter().filter(|block| block.name == POWER_TIMER);
    timers.next_back().map(|block| block.first)
}

/// The port in the 32-bit field at `at`, and that it is at least one; zero is none.
fn plain_port(fadt: &[u8], at: usize) -> Option<(u16, u16)> {
    let bytes = fadt.get(at..at + 4)?.try_into().ok()?;
    let port = u16::try_from(u32::from_le_bytes(bytes)).ok()?;
    (port != 0).then_some((port, 1))
}

/// The ports of the generic address at `at` (§5.2.3.2): address space, width in bits, offset,
/// access size, address. Zero is none, and so is what is not in the space of ports.
fn generic_port(fadt: &[u8], at: usize) -> Option<(u16, u16)> {
    const SYSTEM_IO: u8 = 1;
    let [space, width, ..] = *fadt.get(at..at + 4)? else {
        return None;
    };
    let bytes = fadt.get(at + 4..at + 12)?.try_into().ok()?;
    let port = u16::try_from(u64::from_le_bytes(bytes)).ok()?;
    (space == SYSTEM_IO && port != 0).then_some((port, u16::from(width.div_ceil(8).max(1))))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table of 268 bytes with a few fields.
    fn table(fields: &[(usize, &[u8])]) -> [u8; 268] {
        let mut table = [0; 268];
        for (at, bytes) in fields {
            table[*at..*at + bytes.len()].copy_from_slice(bytes);
        }
        table
    }

    fn ports(fadt: &[u8]) -> ArrayVec<(u16, u16), 24> {
        let blocks = fixed_ports(fadt);
        blocks
            .iter()
            .map(|block| (block.first, block.count))
            .collect()
    }

    #[test]
    fn every_block_is_found_with_its_length() {
        // QEMU 7.2's PIIX4: PM1a events 0x600 (4), control 0x604 (2), timer 0x608 (4), events 0
        // 0xafe0 (4), management command 0xb2.
        let piix4 = table(&[
            (48, &[0xb2, 0, 0, 0]),
            (56, &[0x00, 0x06, 0, 0]),
            (64, &[0x04, 0x06, 0, 0]),
            (76, &[0x08, 0x06, 0, 0]),
            (80, &[0xe0, 0xaf, 0, 0]),
            (88, &[4, 2, 0, 4, 4, 0]),
        ]);
        let expected = [(0xb2, 1), (0x600, 4), (0x604, 2), (0x608, 4), (0xafe0, 4)];
        assert_eq!(ports(&piix4)[..], expected);
        // A table of ACPI 1.0 ends before the extended addresses.
        assert_eq!(ports(&piix4[..116])[..], expected);
        assert_eq!(power_timer(&fixed_ports(&piix4)), Some(0x608));
    }

    #[test]
    fn extended_addresses_count_too_but_only_those_of_ports() {
        let extended = table(&[
            (76, &[0x08, 0x06, 0, 0]),
            (116, &[1, 8, 0, 1, 0xf9, 0x0c, 0, 0, 0, 0, 0, 0]),
            (148, &[1, 32, 0, 3, 0x00, 0x18, 0, 0, 0, 0, 0, 0]),
            (208, &[1, 32, 0, 3, 0x08, 0x18, 0, 0, 0, 0, 0, 0]),
            (220, &[0, 64, 0, 3, 0x00, 0x20, 0, 0, 0, 0, 0, 0]),
            (244, &[1, 8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]),
        ]);
        let expected = [(0x1800, 4), (0x608, 1), (0x1808, 4), (0xcf9, 1)];
        assert_eq!(ports(&extended)[..], expected);
        assert_eq!(power_timer(&fixed_ports(&extended)), Some(0x1808));
        assert_eq!(power_timer(&fixed_ports(&[])), None);
    }

    #[test]
    fn ports_overlap_a_block_where_they_share_one() {
        let block = PortBlock {
            first: 0x600,
            count: 4,
            name: "",
        };
        for (first, count, overlaps) in [
            (0x5f8, 8, false),
            (0x5f9, 8, true),
            (0x603, 1, true),
            (0x604, 8, false),
            (0, u16::MAX, true),
        ] {
            assert_eq!(block.overlaps(first, count), overlaps, "{first:#x}");
        }
    }
}
