//! Queues that are reset by themselves while requests are with the backend.

use std::sync::Arc;
use std::time::Duration;

use virtio_blk::{Block, OnError};
use virtio_core::testing::RingDriver;
use virtio_core::{DeviceHost, Features};

use crate::held::Held;
use crate::rig::*;

each_transport! {
    basic_vqreset_01_a_queue_reset_cancels_what_is_in_flight,
    basic_vqreset_03_a_queue_is_enabled_again_at_another_depth,
    pci_common_13_a_backend_that_does_not_let_go_holds_the_queue_reset,
    a_queue_that_is_reset_is_served_elsewhere,
    a_device_goes_on_after_a_stop_however_often_its_queue_was_reset,
}

const RESETTABLE: Features = Features::from_bits(USUAL.bits() | Features::RING_RESET.bits());

fn live<P: Port>() -> (Rig<P>, Held, P::Driver) {
    let held = Held::new(512 * 64);
    let rig = Rig::<P>::new(Block::builder(held.clone()).build().expect("a device"));
    assert!(rig.negotiate(RESETTABLE));
    let driver = rig.enable(0, 16, RESETTABLE);
    rig.go();
    (rig, held, driver)
}

fn submit<P: Port>(rig: &Rig<P>, driver: &mut P::Driver, count: u64) -> Vec<Pending> {
    let pending = (0..count).map(|sector| rig.add(driver, IN, sector % 64, &[], 512)).collect();
    rig.kick(driver);
    pending
}

fn answers<P: Port>(rig: &Rig<P>, driver: &mut P::Driver, pending: &[Pending]) -> bool {
    let read = |(sector, pending): (usize, &Pending)| {
        let answer = rig.answer(pending, driver.used().expect("an answer"));
        answer.status == OK && answer.data == pattern(512 * 64, 0)[512 * (sector % 64)..][..512]
    };
    pending.iter().enumerate().all(read)
}

fn basic_vqreset_01_a_queue_reset_cancels_what_is_in_flight<P: Port>() {
    let (rig, held, mut driver) = live::<P>();
    let pending = submit(&rig, &mut driver, 3);
    assert_eq!(held.in_flight(), 3);
    rig.port.reset_queue(0);
    assert!(!rig.port.is_resetting(0) && !rig.port.is_enabled(0));
    assert_eq!((held.in_flight(), held.cancelled()), (0, 1));
    let before: Vec<_> = pending.iter().map(|pending| rig.memory.bytes(pending.data, 513)).collect();
    submit(&rig, &mut driver, 1);
    rig.ring();
    assert_eq!(held.in_flight(), 0);
    let after: Vec<_> = pending.iter().map(|pending| rig.memory.bytes(pending.data, 513)).collect();
    assert_eq!(before, after);
    let mut driver = rig.enable(0, 16, RESETTABLE);
    let pending = submit(&rig, &mut driver, 5);
    held.finish_all();
    rig.runtime.poll();
    assert!(answers(&rig, &mut driver, &pending));
    assert!(!rig.is_broken());
}

fn basic_vqreset_03_a_queue_is_enabled_again_at_another_depth<P: Port>() {
    let (rig, held, _) = live::<P>();
    for (size, count) in [(256, 85), (4, 1), (64, 21)] {
        rig.port.reset_queue(0);
        let mut driver = rig.enable(0, size, RESETTABLE);
        let pending = submit(&rig, &mut driver, count);
        assert_eq!((held.in_flight() as u64, held.queues()), (count, 1), "all that fits is in flight at once");
        held.finish_all();
        rig.runtime.poll();
        assert!(answers(&rig, &mut driver, &pending));
    }
}

fn pci_common_13_a_backend_that_does_not_let_go_holds_the_queue_reset<P: Port>() {
    let (rig, held, mut driver) = live::<P>();
    held.refuse_cancel(true);
    let pending = submit(&rig, &mut driver, 2);
    rig.port.reset_queue(0);
    assert!(rig.port.is_resetting(0));
    held.finish(0);
    assert!(rig.port.is_resetting(0), "one is left");
    held.finish(0);
    rig.runtime.poll();
    assert!(!rig.port.is_resetting(0) && !rig.port.is_enabled(0));
    assert!(answers(&rig, &mut driver, &pending), "they ended before the reset did");
}

fn a_queue_that_is_reset_is_served_elsewhere<P: Port>() {
    let (rig, _, _) = live::<P>();
    rig.port.reset_queue(0);
    rig.port.host().pause(Duration::from_secs(1)).expect("paused");
    let state = rig.port.host().save().expect("it is paused");
    let held = Held::new(512 * 64);
    let host = DeviceHost::builder(
        Block::builder(held.clone()).build().expect("a device"),
        rig.memory.ram().clone(),
        Arc::new(rig.runtime.clone()),
    );
    let rig = Rig { port: P::connect(host), ..rig };
    rig.port.host().restore(&state).expect("a good state");
    rig.port.host().resume();
    rig.runtime.poll();
    let mut driver = rig.enable(0, 256, RESETTABLE);
    let pending = submit(&rig, &mut driver, 85);
    assert_eq!(held.in_flight(), 85);
    held.finish_all();
    rig.runtime.poll();
    assert!(answers(&rig, &mut driver, &pending));
}

fn a_device_goes_on_after_a_stop_however_often_its_queue_was_reset<P: Port>() {
    let held = Held::new(512 * 64);
    let block = Block::builder(held.clone()).on_read_error(OnError::Stop).build().expect("a device");
    let rig = Rig::<P>::new(block);
    assert!(rig.negotiate(RESETTABLE));
    let mut driver = rig.enable(0, 16, RESETTABLE);
    rig.go();
    for _ in 0..20 {
        rig.port.reset_queue(0);
        driver = rig.enable(0, 16, RESETTABLE);
        rig.runtime.poll();
    }
    let pending = submit(&rig, &mut driver, 1);
    held.fail(0, std::io::ErrorKind::Other);
    rig.runtime.poll();
    assert!(rig.handle.stopped().is_some() && driver.used().is_none());
    let rung = rig.port.host().queue_counts(0).expect("a queue").doorbells;
    assert!(rig.handle.resume());
    rig.runtime.poll();
    assert_eq!(rig.port.host().queue_counts(0).expect("a queue").doorbells, rung + 1, "the task is woken once");
    held.finish_all();
    rig.runtime.poll();
    assert!(answers(&rig, &mut driver, &pending));
}
