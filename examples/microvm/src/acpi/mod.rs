//! The machine's description for the guest, as ACPI tables of the hardware-reduced kind: no firmware, no
//! power management hardware but three registers.
//!
//! | File | Idea |
//! |---|---|
//! | `fixed.rs` | the tables with a fixed shape: FADT, MADT, MCFG |
//! | `dsdt.rs` | the devices, in AML |

mod dsdt;
mod fixed;

#[cfg(test)]
mod tests;

use acpi_tables::Aml;
use acpi_tables::rsdp::Rsdp;
use acpi_tables::xsdt::XSDT;
use vm_memory::{Bytes, GuestAddress};

use crate::error::Error;
use crate::layout::{ACPI_TABLES, RESET_VECTOR};
use crate::memory::GuestMemory;

/// Who made the tables.
const OEM: [u8; 6] = *b"VIRTIO";
const OEM_TABLE: [u8; 8] = *b"MICROVM ";
const OEM_REVISION: u32 = 1;
/// Tables start at multiples of this.
const ALIGN: u64 = 16;

/// What the guest is told of one virtio-mmio device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MmioDevice {
    /// Its register window.
    pub(crate) address: u32,
    /// Its interrupt, edge-triggered.
    pub(crate) gsi: u32,
}

/// What the guest is told of the machine.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    /// Number of CPUs.
    pub(crate) cpus: u8,
    /// Where 64-bit BARs may be put.
    pub(crate) pci_window_64: std::ops::Range<u64>,
    /// The virtio-mmio devices.
    pub(crate) mmio_devices: Vec<MmioDevice>,
}

/// Collects tables one behind the other.
struct Area {
    bytes: Vec<u8>,
}

impl Area {
    fn next(&self) -> u64 {
        ACPI_TABLES + (self.bytes.len() as u64).next_multiple_of(ALIGN)
    }

    fn add(&mut self, table: &[u8]) -> u64 {
        let address = self.next();
        self.bytes.resize((address - ACPI_TABLES) as usize, 0);
        self.bytes.extend_from_slice(table);
        address
    }
}

fn bytes_of(table: &dyn Aml) -> Vec<u8> {
    let mut bytes = Vec::new();
    table.to_aml_bytes(&mut bytes);
    bytes
}

/// All tables as they lie from [`ACPI_TABLES`] on, the RSDP first.
fn build(machine: &Machine) -> Vec<u8> {
    let mut area = Area { bytes: vec![0; Rsdp::len()] };
    let dsdt = area.add(dsdt::table(machine).as_slice());
    let mut xsdt = XSDT::new(OEM, OEM_TABLE, OEM_REVISION);
    for table in [bytes_of(&fixed::fadt(dsdt)), bytes_of(&fixed::madt(machine.cpus)), bytes_of(&fixed::mcfg())] {
        xsdt.add_entry(area.add(&table));
    }
    let xsdt = area.add(&bytes_of(&xsdt));
    let rsdp = bytes_of(&Rsdp::new(OEM, xsdt));
    for (place, byte) in area.bytes.iter_mut().zip(rsdp) {
        *place = byte;
    }
    area.bytes
}

/// Writes the tables into guest memory, where the boot parameters point at them.
pub(crate) fn write(memory: &GuestMemory, machine: &Machine) -> Result<(), Error> {
    let tables = build(machine);
    if tables.len() as u64 > RESET_VECTOR - ACPI_TABLES {
        return Err(Error::Acpi);
    }
    memory.write_slice(&tables, GuestAddress(ACPI_TABLES)).map_err(Error::memory("the ACPI tables"))
}
