//! Numbers by which drivers recognise a virtio function (virtio 1.4, section 4.1.2; PCI class codes).

use virtio_core::DeviceType;

/// The vendor of every virtio function.
pub(crate) const VENDOR: u16 = 0x1af4;
/// The device ID of a modern function is this and the device type.
pub(crate) const DEVICE_BASE: u16 = 0x1040;
/// The largest device type that has a device ID.
pub(crate) const LAST_TYPE: u16 = 0x3f;
/// Says that the function is not transitional.
pub(crate) const REVISION: u8 = 1;
/// Subsystem of a function whose embedder does not say otherwise. The driver packages of Windows know this one.
pub(crate) const SUBSYSTEM: (u16, u16) = (VENDOR, 0x1100);

/// The device ID of a device type; none where it has none.
pub(crate) fn device_id(device: DeviceType) -> Option<u16> {
    u16::try_from(device.0).ok().filter(|number| (1..=LAST_TYPE).contains(number)).map(|number| DEVICE_BASE + number)
}

/// The class code that fits a device type. Firmware looks for disks and network cards by it.
pub(crate) fn class_code(device: DeviceType) -> u32 {
    match device {
        DeviceType::NET => 0x02_0000,
        DeviceType::BLOCK | DeviceType::FS | DeviceType::P9 => 0x01_8000,
        DeviceType::SCSI => 0x01_0000,
        DeviceType::GPU => 0x03_8000,
        DeviceType::SOUND => 0x04_0100,
        DeviceType::CONSOLE | DeviceType::VSOCK => 0x07_8000,
        DeviceType::IOMMU => 0x08_0600,
        DeviceType::INPUT => 0x09_8000,
        DeviceType::CRYPTO => 0x10_8000,
        _ => 0x00_ff00,
    }
}
