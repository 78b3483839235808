//! How much of its life the storage has behind it.

use virtio_blk::Block;
use virtio_blk::backend::Lifetime;

use crate::held::Held;
use crate::rig::*;

each_transport! {
    blk_life_01_lifetime_is_told,
    blk_life_02_storage_that_does_not_know_is_not_asked,
    blk_life_03_values_without_meaning_are_not_told,
    the_answer_is_as_long_as_it_is,
    storage_that_fails_to_say_is_an_error,
}

fn live<P: Port>(values: [u16; 3]) -> (Rig<P>, P::Driver) {
    let held = Held::new(4096);
    let [pre_eol_info, type_a, type_b] = values;
    held.set_lifetime(Lifetime { pre_eol_info, type_a, type_b });
    let rig = Rig::<P>::new(Block::builder(held).build().expect("a device"));
    assert!(rig.offered().contains(LIFETIME));
    let driver = rig.live(USUAL | LIFETIME);
    (rig, driver)
}

fn told<P: Port>(values: [u16; 3]) -> Vec<u8> {
    let (rig, mut driver) = live::<P>(values);
    let answer = rig.request(&mut driver, GET_LIFETIME, 0, &[], 6);
    assert_eq!((answer.status, answer.len), (OK, 7));
    assert_eq!(rig.handle.counts().lifetimes, 1);
    answer.data
}

fn blk_life_01_lifetime_is_told<P: Port>() {
    assert_eq!(told::<P>([1, 2, 3]), [1, 0, 2, 0, 3, 0]);
    assert_eq!(told::<P>([3, 11, 11]), [3, 0, 11, 0, 11, 0]);
}

fn blk_life_02_storage_that_does_not_know_is_not_asked<P: Port>() {
    let rig = Rig::<P>::new(Block::builder(Held::new(4096)).build().expect("a device"));
    assert!(!rig.offered().contains(LIFETIME));
    let mut driver = rig.live(USUAL);
    assert_eq!(rig.request(&mut driver, GET_LIFETIME, 0, &[], 6).status, UNSUPP);
}

fn blk_life_03_values_without_meaning_are_not_told<P: Port>() {
    assert_eq!(told::<P>([4, 12, u16::MAX]), [0; 6]);
}

fn the_answer_is_as_long_as_it_is<P: Port>() {
    let (rig, mut driver) = live::<P>([1, 2, 3]);
    for (room, len) in [(0, 1), (5, 0)] {
        let answer = rig.request(&mut driver, GET_LIFETIME, 0, &[], room);
        assert_eq!((answer.status, answer.len), (IOERR, len));
        assert_eq!(answer.data, vec![UNTOUCHED; room]);
    }
    let answer = rig.request(&mut driver, GET_LIFETIME, 0, &[], 10);
    assert_eq!((answer.status, answer.len), (OK, 6), "the status is not right behind");
    assert_eq!(answer.data, [1, 0, 2, 0, 3, 0, UNTOUCHED, UNTOUCHED, UNTOUCHED, UNTOUCHED]);
    let answer = rig.request(&mut driver, GET_LIFETIME, 0, &[0; 4], 6);
    assert_eq!((answer.status, answer.len), (IOERR, 0), "data to read");
}

fn storage_that_fails_to_say_is_an_error<P: Port>() {
    let held = Held::new(4096);
    held.set_lifetime(Lifetime { pre_eol_info: 1, type_a: 2, type_b: 3 });
    let rig = Rig::<P>::new(Block::builder(held.clone()).build().expect("a device"));
    let mut driver = rig.live(USUAL | LIFETIME);
    held.fail_lifetime();
    let answer = rig.request(&mut driver, GET_LIFETIME, 0, &[], 6);
    assert_eq!((answer.status, answer.len, answer.data), (IOERR, 0, vec![UNTOUCHED; 6]));
    let counts = rig.handle.counts();
    assert_eq!((counts.lifetimes, counts.failed), (0, 1));
}
