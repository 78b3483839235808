//! The devices, in AML.

use acpi_tables::aml::{
    AddressSpace, AddressSpaceCacheable, Device, EISAName, IO, Interrupt, Memory32Fixed, Name, Package, PackageBuilder,
    Path, ResourceTemplate, Scope,
};
use acpi_tables::sdt::Sdt;
use acpi_tables::{Aml, AmlSink};

use super::{Machine, MmioDevice, OEM, OEM_REVISION, OEM_TABLE};
use crate::layout;
use crate::legacy::power::SLEEP_TYPE_OFF;
use crate::pci;

/// Length of a table without content, and the revision that has 64-bit integers.
const HEADER: u32 = 36;
const REVISION: u8 = 6;

/// The whole table.
pub(super) fn table(machine: &Machine) -> Sdt {
    let mut aml = Vec::new();
    soft_off(&mut aml);
    for cpu in 0..machine.cpus {
        processor(cpu, &mut aml);
    }
    serial(&mut aml);
    reserved(&mut aml);
    host_bridge(&machine.pci_window_64, &mut aml);
    for (index, device) in machine.mmio_devices.iter().enumerate() {
        mmio_device(index, *device, &mut aml);
    }
    let mut table = Sdt::new(*b"DSDT", HEADER, REVISION, OEM, OEM_TABLE, OEM_REVISION);
    table.append_slice(&aml);
    table
}

/// A device directly under the system bus.
fn device(name: &str, children: Vec<&dyn Aml>, aml: &mut dyn AmlSink) {
    let device = Device::new(Path::new(name), children);
    Scope::new(Path::new("\\_SB_"), vec![&device]).to_aml_bytes(aml);
}

fn name(path: &str, value: &dyn Aml) -> Name {
    Name::new(Path::new(path), value)
}

/// S5 is the one sleep state.
fn soft_off(aml: &mut dyn AmlSink) {
    let (kind, zero) = (SLEEP_TYPE_OFF, 0u8);
    let values: Vec<&dyn Aml> = vec![&kind, &zero, &zero, &zero];
    name("\\_S5_", &Package::new(values)).to_aml_bytes(aml);
}

fn processor(cpu: u8, aml: &mut dyn AmlSink) {
    device(&format!("C{cpu:03X}"), vec![&name("_HID", &"ACPI0007"), &name("_UID", &cpu)], aml);
}

fn serial(aml: &mut dyn AmlSink) {
    let ports = IO::new(layout::SERIAL_PORTS, layout::SERIAL_PORTS, 1, 8);
    let interrupt = Interrupt::new(true, true, false, false, layout::SERIAL_GSI);
    device(
        "COM1",
        vec![
            &name("_HID", &EISAName::new("PNP0501")),
            &name("_UID", &0u8),
            &name("_CRS", &ResourceTemplate::new(vec![&ports, &interrupt])),
        ],
        aml,
    );
}

/// Linux uses ECAM only where a motherboard device claims it.
fn reserved(aml: &mut dyn AmlSink) {
    let ecam = Memory32Fixed::new(true, layout::ECAM as u32, layout::ECAM_SIZE as u32);
    device(
        "MBRD",
        vec![
            &name("_HID", &EISAName::new("PNP0C02")),
            &name("_UID", &0u8),
            &name("_CRS", &ResourceTemplate::new(vec![&ecam])),
        ],
        aml,
    );
}

fn host_bridge(window_64: &std::ops::Range<u64>, aml: &mut dyn AmlSink) {
    let buses = AddressSpace::new_bus_number(0u16, 0);
    let config = IO::new(layout::PCI_CONFIG_PORTS, layout::PCI_CONFIG_PORTS, 1, pci::ports::PORTS as u8);
    let window_32 = layout::PCI_WINDOW_32;
    let low = AddressSpace::new_memory(
        AddressSpaceCacheable::NotCacheable,
        true,
        window_32.start as u32,
        (window_32.end - 1) as u32,
        None,
    );
    let high =
        AddressSpace::new_memory(AddressSpaceCacheable::NotCacheable, true, window_64.start, window_64.end - 1, None);
    device(
        "PCI0",
        vec![
            &name("_HID", &EISAName::new("PNP0A08")),
            &name("_CID", &EISAName::new("PNP0A03")),
            &name("_UID", &0u8),
            &name("_SEG", &0u8),
            &name("_BBN", &0u8),
            &name("_CRS", &ResourceTemplate::new(vec![&buses, &config, &low, &high])),
            &name("_PRT", &interrupt_routing()),
        ],
        aml,
    );
}

/// Pin A of every slot, in turn to one of the interrupts; no function here has other pins.
fn interrupt_routing() -> PackageBuilder {
    let mut table = PackageBuilder::new();
    for slot in 0..pci::bus::SLOTS {
        let address = (u32::from(slot) << 16) | 0xffff;
        let (pin_a, no_link, gsi) = (0u8, 0u8, pci::intx_gsi(slot));
        let entry: Vec<&dyn Aml> = vec![&address, &pin_a, &no_link, &gsi];
        table.add_element(&Package::new(entry));
    }
    table
}

fn mmio_device(index: usize, at: MmioDevice, aml: &mut dyn AmlSink) {
    let window = Memory32Fixed::new(true, at.address, layout::MMIO_DEVICE_SIZE as u32);
    let interrupt = Interrupt::new(true, true, false, false, at.gsi);
    device(
        &format!("V{index:03X}"),
        vec![
            &name("_HID", &"LNRO0005"),
            &name("_UID", &index),
            &name("_CRS", &ResourceTemplate::new(vec![&window, &interrupt])),
        ],
        aml,
    );
}
