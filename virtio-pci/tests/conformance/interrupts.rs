//! Interrupt status, the pin, and which of pin and messages is used.

use virtio_core::host::status::{DRIVER_OK, NEEDS_RESET};

use crate::harness::*;
use virtio_core::testing::RingDriver;

fn change_config(handle: &virtio_core::testing::TestHandle) {
    handle.config().update(|bytes| bytes[0] = bytes[0].wrapping_add(1));
}

// spec: PCI-ISR-04 PCI-ISR-05
#[test]
fn pci_isr_03_the_status_is_set_and_the_pin_follows_it() {
    for (harness, _) in [Harness::new(1), Harness::without_msix(1)] {
        let mut driver = harness.go_live(NO_VECTOR, NO_VECTOR);
        assert!(!harness.pin());
        assert_eq!(harness.config(0x06, 2) & 8, 0);
        harness.complete_one(&mut driver);
        assert!(harness.pin());
        assert_eq!(harness.config(0x06, 2) & 8, 8, "interrupt status of the PCI status register");
        assert_eq!(harness.isr(), 1);
        assert!(!harness.pin());
        assert_eq!(harness.config(0x06, 2) & 8, 0);
        assert_eq!(harness.isr(), 0);
    }
}

// spec: PCI-ISR-05
#[test]
fn pci_isr_02_a_change_of_the_configuration_shows_in_the_status_in_either_mode() {
    for msix in [false, true] {
        let (harness, handle) = Harness::new(1);
        if msix {
            harness.enable_msix();
        }
        harness.go_live(if msix { 0 } else { NO_VECTOR }, NO_VECTOR);
        change_config(&handle);
        assert_eq!(harness.pin(), !msix);
        assert_eq!(harness.sent.take(), if msix { vec![message(0)] } else { vec![] });
        assert_eq!(harness.config(0x06, 2) & 8 != 0, !msix, "the pin's bit in the PCI status register");
        assert_eq!(harness.isr(), 2);
        assert_eq!(harness.isr(), 0);
        assert!(!harness.pin());
    }
}

#[test]
fn pci_isr_05_both_reasons_are_in_one_status_and_any_access_that_covers_it_clears_it() {
    let (harness, handle) = Harness::without_msix(1);
    let mut driver = harness.go_live(NO_VECTOR, NO_VECTOR);
    harness.complete_one(&mut driver);
    change_config(&handle);
    let mut word = [0xee; 4];
    harness.read(harness.address(ISR_CFG), &mut word);
    assert_eq!(word, [3, 0, 0, 0]);
    assert!(!harness.pin());
    harness.complete_one(&mut driver);
    harness.write(harness.address(ISR_CFG), &[0xff]);
    assert_eq!(harness.isr(), 1, "it cannot be written");
}

#[test]
fn pci_isr_04_intx_disable_silences_the_pin_only() {
    let (harness, _) = Harness::without_msix(1);
    let mut driver = harness.go_live(NO_VECTOR, NO_VECTOR);
    harness.set_config(0x04, 2, 0x406);
    harness.complete_one(&mut driver);
    assert!(!harness.pin());
    assert_eq!(harness.config(0x06, 2) & 8, 8);
    harness.set_config(0x04, 2, 0x006);
    assert!(harness.pin(), "nothing was lost");
    harness.set_config(0x04, 2, 0x406);
    assert!(!harness.pin());
    assert_eq!(harness.isr(), 1);
}

#[test]
fn pci_intr_01_a_queue_without_vector_does_not_interrupt() {
    let (harness, _) = Harness::new(1);
    harness.enable_msix();
    let mut driver = harness.go_live(0, NO_VECTOR);
    harness.complete_one(&mut driver);
    assert_eq!(harness.sent.take(), []);
    assert!(!harness.pin(), "the pin is no way out");
    assert_eq!(harness.config(0x06, 2) & 8, 0);
}

#[test]
fn pci_intr_03_the_configuration_without_vector_does_not_interrupt() {
    let (harness, handle) = Harness::new(1);
    harness.enable_msix();
    harness.go_live(NO_VECTOR, 1);
    change_config(&handle);
    assert_eq!(harness.sent.take(), []);
    assert!(!harness.pin());
}

#[test]
fn pci_intr_02_one_vector_serves_queues_and_configuration() {
    let (harness, handle) = Harness::new(1);
    harness.enable_msix();
    let mut driver = harness.go_live(1, 1);
    harness.complete_one(&mut driver);
    change_config(&handle);
    assert_eq!(harness.sent.take(), [message(1), message(1)]);
    assert_eq!(harness.isr(), 2);
}

// spec: BASIC-STATUS-01 BASIC-STATUS-02
#[test]
fn basic_status_02_nothing_interrupts_before_the_driver_is_ready() {
    let (harness, handle) = Harness::new(1);
    harness.negotiate(virtio_core::Features::NONE);
    let mut driver = harness.enable_queue(0, NO_VECTOR);
    harness.request(&mut driver);
    harness.kick(0);
    change_config(&handle);
    harness.runtime.poll();
    assert_eq!((driver.used_index(), harness.pin(), harness.isr()), (0, false, 0));
    harness.set_status(DRIVER_OK);
    harness.runtime.poll();
    assert!(driver.used().is_some());
    assert_eq!(harness.isr() & 1, 1);
}

#[test]
fn pci_isr_02_the_need_for_a_reset_is_a_configuration_change() {
    let (harness, _) = Harness::new(1);
    harness.enable_msix();
    let driver = harness.go_live(1, 0);
    driver.set_index(1000);
    harness.kick(0);
    harness.runtime.poll();
    assert_ne!(harness.get(reg::STATUS) & u64::from(NEEDS_RESET), 0);
    assert_eq!(harness.sent.take(), [message(1)]);
    assert_eq!(harness.isr(), 2);
}

#[test]
fn pci_isr_05_a_reset_clears_the_status_and_lowers_the_pin() {
    let (harness, _) = Harness::without_msix(1);
    let mut driver = harness.go_live(NO_VECTOR, NO_VECTOR);
    harness.complete_one(&mut driver);
    assert!(harness.pin());
    harness.set(reg::STATUS, 0);
    assert!(!harness.pin());
    assert_eq!(harness.isr(), 0);
}
