//! A source that has nothing for a while, and what may happen meanwhile.

use std::io::ErrorKind;
use std::time::Duration;

use virtio_core::InlineRuntime;
use virtio_core::testing::RingDriver;

use crate::front::Front;
use crate::rig::{Rig, connect, start};
use crate::source::{Script, bytes};

everywhere! {
    a_chain_waits_for_a_source_that_has_nothing,
    pause_keeps_a_chain_that_waits,
    a_chain_that_waits_is_answered_elsewhere,
    basic_reset_02_a_chain_that_waits_is_forgotten,
}

const NOTHING: [Option<ErrorKind>; 3] = [None, Some(ErrorKind::WouldBlock), Some(ErrorKind::Other)];

/// A device with a chain of room for 32 bytes that it has nothing for.
fn waiting<F: Front, D: RingDriver>(source: &Script) -> (Rig<F, D>, virtio_core::Buffer) {
    let mut rig = Rig::<F, D>::new(source);
    let room = rig.room(32);
    assert_eq!(rig.answer(&[room]), None);
    (rig, room)
}

fn a_chain_waits_for_a_source_that_has_nothing<F: Front, D: RingDriver>() {
    for says in NOTHING {
        let source = Script::of(0, says);
        let (mut rig, room) = waiting::<F, D>(&source);
        assert!(rig.runtime.next_deadline().is_some(), "the source is asked again without a doorbell");
        assert!(!rig.is_broken());
        // What is behind it waits, too, and nothing is lost or turned round.
        let behind = rig.room(8);
        assert_eq!(rig.answer(&[behind]), None);
        source.state().left = 40;
        rig.ring();
        assert_eq!((rig.used(), rig.used(), rig.used()), (Some(32), Some(8), None));
        assert_eq!((rig.bytes(&room), rig.bytes(&behind)), (bytes(0, 32), bytes(32, 8)));
        assert!(rig.runtime.next_deadline().is_none());
        let counts = rig.front.host().queue_counts(0).expect("the queue");
        assert_eq!((counts.chains, counts.bytes, counts.dropped), (2, 40, 0));
    }
}

fn pause_keeps_a_chain_that_waits<F: Front, D: RingDriver>() {
    let source = Script::of(0, None);
    let (mut rig, room) = waiting::<F, D>(&source);
    rig.front.host().pause(Duration::from_secs(1)).expect("paused");
    source.state().left = 100;
    rig.ring();
    assert_eq!((rig.used(), source.given()), (None, 0));
    rig.front.host().resume();
    rig.runtime.poll();
    assert_eq!((rig.used(), rig.bytes(&room)), (Some(32), bytes(0, 32)));
}

fn a_chain_that_waits_is_answered_elsewhere<F: Front, D: RingDriver>() {
    let (mut old, room) = waiting::<F, D>(&Script::of(0, None));
    assert!(old.front.host().save().is_err(), "a live device has no state");
    old.front.host().pause(Duration::from_secs(1)).expect("paused");
    let state = old.front.host().save().expect("a state");
    let runtime = InlineRuntime::new();
    let new = connect::<F, D>(&Script::endless(), &old.memory, runtime.clone());
    drop(old.front);
    new.host().restore(&state).expect("restored");
    new.host().resume();
    runtime.poll();
    assert_eq!(old.driver.used().map(|used| used.len), Some(32));
    assert_eq!(old.memory.bytes(room.address, 32), bytes(0, 32));
}

fn basic_reset_02_a_chain_that_waits_is_forgotten<F: Front, D: RingDriver>() {
    let source = Script::of(0, None);
    let (mut rig, room) = waiting::<F, D>(&source);
    rig.front.set_status(0);
    assert_eq!(rig.front.status(), 0);
    source.state().left = usize::MAX;
    rig.ring();
    assert_eq!((rig.used(), source.given(), rig.bytes(&room)), (None, 0, vec![0; 32]));
    rig.driver = start(&rig.front, &rig.memory);
    let room = rig.room(4);
    assert_eq!(rig.answer(&[room]), Some(4));
}
