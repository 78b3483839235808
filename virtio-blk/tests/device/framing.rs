//! Requests cut into descriptors at any place are the same requests.

use proptest::prelude::*;
use virtio_blk::{Block, MemoryBackend};
use virtio_core::testing::{Buffer, RingDriver, TestMemory};

use crate::rig::*;

each_transport! {
    ring_frame_01_cuts_change_nothing,
    ring_frame_01_every_request_cut_to_bytes,
}

/// One request, as two streams of bytes.
#[derive(Clone, Debug)]
struct Request {
    readable: Vec<u8>,
    /// Bytes for the device to write, with the status.
    writable: usize,
}

/// How to cut a stream into buffers, and in which way to offer them.
#[derive(Clone, Debug)]
struct Cut {
    /// Lengths of the pieces, taken in turns.
    pieces: Vec<usize>,
    indirect: bool,
    /// Bytes between pieces, so that neighbours do not lie side by side.
    gap: u64,
}

fn request() -> impl Strategy<Value = Request> {
    let kinds = prop_oneof![
        4 => Just(IN), 4 => Just(OUT), 1 => Just(FLUSH), 2 => Just(GET_ID), 1 => Just(11u32), 1 => any::<u32>()
    ];
    // Mostly whole sectors in the right direction; also anything else.
    let data = prop_oneof![4 => (0usize..4).prop_map(|n| 512 * n), 1 => 0usize..700];
    (kinds, 0u64..20, data, 0u8..10, any::<u8>()).prop_map(|(kind, sector, data, odd, seed)| {
        let mut readable = header(kind, sector).to_vec();
        let (payload, answer) = match kind {
            IN => (0, data),
            OUT => (data, 0),
            GET_ID => (0, if odd < 5 { 20 } else { data % 64 }),
            _ => (0, 0),
        };
        readable.extend(pattern(payload, seed));
        match odd {
            0 => readable.truncate(9),
            1 => readable.push(1),
            _ => {}
        }
        Request { readable, writable: answer + 1 + usize::from(odd == 2) }
    })
}

fn cut() -> impl Strategy<Value = Cut> {
    let pieces = prop_oneof![
        1 => Just(vec![1]),
        4 => prop::collection::vec(1usize..40, 1..6),
        4 => prop::collection::vec(1usize..600, 1..6),
    ];
    (pieces, any::<bool>(), 0u64..3).prop_map(|(pieces, indirect, gap)| Cut { pieces, indirect, gap })
}

const WHOLE: Cut = Cut { pieces: Vec::new(), indirect: false, gap: 0 };

impl Cut {
    fn lengths(&self, total: usize) -> Vec<usize> {
        let mut turns = self.pieces.iter().copied().cycle();
        let mut left = total;
        let mut lengths = Vec::new();
        while left > 0 {
            let len = turns.next().unwrap_or(left).min(left);
            lengths.push(len);
            left -= len;
        }
        lengths
    }
}

/// Runs `requests` on a fresh disk: status, answers and used lengths, then the disk's content.
fn run<P: Port>(requests: &[(Request, Cut)]) -> (Vec<(u32, Vec<u8>)>, Vec<u8>) {
    let disk = MemoryBackend::new(pattern(16 * 512, 42));
    let block = Block::builder(disk.clone()).serial("cut").queue_size(4096).build().expect("a device");
    let rig = Rig::<P>::with(block, TestMemory::new(4 << 20), |host| host);
    let driver = &mut rig.live(USUAL);
    let mut answers = Vec::new();
    for (request, cut) in requests {
        let mut chain = Vec::new();
        let mut rest = &request.readable[..];
        for len in cut.lengths(rest.len()) {
            let (now, later) = rest.split_at(len);
            let address = rig.memory.alloc(len as u64 + cut.gap, 1);
            rig.memory.write(address, now);
            chain.push(Buffer::readable(address, len as u32));
            rest = later;
        }
        for len in cut.lengths(request.writable) {
            let address = rig.memory.alloc(len as u64 + cut.gap, 1);
            rig.memory.write(address, &vec![UNTOUCHED; len + cut.gap as usize]);
            chain.push(Buffer::writable(address, len as u32));
        }
        let added = if cut.indirect { driver.add_indirect(&chain) } else { driver.add(&chain) };
        added.expect("room in the ring");
        rig.kick(driver);
        let used = driver.used().expect("an answer");
        let mut answer = Vec::new();
        for buffer in chain.iter().filter(|buffer| buffer.writable) {
            answer.extend(rig.memory.bytes(buffer.address, buffer.len as usize));
            let gap = rig.memory.bytes(buffer.address + u64::from(buffer.len), cut.gap as usize);
            assert!(gap.iter().all(|byte| *byte == UNTOUCHED), "the device wrote next to a buffer");
        }
        answers.push((used.len, answer));
    }
    assert!(!rig.is_broken());
    (answers, disk.content())
}

fn ring_frame_01_cuts_change_nothing<P: Port>() {
    let requests = prop::collection::vec((request(), cut()), 1..8);
    proptest!(ProptestConfig::with_cases(48), |(requests in requests)| {
        let whole: Vec<_> = requests.iter().map(|(request, _)| (request.clone(), WHOLE)).collect();
        let (plain, disk) = run::<P>(&whole);
        let (answers, cut_disk) = run::<P>(&requests);
        prop_assert_eq!(plain, answers);
        prop_assert_eq!(disk, cut_disk);
    });
}

fn ring_frame_01_every_request_cut_to_bytes<P: Port>() {
    let request =
        |kind, payload: &[u8], writable| Request { readable: [&header(kind, 3)[..], payload].concat(), writable };
    let bytes = || Cut { pieces: vec![1], indirect: false, gap: 1 };
    let requests = [
        request(IN, &[], 1025),
        request(OUT, &[0xa5; 1024], 1),
        request(FLUSH, &[], 1),
        request(GET_ID, &[], 21),
        request(77, &[], 1),
    ];
    let cut: Vec<_> = requests.iter().map(|request| (request.clone(), bytes())).collect();
    let whole: Vec<_> = requests.iter().map(|request| (request.clone(), WHOLE)).collect();
    let (answers, disk) = run::<P>(&cut);
    assert_eq!((answers.clone(), disk.clone()), run::<P>(&whole));
    let status: Vec<_> = answers.iter().map(|(len, bytes)| (*len, bytes[bytes.len() - 1])).collect();
    assert_eq!(status, [(1025, OK), (1, OK), (1, OK), (21, OK), (1, UNSUPP)]);
    assert_eq!(disk[3 * 512..5 * 512], [0xa5; 1024]);
}
