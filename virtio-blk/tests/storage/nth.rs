//! The n-th operation fails, for each n there is.

use std::io::ErrorKind;
use std::sync::{Arc, Mutex};

use virtio_blk::OperationKind;
use virtio_core::Features;

use crate::faulty::{Fate, Faulty, Seen};
use crate::image;
use crate::ports::{Mmio, Pci};
use crate::rig::*;
use crate::talk::{live, segment};

const SECTORS: u64 = 128;
const ALL: Features = Features::from_bits(1 << 13 | 1 << 14);

struct Request {
    kind: u32,
    sector: u64,
    payload: Vec<u8>,
    room: usize,
}

impl Request {
    /// Whether an operation that is not merged with others belongs to this request.
    fn has(&self, seen: &Seen) -> bool {
        let at = seen.offset / 512;
        match (self.kind, seen.kind) {
            (IN, OperationKind::Read) | (OUT, OperationKind::Write { .. }) => at == self.sector,
            (FLUSH, OperationKind::Flush) => true,
            (DISCARD, OperationKind::Discard) | (WRITE_ZEROES, OperationKind::WriteZeroes { .. }) => {
                self.payload.chunks(16).any(|segment| segment[..8] == at.to_le_bytes())
            }
            _ => false,
        }
    }
}

/// Reads and writes that can be merged, some that cannot, and one of each other kind.
fn requests() -> Vec<Request> {
    let request = |kind, sector, payload: &[u8], room| Request { kind, sector, payload: payload.to_vec(), room };
    let mut all = Vec::new();
    all.extend((0..5).map(|sector| request(IN, sector, &[], 512)));
    all.extend((16..21).map(|sector| request(OUT, sector, &pattern(512, sector as u8), 0)));
    all.push(request(FLUSH, 0, &[], 0));
    all.push(request(IN, 9, &[], 512));
    all.push(request(OUT, 30, &pattern(512, 99), 0));
    all.push(request(DISCARD, 0, &[segment(40, 2, 0), segment(48, 3, 0)].concat(), 0));
    all.push(request(WRITE_ZEROES, 0, &[segment(56, 2, 0), segment(64, 1, 1), segment(72, 3, 0)].concat(), 0));
    all
}

/// What came of a run in which the operation with this number has this fate: how many operations there were.
fn run<P: Split>(merge: bool, failing: Option<(u64, Fate)>) -> u64 {
    let before = pattern(512 * SECTORS as usize, 3);
    let hit: Arc<Mutex<Option<Seen>>> = Arc::default();
    let sink = Arc::clone(&hit);
    let judge = move |seen: &Seen| match failing {
        Some((number, fate)) if number == seen.number => {
            *sink.lock().unwrap() = Some(*seen);
            // A flush has nothing that could be short.
            if seen.len == 0 { Fate::Error(ErrorKind::Other) } else { fate }
        }
        _ => Fate::Well,
    };
    let seed = failing.map_or(0, |(number, _)| number);
    let disk = Faulty::new(before.clone(), merge, seed, judge);
    let rig = image::rig::<P>(disk.clone(), |block| block);
    let mut talk = live(&rig, USUAL | ALL);
    let requests = requests();
    for Request { kind, sector, payload, room } in &requests {
        talk.ask(&rig, *kind, *sector, payload, *room);
    }
    let answers = talk.answers(&rig);
    let operations = disk.submitted();

    let hit = hit.lock().unwrap().take();
    assert_eq!(hit.is_some(), failing.is_some_and(|(number, _)| number < operations));
    // Those that were merged are told apart by doing them again.
    let merged = |seen: &Seen| matches!(seen.kind, OperationKind::Read | OperationKind::Write { .. }) && seen.len > 512;
    let content = disk.content();
    let mut failed = 0;
    for (request, answer) in requests.iter().zip(&answers) {
        let fails = hit.is_some_and(|seen| !merged(&seen) && request.has(&seen));
        failed += u64::from(fails);
        assert_eq!(answer.status, if fails { IOERR } else { OK }, "{failing:?} {hit:?}");
        let place = request.sector as usize * 512;
        match request.kind {
            IN if fails => assert_eq!(answer.len, 0),
            IN => assert_eq!((answer.len, &answer.data[..]), (513, &before[place..place + 512])),
            OUT if !fails => assert_eq!(content[place..place + 512], request.payload),
            DISCARD | WRITE_ZEROES if !fails => {
                for segment in request.payload.chunks(16) {
                    let (at, len) = (usize::from(segment[0]) * 512, usize::from(segment[8]) * 512);
                    assert!(content[at..at + len].iter().all(|byte| *byte == 0));
                }
            }
            _ => {}
        }
    }
    assert!(failed <= 1);
    assert_eq!(rig.handle.counts().failed, failed);
    talk.works(&rig, 100);
    operations
}

fn each<P: Split>() {
    for merge in [false, true] {
        let operations = run::<P>(merge, None);
        assert_eq!(operations, if merge { 10 } else { 18 });
        for number in 0..operations {
            for fate in [Fate::Error(ErrorKind::Other), Fate::Short(0), Fate::Short(100), Fate::Torn(300)] {
                run::<P>(merge, Some((number, fate)));
            }
        }
    }
}

#[test]
fn the_nth_operation_fails_its_request_alone_over_mmio() {
    each::<Mmio>();
}

#[test]
fn the_nth_operation_fails_its_request_alone_over_pci() {
    each::<Pci>();
}
