//! The adapter for PCI: the transport trait of `virtio-drivers`. It finds the capabilities, places the BARs, and goes
//! through them.

use std::sync::Arc;

use virtio_core::InlineRuntime;
use virtio_drivers::transport::{DeviceStatus, DeviceType, InterruptStatus, Transport};
use virtio_drivers::{Error, PhysAddr, Result};
use virtio_pci::VirtioPci;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::demo::DemoError;

/// Offsets in the configuration space of a function.
const DEVICE_ID: u16 = 0x02;
const COMMAND: u16 = 0x04;
const BARS: u16 = 0x10;
const CAPABILITIES: u16 = 0x34;
const MEMORY_AND_MASTER: u16 = 6;
const VENDOR_CAPABILITY: u8 = 9;

/// Offsets in the common configuration structure.
const DEVICE_FEATURE_SELECT: u64 = 0;
const DEVICE_FEATURE: u64 = 4;
const DRIVER_FEATURE_SELECT: u64 = 8;
const DRIVER_FEATURE: u64 = 12;
const STATUS: u64 = 20;
const GENERATION: u64 = 21;
const QUEUE_SELECT: u64 = 22;
const QUEUE_SIZE: u64 = 24;
const QUEUE_ENABLE: u64 = 28;
const QUEUE_NOTIFY_OFF: u64 = 30;
const QUEUE_DESC: u64 = 32;
const QUEUE_DRIVER: u64 = 40;
const QUEUE_DEVICE: u64 = 48;

/// Where the BARs are put: nobody else is there.
const PLACE: u32 = 0xe000_0000;

/// A structure in a BAR.
#[derive(Clone, Copy, Default)]
struct Structure {
    bar: u8,
    offset: u64,
}

pub(crate) struct PciDriver {
    device: Arc<VirtioPci>,
    runtime: InlineRuntime,
    common: Structure,
    notify: Structure,
    notify_multiplier: u64,
    isr: Structure,
    config: Structure,
}

impl PciDriver {
    /// A driver whose doorbells let the device work at once.
    pub(crate) fn new(device: Arc<VirtioPci>, runtime: InlineRuntime) -> std::result::Result<PciDriver, DemoError> {
        let none = Structure::default();
        let (common, notify, isr, config) = (None, none, none, none);
        let mut driver = PciDriver { device, runtime, common: none, notify, notify_multiplier: 0, isr, config };
        driver.place_bars();
        let mut found = common;
        let mut at = u16::from(driver.read_byte(CAPABILITIES));
        // A list of capabilities in 256 bytes has no more than 48.
        for _ in 0..48 {
            if at == 0 {
                break;
            }
            if driver.read_byte(at) == VENDOR_CAPABILITY {
                let structure = Structure { bar: driver.read_byte(at + 4), offset: driver.read_word(at + 8).into() };
                match driver.read_byte(at + 3) {
                    1 => found = Some(structure),
                    2 => {
                        driver.notify = structure;
                        driver.notify_multiplier = driver.read_word(at + 16).into();
                    }
                    3 => driver.isr = structure,
                    4 => driver.config = structure,
                    _ => {}
                }
            }
            at = u16::from(driver.read_byte(at + 1));
        }
        driver.common = found.ok_or(DemoError::Driver(Error::InvalidParam))?;
        Ok(driver)
    }

    /// Asks each BAR for its size and gives it a place; then lets the function decode memory.
    fn place_bars(&self) {
        let mut place = PLACE;
        let mut bar = 0;
        while bar < 6 {
            let register = BARS + 4 * bar;
            let kind = self.read_word(register);
            self.write_word(register, u32::MAX);
            let size = !(self.read_word(register) & !0xf) as u64 + 1;
            if size <= 0xffff_ffff {
                place = place.next_multiple_of(size as u32);
                self.write_word(register, place);
                place += size as u32;
            }
            let wide = kind & 6 == 4;
            if wide {
                self.write_word(register + 4, 0);
            }
            bar += if wide { 2 } else { 1 };
        }
        self.device.write_config(COMMAND, &MEMORY_AND_MASTER.to_le_bytes());
    }

    fn read_byte(&self, offset: u16) -> u8 {
        let mut byte = [0];
        self.device.read_config(offset, &mut byte);
        byte[0]
    }

    fn read_word(&self, offset: u16) -> u32 {
        let mut word = [0; 4];
        self.device.read_config(offset, &mut word);
        u32::from_le_bytes(word)
    }

    fn write_word(&self, offset: u16, value: u32) {
        self.device.write_config(offset, &value.to_le_bytes());
    }

    fn get<const N: usize>(&self, structure: Structure, offset: u64) -> [u8; N] {
        let mut bytes = [0; N];
        self.device.read_bar(structure.bar, structure.offset + offset, &mut bytes);
        bytes
    }

    fn set(&self, structure: Structure, offset: u64, bytes: &[u8]) {
        self.device.write_bar(structure.bar, structure.offset + offset, bytes);
    }

    fn select(&self, queue: u16) {
        self.set(self.common, QUEUE_SELECT, &queue.to_le_bytes());
    }
}

impl Transport for PciDriver {
    fn device_type(&self) -> DeviceType {
        let mut id = [0; 2];
        self.device.read_config(DEVICE_ID, &mut id);
        let number = u16::from_le_bytes(id).saturating_sub(0x1040);
        DeviceType::try_from(number).unwrap_or(DeviceType::Block)
    }

    fn read_device_features(&mut self) -> u64 {
        let word = |word: u32| {
            self.set(self.common, DEVICE_FEATURE_SELECT, &word.to_le_bytes());
            u64::from(u32::from_le_bytes(self.get(self.common, DEVICE_FEATURE)))
        };
        word(0) | word(1) << 32
    }

    fn write_driver_features(&mut self, features: u64) {
        for word in 0..2u32 {
            self.set(self.common, DRIVER_FEATURE_SELECT, &word.to_le_bytes());
            self.set(self.common, DRIVER_FEATURE, &((features >> (32 * word)) as u32).to_le_bytes());
        }
    }

    fn max_queue_size(&mut self, queue: u16) -> u32 {
        self.select(queue);
        u16::from_le_bytes(self.get(self.common, QUEUE_SIZE)).into()
    }

    fn notify(&mut self, queue: u16) {
        self.select(queue);
        let place = u16::from_le_bytes(self.get(self.common, QUEUE_NOTIFY_OFF));
        self.set(self.notify, u64::from(place) * self.notify_multiplier, &queue.to_le_bytes());
        self.runtime.poll();
    }

    fn get_status(&self) -> DeviceStatus {
        let [status] = self.get(self.common, STATUS);
        DeviceStatus::from_bits_truncate(status.into())
    }

    fn set_status(&mut self, status: DeviceStatus) {
        self.set(self.common, STATUS, &[status.bits() as u8]);
    }

    fn set_guest_page_size(&mut self, _size: u32) {}

    fn requires_legacy_layout(&self) -> bool {
        false
    }

    fn queue_set(&mut self, queue: u16, size: u32, descriptors: PhysAddr, driver: PhysAddr, device: PhysAddr) {
        self.select(queue);
        self.set(self.common, QUEUE_SIZE, &(size as u16).to_le_bytes());
        for (register, address) in [(QUEUE_DESC, descriptors), (QUEUE_DRIVER, driver), (QUEUE_DEVICE, device)] {
            self.set(self.common, register, &(address as u32).to_le_bytes());
            self.set(self.common, register + 4, &((address >> 32) as u32).to_le_bytes());
        }
        self.set(self.common, QUEUE_ENABLE, &1u16.to_le_bytes());
    }

    fn queue_unset(&mut self, _queue: u16) {
        // A modern function has no way but a reset, which comes before.
    }

    fn queue_used(&mut self, queue: u16) -> bool {
        self.select(queue);
        u16::from_le_bytes(self.get(self.common, QUEUE_ENABLE)) != 0
    }

    fn ack_interrupt(&mut self) -> InterruptStatus {
        let [isr] = self.get(self.isr, 0);
        InterruptStatus::from_bits_truncate(isr.into())
    }

    fn read_config_generation(&self) -> u32 {
        let [generation] = self.get(self.common, GENERATION);
        generation.into()
    }

    fn read_config_space<T: FromBytes + IntoBytes>(&self, offset: usize) -> Result<T> {
        let mut value = T::new_zeroed();
        let Structure { bar, offset: start } = self.config;
        self.device.read_bar(bar, start + offset as u64, value.as_mut_bytes());
        Ok(value)
    }

    fn write_config_space<T: IntoBytes + Immutable>(&mut self, offset: usize, value: T) -> Result<()> {
        self.set(self.config, offset as u64, value.as_bytes());
        Ok(())
    }
}
