//! The transport as a driver reaches it, by registers: for tests of devices behind it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test helper fails by panicking

use std::marker::PhantomData;

use virtio_core::device::StateError;
use virtio_core::testing::suite::{Port, RingPort};
use virtio_core::testing::{Level, PackedDriver, RingDriver, SplitDriver};
use virtio_core::{DeviceHost, Features, HostBuilder};

use crate::registers::*;
use crate::{MmioState, MmioTransport};

/// The MMIO transport (virtio 1.4, section 4.2.2).
pub struct Mmio<const EVENT_IDX: bool = true, D = SplitDriver> {
    transport: MmioTransport,
    line: Level,
    layout: PhantomData<D>,
}

/// The same with packed rings.
pub type Packed = Mmio<true, PackedDriver>;

impl<const EVENT_IDX: bool, D: RingDriver> RingPort for Mmio<EVENT_IDX, D> {
    type Driver = D;
}

impl<const EVENT_IDX: bool, D> Mmio<EVENT_IDX, D> {
    fn get(&self, offset: u64) -> u32 {
        let mut word = [0; 4];
        self.transport.read(offset, &mut word);
        u32::from_le_bytes(word)
    }

    fn set(&self, offset: u64, value: u32) {
        self.transport.write(offset, &value.to_le_bytes());
    }

    fn select(&self, queue: u16) {
        self.set(QUEUE_SEL, queue.into());
    }
}

impl<const EVENT_IDX: bool, D: RingDriver> Port for Mmio<EVENT_IDX, D> {
    type State = MmioState;

    fn connect(host: HostBuilder) -> Self {
        let host = host.with(D::LAYOUT);
        let host = if EVENT_IDX { host } else { host.without(Features::EVENT_IDX) };
        let line = Level::default();
        let level = line.clone();
        let transport = MmioTransport::new(host, move |asserted| level.set(asserted)).expect("a transport");
        Mmio { transport, line, layout: PhantomData }
    }

    fn host(&self) -> &DeviceHost {
        self.transport.host()
    }

    fn status(&self) -> u8 {
        self.get(STATUS) as u8
    }

    fn set_status(&self, status: u8) {
        self.set(STATUS, status.into());
    }

    fn offered(&self, word: u32) -> u32 {
        self.set(DEVICE_FEATURES_SEL, word);
        self.get(DEVICE_FEATURES)
    }

    fn accept(&self, word: u32, value: u32) {
        self.set(DRIVER_FEATURES_SEL, word);
        self.set(DRIVER_FEATURES, value);
    }

    fn generation(&self) -> u32 {
        self.get(CONFIG_GENERATION)
    }

    fn read_config(&self, offset: u64, data: &mut [u8]) {
        self.transport.read(CONFIG + offset, data);
    }

    fn write_config(&self, offset: u64, data: &[u8]) {
        self.transport.write(CONFIG + offset, data);
    }

    fn queue_max(&self, queue: u16) -> u16 {
        self.select(queue);
        self.get(QUEUE_SIZE_MAX) as u16
    }

    fn set_queue(&self, queue: u16, size: u16, (descriptor, driver, device): (u64, u64, u64)) {
        self.select(queue);
        self.set(QUEUE_SIZE, size.into());
        for (register, area) in [(QUEUE_DESC_LOW, descriptor), (QUEUE_DRIVER_LOW, driver), (QUEUE_DEVICE_LOW, device)] {
            self.set(register, area as u32);
            self.set(register + 4, (area >> 32) as u32);
        }
    }

    fn enable(&self, queue: u16) {
        self.select(queue);
        self.set(QUEUE_READY, 1);
    }

    fn is_enabled(&self, queue: u16) -> bool {
        self.select(queue);
        self.get(QUEUE_READY) == 1
    }

    fn reset_queue(&self, queue: u16) {
        self.select(queue);
        self.set(QUEUE_RESET, 1);
    }

    fn is_resetting(&self, queue: u16) -> bool {
        self.select(queue);
        self.get(QUEUE_RESET) == 1
    }

    fn notify(&self, queue: u16) {
        self.set(QUEUE_NOTIFY, queue.into());
    }

    fn hold_interrupts(&self) {}

    fn take_interrupts(&self) -> (bool, bool) {
        // The line, before the acknowledgement lowers it.
        let level = self.line.get();
        let bits = self.get(INTERRUPT_STATUS);
        self.set(INTERRUPT_ACK, bits);
        Level::reasons(level, bits)
    }

    fn save(&self) -> Result<MmioState, StateError> {
        self.transport.save()
    }

    fn restore(&self, state: &MmioState) -> Result<(), StateError> {
        self.transport.restore(state)
    }
}
