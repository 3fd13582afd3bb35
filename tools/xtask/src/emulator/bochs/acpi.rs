//! The ACPI tables of the machine that Bochs emulates, as its firmware would leave
//! them: root pointer, XSDT, FADT and MADT. No tables with code: nothing here runs any.
//!
//! Sources: ACPI specification 6.5, §§5.2.5 to 5.2.12; Intel 82371AB data sheet §7.

/// Where the ROM puts the registers of the power-management function.
pub const POWER_PORT: u16 = 0xb000;
/// Bytes that [`tables`] keeps within.
pub const MAX_BYTES: usize = 0x1000;
/// The most cores that [`tables`] describes.
pub const MAX_CORES: u8 = 64;

const XSDT: usize = 0x40;
const FADT: usize = 0x80;
const FADT_BYTES: usize = 244; // revision 3, table 5.9
const MADT: usize = 0x180;

/// The tables of a machine with `cores` cores (APIC ids from 0), to be placed at
/// physical `base`, the root pointer first.
///
/// # Panics
/// If there are more cores than [`MAX_CORES`].
#[must_use]
pub fn tables(base: u64, cores: u8) -> Vec<u8> {
    assert!(cores <= MAX_CORES, "{cores} cores");
    let mut bytes = vec![0; MADT];
    bytes[..36].copy_from_slice(&root_pointer(base + XSDT as u64));
    let pointers = [base + FADT as u64, base + MADT as u64].map(u64::to_le_bytes);
    put(&mut bytes, XSDT, &table(b"XSDT", 1, &pointers.concat()));
    put(&mut bytes, FADT, &fadt());
    bytes.extend(madt(cores));
    assert!(bytes.len() <= MAX_BYTES);
    bytes
}

fn put(bytes: &mut [u8], at: usize, table: &[u8]) {
    bytes[at..at + table.len()].copy_from_slice(table);
}

/// Version 2 of the root pointer, with both checksums (§5.2.5.3).
fn root_pointer(xsdt: u64) -> [u8; 36] {
    let mut pointer = [0; 36];
    pointer[..8].copy_from_slice(b"RSD PTR ");
    pointer[9..15].copy_from_slice(b"TERN  ");
    pointer[15] = 2;
    pointer[20] = 36;
    pointer[24..32].copy_from_slice(&xsdt.to_le_bytes());
    pointer[8] = complement(&pointer[..20]);
    pointer[32] = complement(&pointer);
    pointer
}

/// A table with its header (§5.2.6).
fn table(signature: &[u8; 4], revision: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(36 + body.len());
    bytes.extend(signature);
    bytes.extend((36 + body.len() as u32).to_le_bytes());
    bytes.extend([revision, 0]);
    bytes.extend(b"TERN  BOCHS   ");
    bytes.extend(1_u32.to_le_bytes());
    bytes.extend(b"TERN");
    bytes.extend(1_u32.to_le_bytes());
    bytes.extend(body);
    bytes[9] = complement(&bytes);
    bytes
}

/// The fixed hardware (§5.2.9): the power-management blocks, of which only the timer is
/// of use, and ACPI mode on from the start (no SMI command port).
fn fadt() -> Vec<u8> {
    let mut body = vec![0; FADT_BYTES - 36];
    let mut field = |offset: usize, value: &[u8]| {
        body[offset - 36..offset - 36 + value.len()].copy_from_slice(value);
    };
    let port = u32::from(POWER_PORT);
    field(46, &9_u16.to_le_bytes()); // SCI_INT
    field(56, &port.to_le_bytes()); // PM1a_EVT_BLK
    field(64, &(port + 4).to_le_bytes()); // PM1a_CNT_BLK
    field(76, &(port + 8).to_le_bytes()); // PM_TMR_BLK, 24 bits
    field(88, &[4, 2]); // PM1_EVT_LEN, PM1_CNT_LEN
    field(91, &[4]); // PM_TMR_LEN
    table(b"FACP", 3, &body)
}

/// The interrupt controllers (§5.2.12): cores, one I/O APIC, and a PC's two overrides.
fn madt(cores: u8) -> Vec<u8> {
    const LOCAL_APIC: u32 = 0xfee0_0000;
    const IO_APIC: u32 = 0xfec0_0000;
    const LEGACY_CONTROLLERS: u32 = 1;
    let mut body = Vec::new();
    body.extend(LOCAL_APIC.to_le_bytes());
    body.extend(LEGACY_CONTROLLERS.to_le_bytes());
    for core in 0..cores {
        body.extend([0, 8, core, core, 1, 0, 0, 0]);
    }
    body.extend([1, 12, cores, 0]);
    body.extend(IO_APIC.to_le_bytes());
    body.extend(0_u32.to_le_bytes());
    // The timer's line 0 arrives at input 2; the SCI, line 9, is level triggered.
    for (line, global, flags) in [(0, 2_u32, 0_u16), (9, 9, 0xd)] {
        body.extend([2, 10, 0, line]);
        body.extend(global.to_le_bytes());
        body.extend(flags.to_le_bytes());
    }
    table(b"APIC", 1, &body)
}

/// The byte that makes the sum zero.
fn complement(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_sub(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: u64 = 0x10_1000;

    fn at(bytes: &[u8], address: u64) -> &[u8] {
        &bytes[(address - BASE) as usize..]
    }

    fn u32_at(bytes: &[u8], at: usize) -> u32 {
        u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
    }

    /// The tables by signature, found from the root pointer, each with a sum of zero.
    fn parse(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
        assert_eq!(&bytes[..8], b"RSD PTR ");
        assert_eq!(complement(&bytes[..20]), 0);
        assert_eq!(complement(&bytes[..36]), 0);
        let whole = |address: u64| {
            let table = at(bytes, address);
            let table = &table[..u32_at(table, 4) as usize];
            assert_eq!(complement(table), 0);
            table.to_vec()
        };
        let xsdt = whole(u64::from_le_bytes(bytes[24..32].try_into().unwrap()));
        assert_eq!(&xsdt[..4], b"XSDT");
        xsdt[36..]
            .chunks_exact(8)
            .map(|entry| whole(u64::from_le_bytes(entry.try_into().unwrap())))
            .map(|table| (String::from_utf8(table[..4].to_vec()).unwrap(), table))
            .collect()
    }

    #[test]
    fn every_table_is_reached_from_the_root_and_sums_to_zero() {
        let found = parse(&tables(BASE, 4));
        let names: Vec<_> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["FACP", "APIC"]);
    }

    #[test]
    fn the_power_timer_is_eight_ports_past_the_base_that_the_rom_sets() {
        let fadt = &parse(&tables(BASE, 1))[0].1;
        assert_eq!(u32_at(fadt, 76), 0xb008);
        assert_eq!(fadt[91], 4);
    }

    #[test]
    fn the_madt_names_each_core_once_and_one_io_apic() {
        for cores in [1, 4, MAX_CORES] {
            let madt = &parse(&tables(BASE, cores))[1].1;
            let mut rest = &madt[44..];
            let (mut ids, mut io_apics) = (Vec::new(), 0);
            while let [kind, length, ..] = *rest {
                match kind {
                    0 => ids.push(rest[3]),
                    1 => io_apics += 1,
                    _ => assert_eq!((kind, length), (2, 10)),
                }
                rest = &rest[usize::from(length)..];
            }
            assert_eq!(ids, (0..cores).collect::<Vec<_>>());
            assert_eq!(io_apics, 1);
        }
    }
}
