//! I/O ports that no sandbox may have: with them it would reach what is not its own.

use crate::system::Device;

/// First port, how many, and what they belong to. The description is checked against them on
/// the host, and by the hypervisor again.
const KEPT: [(u16, u16, &str); 13] = [
    (0x00, 0x10, "the DMA controllers, which reach all memory"),
    (0x20, 2, "the interrupt controller"),
    (0x40, 4, "the interval timer"),
    (
        0x64,
        1,
        "the keyboard controller, which can reset the machine",
    ),
    (0x70, 2, "the machine's clock"),
    (0x80, 0x13, "the DMA controllers and the fast reset"),
    (0xa0, 2, "the interrupt controller"),
    (0xb2, 2, "the firmware's management interrupt"),
    (0xc0, 0x20, "the DMA controllers, which reach all memory"),
    (0xe9, 1, "the hypervisor's console"),
    (0xf4, 4, "the emulator's exit"),
    (0x3f8, 8, "the hypervisor's console"),
    (0xcf8, 8, "the PCI configuration"),
];

/// What the kept ports belong to of which `device` would have one; `None` if it may have all
/// of its own.
#[must_use]
pub fn kept_ports(device: &Device) -> Option<&'static str> {
    let end = |first: u16, count: u16| u32::from(first) + u32::from(count);
    KEPT.iter()
        .find(|&&(first, count, _)| {
            u32::from(device.port) < end(first, count)
                && u32::from(first) < end(device.port, device.port_count.max(1))
        })
        .map(|&(.., owner)| owner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_may_not_have_a_port_with_which_it_reaches_what_is_not_its_own() {
        for (port, port_count, owner) in [
            (0x2f8, 8, None),
            (0x60, 1, None),
            (0x60, 5, Some("keyboard")),
            (0x3f0, 8, None),
            (0x3f0, 9, Some("console")),
            (0x3ff, 0, Some("console")),
            (0x400, 1, None),
            (0xcf0, 16, Some("PCI")),
            (0x18, 9, Some("interrupt controller")),
            (0xc2, 1, Some("DMA")),
            (0xffff, 0xffff, None),
            (0x10, 0xffff, Some("interrupt controller")),
        ] {
            let device = Device {
                port,
                port_count,
                ..Device::default()
            };
            let kept = kept_ports(&device);
            assert_eq!(
                kept.is_some(),
                owner.is_some(),
                "{port_count} ports from {port:#x}"
            );
            let (kept, owner) = (kept.unwrap_or_default(), owner.unwrap_or_default());
            assert!(kept.contains(owner), "{kept}, not {owner}");
        }
    }
}
