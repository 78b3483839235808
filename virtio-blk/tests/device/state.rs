//! Saving a device and taking it over elsewhere.

use std::time::Duration;

use virtio_blk::{Block, MemoryBackend};
use virtio_core::device::StateError;
use virtio_core::host::HostState;

use crate::rig::*;
use virtio_core::testing::RingDriver;

each_transport! {
    a_device_goes_on_elsewhere,
    states_that_do_not_fit_are_refused,
}

fn block(disk: &MemoryBackend) -> Block {
    Block::builder(disk.clone()).serial("moving").build().expect("a device")
}

/// A device in mid-life, paused: with write-through chosen by its driver.
fn saved<P: Port>() -> (Rig<P>, P::Driver, HostState, MemoryBackend) {
    let disk = MemoryBackend::new(pattern(4096, 9));
    let rig = Rig::<P>::new(block(&disk));
    let mut driver = rig.live(USUAL | CONFIG_WCE);
    rig.port.write_config(32, &[0]);
    assert_eq!(rig.read(&mut driver, 0, 512).status, OK);
    rig.port.host().pause(Duration::from_secs(1)).expect("paused");
    let state = rig.port.host().save().expect("a state");
    (rig, driver, state, disk)
}

fn a_device_goes_on_elsewhere<P: Port>() {
    let (old, mut driver, state, disk) = saved::<P>();
    // There, the storage has grown already.
    disk.set_len(8192);
    let new = Rig::<P>::with(block(&disk), old.memory.clone(), |host| host);
    drop(old.port);
    new.port.host().restore(&state).expect("restored");
    assert_eq!((new.config_capacity(), new.config_writeback()), (8, 0));
    assert!(!new.handle.writeback());
    let pending = new.add(&mut driver, IN, 7, &[], 512);
    driver.show();
    new.port.host().resume();
    new.runtime.poll();
    assert_eq!(new.answer(&pending, driver.used().expect("an answer")).status, OK);
    assert!(!new.config_interrupted());
    new.handle.refresh().expect("a size");
    assert_eq!((new.config_capacity(), new.config_interrupted()), (16, true));
}

fn states_that_do_not_fit_are_refused<P: Port>() {
    let (old, _driver, state, disk) = saved::<P>();
    let refused = |block: Block, change: &dyn Fn(&mut HostState)| {
        let mut state = state.clone();
        change(&mut state);
        let rig = Rig::<P>::with(block, old.memory.clone(), |host| host);
        let error = rig.port.host().restore(&state).expect_err("a state that does not fit");
        assert_eq!(rig.port.status(), 0);
        error
    };
    let small = MemoryBackend::zeroed(2048);
    assert!(matches!(refused(block(&small), &|_| {}), StateError::Mismatch { .. }));
    let other = || Block::builder(disk.clone()).serial("other").build().expect("a device");
    assert!(matches!(refused(other(), &|_| {}), StateError::Mismatch { .. }));
    let limits = || Block::builder(disk.clone()).serial("moving").seg_max(3).build().expect("a device");
    assert!(matches!(refused(limits(), &|_| {}), StateError::Mismatch { .. }));
    let version = |state: &mut HostState| state.device.version = 2;
    assert!(matches!(refused(block(&disk), &version), StateError::Version { version: 2 }));
    let short = |state: &mut HostState| state.device.data.truncate(10);
    assert!(matches!(refused(block(&disk), &short), StateError::Corrupt { .. }));
    let mode = |state: &mut HostState| state.device.data[32] = 2;
    assert!(matches!(refused(block(&disk), &mode), StateError::Corrupt { .. }));
    let capacity = |state: &mut HostState| state.device.data[7] = 0xff;
    assert!(matches!(refused(block(&disk), &capacity), StateError::Mismatch { .. }));
    let choice = |state: &mut HostState| state.accepted &= !CONFIG_WCE.bits();
    assert!(matches!(refused(block(&disk), &choice), StateError::Corrupt { .. }));
}
