//! Tests of the routing: configuration space by slot, BARs by where they are.

use std::sync::{Arc, Mutex};

use vm_device::bus::{MmioAddress, PioAddress};
use vm_device::{DeviceMmio, DevicePio};

use super::bridge::HostBridge;
use super::bus::{PciBus, SLOTS};
use super::ecam::Ecam;
use super::function::{BarPlacement, PciFunction};
use super::intx_gsi;
use super::ports::ConfigPorts;
use super::windows::Window;
use crate::layout::INTX_GSIS;

const BASE: MmioAddress = MmioAddress(0);
const PORTS: PioAddress = PioAddress(0);

/// A function whose BAR 4 is where its register 0x10 says, and which remembers what was written to the BAR.
#[derive(Default)]
struct Probe {
    base: Mutex<u32>,
    written: Mutex<Vec<(u8, u64, Vec<u8>)>>,
}

impl PciFunction for Probe {
    fn read_config(&self, offset: u16, data: &mut [u8]) {
        for (byte, at) in data.iter_mut().zip(offset..) {
            *byte = at as u8;
        }
    }

    fn write_config(&self, offset: u16, data: &[u8]) {
        if let (0x10, Ok(bytes)) = (offset, data.try_into()) {
            *self.base.lock().unwrap() = u32::from_le_bytes(bytes);
        }
    }

    fn read_bar(&self, _bar: u8, offset: u64, data: &mut [u8]) {
        data.fill(offset as u8);
    }

    fn write_bar(&self, bar: u8, offset: u64, data: &[u8]) {
        self.written.lock().unwrap().push((bar, offset, data.to_vec()));
    }

    fn bars(&self) -> Vec<BarPlacement> {
        let base = *self.base.lock().unwrap();
        let placed = BarPlacement { bar: 4, base: base.into(), size: 0x1000 };
        (base != 0).then_some(placed).into_iter().collect()
    }
}

fn bus() -> (Arc<PciBus>, [Arc<Probe>; 2]) {
    let mut bus = PciBus::default();
    let probes = [Arc::<Probe>::default(), Arc::default()];
    assert_eq!(bus.add(Arc::new(HostBridge::new()), None), Some(0));
    for (probe, slot) in probes.iter().zip(1..) {
        assert_eq!(bus.add(probe.clone(), None), Some(slot));
    }
    (Arc::new(bus), probes)
}

fn read<const N: usize>(read: impl FnOnce(&mut [u8])) -> [u8; N] {
    let mut data = [0xee; N];
    read(&mut data);
    data
}

#[test]
fn ecam_reaches_the_function_of_the_slot() {
    let (bus, _) = bus();
    let ecam = Ecam(bus);
    assert_eq!(read(|data| ecam.mmio_read(BASE, 0, data)), [0x86, 0x80, 0x57, 0x0d]);
    assert_eq!(read(|data| ecam.mmio_read(BASE, 0xa, data)), [0, 6]);
    assert_eq!(read(|data| ecam.mmio_read(BASE, (1 << 15) + 0x24, data)), [0x24, 0x25, 0x26, 0x27]);
    assert_eq!(read(|data| ecam.mmio_read(BASE, (2 << 15) + 0x101, data)), [1, 2]);
}

#[test]
fn an_empty_slot_or_function_reads_as_ones() {
    let (bus, _) = bus();
    let ecam = Ecam(bus);
    assert_eq!(read(|data| ecam.mmio_read(BASE, 3 << 15, data)), [0xff; 4]);
    assert_eq!(read(|data| ecam.mmio_read(BASE, (1 << 15) + (1 << 12), data)), [0xff; 4]);
    ecam.mmio_write(BASE, 3 << 15, &[0; 4]);
}

#[test]
fn ports_reach_configuration_space_only_when_enabled() {
    let (bus, _) = bus();
    let ports = ConfigPorts::new(bus);
    let address = (1u32 << 31) | (1 << 11) | 0x24;
    ports.pio_write(PORTS, 0, &address.to_le_bytes());
    assert_eq!(read(|data| ports.pio_read(PORTS, 0, data)), address.to_le_bytes());
    assert_eq!(read(|data| ports.pio_read(PORTS, 4, data)), [0x24, 0x25, 0x26, 0x27]);
    assert_eq!(read(|data| ports.pio_read(PORTS, 6, data)), [0x26, 0x27]);
    // Across the dword's end there is nothing.
    assert_eq!(read(|data| ports.pio_read(PORTS, 7, data)), [0xee; 2]);
    ports.pio_write(PORTS, 0, &(address & !(1 << 31)).to_le_bytes());
    assert_eq!(read(|data| ports.pio_read(PORTS, 4, data)), [0xee; 4]);
    // Another bus.
    ports.pio_write(PORTS, 0, &(address | (1 << 16)).to_le_bytes());
    assert_eq!(read(|data| ports.pio_read(PORTS, 4, data)), [0xee; 4]);
}

#[test]
fn bars_answer_where_the_driver_put_them() {
    let (bus, probes) = bus();
    let ecam = Ecam(bus.clone());
    let window = Window(bus);
    let at = MmioAddress(0xc000_0000);
    assert_eq!(read(|data| window.mmio_read(at, 0x5000, data)), [0xff; 4]);

    ecam.mmio_write(BASE, (1 << 15) + 0x10, &0xc000_5000u32.to_le_bytes());
    ecam.mmio_write(BASE, (2 << 15) + 0x10, &0xc000_6000u32.to_le_bytes());
    window.mmio_write(at, 0x5010, &[1, 2]);
    window.mmio_write(at, 0x6020, &[3]);
    assert_eq!(*probes[0].written.lock().unwrap(), [(4, 0x10, vec![1, 2])]);
    assert_eq!(*probes[1].written.lock().unwrap(), [(4, 0x20, vec![3])]);
    assert_eq!(read(|data| window.mmio_read(at, 0x5042, data)), [0x42; 4]);
    // Half of this access is outside the first BAR.
    window.mmio_write(at, 0x5fff, &[9, 9]);
    assert_eq!(probes[0].written.lock().unwrap().len(), 1);

    ecam.mmio_write(BASE, (1 << 15) + 0x10, &[0; 4]);
    assert_eq!(read(|data| window.mmio_read(at, 0x5042, data)), [0xff; 4]);
}

#[test]
fn the_bus_has_32_slots() {
    let mut bus = PciBus::default();
    for slot in 0..SLOTS {
        assert_eq!(bus.add(Arc::<Probe>::default(), None), Some(slot));
    }
    assert_eq!(bus.add(Arc::<Probe>::default(), None), None);
}

#[test]
fn placements_do_not_overflow() {
    let bar = BarPlacement { bar: 0, base: u64::MAX - 0xfff, size: 0x1000 };
    assert_eq!(bar.offset_of(u64::MAX, 1), Some(0xfff));
    assert_eq!(bar.offset_of(u64::MAX, 2), None);
    assert_eq!(bar.offset_of(0, 1), None);
}

#[test]
fn every_slot_has_an_interrupt() {
    for slot in 0..SLOTS {
        assert!(INTX_GSIS.contains(&intx_gsi(slot)));
    }
    assert_ne!(intx_gsi(1), intx_gsi(2));
}
