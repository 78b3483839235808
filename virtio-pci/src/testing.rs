//! The transport as a driver reaches it, by its capabilities and registers: for tests of devices behind it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test helper fails by panicking

use virtio_core::device::StateError;
use virtio_core::testing::suite::{Port, RingPort};
use virtio_core::testing::{Level, SplitDriver};
use virtio_core::{DeviceHost, HostBuilder};

use crate::{PciState, VirtioPci};

/// Where a structure of a PCI function is.
#[derive(Clone, Copy)]
struct Structure {
    bar: u8,
    offset: u64,
    /// Where its capability is.
    capability: u16,
}

/// The PCI transport (virtio 1.4, section 4.1.4), interrupting by its pin.
pub struct Pci {
    function: VirtioPci,
    line: Level,
    common: Structure,
    notify: Structure,
    isr: Structure,
    device: Structure,
    /// Where in its structure the doorbell of each queue is.
    doorbells: Vec<u64>,
}

/// The first structure of a type in the list of capabilities.
fn structure(function: &VirtioPci, kind: u8) -> Structure {
    let mut capability = config(function, 0x34) as u8;
    while capability != 0 {
        let at = u16::from(capability);
        let [id, next, _, of] = config(function, at).to_le_bytes();
        if (id, of) == (9, kind) {
            let bar = config(function, at + 4) as u8;
            return Structure { bar, offset: config(function, at + 8).into(), capability: at };
        }
        capability = next;
    }
    panic!("no structure of type {kind}");
}

fn config(function: &VirtioPci, offset: u16) -> u32 {
    let mut word = [0; 4];
    function.read_config(offset, &mut word);
    u32::from_le_bytes(word)
}

fn set_config(function: &VirtioPci, offset: u16, value: u32) {
    function.write_config(offset, &value.to_le_bytes());
}

/// Does what firmware does: finds how large the BARs are, gives each a place, and lets the function work.
fn place(function: &VirtioPci) {
    let (mut register, mut next) = (0x10, 0x1_4000_0000u64);
    while register < 0x28 {
        let is_wide = config(function, register) & 0b110 == 0b100;
        set_config(function, register, u32::MAX);
        let size = u64::from(!(config(function, register) & !0xf)) + 1;
        if size <= u64::from(u32::MAX) {
            assert!(is_wide, "the places are above 4 GiB");
            next = next.next_multiple_of(size);
            set_config(function, register, next as u32);
            set_config(function, register + 4, (next >> 32) as u32);
            next += size;
        }
        register += if is_wide { 8 } else { 4 };
    }
    // Memory space and bus mastering.
    function.write_config(0x04, &[6, 0]);
    assert!(function.bars().iter().all(|bar| bar.enabled && bar.address >= 0x1_4000_0000));
}

impl Pci {
    fn get<const N: usize>(&self, place: Structure, offset: u64) -> [u8; N] {
        let mut bytes = [0; N];
        self.function.read_bar(place.bar, place.offset + offset, &mut bytes);
        bytes
    }

    fn set(&self, place: Structure, offset: u64, value: &[u8]) {
        self.function.write_bar(place.bar, place.offset + offset, value);
    }

    fn select(&self, queue: u16) {
        self.set(self.common, 0x16, &queue.to_le_bytes());
    }
}

impl RingPort for Pci {
    type Driver = SplitDriver;
}

impl Port for Pci {
    type State = PciState;

    fn connect(host: HostBuilder) -> Pci {
        let line = Level::default();
        let level = line.clone();
        let function = VirtioPci::builder(host).intx(move |asserted| level.set(asserted)).build().expect("a function");
        place(&function);
        let [common, notify, isr, device] = [1, 2, 3, 4].map(|kind| structure(&function, kind));
        let multiplier = u64::from(config(&function, notify.capability + 16));
        let mut port = Pci { function, line, common, notify, isr, device, doorbells: Vec::new() };
        for queue in 0..u16::from_le_bytes(port.get(common, 0x12)) {
            port.select(queue);
            port.doorbells.push(multiplier * u64::from(u16::from_le_bytes(port.get(common, 0x1e))));
        }
        port
    }

    fn host(&self) -> &DeviceHost {
        self.function.host()
    }

    fn status(&self) -> u8 {
        self.get::<1>(self.common, 0x14)[0]
    }

    fn set_status(&self, status: u8) {
        self.set(self.common, 0x14, &[status]);
    }

    fn offered(&self, word: u32) -> u32 {
        self.set(self.common, 0x00, &word.to_le_bytes());
        u32::from_le_bytes(self.get(self.common, 0x04))
    }

    fn accept(&self, word: u32, value: u32) {
        self.set(self.common, 0x08, &word.to_le_bytes());
        self.set(self.common, 0x0c, &value.to_le_bytes());
    }

    fn generation(&self) -> u32 {
        self.get::<1>(self.common, 0x15)[0].into()
    }

    fn read_config(&self, offset: u64, data: &mut [u8]) {
        self.function.read_bar(self.device.bar, self.device.offset + offset, data);
    }

    fn write_config(&self, offset: u64, data: &[u8]) {
        self.set(self.device, offset, data);
    }

    fn queue_max(&self, queue: u16) -> u16 {
        self.select(queue);
        u16::from_le_bytes(self.get(self.common, 0x18))
    }

    fn set_queue(&self, queue: u16, size: u16, (descriptor, driver, device): (u64, u64, u64)) {
        self.select(queue);
        self.set(self.common, 0x18, &size.to_le_bytes());
        for (register, area) in [(0x20, descriptor), (0x28, driver), (0x30, device)] {
            self.set(self.common, register, &area.to_le_bytes());
        }
    }

    fn enable(&self, queue: u16) {
        self.select(queue);
        self.set(self.common, 0x1c, &1u16.to_le_bytes());
    }

    fn is_enabled(&self, queue: u16) -> bool {
        self.select(queue);
        u16::from_le_bytes(self.get(self.common, 0x1c)) == 1
    }

    fn reset_queue(&self, queue: u16) {
        self.select(queue);
        self.set(self.common, 0x3a, &1u16.to_le_bytes());
    }

    fn is_resetting(&self, queue: u16) -> bool {
        self.select(queue);
        u16::from_le_bytes(self.get(self.common, 0x3a)) == 1
    }

    fn notify(&self, queue: u16) {
        self.set(self.notify, self.doorbells[usize::from(queue)], &queue.to_le_bytes());
    }

    fn hold_interrupts(&self) {}

    fn take_interrupts(&self) -> (bool, bool) {
        let level = self.line.get();
        let [bits] = self.get(self.isr, 0);
        Level::reasons(level, bits.into())
    }

    fn save(&self) -> Result<PciState, StateError> {
        self.function.save()
    }

    fn restore(&self, state: &PciState) -> Result<(), StateError> {
        self.function.restore(state).map(|_| ())
    }
}
