//! Which I/O ports a sandbox gets: those of a serial port, where the firmware has no ports and
//! the device answers as one.
use super::machine::MachineFacts;
use super::partition_error::PartitionError;
use crate::devices::uart::{self, Identity};
use alloc::vec::Vec;
use core::fmt;
use tern_config::{Device, Sandbox, System, may_be_given};
use tern_machine::port;

/// Why no sandbox may have the ports of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortObstacle {
    /// They are the firmware's: these.
    Firmware(&'static str),
    /// No PC has a serial port there.
    NotSerial,
    /// What is there is none.
    NotUart,
}

impl fmt::Display for PortObstacle {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Firmware(name) => {
                write!(
                    out,
                    "its ports overlap those of {name}: choose another device"
                )
            }
            Self::NotSerial => out.write_str(
                "no serial port of a PC has its ports: rebuild the image from its description",
            ),
            Self::NotUart => out.write_str(
                "what answers at its ports is no 16550 serial port: correct the description",
            ),
        }
    }
}

/// Returns the ports of those of a sandbox's devices that `wanted` holds for, each of which has
/// shown that it is what the description says. Channels are in the place of those of a simulated one.
///
/// # Errors
/// If the sandbox may not have the ports of one.
pub fn of_devices(
    system: &System,
    sandbox: &Sandbox,
    facts: &MachineFacts,
    wanted: impl Fn(u32, &Device) -> bool,
) -> Result<Vec<(u16, u16)>, PartitionError> {
    let devices = sandbox.devices.iter();
    devices
        .map(|index| (*index, &system.devices[*index as usize]))
        .filter(|(index, device)| device.channels.is_none() && wanted(*index, device))
        .map(|(_, device)| device)
        .map(|device| match obstacle(device, facts) {
            None => Ok((device.port, device.port_count)),
            Some(obstacle) => Err(PartitionError::Ports {
                device: device.name.clone(),
                obstacle,
            }),
        })
        .collect()
}

/// Why no sandbox may have the ports of `device`, if none may.
fn obstacle(device: &Device, facts: &MachineFacts) -> Option<PortObstacle> {
    let (first, count) = (device.port, device.port_count);
    let mut fixed = facts.tables.fixed_ports.iter();
    if let Some(block) = fixed.find(|block| block.overlaps(first, count)) {
        return Some(PortObstacle::Firmware(block.name));
    }
    if !may_be_given(device) {
        return Some(PortObstacle::NotSerial);
    }
    match uart::identify(&mut DevicePorts(first)) {
        // A driver says itself that nothing answers: it harms nobody there.
        Identity::Uart | Identity::Absent => None,
        Identity::Other => Some(PortObstacle::NotUart),
    }
}

/// The ports of a device from this one on, at boot.
struct DevicePorts(u16);

impl uart::Ports for DevicePorts {
    fn read(&mut self, offset: u16) -> u8 {
        // SAFETY: of a range where PCs have serial ports and the firmware nothing; reading one
        // moves no memory.
        unsafe { port::read_u8(self.0 + offset) }
    }

    fn write(&mut self, offset: u16, value: u8) {
        // SAFETY: as for `read`.
        unsafe { port::write_u8(self.0 + offset, value) };
    }
}
