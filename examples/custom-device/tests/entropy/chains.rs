//! What comes back for a chain.

use std::io::ErrorKind;

use virtio_core::Features;
use virtio_core::testing::{Buffer, RingDriver};

use crate::front::Front;
use crate::rig::{Rig, start_with};
use crate::source::{Script, bytes};

everywhere! {
    a_driver_finds_an_entropy_device,
    ring_frame_01_room_is_filled_however_it_is_cut,
    ring_split_07_a_short_source_is_told_by_the_length,
    ring_split_02_what_is_not_room_is_left_alone,
    chains_without_room_come_back_empty,
    basic_notf_03_doorbells_are_asked_for_whatever_was_negotiated,
    drv_cleanup_02_buffers_that_are_no_memory_come_back_empty,
    drv_ring_08_a_broken_ring_needs_a_reset_that_mends_it,
}

fn a_driver_finds_an_entropy_device<F: Front, D: RingDriver>() {
    let mut rig = Rig::<F, D>::new(&Script::endless());
    assert_eq!(rig.front.device_type(), 4);
    assert_eq!(rig.front.host().queue_count(), 1);
    assert_eq!(rig.front.host().offered().word(0) & 0xff_ffff, 0, "no feature bits of its own");
    let mut config = [1; 8];
    rig.front.host().read_config(0, &mut config);
    assert_eq!(config, [0; 8]);
    assert!(!rig.front.interrupted());
    let room = rig.room(16);
    assert_eq!(rig.answer(&[room]), Some(16));
    assert!(rig.front.interrupted());
}

// spec: RING-SPLIT-09
fn ring_frame_01_room_is_filled_however_it_is_cut<F: Front, D: RingDriver>() {
    let source = Script::endless();
    let mut rig = Rig::<F, D>::new(&source);
    for cuts in [&[48][..], &[1, 47], &[47, 1], &[16, 16, 16], &[1; 48], &[4095, 2, 4097, 1]] {
        let from = source.given();
        let chain: Vec<_> = cuts.iter().map(|len| rig.room(*len)).collect();
        let len: u32 = cuts.iter().sum();
        assert_eq!(rig.answer(&chain), Some(len), "{cuts:?}");
        let got: Vec<u8> = chain.iter().flat_map(|buffer| rig.bytes(buffer)).collect();
        assert_eq!(got, bytes(from, len as usize), "{cuts:?}");
        rig.driver.add_indirect(&chain).expect("room in the ring");
        rig.kick();
        assert_eq!(rig.used(), Some(len), "{cuts:?}");
    }
}

// spec: RING-SPLIT-09
fn ring_split_07_a_short_source_is_told_by_the_length<F: Front, D: RingDriver>() {
    for says in [None, Some(ErrorKind::WouldBlock), Some(ErrorKind::Other)] {
        for left in [1, 99, 4096, 5000] {
            let mut rig = Rig::<F, D>::new(&Script::of(left, says));
            let chain = [rig.room(100), rig.room(9900)];
            assert_eq!(rig.answer(&chain), Some(left as u32));
            let got = [rig.bytes(&chain[0]), rig.bytes(&chain[1])].concat();
            assert_eq!((&got[..left], &got[left..]), (&bytes(0, left)[..], &vec![0; 10_000 - left][..]));
        }
    }
}

// spec: RING-PACKED-05
fn ring_split_02_what_is_not_room_is_left_alone<F: Front, D: RingDriver>() {
    let mut rig = Rig::<F, D>::new(&Script::endless());
    let before = rig.memory.place(b"not for the device to write");
    let room = rig.room(32);
    assert_eq!(rig.answer(&[Buffer::readable(before, 27), room]), Some(32));
    assert_eq!(rig.memory.bytes(before, 27), b"not for the device to write");
    assert_eq!(rig.bytes(&room), bytes(0, 32));
}

// spec: RING-INORDER-01 RING-INORDER-02
fn basic_notf_03_doorbells_are_asked_for_whatever_was_negotiated<F: Front, D: RingDriver>() {
    let (events, in_order) = (Features::EVENT_IDX, Features::IN_ORDER);
    for features in [Features::NONE, events, in_order, events | in_order] {
        let mut rig = Rig::<F, D>::new(&Script::endless());
        rig.front.set_status(0);
        rig.driver = start_with(&rig.front, &rig.memory, features);
        rig.runtime.poll();
        for _ in 0..200 {
            let chain = [rig.room(3), rig.room(5)];
            assert_eq!((rig.answer(&chain), rig.used()), (Some(8), None), "{features:?}");
            rig.ring();
            assert_eq!(rig.used(), None, "a doorbell too many is harmless");
        }
    }
}

fn chains_without_room_come_back_empty<F: Front, D: RingDriver>() {
    let source = Script::endless();
    let mut rig = Rig::<F, D>::new(&source);
    let text = rig.memory.place(b"readable");
    assert_eq!(rig.answer(&[Buffer::readable(text, 8)]), Some(0));
    assert_eq!(rig.answer(&[Buffer::readable(text, 4), Buffer::readable(text, 8)]), Some(0));
    assert_eq!(rig.answer(&[Buffer::writable(text, 0)]), Some(0));
    assert_eq!((rig.memory.bytes(text, 8), source.given()), (b"readable".to_vec(), 0));
    let counts = rig.front.host().queue_counts(0).expect("the queue");
    assert_eq!((counts.request_faults, counts.chain_faults, counts.dropped), (3, 1, 0));
    assert!(!rig.is_broken());
}

// spec: DRV-RING-03
fn drv_cleanup_02_buffers_that_are_no_memory_come_back_empty<F: Front, D: RingDriver>() {
    let source = Script::endless();
    let mut rig = Rig::<F, D>::new(&source);
    let (good, nowhere) = (rig.room(16), Buffer::writable(1 << 40, 16));
    let end = Buffer::writable((32 << 20) - 8, 16);
    let backwards = [good, Buffer::readable(good.address, 8)];
    for chain in [&[nowhere][..], &[good, nowhere], &[nowhere, good], &[end], &backwards] {
        assert_eq!(rig.answer(chain), Some(0));
    }
    assert_eq!(source.given(), 0, "no random bytes are lost on them");
    assert_eq!(rig.answer(&[good]), Some(16));
    assert!(!rig.is_broken());
}

// spec: BASIC-STATUS-03 BASIC-RESET-01
fn drv_ring_08_a_broken_ring_needs_a_reset_that_mends_it<F: Front, D: RingDriver>() {
    let mut rig = Rig::<F, D>::new(&Script::endless());
    rig.driver.break_ring();
    rig.ring();
    assert!(rig.is_broken());
    rig.front.set_status(0);
    assert_eq!(rig.front.status(), 0);
    rig.driver = crate::rig::start(&rig.front, &rig.memory);
    let room = rig.room(8);
    assert_eq!(rig.answer(&[room]), Some(8));
}
