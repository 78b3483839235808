//! The PCI configuration access capability: BARs through configuration space.

use virtio_core::Features;
use virtio_core::host::status::{ACKNOWLEDGE, DRIVER, DRIVER_OK};

use crate::harness::*;
use virtio_core::testing::RingDriver;

impl Harness {
    fn point(&self, bar: u8, offset: u64, length: u64) -> u16 {
        let at = self.structure(PCI_CFG).at;
        self.set_config(at + 4, 1, bar.into());
        self.set_config(at + 8, 4, offset);
        self.set_config(at + 12, 4, length);
        at + 16
    }

    fn window_read(&self, bar: u8, offset: u64, width: usize) -> u64 {
        let data = self.point(bar, offset, width as u64);
        self.config(data, width)
    }

    fn window_write(&self, bar: u8, offset: u64, width: usize, value: u64) {
        let data = self.point(bar, offset, width as u64);
        self.set_config(data, width, value);
    }
}

#[test]
fn pci_cfgacc_02_a_device_is_driven_without_any_bar_placed() {
    let (harness, _) = Harness::new(1);
    let driver = {
        // The harness allocates the ring; everything below goes through the window.
        virtio_core::testing::SplitDriver::new(&harness.memory, 16, Features::NONE)
    };
    harness.set_config(0x04, 2, 0);
    let common = u64::from(harness.structure(COMMON_CFG).offset);
    let status = |value: u8| harness.window_write(0, common + 0x14, 1, value.into());
    status(ACKNOWLEDGE);
    status(ACKNOWLEDGE | DRIVER);
    harness.window_write(0, common + 0x08, 4, 1);
    harness.window_write(0, common + 0x0c, 4, 1);
    status(ACKNOWLEDGE | DRIVER | 8);
    assert_eq!(harness.window_read(0, common + 0x14, 1), 11);
    harness.window_write(0, common + 0x18, 2, 16);
    let (descriptors, available, used) = driver.areas();
    for (at, address) in [(0x20, descriptors), (0x28, available), (0x30, used)] {
        harness.window_write(0, common + at, 4, address);
        harness.window_write(0, common + at + 4, 4, address >> 32);
    }
    harness.window_write(0, common + 0x1c, 2, 1);
    assert_eq!(harness.window_read(0, common + 0x1c, 2), 1);
    status(ACKNOWLEDGE | DRIVER | 8 | DRIVER_OK);

    let mut driver = driver;
    harness.runtime.poll();
    harness.request(&mut driver);
    harness.window_write(0, harness.structure(NOTIFY_CFG).offset.into(), 2, 0);
    harness.runtime.poll();
    assert_eq!(driver.used().map(|used| used.len), Some(5), "the doorbell works too");
    let isr = u64::from(harness.structure(ISR_CFG).offset);
    assert!(harness.pin());
    assert_eq!(harness.window_read(0, isr, 1), 1);
    assert!(!harness.pin(), "and so does the interrupt status");
}

#[test]
fn pci_cfgacc_03_reads_are_those_of_the_bar() {
    let (harness, _) = Harness::new(2);
    harness.negotiate(Features::NONE);
    let common = harness.structure(COMMON_CFG);
    for width in [1usize, 2, 4] {
        for at in (0..u64::from(common.length)).step_by(width) {
            let mut direct = [0; 8];
            harness.function.read_bar(0, u64::from(common.offset) + at, &mut direct[..width]);
            assert_eq!(
                harness.window_read(0, u64::from(common.offset) + at, width),
                u64::from_le_bytes(direct),
                "{width} at {at:#x}"
            );
        }
    }
    let config = u64::from(harness.structure(DEVICE_CFG).offset);
    assert_eq!(harness.window_read(0, config + 4, 4), 0x0706_0504);
    harness.window_write(0, config + 8, 4, 0x4433_2211);
    assert_eq!(harness.window_read(0, config + 8, 4), 0x4433_2211);
}

#[test]
fn pci_cfgacc_02_a_write_takes_the_first_bytes_of_the_window() {
    let (harness, _) = Harness::new(1);
    let select = u64::from(harness.structure(COMMON_CFG).offset);
    let data = harness.point(0, select, 4);
    harness.set_config(data, 4, 0x0403_0201);
    harness.set_config(data, 1, 0x55);
    assert_eq!(harness.get(reg::DEVICE_FEATURE_SELECT), 0x0403_0255);
    harness.point(0, select, 1);
    harness.set_config(data, 4, 0xffff_ff66);
    assert_eq!(harness.get(reg::DEVICE_FEATURE_SELECT), 0x0403_0266);
    // One access that points the window and writes through it.
    let mut all = [0; 16];
    all[..4].copy_from_slice(&0u32.to_le_bytes());
    all[4..8].copy_from_slice(&(select as u32).to_le_bytes());
    all[8..12].copy_from_slice(&2u32.to_le_bytes());
    all[12..].copy_from_slice(&0x1234u32.to_le_bytes());
    harness.function.write_config(data - 12, &all);
    assert_eq!(harness.get(reg::DEVICE_FEATURE_SELECT), 0x0403_1234);
}

#[test]
fn drv_pci_13_odd_lengths_and_misaligned_offsets_are_ignored() {
    let (harness, _) = Harness::new(1);
    harness.set(reg::DEVICE_FEATURE_SELECT, 1);
    let common = u64::from(harness.structure(COMMON_CFG).offset);
    for (offset, length) in [(0, 0), (0, 3), (0, 5), (0, 8), (0, 0xffff_ffff), (1, 2), (1, 4), (2, 4), (3, 2)] {
        let data = harness.point(0, common + offset, length);
        harness.set_config(data, 4, 0xffff_ffff);
        assert_eq!(harness.get(reg::DEVICE_FEATURE_SELECT), 1, "{length} at {offset}");
        assert_eq!(harness.config(data, 4), 0);
    }
}

#[test]
fn drv_pci_14_the_window_opens_to_the_virtio_structures_only() {
    let (harness, _) = Harness::new(1);
    harness.enable_msix();
    let mut entry = [0; 16];
    harness.read(harness.table(), &mut entry);
    let size = harness.function.bars()[0].size;
    let beyond = u64::from(harness.structure(COMMON_CFG).length);
    let places = [
        (2, 0, 4),
        (2, 12, 1),
        (1, 0, 4),
        (5, 0, 4),
        (6, 0, 4),
        (0xff, 0, 4),
        (0, beyond, 4),
        (0, u64::from(harness.structure(ISR_CFG).offset), 2),
        (0, size, 4),
        (0, size - 4, 4),
        (0, 0xffff_fffc, 4),
        (0, 0xffff_ffff, 1),
    ];
    for (bar, offset, width) in places {
        assert_eq!(harness.window_read(bar, offset, width), 0, "{bar}: {offset:#x}");
        harness.window_write(bar, offset, width, 0xffff_ffff);
        assert_eq!(harness.config(harness.structure(PCI_CFG).at + 16, 4), 0);
    }
    // Not even the part of an access that would be in a structure: the interrupt status is still there.
    harness.set_msix_control(0);
    let mut driver = harness.go_live(NO_VECTOR, NO_VECTOR);
    harness.complete_one(&mut driver);
    assert_eq!(harness.window_read(0, harness.structure(ISR_CFG).offset.into(), 2), 0);
    assert_eq!(harness.isr(), 1);
    let mut after = [0; 16];
    harness.read(harness.table(), &mut after);
    assert_eq!(after, entry);
}
