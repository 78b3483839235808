//! A driver's hands: it finds capabilities, places BARs and accesses memory by address.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use virtio_core::device::{ActivateError, Activation, VirtioDevice};
use virtio_core::host::status::{ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK};
use virtio_core::testing::{Buffer, RingDriver, SplitDriver, TestDevice, TestHandle, TestMemory};
use virtio_core::{ConfigSpace, DeviceHost, DeviceType, Features, HostBuilder, InlineRuntime, QueueTask};
use virtio_pci::{Builder, MessageVector, SentVector, VirtioPci};

/// Registers of the common configuration structure: offset and width.
pub(crate) mod reg {
    pub(crate) type Reg = (u64, usize);
    pub(crate) const DEVICE_FEATURE_SELECT: Reg = (0x00, 4);
    pub(crate) const DEVICE_FEATURE: Reg = (0x04, 4);
    pub(crate) const DRIVER_FEATURE_SELECT: Reg = (0x08, 4);
    pub(crate) const DRIVER_FEATURE: Reg = (0x0c, 4);
    pub(crate) const CONFIG_VECTOR: Reg = (0x10, 2);
    pub(crate) const NUM_QUEUES: Reg = (0x12, 2);
    pub(crate) const STATUS: Reg = (0x14, 1);
    pub(crate) const GENERATION: Reg = (0x15, 1);
    pub(crate) const QUEUE_SELECT: Reg = (0x16, 2);
    pub(crate) const QUEUE_SIZE: Reg = (0x18, 2);
    pub(crate) const QUEUE_VECTOR: Reg = (0x1a, 2);
    pub(crate) const QUEUE_ENABLE: Reg = (0x1c, 2);
    pub(crate) const QUEUE_NOTIFY_OFF: Reg = (0x1e, 2);
    pub(crate) const QUEUE_DESC: Reg = (0x20, 8);
    pub(crate) const QUEUE_DRIVER: Reg = (0x28, 8);
    pub(crate) const QUEUE_DEVICE: Reg = (0x30, 8);
    pub(crate) const NOTIF_CONFIG_DATA: Reg = (0x38, 2);
    pub(crate) const QUEUE_RESET: Reg = (0x3a, 2);
}

pub(crate) const COMMON_CFG: u8 = 1;
pub(crate) const NOTIFY_CFG: u8 = 2;
pub(crate) const ISR_CFG: u8 = 3;
pub(crate) const DEVICE_CFG: u8 = 4;
pub(crate) const PCI_CFG: u8 = 5;

pub(crate) const NO_VECTOR: u64 = 0xffff;

/// Where the driver places BAR 0 and BAR 2.
pub(crate) const BAR0: u64 = 0x1_4000_0000;
pub(crate) const BAR2: u64 = 0x1_4010_0000;

/// A capability, as found in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Capability {
    pub(crate) at: u16,
    pub(crate) id: u8,
}

/// A virtio capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Structure {
    pub(crate) at: u16,
    pub(crate) cap_len: u8,
    pub(crate) bar: u8,
    pub(crate) offset: u32,
    pub(crate) length: u32,
}

/// What a platform has around a function.
pub(crate) struct Harness {
    pub(crate) function: VirtioPci,
    pub(crate) memory: TestMemory,
    pub(crate) runtime: InlineRuntime,
    pub(crate) sent: Messages,
    pub(crate) pin: Arc<AtomicBool>,
}

/// The messages that were sent.
#[derive(Clone, Default)]
pub(crate) struct Messages(Arc<Mutex<Vec<(u64, u32)>>>);

impl Messages {
    pub(crate) fn take(&self) -> Vec<(u64, u32)> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    fn vector(&self) -> Arc<dyn MessageVector> {
        let log = self.0.clone();
        Arc::new(SentVector::new(move |address, data| log.lock().unwrap().push((address, data))))
    }
}

/// A device of any type that does nothing.
pub(crate) struct Idle {
    pub(crate) kind: DeviceType,
    pub(crate) config: ConfigSpace,
    pub(crate) sizes: Vec<u16>,
    pub(crate) features: Features,
}

impl Idle {
    pub(crate) fn new(kind: DeviceType, config: usize, queues: usize) -> Idle {
        let config = ConfigSpace::new(vec![0; config]);
        Idle { kind, config, sizes: vec![64; queues], features: Features::NONE }
    }
}

impl VirtioDevice for Idle {
    fn device_type(&self) -> DeviceType {
        self.kind
    }

    fn features(&self) -> Features {
        self.features
    }

    fn queue_sizes(&self) -> &[u16] {
        &self.sizes
    }

    fn config(&self) -> ConfigSpace {
        self.config.clone()
    }

    fn activate(&mut self, _activation: Activation) -> Result<Vec<Box<dyn QueueTask>>, ActivateError> {
        Ok(Vec::new())
    }

    fn reset(&mut self) {}
}

impl Harness {
    /// A function for `device`, with what `adapt` makes of its host and of itself.
    pub(crate) fn build(
        device: impl VirtioDevice + 'static,
        host: impl FnOnce(HostBuilder) -> HostBuilder,
        adapt: impl FnOnce(Builder, Messages) -> Builder,
    ) -> Harness {
        let (memory, runtime) = (TestMemory::new(1 << 20), InlineRuntime::new());
        let builder = DeviceHost::builder(device, memory.ram().clone(), Arc::new(runtime.clone()));
        Harness::hosting(host(builder), memory, runtime, adapt)
    }

    /// A function for the device of `host`, which has this memory.
    pub(crate) fn hosting(
        host: HostBuilder,
        memory: TestMemory,
        runtime: InlineRuntime,
        adapt: impl FnOnce(Builder, Messages) -> Builder,
    ) -> Harness {
        let (sent, pin) = (Messages::default(), Arc::new(AtomicBool::new(false)));
        let line = pin.clone();
        let builder = VirtioPci::builder(host).intx(move |level: bool| line.store(level, Ordering::SeqCst));
        let function = adapt(builder, sent.clone()).build().unwrap();
        Harness { function, memory, runtime, sent, pin }
    }

    /// A function with MSI-X and the pin for any device.
    pub(crate) fn of(device: impl VirtioDevice + 'static) -> Harness {
        Harness::build(device, |host| host.reset_limit(Duration::from_millis(20)), with_msix)
    }

    /// A function with a device that copies, with so many queues, after the firmware has placed its BARs.
    pub(crate) fn new(queues: usize) -> (Harness, TestHandle) {
        let (device, handle) = TestDevice::new(queues);
        let harness = Harness::of(device);
        harness.place();
        (harness, handle)
    }

    /// The same, without MSI-X.
    pub(crate) fn without_msix(queues: usize) -> (Harness, TestHandle) {
        let (device, handle) = TestDevice::new(queues);
        let harness = Harness::build(device, |host| host, |builder, _| builder);
        harness.place();
        (harness, handle)
    }

    pub(crate) fn place(&self) {
        self.set_config(0x10, 4, BAR0);
        self.set_config(0x14, 4, BAR0 >> 32);
        self.set_config(0x18, 4, BAR2);
        self.set_config(0x1c, 4, BAR2 >> 32);
        self.set_config(0x04, 2, 0x6);
    }

    // Configuration space.

    pub(crate) fn config(&self, offset: u16, width: usize) -> u64 {
        let mut bytes = [0; 8];
        self.function.read_config(offset, &mut bytes[..width]);
        u64::from_le_bytes(bytes)
    }

    pub(crate) fn set_config(&self, offset: u16, width: usize, value: u64) {
        self.function.write_config(offset, &value.to_le_bytes()[..width]);
    }

    pub(crate) fn config_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; 256];
        self.function.read_config(0, &mut bytes);
        bytes
    }

    pub(crate) fn capabilities(&self) -> Vec<Capability> {
        let mut list = Vec::new();
        let mut at = self.config(0x34, 1) as u16;
        while at != 0 {
            assert!(at >= 0x40 && at.is_multiple_of(4) && list.len() < 48, "the list is sound");
            list.push(Capability { at, id: self.config(at, 1) as u8 });
            at = self.config(at + 1, 1) as u16;
        }
        list
    }

    pub(crate) fn structures(&self, kind: u8) -> Vec<Structure> {
        let vendor = self.capabilities().into_iter().filter(|capability| capability.id == 9);
        vendor
            .filter(|capability| self.config(capability.at + 3, 1) == u64::from(kind))
            .map(|Capability { at, .. }| Structure {
                at,
                cap_len: self.config(at + 2, 1) as u8,
                bar: self.config(at + 4, 1) as u8,
                offset: self.config(at + 8, 4) as u32,
                length: self.config(at + 12, 4) as u32,
            })
            .collect()
    }

    /// The only structure of a kind.
    pub(crate) fn structure(&self, kind: u8) -> Structure {
        let found = self.structures(kind);
        assert_eq!(found.len(), 1, "structures of type {kind}");
        found[0]
    }

    pub(crate) fn msix_capability(&self) -> u16 {
        self.capabilities().into_iter().find(|capability| capability.id == 0x11).expect("MSI-X").at
    }

    // Memory, by address: what the platform's memory bus does.

    fn route(&self, address: u64) -> Option<(u8, u64)> {
        let bars = self.function.bars().into_iter();
        let mut hits = bars.filter(|bar| bar.enabled && (bar.address..bar.address + bar.size).contains(&address));
        hits.next().map(|bar| (bar.bar, address - bar.address))
    }

    pub(crate) fn read(&self, address: u64, data: &mut [u8]) {
        let (bar, offset) = self.route(address).expect("an address in a BAR");
        self.function.read_bar(bar, offset, data);
    }

    pub(crate) fn write(&self, address: u64, data: &[u8]) {
        let (bar, offset) = self.route(address).expect("an address in a BAR");
        self.function.write_bar(bar, offset, data);
    }

    pub(crate) fn address(&self, kind: u8) -> u64 {
        let structure = self.structure(kind);
        let bar = self.function.bars().into_iter().find(|bar| bar.bar == structure.bar).expect("the BAR");
        bar.address + u64::from(structure.offset)
    }

    pub(crate) fn get(&self, register: reg::Reg) -> u64 {
        let mut bytes = [0; 8];
        self.read(self.address(COMMON_CFG) + register.0, &mut bytes[..register.1]);
        u64::from_le_bytes(bytes)
    }

    pub(crate) fn set(&self, register: reg::Reg, value: u64) {
        self.write(self.address(COMMON_CFG) + register.0, &value.to_le_bytes()[..register.1]);
    }

    pub(crate) fn isr(&self) -> u8 {
        let mut bits = [0];
        self.read(self.address(ISR_CFG), &mut bits);
        bits[0]
    }

    pub(crate) fn pin(&self) -> bool {
        self.pin.load(Ordering::SeqCst)
    }

    // Initialisation.

    pub(crate) fn set_status(&self, bit: u8) {
        self.set(reg::STATUS, self.get(reg::STATUS) | u64::from(bit));
    }

    pub(crate) fn offered(&self) -> Features {
        (0..4).fold(Features::NONE, |features, word| {
            self.set(reg::DEVICE_FEATURE_SELECT, u64::from(word));
            features.with_word(word, self.get(reg::DEVICE_FEATURE) as u32)
        })
    }

    pub(crate) fn accept(&self, features: Features) {
        for word in 0..4 {
            self.set(reg::DRIVER_FEATURE_SELECT, u64::from(word));
            self.set(reg::DRIVER_FEATURE, features.word(word).into());
        }
    }

    /// Up to FEATURES_OK, with these features.
    pub(crate) fn negotiate(&self, features: Features) {
        self.set(reg::STATUS, 0);
        self.set_status(ACKNOWLEDGE);
        self.set_status(DRIVER);
        self.accept(features | Features::VERSION_1);
        self.set_status(FEATURES_OK);
        assert_ne!(self.get(reg::STATUS) & u64::from(FEATURES_OK), 0, "the features were accepted");
    }

    /// Sets up a queue of 16 descriptors with a vector, and enables it.
    pub(crate) fn enable_queue(&self, queue: u16, vector: u64) -> SplitDriver {
        let driver = SplitDriver::new(&self.memory, 16, Features::NONE);
        let (descriptors, available, used) = driver.areas();
        self.set(reg::QUEUE_SELECT, queue.into());
        self.set(reg::QUEUE_SIZE, 16);
        self.set(reg::QUEUE_VECTOR, vector);
        for (register, address) in
            [(reg::QUEUE_DESC, descriptors), (reg::QUEUE_DRIVER, available), (reg::QUEUE_DEVICE, used)]
        {
            self.set(register, address);
        }
        self.set(reg::QUEUE_ENABLE, 1);
        assert_eq!(self.get(reg::QUEUE_ENABLE), 1);
        driver
    }

    /// A live device with one queue, mapped to a vector as the configuration is to another.
    pub(crate) fn go_live(&self, config_vector: u64, queue_vector: u64) -> SplitDriver {
        self.negotiate(Features::NONE);
        self.set(reg::CONFIG_VECTOR, config_vector);
        let driver = self.enable_queue(0, queue_vector);
        self.set_status(DRIVER_OK);
        driver
    }

    // Requests.

    pub(crate) fn doorbell(&self, queue: u16) -> u64 {
        self.set(reg::QUEUE_SELECT, queue.into());
        let multiplier = self.config(self.structure(NOTIFY_CFG).at + 16, 4);
        self.address(NOTIFY_CFG) + self.get(reg::QUEUE_NOTIFY_OFF) * multiplier
    }

    pub(crate) fn kick(&self, queue: u16) {
        let doorbell = self.doorbell(queue);
        self.write(doorbell, &queue.to_le_bytes());
    }

    /// Makes a request available, without a doorbell.
    pub(crate) fn request(&self, driver: &mut SplitDriver) {
        let (question, answer) = (self.memory.place(b"what?"), self.memory.alloc(8, 1));
        driver.add(&[Buffer::readable(question, 5), Buffer::writable(answer, 8)]).expect("free descriptors");
        driver.show();
    }

    /// Has queue 0 serve a request: so there is a reason to interrupt.
    pub(crate) fn complete_one(&self, driver: &mut SplitDriver) {
        self.request(driver);
        self.kick(0);
        self.runtime.poll();
        assert_eq!(driver.used().expect("an answer").len, 5);
    }

    // MSI-X.

    pub(crate) fn set_msix_control(&self, control: u64) {
        self.set_config(self.msix_capability() + 2, 2, control);
    }

    pub(crate) fn table(&self) -> u64 {
        self.msix_region(4)
    }

    pub(crate) fn pending_bits(&self) -> u64 {
        let mut word = [0; 8];
        self.read(self.msix_region(8), &mut word);
        u64::from_le_bytes(word)
    }

    fn msix_region(&self, at: u16) -> u64 {
        let region = self.config(self.msix_capability() + at, 4);
        let bar = self.function.bars().into_iter().find(|bar| u64::from(bar.bar) == region & 7).expect("the BAR");
        bar.address + (region & !7)
    }

    /// Writes an entry of the table, register by register.
    pub(crate) fn set_entry(&self, vector: u16, (address, data): (u64, u32), masked: bool) {
        let at = self.table() + 16 * u64::from(vector);
        let registers = [address as u32, (address >> 32) as u32, data, u32::from(masked)];
        for (place, value) in (at..).step_by(4).zip(registers) {
            self.write(place, &value.to_le_bytes());
        }
    }

    /// Enables MSI-X with all entries unmasked, each with a message of its own.
    pub(crate) fn enable_msix(&self) {
        self.set_msix_control(0x8000);
        for vector in 0..=(self.config(self.msix_capability() + 2, 2) & 0x7ff) as u16 {
            self.set_entry(vector, message(vector), false);
        }
    }
}

/// The message of a vector, as `enable_msix` writes it.
pub(crate) fn message(vector: u16) -> (u64, u32) {
    (0xfee0_1000 + (u64::from(vector) << 32), 0x40 + u32::from(vector))
}

pub(crate) fn with_msix(builder: Builder, sent: Messages) -> Builder {
    builder.msix(move |_| Ok(sent.vector()))
}
