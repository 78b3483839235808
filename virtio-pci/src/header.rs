//! The configuration space: a type 0 header and what follows it, as bytes of which the driver can write some.

use crate::ids;

/// Bytes of configuration space that are there; those up to 4096 read zero.
pub(crate) const LEN: usize = 256;

pub(crate) const COMMAND: u16 = 0x04;
/// Bit of the command register: the function answers to its memory BARs.
pub(crate) const MEMORY: u16 = 1 << 1;
/// Bit of the command register: the function may access memory.
pub(crate) const BUS_MASTER: u16 = 1 << 2;
/// Bit of the command register: the interrupt pin is not to be used.
pub(crate) const INTX_DISABLE: u16 = 1 << 10;
pub(crate) const STATUS: u16 = 0x06;
/// Bit of the status register: the interrupt pin is, or would be, asserted.
pub(crate) const INTERRUPT: u16 = 1 << 3;
const CAPABILITIES_LIST: u16 = 1 << 4;
const REVISION: u16 = 0x08;
const CLASS: u16 = 0x09;
pub(crate) const BARS: u16 = 0x10;
const SUBSYSTEM_VENDOR: u16 = 0x2c;
const SUBSYSTEM: u16 = 0x2e;
pub(crate) const CAPABILITIES: u16 = 0x34;
const INTERRUPT_LINE: u16 = 0x3c;
const INTERRUPT_PIN: u16 = 0x3d;
const PIN_A: u8 = 1;

/// The bytes of the configuration space, and which of their bits the driver can write.
#[derive(Clone)]
pub(crate) struct Image {
    bytes: [u8; LEN],
    writable: [u8; LEN],
}

/// What distinguishes one function's header from another's.
pub(crate) struct Identity {
    pub(crate) device: u16,
    pub(crate) class: u32,
    pub(crate) subsystem: (u16, u16),
    pub(crate) has_pin: bool,
}

impl Image {
    /// The header without BARs and capabilities.
    pub(crate) fn new(identity: &Identity) -> Image {
        let Identity { device, class, subsystem, has_pin } = *identity;
        let mut image = Image { bytes: [0; LEN], writable: [0; LEN] };
        image.set(0x00, &ids::VENDOR.to_le_bytes()); // PCI-ID-01
        image.set(0x02, &device.to_le_bytes()); // PCI-ID-02, PCI-ID-04
        image.allow(COMMAND, &(MEMORY | BUS_MASTER | INTX_DISABLE).to_le_bytes());
        image.set(STATUS, &CAPABILITIES_LIST.to_le_bytes());
        image.set(REVISION, &[ids::REVISION]); // PCI-ID-05
        let [low, middle, high, _] = class.to_le_bytes();
        image.set(CLASS, &[low, middle, high]);
        image.set(SUBSYSTEM_VENDOR, &subsystem.0.to_le_bytes());
        image.set(SUBSYSTEM, &subsystem.1.to_le_bytes());
        image.allow(INTERRUPT_LINE, &[0xff]);
        if has_pin {
            image.set(INTERRUPT_PIN, &[PIN_A]);
        }
        image
    }

    /// Puts bytes there, whoever may write them.
    pub(crate) fn set(&mut self, offset: u16, bytes: &[u8]) {
        for (byte, new) in self.bytes.iter_mut().skip(usize::from(offset)).zip(bytes) {
            *byte = *new;
        }
    }

    /// Lets the driver write the bits that are set in `mask`.
    pub(crate) fn allow(&mut self, offset: u16, mask: &[u8]) {
        for (writable, mask) in self.writable.iter_mut().skip(usize::from(offset)).zip(mask) {
            *writable |= *mask;
        }
    }

    /// The driver reads.
    pub(crate) fn read(&self, offset: u16, data: &mut [u8]) {
        data.fill(0);
        for (out, byte) in data.iter_mut().zip(self.bytes.iter().skip(usize::from(offset))) {
            *out = *byte;
        }
    }

    /// The driver writes. DRV-PCI-02: bits that are not its to write stay as they are.
    pub(crate) fn write(&mut self, offset: u16, data: &[u8]) {
        let places = self.bytes.iter_mut().zip(&self.writable).skip(usize::from(offset));
        for ((byte, writable), new) in places.zip(data) {
            *byte = *byte & !writable | new & writable;
        }
    }

    pub(crate) fn u8(&self, offset: u16) -> u8 {
        let mut bytes = [0];
        self.read(offset, &mut bytes);
        u8::from_le_bytes(bytes)
    }

    pub(crate) fn u16(&self, offset: u16) -> u16 {
        let mut bytes = [0; 2];
        self.read(offset, &mut bytes);
        u16::from_le_bytes(bytes)
    }

    pub(crate) fn u32(&self, offset: u16) -> u32 {
        let mut bytes = [0; 4];
        self.read(offset, &mut bytes);
        u32::from_le_bytes(bytes)
    }

    /// All bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// An image with these bytes, if a driver could have made them of this one.
    pub(crate) fn with_bytes(&self, bytes: &[u8]) -> Option<Image> {
        let bytes: [u8; LEN] = bytes.try_into().ok()?;
        let possible = |((new, old), writable): ((&u8, &u8), &u8)| (new ^ old) & !writable == 0;
        let all = bytes.iter().zip(&self.bytes).zip(&self.writable).all(possible);
        all.then_some(Image { bytes, writable: self.writable })
    }
}
