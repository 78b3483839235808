//! When writes are on stable storage.

use virtio_blk::{Block, OperationKind};
use virtio_core::Features;

use crate::held::Held;
use crate::rig::*;
use virtio_core::testing::RingDriver;

each_transport! {
    blk_stable_01_stable_writes_are_durable,
    blk_stable_01_completion_waits_for_the_backend,
    blk_stable_02_without_flush_offered_writes_are_durable_too,
    a_failed_flush_is_reported,
}

const DURABLE: OperationKind = OperationKind::Write { durable: true };
const CACHED: OperationKind = OperationKind::Write { durable: false };

/// The kinds of operation that a write becomes, for a driver that has negotiated `features` and then written `mode`.
fn write_kind<P: Port>(features: Features, mode: Option<u8>) -> Vec<OperationKind> {
    let held = Held::new(4096);
    let rig = Rig::<P>::new(Block::builder(held.clone()).build().expect("a device"));
    let driver = &mut rig.live(features);
    if let Some(mode) = mode {
        rig.port.write_config(32, &[mode]);
    }
    rig.add(driver, OUT, 0, &[1; 512], 0);
    rig.kick(driver);
    held.take_log().into_iter().map(|(kind, _, _)| kind).collect()
}

fn blk_stable_01_stable_writes_are_durable<P: Port>() {
    let plain = USUAL - FLUSH_FEATURE;
    // Neither feature was taken: each write is stable.
    assert_eq!(write_kind::<P>(plain, None), [DURABLE]);
    assert_eq!(write_kind::<P>(plain, Some(1)), [DURABLE], "a mode that the driver may not choose");
    // CONFIG_WCE and writeback 0.
    assert_eq!(write_kind::<P>(plain | CONFIG_WCE, None), [DURABLE]);
    assert_eq!(write_kind::<P>(USUAL | CONFIG_WCE, Some(0)), [DURABLE]);
    // The driver flushes.
    assert_eq!(write_kind::<P>(USUAL, None), [CACHED]);
    assert_eq!(write_kind::<P>(USUAL | CONFIG_WCE, None), [CACHED]);
    assert_eq!(write_kind::<P>(plain | CONFIG_WCE, Some(1)), [CACHED]);
}

fn blk_stable_01_completion_waits_for_the_backend<P: Port>() {
    let held = Held::new(4096);
    let rig = Rig::<P>::new(Block::builder(held.clone()).build().expect("a device"));
    let driver = &mut rig.live(USUAL - FLUSH_FEATURE);
    let write = rig.add(driver, OUT, 0, &[1; 512], 0);
    let flush = rig.add(driver, FLUSH, 0, &[], 0);
    rig.kick(driver);
    assert_eq!(held.take_log(), [(DURABLE, 0, 512), (OperationKind::Flush, 0, 0)]);
    assert_eq!(driver.used(), None);
    held.finish(0);
    rig.runtime.poll();
    let answer = rig.answer(&write, driver.used().expect("the write"));
    assert_eq!(answer.status, OK);
    assert_eq!(driver.used(), None);
    assert_eq!(rig.memory.bytes(flush.status, 1), [UNTOUCHED]);
    held.finish(0);
    rig.runtime.poll();
    assert_eq!(rig.answer(&flush, driver.used().expect("the flush")).status, OK);
}

fn blk_stable_02_without_flush_offered_writes_are_durable_too<P: Port>() {
    let held = Held::new(4096);
    let block = Block::builder(held.clone()).build().expect("a device");
    let memory = virtio_core::testing::TestMemory::new(1 << 20);
    let rig = Rig::<P>::with(block, memory, |host| host.without(FLUSH_FEATURE | CONFIG_WCE));
    let driver = &mut rig.live(USUAL - FLUSH_FEATURE);
    rig.add(driver, OUT, 0, &[1; 512], 0);
    rig.kick(driver);
    assert_eq!(held.take_log(), [(DURABLE, 0, 512)]);
}

fn a_failed_flush_is_reported<P: Port>() {
    let held = Held::new(4096);
    let rig = Rig::<P>::new(Block::builder(held.clone()).build().expect("a device"));
    let driver = &mut rig.live(USUAL);
    let flush = rig.add(driver, FLUSH, 0, &[], 0);
    rig.kick(driver);
    held.fail(0, std::io::ErrorKind::StorageFull);
    rig.runtime.poll();
    assert_eq!(rig.answer(&flush, driver.used().expect("the flush")).status, IOERR);
    assert_eq!(rig.handle.counts().failed, 1);
}
