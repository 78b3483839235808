//! Files that are cut short underneath the device.

use virtio_core::Features;

use crate::image::{Image, Way, rig};
use crate::ports::{Mmio, Pci};
use crate::rig::*;
use crate::talk::{live, segment};

/// Half of the file goes while requests that were checked against the whole of it are on their way.
fn a_file_that_is_cut_short<P: Split>() {
    for (way, direct) in
        [(Way::File, false), (Way::Uring, false), (Way::Narrow, false), (Way::File, true), (Way::Uring, true)]
    {
        for merge in [false, true] {
            let before = pattern(1 << 20, 5);
            let image = Image::on_disk(&before);
            let Some(disk) = way.open(&image, direct) else {
                continue;
            };
            let rig = rig::<P>(disk, |block| block.merge(merge));
            let mut talk = live(&rig, USUAL | Features::from_bits(1 << 13 | 1 << 14));
            image.file().set_len(512 << 10).expect("a shorter file");
            // Sector 1024 is the first that is gone. Neighbours on both sides of it, so that some merge over the end.
            let sectors: Vec<u64> = (1000..1048).step_by(8).collect();
            for sector in &sectors {
                talk.ask(&rig, IN, *sector, &[], 4096);
            }
            for sector in &sectors {
                talk.ask(&rig, OUT, 512 + sector, &pattern(4096, 1), 0);
                talk.ask(&rig, OUT, sector - 512, &pattern(4096, *sector as u8), 0);
            }
            for kind in [DISCARD, WRITE_ZEROES] {
                talk.ask(&rig, kind, 0, &segment(0, 16, 0), 0);
                talk.ask(&rig, kind, 0, &segment(2000, 16, 0), 0);
            }
            talk.ask(&rig, FLUSH, 0, &[], 0);
            let mut answers = talk.answers(&rig).into_iter();
            let what = format!("{way:?}, direct {direct}, merged {merge}");
            for sector in &sectors {
                let answer = answers.next().expect("an answer");
                assert_eq!(answer.status, if *sector < 1024 { OK } else { IOERR }, "{what}: {sector}");
                if *sector < 1024 {
                    assert!(answer.data == before[*sector as usize * 512..][..4096], "{what}: {sector}");
                }
            }
            for _ in &sectors {
                assert_eq!(answers.next().expect("an answer").status, IOERR, "{what}");
                assert_eq!(answers.next().expect("an answer").status, OK, "{what}");
            }
            let rest: Vec<_> = answers.map(|answer| answer.status).collect();
            assert_eq!(rest, [OK, IOERR, OK, IOERR, OK], "{what}");
            assert_eq!(rig.handle.counts().failed, 11, "{what}");
            let content = image.content();
            assert_eq!(content.len(), 512 << 10, "{what}: it does not grow");
            for sector in &sectors {
                let place = (*sector as usize - 512) * 512;
                assert!(content[place..place + 4096] == pattern(4096, *sector as u8), "{what}");
            }
            // It is as long as it was again.
            image.file().set_len(1 << 20).expect("a longer file");
            talk.works(&rig, 2000);
        }
    }
}

#[test]
fn a_file_that_is_cut_short_ends_there_over_mmio() {
    a_file_that_is_cut_short::<Mmio>();
}

#[test]
fn a_file_that_is_cut_short_ends_there_over_pci() {
    a_file_that_is_cut_short::<Pci>();
}
