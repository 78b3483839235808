//! Queues that are reset by themselves.

use virtio_core::Features;
use virtio_core::host::status::DRIVER_OK;

use crate::harness::*;
use virtio_core::testing::RingDriver;

/// A live function with two queues of one device, mapped to vectors 1 and 2.
fn live(harness: &Harness) -> [virtio_core::testing::SplitDriver; 2] {
    harness.enable_msix();
    harness.negotiate(Features::RING_RESET);
    let drivers = [harness.enable_queue(0, 1), harness.enable_queue(1, 2)];
    harness.set_status(DRIVER_OK);
    harness.set(reg::QUEUE_SELECT, 0);
    drivers
}

// spec: PCI-COMMON-10 PCI-COMMON-13 PCI-COMMON-14
#[test]
fn pci_common_12_one_in_queue_reset_resets_the_selected_queue() {
    let (harness, handle) = Harness::new(2);
    let [mut driver, _] = live(&harness);
    let registers = || (harness.get(reg::QUEUE_RESET), harness.get(reg::QUEUE_ENABLE));
    assert_eq!(registers(), (0, 1));
    handle.hold(true);
    handle.stubborn(true);
    harness.request(&mut driver);
    harness.kick(0);
    harness.runtime.poll();
    harness.set(reg::QUEUE_RESET, 1);
    assert_eq!((registers(), registers()), ((1, 1), (1, 1)), "as long as it goes on");
    let address = harness.get(reg::QUEUE_DESC);
    harness.set(reg::QUEUE_DESC, 0x1234_5000);
    harness.set(reg::QUEUE_ENABLE, 1);
    assert_eq!(harness.get(reg::QUEUE_DESC), address, "frozen until then");
    harness.set(reg::QUEUE_SELECT, 1);
    assert_eq!(registers(), (0, 1), "the other queue");
    harness.set(reg::QUEUE_SELECT, 0);
    handle.hold(false);
    assert_eq!(registers(), (0, 0));
    harness.set(reg::QUEUE_DESC, 0x1234_5000);
    assert_eq!(harness.get(reg::QUEUE_DESC), 0x1234_5000);
    harness.set(reg::STATUS, 0);
    harness.set(reg::QUEUE_SELECT, 0);
    assert_eq!(registers(), (0, 0));
}

// spec: BASIC-VQRESET-01 BASIC-VQRESET-03 PCI-COMMON-11
#[test]
fn basic_vqreset_02_everything_about_the_queue_is_as_at_the_start() {
    let (harness, _) = Harness::new(2);
    let [mut driver, mut other] = live(&harness);
    harness.complete_one(&mut driver);
    assert_eq!(harness.sent.take(), [message(1)]);
    harness.set(reg::QUEUE_RESET, 1);
    assert_eq!(harness.get(reg::QUEUE_SIZE), 256);
    assert_eq!(harness.get(reg::QUEUE_VECTOR), NO_VECTOR);
    for register in [reg::QUEUE_DESC, reg::QUEUE_DRIVER, reg::QUEUE_DEVICE, reg::QUEUE_ENABLE, reg::QUEUE_RESET] {
        assert_eq!(harness.get(register), 0);
    }
    harness.request(&mut driver);
    harness.kick(0);
    harness.runtime.poll();
    assert_eq!((driver.used(), harness.sent.take()), (None, vec![]));
    // The other queue, and its vector, are as they were.
    harness.request(&mut other);
    harness.kick(1);
    harness.runtime.poll();
    assert!(other.used().is_some());
    assert_eq!(harness.sent.take(), [message(2)]);
    // With another vector.
    let mut driver = harness.enable_queue(0, 2);
    assert_eq!(harness.get(reg::QUEUE_RESET), 0);
    harness.complete_one(&mut driver);
    assert_eq!(harness.sent.take(), [message(2)]);
}

#[test]
fn drv_pci_08_only_one_means_a_queue_reset() {
    let (harness, _) = Harness::new(2);
    let [mut driver, _] = live(&harness);
    for value in [0, 2, 3, 0x101, 0xffff] {
        harness.set(reg::QUEUE_RESET, value);
        assert_eq!((harness.get(reg::QUEUE_RESET), harness.get(reg::QUEUE_ENABLE)), (0, 1), "{value:#x}");
    }
    // Its halves, one after the other: a register is whole when each of its bytes has been written.
    let common = harness.address(COMMON_CFG);
    harness.write(common + 0x3b, &[1]);
    assert_eq!(harness.get(reg::QUEUE_ENABLE), 1);
    harness.complete_one(&mut driver);
    harness.set(reg::QUEUE_SELECT, 0);
    harness.write(common + 0x3a, &[1]);
    assert_eq!(harness.get(reg::QUEUE_ENABLE), 0);
}

#[test]
fn a_function_with_a_queue_that_is_reset_goes_on_elsewhere() {
    let (harness, _) = Harness::new(2);
    let [mut driver, _] = live(&harness);
    harness.complete_one(&mut driver);
    harness.set(reg::QUEUE_SELECT, 0);
    harness.set(reg::QUEUE_RESET, 1);
    harness.function.host().pause(std::time::Duration::from_millis(5)).unwrap();
    let state = harness.function.save().unwrap();
    let (target, _) = Harness::new(2);
    target.function.reset();
    target.function.restore(&state).unwrap();
    assert_eq!(target.function.save().unwrap(), state);
    target.function.host().resume();
    let mut driver = target.enable_queue(0, 2);
    target.complete_one(&mut driver);
    assert_eq!(target.sent.take(), [message(2)]);
}
