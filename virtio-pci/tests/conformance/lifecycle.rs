//! What the driver may not do while a device is live or being reset.

use virtio_core::Features;
use virtio_core::host::status::{ACKNOWLEDGE, DRIVER_OK, FAILED};

use crate::harness::*;

#[test]
fn drv_pci_05_an_enabled_queue_keeps_its_registers() {
    for live in [false, true] {
        let (harness, _) = Harness::new(1);
        harness.negotiate(Features::NONE);
        let mut driver = harness.enable_queue(0, NO_VECTOR);
        if live {
            harness.set_status(DRIVER_OK);
        }
        let registers = [reg::QUEUE_SIZE, reg::QUEUE_DESC, reg::QUEUE_DRIVER, reg::QUEUE_DEVICE];
        let before = registers.map(|register| harness.get(register));
        harness.set(reg::QUEUE_SIZE, 256);
        for register in &registers[1..] {
            harness.set(*register, 0x8000);
        }
        assert_eq!(registers.map(|register| harness.get(register)), before);
        harness.set_status(DRIVER_OK);
        harness.complete_one(&mut driver);
    }
}

#[test]
fn drv_pci_06_nothing_is_set_up_while_a_reset_goes_on() {
    let (harness, handle) = Harness::new(2);
    harness.enable_msix();
    let mut driver = harness.go_live(0, 1);
    handle.hold(true);
    handle.stubborn(true);
    harness.request(&mut driver);
    harness.kick(0);
    harness.runtime.poll();

    harness.set(reg::STATUS, 0);
    assert_ne!(harness.get(reg::STATUS), 0, "not while a request is in flight");
    harness.set(reg::CONFIG_VECTOR, 1);
    harness.set(reg::QUEUE_SELECT, 1);
    harness.set(reg::DEVICE_FEATURE_SELECT, 1);
    harness.set(reg::QUEUE_SIZE, 8);
    harness.set(reg::STATUS, ACKNOWLEDGE.into());
    assert_eq!(harness.get(reg::QUEUE_SELECT), 0);
    assert_eq!(harness.get(reg::CONFIG_VECTOR), 0);
    assert_ne!(harness.get(reg::STATUS) & u64::from(FAILED), 0);

    handle.stubborn(false);
    assert_eq!(harness.get(reg::STATUS), 0);
    handle.hold(false);
    assert_eq!(harness.get(reg::CONFIG_VECTOR), NO_VECTOR);
    assert_eq!(harness.get(reg::QUEUE_SIZE), 256);
    let mut driver = harness.go_live(0, 1);
    harness.complete_one(&mut driver);
    assert_eq!(harness.sent.take(), [message(1)]);
}

// spec: DRV-PCI-08
#[test]
fn drv_pci_07_a_queue_is_not_disabled_by_a_register() {
    let (harness, _) = Harness::new(1);
    let mut driver = harness.go_live(NO_VECTOR, NO_VECTOR);
    for value in [0, 2, 0xffff] {
        harness.set(reg::QUEUE_ENABLE, value);
        assert_eq!(harness.get(reg::QUEUE_ENABLE), 1);
        harness.complete_one(&mut driver);
    }
}

#[test]
fn drv_pci_08_only_one_enables_a_queue() {
    let (harness, _) = Harness::new(1);
    harness.negotiate(Features::NONE);
    for value in [0, 2, 3, 0x101, 0xffff] {
        harness.set(reg::QUEUE_ENABLE, value);
        assert_eq!(harness.get(reg::QUEUE_ENABLE), 0, "{value:#x}");
    }
    harness.enable_queue(0, NO_VECTOR);
}

#[test]
fn drv_pci_10_queue_reset_without_the_feature_does_nothing() {
    let (harness, _) = Harness::new(1);
    let mut driver = harness.go_live(NO_VECTOR, NO_VECTOR);
    for value in [1, 0, 0xffff] {
        harness.set(reg::QUEUE_RESET, value);
        assert_eq!((harness.get(reg::QUEUE_RESET), harness.get(reg::QUEUE_ENABLE)), (0, 1));
        harness.set(reg::QUEUE_ENABLE, 1);
    }
    harness.complete_one(&mut driver);
}

#[test]
fn drv_pci_12_without_an_admin_queue_its_registers_are_empty() {
    let (harness, _) = Harness::new(1);
    assert!(!harness.offered().contains(Features::ADMIN_VQ));
    for register in [(0x3c, 2), (0x3e, 2)] {
        harness.set(register, 1);
        assert_eq!(harness.get(register), 0);
    }
    harness.set(reg::QUEUE_SELECT, harness.get(reg::NUM_QUEUES));
    harness.set(reg::QUEUE_SIZE, 8);
    assert_eq!(harness.get(reg::QUEUE_SIZE), 0);
}
