//! The rules of the register interface, and the suite of rules over it.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a test fails by panicking

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};

use virtio_core::device::StateError;
use virtio_core::host::HostBuilder;
use virtio_core::testing::suite::{Port, USUAL, World};
use virtio_core::testing::{RingDriver, TestDevice, TestMemory};
use virtio_core::{DeviceHost, Features};

use crate::registers::*;
use crate::{EmptySlot, MmioState, MmioTransport, SharedMemory};

/// A driver that knows nothing but the window.
struct MmioPort {
    transport: MmioTransport,
    line: Arc<AtomicBool>,
    /// Times that the line was said to be asserted.
    raised: Arc<AtomicU32>,
}

impl MmioPort {
    fn read(&self, offset: u64) -> u32 {
        let mut word = [0; 4];
        self.transport.read(offset, &mut word);
        u32::from_le_bytes(word)
    }

    fn write(&self, offset: u64, value: u32) {
        self.transport.write(offset, &value.to_le_bytes());
    }

    fn write_pair(&self, low: u64, value: u64) {
        self.write(low, value as u32);
        self.write(low + 4, (value >> 32) as u32);
    }

    fn line(&self) -> bool {
        self.line.load(SeqCst)
    }
}

impl Port for MmioPort {
    type State = MmioState;

    fn connect(host: HostBuilder) -> MmioPort {
        let (line, raised) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let (level, count) = (line.clone(), raised.clone());
        let set = move |asserted| {
            level.store(asserted, SeqCst);
            count.fetch_add(u32::from(asserted), SeqCst);
        };
        MmioPort { transport: MmioTransport::new(host, set).unwrap(), line, raised }
    }

    fn host(&self) -> &DeviceHost {
        self.transport.host()
    }

    fn status(&self) -> u8 {
        self.read(STATUS) as u8
    }

    fn set_status(&self, status: u8) {
        self.write(STATUS, status.into());
    }

    fn offered(&self, word: u32) -> u32 {
        self.write(DEVICE_FEATURES_SEL, word);
        self.read(DEVICE_FEATURES)
    }

    fn accept(&self, word: u32, value: u32) {
        self.write(DRIVER_FEATURES_SEL, word);
        self.write(DRIVER_FEATURES, value);
    }

    fn generation(&self) -> u32 {
        self.read(CONFIG_GENERATION)
    }

    fn read_config(&self, offset: u64, data: &mut [u8]) {
        self.transport.read(CONFIG + offset, data);
    }

    fn write_config(&self, offset: u64, data: &[u8]) {
        self.transport.write(CONFIG + offset, data);
    }

    fn queue_max(&self, queue: u16) -> u16 {
        self.write(QUEUE_SEL, queue.into());
        self.read(QUEUE_SIZE_MAX) as u16
    }

    fn set_queue(&self, queue: u16, size: u16, (descriptor, driver, device): (u64, u64, u64)) {
        self.write(QUEUE_SEL, queue.into());
        self.write(QUEUE_SIZE, size.into());
        self.write_pair(QUEUE_DESC_LOW, descriptor);
        self.write_pair(QUEUE_DRIVER_LOW, driver);
        self.write_pair(QUEUE_DEVICE_LOW, device);
    }

    fn enable(&self, queue: u16) {
        self.write(QUEUE_SEL, queue.into());
        self.write(QUEUE_READY, 1);
    }

    fn is_enabled(&self, queue: u16) -> bool {
        self.write(QUEUE_SEL, queue.into());
        self.read(QUEUE_READY) == 1
    }

    fn reset_queue(&self, queue: u16) {
        self.write(QUEUE_SEL, queue.into());
        self.write(QUEUE_RESET, 1);
    }

    fn is_resetting(&self, queue: u16) -> bool {
        self.write(QUEUE_SEL, queue.into());
        self.read(QUEUE_RESET) == 1
    }

    fn notify(&self, queue: u16) {
        self.write(QUEUE_NOTIFY, queue.into());
    }

    fn hold_interrupts(&self) {}

    fn take_interrupts(&self) -> (bool, bool) {
        let status = self.read(INTERRUPT_STATUS);
        assert_eq!(self.line(), status != 0, "the line follows the status");
        self.write(INTERRUPT_ACK, status);
        (status & USED_BUFFER != 0, status & CONFIG_CHANGE != 0)
    }

    fn save(&self) -> Result<MmioState, StateError> {
        self.transport.save()
    }

    fn restore(&self, state: &MmioState) -> Result<(), StateError> {
        self.transport.restore(state)
    }
}

virtio_core::conformance_suite!(window: MmioPort);

/// What a driver negotiates that resets queues.
const RESETTABLE: Features = Features::from_bits(USUAL.bits() | Features::RING_RESET.bits());

fn world() -> World<MmioPort> {
    World::new()
}

#[test]
fn mmio_reg_01_magic() {
    assert_eq!(world().port.read(0x000), 0x7472_6976);
}

#[test]
fn mmio_reg_02_version() {
    assert_eq!(world().port.read(0x004), 2);
    assert_eq!(world().port.read(0x008), 4, "the device id");
    assert_eq!(world().port.read(0x00c), 0, "the vendor id");
}

#[test]
fn mmio_reg_03_interrupt_status_lasts_until_acknowledged() {
    let world = world();
    let mut driver = world.live(USUAL);
    assert!(world.echoes(&mut driver));
    world.device.config().update(|bytes| bytes[0] = 99);
    assert_eq!(world.port.read(INTERRUPT_STATUS), 3);
    assert_eq!(world.port.read(INTERRUPT_STATUS), 3);
    world.port.write(INTERRUPT_ACK, 1);
    assert_eq!(world.port.read(INTERRUPT_STATUS), 2);
    world.port.write(INTERRUPT_ACK, 2);
    assert_eq!(world.port.read(INTERRUPT_STATUS), 0);
}

#[test]
fn mmio_reg_04_interrupt_status_is_zero_when_idle() {
    let world = world();
    world.live(USUAL);
    assert_eq!(world.port.read(INTERRUPT_STATUS), 0);
}

#[test]
fn mmio_reg_05_reset_clears_interrupt_status() {
    let world = world();
    let mut driver = world.live(USUAL);
    assert!(world.echoes(&mut driver));
    assert!(world.port.line());
    world.port.set_status(0);
    assert_eq!(world.port.read(INTERRUPT_STATUS), 0);
    assert!(!world.port.line());
}

#[test]
fn mmio_reg_06_reset_clears_queue_ready() {
    let world = world();
    world.live(USUAL);
    world.port.set_status(0);
    assert!((0..3).all(|queue| !world.port.is_enabled(queue)));
}

#[test]
fn mmio_reg_07_config_generation_moves_with_a_change() {
    let world = world();
    let mut byte = [0];
    world.port.read_config(0, &mut byte);
    let before = world.port.generation();
    world.device.config().update(|bytes| bytes[0] = 99);
    assert_ne!(world.port.generation(), before);
}

#[test]
fn mmio_reg_08_a_queue_that_is_not_ready_is_not_touched() {
    let world = world();
    world.negotiate(USUAL);
    let mut driver = virtio_core::testing::SplitDriver::new(&world.memory, 16, USUAL);
    world.port.set_queue(0, 16, driver.areas());
    world.go();
    world.request(&mut driver, b"never");
    world.kick();
    assert_eq!(driver.used_index(), 0);
    world.port.enable(0);
    world.kick();
    assert_eq!((driver.used_index(), world.port.is_enabled(0)), (0, false), "too late after DRIVER_OK");
}

// spec: DRV-MMIO-09
#[test]
fn mmio_reg_09_queue_reset_reads_zero() {
    let world = world();
    let mut driver = world.live(USUAL);
    world.port.write(0x0c0, 1);
    assert_eq!(world.port.read(0x0c0), 0);
    assert!(world.echoes(&mut driver), "not negotiated, so it does nothing");
    world.port.set_status(0);
    let mut driver = world.live(RESETTABLE);
    assert_eq!(world.port.read(0x0c0), 0);
    for odd in [0, 2, 3, 0x101, 0x1_0000, u32::MAX] {
        world.port.write(QUEUE_RESET, odd);
        assert_eq!((world.port.read(0x0c0), world.port.read(QUEUE_READY)), (0, 1), "{odd:#x}");
    }
    for absent in [2, 0x1_0000, u32::MAX] {
        world.port.write(QUEUE_SEL, absent);
        world.port.write(QUEUE_RESET, 1);
        assert_eq!(world.port.read(QUEUE_RESET), 0);
    }
    assert!(world.echoes(&mut driver));
}

// spec: MMIO-REG-10 MMIO-REG-12 MMIO-REG-13
#[test]
fn mmio_reg_11_one_in_queue_reset_resets_the_selected_queue() {
    let world = world();
    let mut driver = world.live(RESETTABLE);
    let registers = || (world.port.read(QUEUE_RESET), world.port.read(QUEUE_READY));
    world.device.hold(true);
    world.device.stubborn(true);
    world.request(&mut driver, b"slow");
    world.kick();
    world.port.write(QUEUE_SEL, 0);
    world.port.write(QUEUE_RESET, 1);
    assert_eq!(registers(), (1, 1));
    assert_eq!(registers(), (1, 1), "as long as it goes on");
    world.port.write(QUEUE_READY, 1);
    world.port.write(QUEUE_READY, 0);
    world.device.hold(false);
    assert_eq!(registers(), (0, 0));
    let mut driver = world.enable(0, 4, RESETTABLE);
    assert_eq!(registers(), (0, 1));
    assert!(world.echoes(&mut driver));
}

/// The specification has QueueReset for it; a driver that clears QueueReady all the same can still reset the queue.
#[test]
fn drv_mmio_06_a_queue_that_was_stopped_is_reset_and_enabled_again() {
    let world = world();
    let mut driver = world.live(RESETTABLE);
    let stop = || {
        world.port.write(QUEUE_SEL, 0);
        world.port.write(QUEUE_READY, 0);
    };
    stop();
    assert!(!world.port.is_enabled(0));
    world.enable(0, 16, RESETTABLE);
    assert!(!world.port.is_enabled(0), "not without a reset of the queue");
    world.port.reset_queue(0);
    let mut again = world.enable(0, 16, RESETTABLE);
    assert!(world.port.is_enabled(0) && world.echoes(&mut again));
    // While something is in flight it is first stopped, and then reset as well.
    world.device.hold(true);
    world.request(&mut again, b"given up");
    world.kick();
    stop();
    assert!(world.port.is_enabled(0) && !world.port.is_resetting(0), "a request is in flight");
    world.port.reset_queue(0);
    assert!(!world.port.is_enabled(0) && !world.port.is_resetting(0));
    world.device.hold(false);
    let mut again = world.enable(0, 16, RESETTABLE);
    assert!(world.echoes(&mut again));
    assert_eq!(driver.used(), None);
    assert!(world.recovers());
}

#[test]
fn mmio_reg_14_an_empty_slot_has_device_id_zero() {
    let mut word = [0xff; 4];
    for (offset, value) in [(0x000, 0x7472_6976u32), (0x004, 2), (0x008, 0), (0x070, 0), (0x100, 0)] {
        EmptySlot.read(offset, &mut word);
        assert_eq!(u32::from_le_bytes(word), value);
    }
}

// spec: DRV-MMIO-08
#[test]
fn mmio_reg_15_device_features_shows_the_selected_word() {
    let world = world();
    assert_eq!(world.port.read(DEVICE_FEATURES), USUAL.word(0) | 2, "word 0 if none was selected");
    for (word, value) in [(0, USUAL.word(0) | 2), (1, 1 | 1 << 8), (2, 0), (3, 0), (4, 0), (u32::MAX, 0)] {
        assert_eq!(world.port.offered(word), value, "word {word}");
    }
}

// spec: DRV-MMIO-05
#[test]
fn mmio_reg_16_queue_size_max_is_zero_for_absent_queues() {
    let world = world();
    assert_eq!((world.port.queue_max(0), world.port.queue_max(1)), (256, 256));
    for queue in [2u32, 0xffff, 0x10000, u32::MAX] {
        world.port.write(QUEUE_SEL, queue);
        assert_eq!(world.port.read(QUEUE_SIZE_MAX), 0);
        world.port.write(QUEUE_SIZE, 16);
        world.port.write(QUEUE_READY, 1);
        assert_eq!(world.port.read(QUEUE_READY), 0);
    }
}

#[test]
fn mmio_reg_17_queue_ready_reads_back() {
    let world = world();
    world.negotiate(USUAL);
    assert!(!world.port.is_enabled(0));
    world.enable(0, 16, USUAL);
    assert!(world.port.is_enabled(0) && !world.port.is_enabled(1));
    world.port.write(QUEUE_SEL, 0);
    world.port.write(QUEUE_READY, 0);
    assert!(!world.port.is_enabled(0));
    for odd in [2, 3, 0x100, u32::MAX] {
        world.port.write(QUEUE_READY, odd);
        assert!(!world.port.is_enabled(0), "{odd}");
    }
}

#[test]
fn mmio_reg_18_writing_zero_to_status_resets() {
    let world = world();
    world.live(USUAL);
    world.port.write(STATUS, 0);
    assert_eq!(world.port.read(STATUS), 0);
    assert_eq!(world.device.resets(), 1);
}

// spec: DRV-MMIO-11
#[test]
fn mmio_reg_19_shared_memory_registers() {
    let memory = TestMemory::new(1 << 16);
    let (device, _) = TestDevice::new(1);
    let runtime = Arc::new(virtio_core::InlineRuntime::new());
    let host = DeviceHost::builder(device, memory.ram().clone(), runtime);
    let region = SharedMemory { id: 7, base: 0x12_3456_7000, len: 0x1_0000_2000 };
    let transport = MmioTransport::new(host, |_: bool| {}).unwrap().with_shared_memory(vec![region]);
    let port = MmioPort { transport, line: Arc::default(), raised: Arc::default() };
    let select = |id| {
        port.write(SHM_SEL, id);
        [0x0b0, 0x0b4, 0x0b8, 0x0bc].map(|offset| port.read(offset))
    };
    assert_eq!(select(0), [u32::MAX; 4]);
    assert_eq!(select(7), [0x2000, 1, 0x3456_7000, 0x12]);
    assert_eq!(select(0x107), [u32::MAX; 4]);
    assert_eq!(select(u32::MAX), [u32::MAX; 4]);
}

#[test]
fn mmio_reg_20_config_is_accessed_at_any_width() {
    let world = world();
    for width in [1, 2, 4, 8] {
        for offset in 0..(16 - width as u64) {
            let mut data = vec![0; width];
            world.port.read_config(offset, &mut data);
            assert_eq!(data, (offset as u8..).take(width).collect::<Vec<u8>>());
        }
    }
    world.port.write_config(9, &[0xaa]);
    world.port.write_config(10, &[0xbb, 0xcc]);
    let mut data = [0; 4];
    world.port.read_config(8, &mut data);
    assert_eq!(data, [8, 0xaa, 0xbb, 0xcc]);
}

#[test]
fn mmio_reg_21_the_line_is_asserted_while_a_bit_is_set() {
    let world = world();
    let mut driver = world.live(USUAL);
    assert!(world.echoes(&mut driver));
    world.device.config().update(|bytes| bytes[0] = 99);
    world.port.write(INTERRUPT_ACK, 1);
    assert!(world.port.line());
    world.port.write(INTERRUPT_ACK, 2);
    assert!(!world.port.line());
}

#[test]
fn mmio_reg_22_no_admin_queue() {
    assert_eq!(world().port.offered(1) & 1 << 9, 0);
}

#[test]
fn drv_mmio_01_wrong_width_or_offset() {
    let world = world();
    let port = &world.port.transport;
    for width in [0, 1, 2, 3, 5, 8] {
        let mut data = vec![0xff; width];
        port.read(0x000, &mut data);
        assert_eq!(data, vec![0; width]);
        port.write(STATUS, &vec![0xff; width]);
    }
    for offset in [0x001, 0x072, 0x0d0, 0x048, 0x0f8] {
        assert_eq!(world.port.read(offset), 0, "{offset:#x}");
        world.port.write(offset, u32::MAX);
    }
    for offset in [u64::MAX, u64::MAX - 3, 1 << 40] {
        assert_eq!(world.port.read(offset), 0, "{offset:#x}");
        world.port.write(offset, 0);
    }
    assert_eq!(world.port.read(STATUS), 0);
}

#[test]
fn drv_mmio_02_read_only_and_write_only_registers() {
    let world = world();
    for offset in [MAGIC, VERSION, DEVICE_ID, VENDOR_ID, DEVICE_FEATURES, QUEUE_SIZE_MAX, CONFIG_GENERATION] {
        let before = world.port.read(offset);
        world.port.write(offset, !before);
        assert_eq!(world.port.read(offset), before, "{offset:#x}");
    }
    world.port.write(DRIVER_FEATURES, 1);
    for offset in [DEVICE_FEATURES_SEL, DRIVER_FEATURES, QUEUE_SIZE, QUEUE_NOTIFY, INTERRUPT_ACK, QUEUE_DESC_LOW] {
        assert_eq!(world.port.read(offset), 0, "{offset:#x}");
    }
}

#[test]
fn drv_mmio_03_queue_sizes_that_cannot_be() {
    let world = world();
    for size in [0u32, 3, 512, 0x8000, 0x10010, u32::MAX] {
        world.negotiate(USUAL);
        world.port.set_queue(0, 16, (0x10000, 0x20000, 0x30000));
        world.port.write(QUEUE_SIZE, size);
        world.port.enable(0);
        assert!(!world.port.is_enabled(0), "{size}");
        world.port.set_status(0);
    }
}

#[test]
fn drv_mmio_04_registers_are_frozen_while_ready() {
    let world = world();
    let mut driver = world.live(USUAL);
    let before = world.port.host().queue(0);
    world.port.set_queue(0, 256, (0, 0, 0));
    assert_eq!(world.port.host().queue(0), before);
    assert!(world.echoes(&mut driver));
}

#[test]
fn drv_mmio_06_queue_ready_cleared_stops_the_queue() {
    let world = world();
    let mut driver = world.live(USUAL);
    world.device.hold(true);
    world.request(&mut driver, b"in flight");
    world.kick();
    world.port.write(QUEUE_SEL, 0);
    world.port.write(QUEUE_READY, 0);
    assert!(world.port.is_enabled(0), "a request is in flight");
    world.device.hold(false);
    assert!(!world.port.is_enabled(0), "once it has come back, the register says so by itself");
    assert_eq!(driver.used().map(|used| used.len), Some(9));
    world.request(&mut driver, b"late");
    world.kick();
    assert_eq!(driver.used(), None);
    assert!(world.recovers());
}

#[test]
fn drv_mmio_06_a_queue_stopped_behind_a_pause_leaves_the_others_running() {
    let world = world();
    world.negotiate(USUAL);
    let mut driver = world.enable(0, 16, USUAL);
    world.enable(1, 16, USUAL);
    world.go();
    world.port.host().pause(std::time::Duration::ZERO).unwrap();
    world.port.host().resume();
    // Before the task has seen that it may go on.
    world.port.write(QUEUE_SEL, 1);
    world.port.write(QUEUE_READY, 0);
    assert!(!world.port.is_enabled(1));
    assert!(world.echoes(&mut driver));
}

#[test]
fn drv_mmio_06_a_stopped_queue_does_not_need_its_memory() {
    let world = world();
    let mut driver = world.live(USUAL);
    assert!(world.echoes(&mut driver));
    world.port.write(QUEUE_SEL, 0);
    world.port.write(QUEUE_READY, 0);
    let barrier = world.memory.ram().unmap(0, 1 << 20).unwrap();
    world.runtime.poll();
    assert!(barrier.is_complete());
    assert!(!world.is_broken(), "the driver may take back what it stopped");
}

#[test]
fn drv_mmio_07_only_bits_that_are_set_are_acknowledged() {
    let world = world();
    let mut driver = world.live(USUAL);
    world.port.write(INTERRUPT_ACK, u32::MAX);
    assert!(world.echoes(&mut driver));
    world.port.write(INTERRUPT_ACK, !1);
    assert_eq!(world.port.read(INTERRUPT_STATUS), 1);
}

#[test]
fn drv_mmio_10_an_empty_slot_ignores_the_driver() {
    EmptySlot.write(STATUS, &[1, 0, 0, 0]);
    let mut half = [0xff; 2];
    EmptySlot.read(0, &mut half);
    assert_eq!(half, [0; 2]);
}

#[test]
fn drv_mmio_12_an_interrupt_that_is_never_acknowledged() {
    let world = world();
    let mut driver = world.live(USUAL);
    for _ in 0..100 {
        assert!(world.echoes(&mut driver));
    }
    assert!(world.port.line());
    assert_eq!(world.port.read(INTERRUPT_STATUS), 1);
    assert_eq!(world.port.raised.load(SeqCst), 100, "an edge-triggered line fires for each");
}

#[test]
fn a_saved_window_goes_on_elsewhere() {
    let one = world();
    let mut driver = one.live(USUAL);
    assert!(one.echoes(&mut driver));
    one.port.write(QUEUE_SEL, 1);
    one.port.host().pause(std::time::Duration::from_millis(5)).unwrap();
    let state = one.port.transport.save().unwrap();
    assert_eq!((state.interrupt_status, state.queue_sel), (USED_BUFFER, 1));

    let (device, _) = TestDevice::new(2);
    let host = DeviceHost::builder(device, one.memory.ram().clone(), Arc::new(one.runtime.clone()));
    let other = MmioPort::connect(host);
    let bad = MmioState { version: 2, ..state.clone() };
    assert!(other.transport.restore(&bad).is_err());
    let odd = MmioState { interrupt_status: u32::MAX, ..state.clone() };
    other.transport.restore(&odd).unwrap();
    assert_eq!(other.read(INTERRUPT_STATUS), 3, "there are no other events");
    other.set_status(0);
    other.transport.restore(&state).unwrap();
    assert_eq!(other.transport.save().unwrap(), state);
    assert!(other.line(), "the driver has not acknowledged yet");
    assert_eq!(other.take_interrupts(), (true, false));
}

#[test]
fn a_reset_sets_the_selectors_back() {
    let world = world();
    let fresh = world.port.transport.save().unwrap();
    for selector in [DEVICE_FEATURES_SEL, DRIVER_FEATURES_SEL, QUEUE_SEL, SHM_SEL] {
        world.port.write(selector, 1);
    }
    assert_ne!(world.port.transport.save().unwrap(), fresh);
    world.port.set_status(0);
    assert_eq!(world.port.transport.save().unwrap(), fresh);
    // While a reset goes on none is written that its end would take back.
    let mut driver = world.live(USUAL);
    world.device.hold(true);
    world.device.stubborn(true);
    world.request(&mut driver, b"slow");
    world.kick();
    world.port.set_status(0);
    world.port.write(QUEUE_SEL, 1);
    assert_ne!(world.port.status(), 0);
    world.device.hold(false);
    world.port.write(QUEUE_SEL, 1);
    assert_eq!((world.port.status(), world.port.transport.save().unwrap().queue_sel), (0, 1));
}

#[test]
fn doorbell_sites_signal_their_queues() {
    let world = world();
    let mut driver = world.live(USUAL);
    let sites = world.port.transport.doorbells();
    let places: Vec<_> = sites.iter().map(|site| (site.queue, site.offset, site.width, site.datamatch)).collect();
    assert_eq!(places, [(0, 0x50, Some(4), Some(0)), (1, 0x50, Some(4), Some(1))]);
    world.request(&mut driver, b"by event");
    sites[0].event.signal();
    world.runtime.poll();
    assert_eq!(driver.used().map(|used| used.len), Some(8));
}

// spec: DRV-PACKED-04
#[test]
fn basic_notf_02_doorbells_with_data_ring_the_queue_in_their_low_half() {
    let world = World::<MmioPort>::offering(Features::NOTIFICATION_DATA);
    assert!(world.port.transport.doorbells().is_empty(), "their value cannot be matched");
    for features in [USUAL | Features::NOTIFICATION_DATA, USUAL] {
        let mut driver = world.live(features);
        let mut rings = |value: u32| {
            world.request(&mut driver, b"x");
            world.port.write(QUEUE_NOTIFY, value);
            world.runtime.poll();
            let rung = driver.used().is_some();
            if !rung {
                world.kick();
                assert!(driver.used().is_some());
            }
            rung
        };
        // What a driver writes that has not negotiated it, and any offset and wrap counter.
        for value in [0, 0x0001_0000, 0x8000_0000, 0x7fff_0000, 0xffff_0000] {
            assert!(rings(value), "{value:#x}");
        }
        // Other queues.
        for value in [1, 2, 0xffff, 0x8000_0001, 0x1234_5678] {
            assert!(!rings(value), "{value:#x}");
        }
        world.port.set_status(0);
    }
}

#[test]
fn basic_notf_02_without_the_feature_a_doorbell_is_the_queues_number() {
    let world = world();
    let mut driver = world.live(USUAL);
    world.request(&mut driver, b"x");
    for value in [0x0001_0000, 0x8000_0000, 0xffff_0000] {
        world.port.write(QUEUE_NOTIFY, value);
        world.runtime.poll();
        assert_eq!(driver.used(), None);
    }
}

#[test]
fn notif_config_data_cannot_be_offered() {
    let World { memory, runtime, .. } = world();
    let (device, _) = TestDevice::new(1);
    let host = DeviceHost::builder(device, memory.ram().clone(), Arc::new(runtime));
    let refused = MmioTransport::new(host.with(Features::NOTIF_CONFIG_DATA), |_: bool| {});
    assert!(matches!(refused, Err(virtio_core::host::HostError::Features(Features::NOTIF_CONFIG_DATA))));
}

#[cfg(feature = "vm-device")]
#[test]
fn vm_device_buses_reach_the_window() {
    use vm_device::bus::MmioAddress;
    use vm_device::{DeviceMmio, MutDeviceMmio};
    let mut world = world();
    let mut magic = [0; 4];
    DeviceMmio::mmio_read(&world.port.transport, MmioAddress(0xd000_0000), 0, &mut magic);
    assert_eq!(&magic, b"virt");
    MutDeviceMmio::mmio_write(&mut world.port.transport, MmioAddress(0), STATUS, &1u32.to_le_bytes());
    assert_eq!(world.port.status(), 1);
}
