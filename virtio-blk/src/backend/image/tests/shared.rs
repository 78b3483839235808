//! Several queues on one image.

use std::thread;

use super::tools::{Folder, check, content, create, tools_missing};
use super::*;

const SIZE: usize = 16 << 20;
/// Smaller than a cluster, and of no fixed place in it: each cluster belongs to all queues.
const PIECE: u64 = 4096;
const QUEUES: u64 = 4;

/// One queue: its pieces, all over the disk, are written, discarded and zeroed in any order. Returns what should be in
/// them.
fn one(backend: ImageBackend, queue: u64, rounds: u32) -> Vec<(u64, Option<u8>)> {
    let mut rig = Rig::new(backend);
    let mut random = Random(queue + 100);
    let pieces = SIZE as u64 / PIECE / QUEUES;
    let mut last = vec![Some(0); pieces as usize];
    for _ in 0..rounds {
        let piece = random.below(pieces);
        let at = (piece * QUEUES + queue) * PIECE;
        let value = match random.below(16) {
            0 => {
                rig.range(OperationKind::Discard, at, PIECE).unwrap();
                // Whole clusters may be zero, this piece is not one.
                None
            }
            1 => {
                let unmap = random.below(2) == 0;
                rig.range(OperationKind::WriteZeroes { unmap, durable: false }, at, PIECE).unwrap();
                Some(0)
            }
            2 => {
                rig.flush();
                continue;
            }
            _ => {
                let value = random.below(256) as u8;
                rig.write(at, &[value; PIECE as usize]).unwrap();
                Some(value)
            }
        };
        last[piece as usize] = value;
        if let Some(value) = value {
            assert!(rig.read_all(at, PIECE as u32).iter().all(|byte| *byte == value), "queue {queue} at {at:#x}");
        }
    }
    (0..pieces).map(|piece| ((piece * QUEUES + queue) * PIECE, last[piece as usize])).collect()
}

#[test]
fn queues_share_clusters_without_harm() {
    if tools_missing() {
        return;
    }
    let folder = Folder::new();
    for options in [&["-f", "qcow2"][..], &["-f", "qcow2", "-o", "cluster_size=4096,refcount_bits=1"]] {
        let path = folder.path("a.qcow2");
        create(&path, options, "16M");
        let backend = ImageBackend::open(&path, ImageFormat::Qcow2).unwrap();
        let threads: Vec<_> = (0..QUEUES)
            .map(|queue| {
                let backend = backend.clone();
                thread::spawn(move || one(backend, queue, 2000))
            })
            .collect();
        let wanted: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        drop(backend);
        check(&path);
        let disk = content(&path, "qcow2");
        for (at, value) in wanted {
            let piece = &disk[at as usize..][..PIECE as usize];
            if let Some(value) = value {
                assert!(piece.iter().all(|byte| *byte == value), "{options:?}: {at:#x}");
            }
        }
    }
}
