//! Header, identity and capability list.

use std::sync::Arc;

use virtio_core::{DeviceHost, DeviceType, InlineRuntime};
use virtio_pci::{BuildError, VirtioPci};

use crate::harness::*;

#[test]
fn pci_bus_01_header_and_capability_list_are_those_of_a_plain_function() {
    let (harness, _) = Harness::new(1);
    assert_eq!(harness.config(0x0e, 1), 0, "type 0, one function");
    assert_ne!(harness.config(0x06, 2) & 1 << 4, 0, "there is a capability list");
    let ids: Vec<u8> = harness.capabilities().iter().map(|capability| capability.id).collect();
    assert_eq!(ids, [9, 9, 9, 9, 9, 0x11]);
    assert_eq!(harness.config(0x3d, 1), 1, "pin A");
    harness.set_config(0x3c, 1, 0x2b);
    assert_eq!(harness.config(0x3c, 1), 0x2b, "the interrupt line is a scratch register");
    assert_eq!(harness.config(0x100, 4), 0, "no extended capabilities");
    harness.set_config(0x04, 2, 0xffff);
    assert_eq!(harness.config(0x04, 2), 0x0406, "memory, bus master and INTx disable");
    assert!(harness.function.is_bus_master());
    harness.set_config(0x06, 2, 0xffff);
    assert_eq!(harness.config(0x06, 2), 0x10);
}

// spec: PCI-ID-02 PCI-ID-04 PCI-ID-05
#[test]
fn pci_id_01_vendor_device_and_revision_are_those_of_a_modern_function() {
    let kinds = [(DeviceType::NET, 0x02_0000), (DeviceType::BLOCK, 0x01_8000), (DeviceType::BALLOON, 0x00_ff00)];
    for (kind, class) in kinds {
        let harness = Harness::of(Idle::new(kind, 8, 1));
        assert_eq!(harness.config(0x00, 2), 0x1af4);
        assert_eq!(harness.config(0x02, 2), 0x1040 + u64::from(kind.0));
        assert_eq!(harness.config(0x08, 4), class << 8 | 1, "class code and revision");
    }
}

#[test]
fn pci_id_04_a_type_without_a_device_id_has_no_function() {
    for number in [0, 0x40, 0x10001] {
        let memory = virtio_core::testing::TestMemory::new(1 << 16);
        let host = DeviceHost::builder(
            Idle::new(DeviceType(number), 0, 1),
            memory.ram().clone(),
            Arc::new(InlineRuntime::new()),
        );
        assert!(matches!(VirtioPci::builder(host).build(), Err(BuildError::DeviceType(_))));
    }
}

// spec: PCI-ID-06
#[test]
fn pci_id_03_subsystem_ids_are_the_embedders_from_0x40_on() {
    let harness = Harness::of(Idle::new(DeviceType::NET, 8, 1));
    assert!(harness.config(0x2e, 2) >= 0x40);
    let device = || Idle::new(DeviceType::NET, 8, 1);
    let harness = Harness::build(device(), |host| host, |builder, _| builder.subsystem_ids(0x1234, 0x40));
    assert_eq!(harness.config(0x2c, 4), 0x0040_1234);
    let memory = virtio_core::testing::TestMemory::new(1 << 16);
    let host = DeviceHost::builder(device(), memory.ram().clone(), Arc::new(InlineRuntime::new()));
    let refused = VirtioPci::builder(host).subsystem_ids(0x1af4, 2).build();
    assert!(matches!(refused, Err(BuildError::Subsystem(2))));
}

#[test]
fn pci_cap_03_lengths_cover_what_is_appended() {
    let (harness, _) = Harness::new(1);
    for (kind, len) in [(COMMON_CFG, 16), (NOTIFY_CFG, 20), (ISR_CFG, 16), (DEVICE_CFG, 16), (PCI_CFG, 20)] {
        assert_eq!(harness.structure(kind).cap_len, len, "type {kind}");
    }
}

// spec: PCI-NOTIFY-01 PCI-ISR-01 PCI-CFGACC-01 PCI-COMMON-01
#[test]
fn pci_common_02_each_structure_is_there_within_its_bar_and_apart_from_the_others() {
    for queues in [0, 1, 3, 200] {
        let harness = Harness::of(Idle::new(DeviceType::NET, 24, queues));
        let size = harness.function.bars()[0].size;
        assert!(size.is_power_of_two());
        let mut end = 0;
        for kind in [COMMON_CFG, ISR_CFG, DEVICE_CFG, NOTIFY_CFG] {
            let structure = harness.structure(kind);
            assert_eq!((structure.bar, structure.offset % 4096), (0, 0));
            assert!(u64::from(structure.offset) >= end && structure.length > 0);
            end = u64::from(structure.offset) + u64::from(structure.length);
            assert!(end <= size);
        }
        assert_eq!(harness.structure(COMMON_CFG).length, 0x40);
        harness.structure(PCI_CFG);
    }
}

// spec: PCI-DEVCFG-02
#[test]
fn pci_devcfg_01_a_device_configuration_is_there_if_the_device_has_one() {
    for len in [1, 8, 60, 5000] {
        let harness = Harness::of(Idle::new(DeviceType::BLOCK, len, 1));
        let structure = harness.structure(DEVICE_CFG);
        assert_eq!((structure.length, structure.offset % 4), (len as u32, 0));
    }
    let harness = Harness::of(Idle::new(DeviceType::ENTROPY, 0, 1));
    assert_eq!(harness.structures(DEVICE_CFG), [], "none of length zero");
}

#[test]
fn pci_devcfg_01_the_driver_reads_and_writes_it_at_any_width() {
    let (harness, _) = Harness::new(1);
    let config = harness.address(DEVICE_CFG);
    for len in 1..=8 {
        for at in 0..16u8 {
            let mut data = [0xee; 8];
            harness.read(config + u64::from(at), &mut data[..len]);
            let expected: Vec<u8> = (at..).take(len).map(|byte| if byte < 16 { byte } else { 0 }).collect();
            assert_eq!(data[..len], expected);
        }
    }
    harness.write(config + 9, &[1, 2, 3]);
    let mut data = [0; 4];
    harness.read(config + 8, &mut data);
    assert_eq!(data, [8, 1, 2, 3]);
}

// spec: DRV-PCI-02
#[test]
fn drv_pci_02_what_is_read_only_in_configuration_space_stays() {
    let (harness, _) = Harness::new(1);
    let before = harness.config_bytes();
    let window = usize::from(harness.structure(PCI_CFG).at);
    let control = usize::from(harness.msix_capability()) + 2;
    for at in (0..256u16).filter(|at| !(usize::from(*at) >= window + 16 && usize::from(*at) < window + 20)) {
        harness.function.write_config(at, &[0xff]);
        harness.function.write_config(at, &[0x00]);
    }
    let after = harness.config_bytes();
    let writable = [0x04..0x06, 0x10..0x20, 0x3c..0x3d, window + 4..window + 20, control..control + 2];
    for at in (0..256).filter(|at| !writable.iter().any(|range| range.contains(at))) {
        assert_eq!(after[at], before[at], "at {at:#x}");
    }
    assert_eq!(after[0x10] & 0xf, 4, "the BAR's type");
    assert_eq!(after[window + 5..window + 8], [0; 3]);
}

#[test]
fn drv_pci_01_configuration_space_is_bytes_at_any_width_and_alignment() {
    let (harness, _) = Harness::new(1);
    let bytes = harness.config_bytes();
    let window = harness.structure(PCI_CFG).at;
    for len in [1usize, 2, 3, 4, 8] {
        for at in (0..window).chain([250, 255, 256, 0xfff, 0xffff]) {
            let mut data = [0xee; 8];
            harness.function.read_config(at, &mut data[..len]);
            let byte = |i: usize| bytes.get(usize::from(at) + i).copied().unwrap_or(0);
            assert_eq!(data[..len], (0..len).map(byte).collect::<Vec<u8>>(), "{len} at {at:#x}");
        }
    }
    harness.function.write_config(0xfffe, &[0xff; 8]);
    harness.function.write_config(0x3a, &[0x77; 4]);
    assert_eq!(harness.config(0x3c, 1), 0x77, "the interrupt line, from within a wider write");
    assert_eq!(harness.config(0x3d, 1), 1);
    harness.function.read_config(0, &mut []);
    harness.function.write_config(0, &[]);
}
