//! Saving and restoring.

use std::sync::Arc;
use std::time::Duration;

use virtio_core::device::StateError;
use virtio_core::host::status::DRIVER_OK;
use virtio_core::{DeviceHost, Features, InlineRuntime};
use virtio_pci::PciState;

use crate::harness::*;
use virtio_core::testing::RingDriver;

/// A function like that of `Harness::new`, in the other machine: with the memory's contents, and BARs not placed.
fn target(source: &Harness) -> Harness {
    let (device, _) = virtio_core::testing::TestDevice::new(1);
    let (memory, runtime) = (source.memory.clone(), InlineRuntime::new());
    let host = DeviceHost::builder(device, memory.ram().clone(), Arc::new(runtime.clone()));
    Harness::hosting(host, memory, runtime, with_msix)
}

#[test]
fn pci_msix_06_everything_that_the_driver_can_see_survives_a_move() {
    let (source, _) = Harness::new(1);
    source.enable_msix();
    let mut driver = source.go_live(0, 1);
    source.complete_one(&mut driver);
    source.set_entry(1, message(1), true);
    source.complete_one(&mut driver);
    source.set(reg::DEVICE_FEATURE_SELECT, 1);
    source.set_config(0x3c, 1, 0x2b);
    assert!(matches!(source.function.save(), Err(StateError::Busy)));
    source.function.host().pause(Duration::from_secs(1)).unwrap();
    let state = source.function.save().unwrap();
    let text = serde_json::to_string(&state).unwrap();
    let state: PciState = serde_json::from_str(&text).unwrap();
    assert_eq!(source.function.save().unwrap(), state);

    let target = target(&source);
    let changes = target.function.restore(&state).unwrap();
    assert_eq!(changes.iter().map(|change| change.to).collect::<Vec<_>>(), [Some(BAR0), Some(BAR2)]);
    assert_eq!(target.function.save().unwrap(), state);
    assert_eq!(target.config_bytes(), source.config_bytes());
    assert_eq!(target.pending_bits(), 2);
    target.function.host().resume();
    target.set_entry(1, message(1), false);
    assert_eq!(target.sent.take(), [message(1)], "what pended fires on the other side");
    target.complete_one(&mut driver);
    assert_eq!(target.sent.take(), [message(1)]);
}

#[test]
fn pci_isr_04_a_pending_status_asserts_the_pin_on_the_other_side() {
    let (source, _) = Harness::new(1);
    let mut driver = source.go_live(NO_VECTOR, NO_VECTOR);
    source.complete_one(&mut driver);
    source.function.host().pause(Duration::from_secs(1)).unwrap();
    let target = target(&source);
    target.function.restore(&source.function.save().unwrap()).unwrap();
    assert!(target.pin());
    assert_eq!(target.isr(), 1);
    assert!(!target.pin());
}

#[test]
fn pci_common_03_a_function_that_is_not_in_use_keeps_its_registers_too() {
    let (source, _) = Harness::new(1);
    source.enable_msix();
    source.set(reg::CONFIG_VECTOR, 1);
    source.set(reg::QUEUE_SELECT, 7);
    let state = source.function.save().unwrap();
    let target = target(&source);
    target.function.restore(&state).unwrap();
    assert_eq!(target.function.save().unwrap(), state);
    assert_eq!(target.get(reg::CONFIG_VECTOR), 1);
}

#[test]
fn drv_pci_15_a_state_that_cannot_be_is_refused_and_leaves_a_fresh_function() {
    let (source, _) = Harness::new(1);
    source.enable_msix();
    source.go_live(0, 1);
    source.function.host().pause(Duration::from_secs(1)).unwrap();
    let good = source.function.save().unwrap();
    let target = target(&source);
    let fresh = target.function.save().unwrap();
    type Damage = fn(&mut PciState);
    let damages: [(&str, Damage); 15] = [
        ("version", |state| state.version = 2),
        ("vendor", |state| state.config[0] ^= 1),
        ("type of a BAR", |state| state.config[0x10] ^= 4),
        ("size of a BAR", |state| state.config[0x11] |= 1),
        ("short configuration space", |state| state.config.truncate(255)),
        ("long configuration space", |state| state.config.push(0)),
        ("interrupt status", |state| state.isr = 4),
        ("short table", |state| state.msix.table.truncate(1)),
        ("long table", |state| state.msix.table.push(state.msix.table[0])),
        ("address of a message", |state| state.msix.table[1].address |= 2),
        ("vector of the configuration", |state| state.msix.config_vector = 2),
        ("vector of a queue", |state| state.msix.queue_vectors[0] = 0xfffe),
        ("number of queues", |state| state.msix.queue_vectors.push(0)),
        ("device type", |state| state.host.device_type = 1),
        ("features", |state| state.host.accepted |= 1 << 20),
    ];
    for (what, damage) in damages {
        let mut bad = good.clone();
        damage(&mut bad);
        assert!(target.function.restore(&bad).is_err(), "{what}");
        assert_eq!(target.function.save().unwrap(), fresh, "{what}");
    }
    target.function.restore(&good).unwrap();
    assert!(matches!(target.function.restore(&good), Err(StateError::Busy)), "it is in use now");
    assert_eq!(target.function.save().unwrap(), good);
}

#[test]
fn pci_common_09_a_restored_queue_needs_no_doorbell() {
    let (source, _) = Harness::new(1);
    source.negotiate(Features::NONE);
    let mut driver = source.enable_queue(0, NO_VECTOR);
    source.set_status(DRIVER_OK);
    source.runtime.poll();
    source.function.host().pause(Duration::from_secs(1)).unwrap();
    source.request(&mut driver);
    let target = target(&source);
    target.function.restore(&source.function.save().unwrap()).unwrap();
    assert_eq!(target.get(reg::QUEUE_ENABLE), 1);
    target.function.host().resume();
    target.runtime.poll();
    assert_eq!(driver.used().map(|used| used.len), Some(5));
}
