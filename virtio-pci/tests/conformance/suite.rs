//! The suite of rules that hold behind every transport, with each of the two ways to interrupt.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use virtio_core::device::StateError;
use virtio_core::testing::TestMemory;
use virtio_core::testing::suite::Port;
use virtio_core::{DeviceHost, HostBuilder, InlineRuntime};
use virtio_pci::{PciState, VirtioPci};

use crate::harness::{DEVICE_CFG, Harness, Messages, NO_VECTOR, message, reg, with_msix};

/// A function whose driver uses the pin and the ISR register.
struct Intx {
    harness: Harness,
    /// Where the doorbells are, found once.
    doorbells: [u64; 2],
}

/// A function whose driver maps the configuration to vector 0 and all queues to vector 1.
struct Msix(Intx);

impl Intx {
    fn new(host: HostBuilder, msix: bool) -> Intx {
        let (sent, pin) = (Messages::default(), Arc::new(AtomicBool::new(false)));
        let level = pin.clone();
        let builder = VirtioPci::builder(host).intx(move |asserted: bool| level.store(asserted, Ordering::SeqCst));
        let builder = if msix { with_msix(builder, sent.clone()) } else { builder };
        let function = builder.build().unwrap();
        // The suite has memory and a runtime of its own.
        let (memory, runtime) = (TestMemory::new(1 << 13), InlineRuntime::new());
        let harness = Harness { function, memory, runtime, sent, pin };
        harness.place();
        let doorbells = [0, 1].map(|queue| harness.doorbell(queue));
        Intx { harness, doorbells }
    }

    fn set_queue(&self, queue: u16, size: u16, areas: (u64, u64, u64)) {
        self.harness.set(reg::QUEUE_SELECT, queue.into());
        self.harness.set(reg::QUEUE_SIZE, size.into());
        self.harness.set(reg::QUEUE_DESC, areas.0);
        self.harness.set(reg::QUEUE_DRIVER, areas.1);
        self.harness.set(reg::QUEUE_DEVICE, areas.2);
    }

    fn get_of(&self, queue: u16, register: reg::Reg) -> u64 {
        self.harness.set(reg::QUEUE_SELECT, queue.into());
        self.harness.get(register)
    }
}

impl Port for Intx {
    type State = PciState;

    fn connect(host: HostBuilder) -> Intx {
        Intx::new(host, false)
    }

    fn host(&self) -> &DeviceHost {
        self.harness.function.host()
    }

    fn status(&self) -> u8 {
        self.harness.get(reg::STATUS) as u8
    }

    fn set_status(&self, status: u8) {
        self.harness.set(reg::STATUS, status.into());
    }

    fn offered(&self, word: u32) -> u32 {
        self.harness.set(reg::DEVICE_FEATURE_SELECT, word.into());
        self.harness.get(reg::DEVICE_FEATURE) as u32
    }

    fn accept(&self, word: u32, value: u32) {
        self.harness.set(reg::DRIVER_FEATURE_SELECT, word.into());
        self.harness.set(reg::DRIVER_FEATURE, value.into());
    }

    fn generation(&self) -> u32 {
        self.harness.get(reg::GENERATION) as u32
    }

    fn read_config(&self, offset: u64, data: &mut [u8]) {
        self.harness.read(self.harness.address(DEVICE_CFG) + offset, data);
    }

    fn write_config(&self, offset: u64, data: &[u8]) {
        self.harness.write(self.harness.address(DEVICE_CFG) + offset, data);
    }

    fn queue_max(&self, queue: u16) -> u16 {
        self.get_of(queue, reg::QUEUE_SIZE) as u16
    }

    fn set_queue(&self, queue: u16, size: u16, areas: (u64, u64, u64)) {
        Intx::set_queue(self, queue, size, areas);
    }

    fn enable(&self, queue: u16) {
        self.harness.set(reg::QUEUE_SELECT, queue.into());
        self.harness.set(reg::QUEUE_ENABLE, 1);
    }

    fn is_enabled(&self, queue: u16) -> bool {
        self.get_of(queue, reg::QUEUE_ENABLE) == 1
    }

    fn reset_queue(&self, queue: u16) {
        self.harness.set(reg::QUEUE_SELECT, queue.into());
        self.harness.set(reg::QUEUE_RESET, 1);
    }

    fn is_resetting(&self, queue: u16) -> bool {
        self.get_of(queue, reg::QUEUE_RESET) == 1
    }

    fn notify(&self, queue: u16) {
        // A doorbell of a queue that does not exist is rung at the place of one that does.
        let doorbell = self.doorbells.get(usize::from(queue)).unwrap_or(&self.doorbells[0]);
        self.harness.write(*doorbell, &queue.to_le_bytes());
    }

    fn hold_interrupts(&self) {}

    fn take_interrupts(&self) -> (bool, bool) {
        let asserted = self.harness.pin();
        let isr = self.harness.isr();
        assert_eq!(asserted, isr != 0, "the pin follows the register");
        (isr & 1 != 0, isr & 2 != 0)
    }

    fn save(&self) -> Result<PciState, StateError> {
        self.harness.function.save()
    }

    fn restore(&self, state: &PciState) -> Result<(), StateError> {
        self.harness.function.restore(state).map(|_| ())
    }
}

impl Port for Msix {
    type State = PciState;

    fn connect(host: HostBuilder) -> Msix {
        let port = Intx::new(host, true);
        port.harness.enable_msix();
        Msix(port)
    }

    fn host(&self) -> &DeviceHost {
        self.0.host()
    }

    fn status(&self) -> u8 {
        self.0.status()
    }

    fn set_status(&self, status: u8) {
        self.0.set_status(status);
        // A reset unmaps it; a driver maps it again when it begins.
        if status != 0 && self.0.harness.get(reg::CONFIG_VECTOR) == NO_VECTOR {
            self.0.harness.set(reg::CONFIG_VECTOR, 0);
        }
    }

    fn offered(&self, word: u32) -> u32 {
        self.0.offered(word)
    }

    fn accept(&self, word: u32, value: u32) {
        self.0.accept(word, value);
    }

    fn generation(&self) -> u32 {
        self.0.generation()
    }

    fn read_config(&self, offset: u64, data: &mut [u8]) {
        self.0.read_config(offset, data);
    }

    fn write_config(&self, offset: u64, data: &[u8]) {
        self.0.write_config(offset, data);
    }

    fn queue_max(&self, queue: u16) -> u16 {
        self.0.queue_max(queue)
    }

    fn set_queue(&self, queue: u16, size: u16, areas: (u64, u64, u64)) {
        self.0.set_queue(queue, size, areas);
        self.0.harness.set(reg::QUEUE_VECTOR, 1);
    }

    fn enable(&self, queue: u16) {
        self.0.enable(queue);
    }

    fn is_enabled(&self, queue: u16) -> bool {
        self.0.is_enabled(queue)
    }

    fn reset_queue(&self, queue: u16) {
        self.0.reset_queue(queue);
    }

    fn is_resetting(&self, queue: u16) -> bool {
        self.0.is_resetting(queue)
    }

    fn notify(&self, queue: u16) {
        self.0.notify(queue);
    }

    fn hold_interrupts(&self) {
        self.0.harness.set_msix_control(0xc000);
    }

    fn take_interrupts(&self) -> (bool, bool) {
        self.0.harness.set_msix_control(0x8000);
        let sent = self.0.harness.sent.take();
        assert!(!self.0.harness.pin(), "the pin is not used");
        (sent.contains(&message(1)), sent.contains(&message(0)))
    }

    fn save(&self) -> Result<PciState, StateError> {
        self.0.save()
    }

    fn restore(&self, state: &PciState) -> Result<(), StateError> {
        self.0.restore(state)
    }
}

virtio_core::conformance_suite!(by_pin: Intx);
virtio_core::conformance_suite!(by_message: Msix);
