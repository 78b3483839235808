//! Tests of the ACPI tables: every table is reachable, has a right length and checksum, and says what it should.

use super::{Machine, MmioDevice, build};
use crate::layout::{ACPI_TABLES, ECAM, RESET_VECTOR};

fn machine() -> Machine {
    Machine {
        cpus: 3,
        pci_window_64: 0x1_0000_0000..0x5_0000_0000,
        mmio_devices: vec![MmioDevice { address: 0xd000_0000, gsi: 5 }, MmioDevice { address: 0xd000_1000, gsi: 6 }],
    }
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| (number << 8) | u64::from(*byte))
}

fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

/// The table at an address, cut to its own length.
fn table(area: &[u8], address: u64) -> &[u8] {
    let table = &area[(address - ACPI_TABLES) as usize..];
    let table = &table[..number(&table[4..8]) as usize];
    assert_eq!(sum(table), 0, "checksum of {:?}", &table[..4]);
    table
}

/// The tables that the RSDP leads to, by signature.
fn find<'a>(area: &'a [u8], signature: &[u8; 4]) -> &'a [u8] {
    let xsdt = table(area, number(&area[24..32]));
    assert_eq!(&xsdt[..4], b"XSDT");
    let mut tables = xsdt[36..].chunks(8).map(|entry| table(area, number(entry)));
    tables.find(|table| &table[..4] == signature).unwrap()
}

#[test]
fn the_root_pointer_comes_first_and_adds_up() {
    let area = build(&machine());
    assert_eq!(&area[..8], b"RSD PTR ");
    assert_eq!(sum(&area[..20]), 0);
    assert_eq!(sum(&area[..36]), 0);
    assert_eq!(area[15], 2);
}

#[test]
fn the_fadt_is_hardware_reduced_and_leads_to_the_dsdt() {
    let area = build(&machine());
    let fadt = find(&area, b"FACP");
    let flags = number(&fadt[112..116]);
    assert_ne!(flags & (1 << 20), 0, "hardware reduced");
    assert_ne!(flags & (1 << 10), 0, "reset register");
    assert_eq!((fadt[116], number(&fadt[120..128]), fadt[128]), (1, 0x602, 1));
    assert_eq!((fadt[244], number(&fadt[248..256])), (1, 0x600), "sleep control");
    assert_eq!((fadt[256], number(&fadt[260..268])), (1, 0x601), "sleep status");
    let dsdt = table(&area, number(&fadt[140..148]));
    assert_eq!(&dsdt[..4], b"DSDT");
}

#[test]
fn the_madt_lists_every_cpu_and_the_io_apic() {
    let area = build(&machine());
    let mut entries = &find(&area, b"APIC")[44..];
    let mut cpus = Vec::new();
    let mut io_apics = 0;
    while !entries.is_empty() {
        let (entry, rest) = entries.split_at(entries[1].into());
        match entry[0] {
            0 => cpus.push((entry[2], entry[3], number(&entry[4..8]))),
            1 => io_apics += 1,
            other => panic!("entry of type {other}"),
        }
        entries = rest;
    }
    assert_eq!(cpus, [(0, 0, 1), (1, 1, 1), (2, 2, 1)]);
    assert_eq!(io_apics, 1);
}

#[test]
fn the_mcfg_has_bus_0_only() {
    let area = build(&machine());
    let mcfg = find(&area, b"MCFG");
    assert_eq!(mcfg.len(), 44 + 16);
    assert_eq!(number(&mcfg[44..52]), ECAM);
    assert_eq!(&mcfg[52..56], [0, 0, 0, 0]);
}

#[test]
fn the_dsdt_announces_each_mmio_device_once() {
    let area = build(&machine());
    let fadt = find(&area, b"FACP");
    let dsdt = table(&area, number(&fadt[140..148]));
    let announced = dsdt.windows(8).filter(|text| text == b"LNRO0005").count();
    assert_eq!(announced, 2);
    for (address, gsi) in [(0xd000_0000u32, 5), (0xd000_1000, 6)] {
        let mut resources = vec![0x86, 9, 0, 1];
        resources.extend(address.to_le_bytes());
        resources.extend(0x1000u32.to_le_bytes());
        // Consumer, edge, active high, exclusive.
        resources.extend([0x89, 6, 0, 0b0011, 1, gsi, 0, 0, 0]);
        assert!(contains(dsdt, &resources), "{address:#x}");
    }
}

#[test]
fn the_largest_machine_fits() {
    let machine = Machine { cpus: 254, ..machine() };
    assert!(build(&machine).len() as u64 <= RESET_VECTOR - ACPI_TABLES);
}
