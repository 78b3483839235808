//! The common configuration structure.

use virtio_core::host::status::{ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK};
use virtio_core::testing::TestDevice;
use virtio_core::{DeviceType, Features};

use crate::harness::*;

#[test]
fn pci_layout_01_addresses_are_pairs_of_independent_halves() {
    let (harness, _) = Harness::new(1);
    harness.negotiate(Features::NONE);
    for register in [reg::QUEUE_DESC, reg::QUEUE_DRIVER, reg::QUEUE_DEVICE] {
        let (low, high) = ((register.0, 4), (register.0 + 4, 4));
        harness.set(high, 0x1122_3344);
        assert_eq!(harness.get(register), 0x1122_3344_0000_0000);
        harness.set(low, 0x5566_7788);
        assert_eq!((harness.get(low), harness.get(high)), (0x5566_7788, 0x1122_3344));
        harness.set(high, 1);
        assert_eq!(harness.get(register), 0x1_5566_7788);
        harness.set(register, 0x99aa_bbcc_ddee_f000);
        assert_eq!(harness.get(register), 0x99aa_bbcc_ddee_f000);
    }
}

#[test]
fn pci_common_03_device_feature_shows_the_selected_word() {
    let mut device = Idle::new(DeviceType::NET, 24, 2);
    device.features = Features::bit(5) | Features::bit(70);
    let harness = Harness::of(device);
    harness.place();
    let rings = Features::INDIRECT_DESC | Features::EVENT_IDX;
    let offered = harness.offered();
    assert!(offered.contains(Features::bit(5) | Features::bit(70) | Features::VERSION_1 | rings));
    for (select, word) in [(0, offered.word(0)), (1, offered.word(1)), (2, 1 << 6), (3, 0)] {
        harness.set(reg::DEVICE_FEATURE_SELECT, select);
        assert_eq!(harness.get(reg::DEVICE_FEATURE), u64::from(word));
    }
    for select in [4, 32, 0x7fff_ffff, 0xffff_ffff] {
        harness.set(reg::DEVICE_FEATURE_SELECT, select);
        assert_eq!(harness.get(reg::DEVICE_FEATURE_SELECT), select);
        assert_eq!(harness.get(reg::DEVICE_FEATURE), 0);
    }
}

#[test]
fn pci_common_04_driver_feature_shows_what_was_accepted_in_the_selected_word() {
    let (harness, _) = Harness::new(1);
    harness.set(reg::DRIVER_FEATURE_SELECT, 0);
    harness.set(reg::DRIVER_FEATURE, 3);
    harness.set(reg::DRIVER_FEATURE_SELECT, 1);
    harness.set(reg::DRIVER_FEATURE, 1);
    harness.set(reg::DRIVER_FEATURE_SELECT, 0);
    assert_eq!(harness.get(reg::DRIVER_FEATURE), 3);
    harness.set(reg::DRIVER_FEATURE_SELECT, 1);
    assert_eq!(harness.get(reg::DRIVER_FEATURE), 1);
    for select in [4, 0x7fff_ffff, 0xffff_ffff] {
        harness.set(reg::DRIVER_FEATURE_SELECT, select);
        harness.set(reg::DRIVER_FEATURE, 0xffff_ffff);
        assert_eq!(harness.get(reg::DRIVER_FEATURE), 0);
    }
    harness.set_status(FEATURES_OK);
    assert_ne!(harness.get(reg::STATUS) & u64::from(FEATURES_OK), 0);
}

#[test]
fn pci_common_05_features_that_were_not_offered_are_echoed_and_refused() {
    let (harness, _) = Harness::new(1);
    harness.set_status(ACKNOWLEDGE | DRIVER);
    harness.accept(Features::VERSION_1 | Features::bit(20));
    harness.set(reg::DRIVER_FEATURE_SELECT, 0);
    assert_eq!(harness.get(reg::DRIVER_FEATURE), 1 << 20);
    harness.set_status(FEATURES_OK);
    assert_eq!(harness.get(reg::STATUS), u64::from(ACKNOWLEDGE | DRIVER));
    harness.accept(Features::VERSION_1 | TestDevice::ALPHA);
    harness.set_status(FEATURES_OK);
    assert_eq!(harness.get(reg::STATUS), u64::from(ACKNOWLEDGE | DRIVER | FEATURES_OK));
}

#[test]
fn pci_common_06_the_generation_moves_with_each_change_that_a_read_could_notice() {
    let (harness, handle) = Harness::new(1);
    let mut byte = [0];
    let mut value = 0u8;
    for changes in [1, 2, 255, 256, 257, 512] {
        harness.read(harness.address(DEVICE_CFG), &mut byte);
        let before = harness.get(reg::GENERATION);
        for _ in 0..changes {
            value = value.wrapping_add(1);
            handle.config().update(|bytes| bytes[0] = value);
        }
        assert_ne!(harness.get(reg::GENERATION), before, "after {changes} changes");
    }
    harness.read(harness.address(DEVICE_CFG), &mut byte);
    let before = harness.get(reg::GENERATION);
    assert_eq!(harness.get(reg::GENERATION), before, "no change, no move");
    // The register is 8 bits wide, and wraps.
    for _ in 0..300 {
        harness.read(harness.address(DEVICE_CFG), &mut byte);
        let before = harness.get(reg::GENERATION);
        value = value.wrapping_add(1);
        handle.config().update(|bytes| bytes[0] = value);
        assert_ne!(harness.get(reg::GENERATION), before);
        assert_eq!(harness.get((reg::STATUS.0, 2)) >> 8, harness.get(reg::GENERATION));
    }
}

// spec: PCI-COMMON-08 PCI-COMMON-09 PCI-COMMON-10 PCI-COMMON-20
#[test]
fn pci_common_07_zero_in_the_status_resets_the_device() {
    let (harness, handle) = Harness::new(3);
    harness.enable_msix();
    harness.negotiate(TestDevice::ALPHA);
    harness.set(reg::CONFIG_VECTOR, 1);
    for queue in 0..2 {
        harness.enable_queue(queue, 2);
    }
    harness.set_status(DRIVER_OK);
    harness.set(reg::DEVICE_FEATURE_SELECT, 1);
    harness.set(reg::DRIVER_FEATURE_SELECT, 1);

    let resets = handle.resets();
    harness.set(reg::STATUS, 0);
    assert_eq!(harness.get(reg::STATUS), 0);
    assert_eq!(handle.resets(), resets + 1);
    assert_eq!(harness.get(reg::CONFIG_VECTOR), NO_VECTOR);
    for register in [reg::DEVICE_FEATURE_SELECT, reg::DRIVER_FEATURE_SELECT, reg::DRIVER_FEATURE, reg::QUEUE_SELECT] {
        assert_eq!(harness.get(register), 0);
    }
    for queue in 0..3 {
        harness.set(reg::QUEUE_SELECT, queue);
        assert_eq!(harness.get(reg::QUEUE_ENABLE), 0);
        assert_eq!(harness.get(reg::QUEUE_RESET), 0);
        assert_eq!(harness.get(reg::QUEUE_SIZE), 256, "the largest again");
        assert_eq!(harness.get(reg::QUEUE_VECTOR), NO_VECTOR);
        for register in [reg::QUEUE_DESC, reg::QUEUE_DRIVER, reg::QUEUE_DEVICE] {
            assert_eq!(harness.get(register), 0);
        }
    }
    assert_eq!(harness.function.bars()[0].address, BAR0, "the PCI side stays");
}

#[test]
fn pci_common_11_queue_reset_reads_zero_after_a_queue_is_enabled() {
    let (harness, _) = Harness::new(1);
    harness.negotiate(Features::NONE);
    harness.enable_queue(0, NO_VECTOR);
    assert_eq!(harness.get(reg::QUEUE_RESET), 0);
}

// spec: PCI-COMMON-19 DRV-PCI-09
#[test]
fn pci_common_15_everything_about_a_queue_that_does_not_exist_reads_zero() {
    let (harness, _) = Harness::new(2);
    assert_eq!(harness.get(reg::NUM_QUEUES), 2);
    harness.negotiate(Features::NONE);
    let registers = [
        reg::QUEUE_SIZE,
        reg::QUEUE_VECTOR,
        reg::QUEUE_ENABLE,
        reg::QUEUE_NOTIFY_OFF,
        reg::QUEUE_DESC,
        reg::QUEUE_DRIVER,
        reg::QUEUE_DEVICE,
        reg::QUEUE_RESET,
    ];
    for queue in [2, 3, 0x7fff, 0xffff] {
        harness.set(reg::QUEUE_SELECT, queue);
        assert_eq!(harness.get(reg::QUEUE_SELECT), queue);
        for register in registers {
            assert_eq!(harness.get(register), 0);
            harness.set(register, 1);
            harness.set(register, u64::MAX);
            assert_eq!(harness.get(register), 0);
        }
    }
    for queue in 0..2 {
        harness.set(reg::QUEUE_SELECT, queue);
        assert_eq!(harness.get(reg::QUEUE_SIZE), 256);
        assert_eq!(harness.get(reg::QUEUE_DESC), 0);
    }
}

// spec: PCI-COMMON-20 DRV-PCI-04
#[test]
fn pci_common_16_queue_size_is_a_power_of_two_up_to_the_largest() {
    let (harness, _) = Harness::new(1);
    // Wanted, but not negotiated.
    harness.accept(Features::VERSION_1 | Features::RING_PACKED);
    for negotiated in [false, true] {
        assert_eq!(harness.get(reg::QUEUE_SIZE), 256);
        harness.set(reg::QUEUE_SIZE, 64);
        for size in [0, 3, 65, 257, 512, 0x8000, 0xffff] {
            harness.set(reg::QUEUE_SIZE, size);
            assert_eq!(harness.get(reg::QUEUE_SIZE), 64, "{size} changes nothing");
        }
        for size in [1, 2, 256, 16] {
            harness.set(reg::QUEUE_SIZE, size);
            assert_eq!(harness.get(reg::QUEUE_SIZE), size);
        }
        if !negotiated {
            harness.negotiate(Features::NONE);
        }
    }
}

#[test]
fn drv_pci_03_read_only_registers_stay() {
    let (harness, _) = Harness::new(1);
    let registers =
        [reg::DEVICE_FEATURE, reg::NUM_QUEUES, reg::GENERATION, reg::QUEUE_NOTIFY_OFF, reg::NOTIF_CONFIG_DATA];
    for register in registers {
        let before = harness.get(register);
        harness.set(register, !before);
        assert_eq!(harness.get(register), before);
    }
}

#[test]
fn drv_pci_01_common_registers_compose_from_bytes() {
    let (harness, _) = Harness::new(2);
    harness.negotiate(Features::NONE);
    let common = harness.address(COMMON_CFG);
    for (at, byte) in (0x20..).zip(0x11u8..0x29) {
        harness.write(common + at, &[byte]);
    }
    harness.set(reg::QUEUE_SELECT, 0);
    assert_eq!(harness.get(reg::QUEUE_DESC), 0x1817_1615_1413_1211);
    assert_eq!(harness.get(reg::QUEUE_DEVICE), 0x2827_2625_2423_2221);
    harness.write(common + 0x26, &[0xee; 4]);
    assert_eq!(harness.get(reg::QUEUE_DESC), 0xeeee_1615_1413_1211);
    assert_eq!(harness.get(reg::QUEUE_DRIVER), 0x201f_1e1d_1c1b_eeee);

    let mut whole = [0xaa; 0x40];
    harness.read(common, &mut whole);
    for at in 0..0x40usize {
        for len in 1..=8.min(0x40 - at) {
            let mut part = [0xaa; 8];
            harness.read(common + at as u64, &mut part[..len]);
            assert_eq!(part[..len], whole[at..at + len], "{len} at {at:#x}");
        }
    }
    // A status that is written as a word reaches its neighbours: here the queue's selector.
    harness.write(common + 0x14, &[0x83, 0xff, 1, 0]);
    assert_eq!(harness.get(reg::QUEUE_SELECT), 1);
    assert_ne!(harness.get(reg::STATUS) & 0x80, 0);
}
