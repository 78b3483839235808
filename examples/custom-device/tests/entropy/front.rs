//! What a driver reaches the device through: registers, or its host where there is no transport.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use virtio_core::{DeviceHost, Features, HostBuilder, Interrupt, TransportHooks};
use virtio_mmio::MmioTransport;
use virtio_pci::VirtioPci;

/// As much of a transport as the device's driver needs.
pub(crate) trait Front {
    /// What the driver takes of what rings can do.
    const RINGS: Features = Features::from_bits(Features::INDIRECT_DESC.bits() | Features::EVENT_IDX.bits());

    fn connect(host: HostBuilder) -> Self;
    fn host(&self) -> &DeviceHost;
    /// The device type, as the driver finds it.
    fn device_type(&self) -> u32;
    fn status(&self) -> u8;
    fn set_status(&self, status: u8);
    fn accept(&self, word: u32, value: u32);
    fn enable(&self, size: u16, areas: (u64, u64, u64));
    fn notify(&self);
    /// Whether an interrupt came since the last call.
    fn interrupted(&self) -> bool;
}

/// An interrupt of any kind that came.
#[derive(Clone, Default)]
struct Line(Arc<AtomicBool>);

impl Line {
    fn raise(&self) -> impl Fn(bool) + Send + Sync + 'static {
        let line = self.0.clone();
        move |asserted| line.store(asserted, SeqCst)
    }

    fn take(&self) -> bool {
        self.0.swap(false, SeqCst)
    }
}

impl TransportHooks for Line {
    fn queue_interrupt(&self, _index: u16) -> Arc<dyn Interrupt> {
        let raise = self.raise();
        Arc::new(move || raise(true))
    }

    fn config_interrupt(&self) {
        self.raise()(true);
    }

    fn queue_reset(&self, _index: u16) {}

    fn reset(&self) {
        self.raise()(false);
    }
}

/// No transport.
pub(crate) struct Bare<const EVENT_IDX: bool = true>(DeviceHost, Line);

/// No transport, and flags in place of event indexes.
pub(crate) type Plain = Bare<false>;

impl<const EVENT_IDX: bool> Front for Bare<EVENT_IDX> {
    const RINGS: Features = if EVENT_IDX { Mmio::RINGS } else { Features::INDIRECT_DESC };

    fn connect(host: HostBuilder) -> Self {
        let line = Line::default();
        Bare(host.build(Features::NONE, Arc::new(line.clone())).expect("a host"), line)
    }

    fn host(&self) -> &DeviceHost {
        &self.0
    }

    fn device_type(&self) -> u32 {
        self.0.device_type().0
    }

    fn status(&self) -> u8 {
        self.0.status()
    }

    fn set_status(&self, status: u8) {
        self.0.write_status(status);
    }

    fn accept(&self, word: u32, value: u32) {
        self.0.write_features(word, value);
    }

    fn enable(&self, size: u16, areas: (u64, u64, u64)) {
        self.0.configure_queue(0, |queue| {
            queue.size = size;
            (queue.descriptor_area, queue.driver_area, queue.device_area) = areas;
        });
        self.0.enable_queue(0);
    }

    fn notify(&self) {
        self.0.notify(0);
    }

    fn interrupted(&self) -> bool {
        self.1.take()
    }
}

/// The MMIO transport (virtio 1.4, section 4.2.2).
pub(crate) struct Mmio(MmioTransport, Line);

impl Mmio {
    fn get(&self, offset: u64) -> u32 {
        let mut word = [0; 4];
        self.0.read(offset, &mut word);
        u32::from_le_bytes(word)
    }

    fn set(&self, offset: u64, value: u32) {
        self.0.write(offset, &value.to_le_bytes());
    }
}

impl Front for Mmio {
    fn connect(host: HostBuilder) -> Mmio {
        let line = Line::default();
        Mmio(MmioTransport::new(host, line.raise()).expect("a transport"), line)
    }

    fn host(&self) -> &DeviceHost {
        self.0.host()
    }

    fn device_type(&self) -> u32 {
        self.get(0x08)
    }

    fn status(&self) -> u8 {
        self.get(0x70) as u8
    }

    fn set_status(&self, status: u8) {
        self.set(0x70, status.into());
    }

    fn accept(&self, word: u32, value: u32) {
        self.set(0x24, word);
        self.set(0x20, value);
    }

    fn enable(&self, size: u16, areas: (u64, u64, u64)) {
        self.set(0x30, 0);
        self.set(0x38, size.into());
        for (register, area) in [(0x80, areas.0), (0x90, areas.1), (0xa0, areas.2)] {
            self.set(register, area as u32);
            self.set(register + 4, (area >> 32) as u32);
        }
        self.set(0x44, 1);
    }

    fn notify(&self) {
        self.set(0x50, 0);
    }

    fn interrupted(&self) -> bool {
        let was = self.1.take();
        self.set(0x64, self.get(0x60));
        was
    }
}

/// The PCI transport (virtio 1.4, section 4.1.4), interrupting by its pin.
pub(crate) struct Pci {
    function: VirtioPci,
    line: Line,
    /// BAR and offset of the common configuration and of the queue's doorbell.
    common: (u8, u64),
    doorbell: (u8, u64),
}

fn config(function: &VirtioPci, offset: u16) -> u32 {
    let mut word = [0; 4];
    function.read_config(offset, &mut word);
    u32::from_le_bytes(word)
}

/// BAR and offset of the first structure of a type.
fn structure(function: &VirtioPci, kind: u8) -> (u8, u64) {
    let mut at = config(function, 0x34) as u8 as u16;
    while at != 0 {
        let [id, next, _, of] = config(function, at).to_le_bytes();
        if (id, of) == (9, kind) {
            return (config(function, at + 4) as u8, config(function, at + 8).into());
        }
        at = next.into();
    }
    panic!("no structure of type {kind}");
}

impl Pci {
    fn get<const N: usize>(&self, offset: u64) -> [u8; N] {
        let mut bytes = [0; N];
        self.function.read_bar(self.common.0, self.common.1 + offset, &mut bytes);
        bytes
    }

    fn set(&self, offset: u64, value: &[u8]) {
        self.function.write_bar(self.common.0, self.common.1 + offset, value);
    }
}

impl Front for Pci {
    fn connect(host: HostBuilder) -> Pci {
        let line = Line::default();
        let function = VirtioPci::builder(host).intx(line.raise()).build().expect("a function");
        function.write_config(0x04, &[6, 0]); // memory space and bus mastering
        let common = structure(&function, 1);
        // One queue, whose doorbell is the first.
        let doorbell = structure(&function, 2);
        Pci { function, line, common, doorbell }
    }

    fn host(&self) -> &DeviceHost {
        self.function.host()
    }

    fn device_type(&self) -> u32 {
        (config(&self.function, 0) >> 16) - 0x1040
    }

    fn status(&self) -> u8 {
        u8::from_le_bytes(self.get(0x14))
    }

    fn set_status(&self, status: u8) {
        self.set(0x14, &[status]);
    }

    fn accept(&self, word: u32, value: u32) {
        self.set(0x08, &word.to_le_bytes());
        self.set(0x0c, &value.to_le_bytes());
    }

    fn enable(&self, size: u16, areas: (u64, u64, u64)) {
        self.set(0x16, &0u16.to_le_bytes());
        self.set(0x18, &size.to_le_bytes());
        for (register, area) in [(0x20, areas.0), (0x28, areas.1), (0x30, areas.2)] {
            self.set(register, &area.to_le_bytes());
        }
        self.set(0x1c, &1u16.to_le_bytes());
    }

    fn notify(&self) {
        self.function.write_bar(self.doorbell.0, self.doorbell.1, &0u16.to_le_bytes());
    }

    fn interrupted(&self) -> bool {
        self.line.take()
    }
}
