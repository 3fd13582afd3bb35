//! Which I/O ports a sandbox may have: those where a PC has serial ports, and no others. With
//! most other ports it would reach what is not its own, and a list of those could not be whole.

use crate::system::{Device, DeviceKind};

/// The ports of a 16550.
pub const SERIAL_PORT_COUNT: u16 = 8;

/// Where PCs have serial ports, by the first of eight, but for the hypervisor's console at 0x3f8.
pub const SERIAL_PORTS: [u16; 3] = [0x2f8, 0x3e8, 0x2e8];

/// Returns whether a sandbox may have the ports of `device`. The description is checked so on
/// the host, and by the hypervisor again.
#[must_use]
pub fn may_be_given(device: &Device) -> bool {
    match device.kind {
        DeviceKind::Serial => {
            SERIAL_PORTS.contains(&device.port) && device.port_count == SERIAL_PORT_COUNT
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_has_the_eight_ports_of_a_serial_port_and_no_others() {
        for port in 0..=u16::MAX {
            for port_count in [0, 1, 7, 8, 9, 256, u16::MAX] {
                let device = Device {
                    port,
                    port_count,
                    ..Device::default()
                };
                let serial = matches!(port, 0x2e8 | 0x2f8 | 0x3e8) && port_count == 8;
                assert_eq!(
                    may_be_given(&device),
                    serial,
                    "{port_count} ports from {port:#x}"
                );
            }
        }
    }
}
