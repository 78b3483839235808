//! The adapter for MMIO: the transport trait of `virtio-drivers`, register by register.

use std::sync::Arc;

use virtio_core::InlineRuntime;
use virtio_drivers::transport::{DeviceStatus, DeviceType, InterruptStatus, Transport};
use virtio_drivers::{Error, PhysAddr, Result};
use virtio_mmio::MmioTransport;
use zerocopy::{FromBytes, Immutable, IntoBytes};

const DEVICE_ID: u64 = 0x008;
const DEVICE_FEATURES: u64 = 0x010;
const DEVICE_FEATURES_SEL: u64 = 0x014;
const DRIVER_FEATURES: u64 = 0x020;
const DRIVER_FEATURES_SEL: u64 = 0x024;
const QUEUE_SEL: u64 = 0x030;
const QUEUE_SIZE_MAX: u64 = 0x034;
const QUEUE_SIZE: u64 = 0x038;
const QUEUE_READY: u64 = 0x044;
const QUEUE_NOTIFY: u64 = 0x050;
const INTERRUPT_STATUS: u64 = 0x060;
const INTERRUPT_ACK: u64 = 0x064;
const STATUS: u64 = 0x070;
const QUEUE_DESC: u64 = 0x080;
const QUEUE_DRIVER: u64 = 0x090;
const QUEUE_DEVICE: u64 = 0x0a0;
const CONFIG_GENERATION: u64 = 0x0fc;
const CONFIG: u64 = 0x100;

pub(crate) struct MmioDriver {
    device: Arc<MmioTransport>,
    runtime: InlineRuntime,
}

impl MmioDriver {
    /// A driver whose doorbells let the device work at once.
    pub(crate) fn new(device: Arc<MmioTransport>, runtime: InlineRuntime) -> MmioDriver {
        MmioDriver { device, runtime }
    }

    fn read(&self, offset: u64) -> u32 {
        let mut word = [0; 4];
        self.device.read(offset, &mut word);
        u32::from_le_bytes(word)
    }

    fn write(&self, offset: u64, value: u32) {
        self.device.write(offset, &value.to_le_bytes());
    }

    fn write_pair(&self, offset: u64, value: u64) {
        self.write(offset, value as u32);
        self.write(offset + 4, (value >> 32) as u32);
    }
}

impl Transport for MmioDriver {
    fn device_type(&self) -> DeviceType {
        DeviceType::try_from(self.read(DEVICE_ID)).unwrap_or(DeviceType::Block)
    }

    fn read_device_features(&mut self) -> u64 {
        let word = |word| {
            self.write(DEVICE_FEATURES_SEL, word);
            u64::from(self.read(DEVICE_FEATURES))
        };
        word(0) | word(1) << 32
    }

    fn write_driver_features(&mut self, features: u64) {
        for word in 0..2 {
            self.write(DRIVER_FEATURES_SEL, word);
            self.write(DRIVER_FEATURES, (features >> (32 * word)) as u32);
        }
    }

    fn max_queue_size(&mut self, queue: u16) -> u32 {
        self.write(QUEUE_SEL, queue.into());
        self.read(QUEUE_SIZE_MAX)
    }

    fn notify(&mut self, queue: u16) {
        self.write(QUEUE_NOTIFY, queue.into());
        self.runtime.poll();
    }

    fn get_status(&self) -> DeviceStatus {
        DeviceStatus::from_bits_truncate(self.read(STATUS))
    }

    fn set_status(&mut self, status: DeviceStatus) {
        self.write(STATUS, status.bits());
    }

    fn set_guest_page_size(&mut self, _size: u32) {}

    fn requires_legacy_layout(&self) -> bool {
        false
    }

    fn queue_set(&mut self, queue: u16, size: u32, descriptors: PhysAddr, driver: PhysAddr, device: PhysAddr) {
        self.write(QUEUE_SEL, queue.into());
        self.write(QUEUE_SIZE, size);
        self.write_pair(QUEUE_DESC, descriptors);
        self.write_pair(QUEUE_DRIVER, driver);
        self.write_pair(QUEUE_DEVICE, device);
        self.write(QUEUE_READY, 1);
    }

    fn queue_unset(&mut self, queue: u16) {
        self.write(QUEUE_SEL, queue.into());
        self.write(QUEUE_READY, 0);
    }

    fn queue_used(&mut self, queue: u16) -> bool {
        self.write(QUEUE_SEL, queue.into());
        self.read(QUEUE_READY) != 0
    }

    fn ack_interrupt(&mut self) -> InterruptStatus {
        let status = self.read(INTERRUPT_STATUS);
        self.write(INTERRUPT_ACK, status);
        InterruptStatus::from_bits_truncate(status)
    }

    fn read_config_generation(&self) -> u32 {
        self.read(CONFIG_GENERATION)
    }

    fn read_config_space<T: FromBytes + IntoBytes>(&self, offset: usize) -> Result<T> {
        let mut value = T::new_zeroed();
        self.device.read(CONFIG + offset as u64, value.as_mut_bytes());
        Ok(value)
    }

    fn write_config_space<T: IntoBytes + Immutable>(&mut self, offset: usize, value: T) -> Result<()> {
        let offset = CONFIG.checked_add(offset as u64).ok_or(Error::ConfigSpaceTooSmall)?;
        self.device.write(offset, value.as_bytes());
        Ok(())
    }
}
