//! Rings that are full.

use crate::image::{Image, Way, rig};
use crate::ports::{Mmio, Pci};
use crate::rig::*;
use crate::talk::Talk;

/// Two hundred requests at once, where the ring has room for two.
fn a_full_ring<P: Split>() {
    for direct in [false, true] {
        let before = pattern(4 << 20, 9);
        let image = Image::on_disk(&before);
        let Some(disk) = Way::Narrow.open(&image, direct) else {
            continue;
        };
        let rig = rig::<P>(disk, |block| block.queue_size(1024).merge(false));
        let mut talk = Talk::new(rig.live(USUAL), 0);
        for n in 0..100u64 {
            talk.ask(&rig, IN, n * 16, &[], 4096);
            talk.ask(&rig, OUT, 4096 + n * 16, &pattern(4096, n as u8), 0);
        }
        talk.ask(&rig, FLUSH, 0, &[], 0);
        assert_eq!(talk.flying(), 201);
        let answers = talk.answers(&rig);
        assert!(answers.iter().all(|answer| answer.status == OK));
        let content = image.content();
        for n in 0..100usize {
            assert!(answers[2 * n].data == before[n * 16 * 512..][..4096]);
            assert!(content[(4096 + n * 16) * 512..][..4096] == pattern(4096, n as u8));
        }
        talk.works(&rig, 0);
    }
}

#[test]
fn a_full_ring_loses_nothing_over_mmio() {
    a_full_ring::<Mmio>();
}

#[test]
fn a_full_ring_loses_nothing_over_pci() {
    a_full_ring::<Pci>();
}
