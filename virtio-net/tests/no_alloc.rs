//! Sending and receiving allocates nothing once the device has warmed up.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code)]
#[path = "device/frames.rs"]
mod frames;
#[allow(dead_code)]
#[path = "device/network.rs"]
mod network;
#[path = "device/on.rs"]
mod on;
#[allow(dead_code)]
#[path = "device/rig.rs"]
mod rig;
#[allow(dead_code)]
#[path = "device/sys.rs"]
mod sys;

use allocation_counter::measure;
use frames::{BROADCAST, OWN, plain};
use rig::*;
use virtio_core::Features;
use virtio_core::testing::{Buffer, RingDriver, TestMemory};
use virtio_mmio::testing::{Mmio, Packed};
use virtio_net::{Generator, Loopback, NetBackend, NetHeader, NullBackend, Offloads};
use virtio_pci::testing::Pci;

/// Frames of a round.
const FRAMES: usize = 8;

/// So many allocations happen in ten rounds, of frames of `len` bytes in buffers of `size`, after twenty others.
fn allocations_of<P: Port>(backend: impl NetBackend + 'static, features: Features, len: usize, size: usize) -> u64 {
    let mut rig = on::on::<P>(backend, |builder| builder.queue_size(64), TestMemory::new(32 << 20));
    let mut queues = rig.live(USUAL | features);
    let bytes = rig.with_header(&NetHeader::default(), &plain(BROADCAST, len));
    let from = rig.memory.place(&bytes);
    let to = rig.memory.alloc(64 * size as u64, 16);
    let (mut counted, mut received, mut sent) = (0, 0, 0);
    for round in 0..30 {
        let Queues { rx, tx, .. } = &mut queues;
        while rx[0].add(&[Buffer::writable(to, size as u32)]).is_some() {}
        for _ in 0..FRAMES {
            // One in one piece, one in two.
            tx[0].add(&[Buffer::readable(from, bytes.len() as u32)]).expect("room in the ring");
            let (first, second) = (Buffer::readable(from, 12), Buffer::readable(from + 12, bytes.len() as u32 - 12));
            tx[0].add(&[first, second]).expect("room in the ring");
        }
        // What makes no sense is no reason to allocate, either.
        tx[0].add(&[Buffer::readable(from, 7)]).expect("room in the ring");
        let served = measure(|| {
            rx[0].kick(|| rig.port.notify(0));
            tx[0].kick(|| rig.port.notify(1));
            rig.runtime.poll();
        });
        sent += std::iter::from_fn(|| tx[0].used()).count();
        received += std::iter::from_fn(|| rx[0].used()).count();
        if round >= 20 {
            counted += served.count_total;
        }
    }
    let counts = rig.handle.counts();
    assert_eq!((sent, counts.tx_bad_length), (30 * (2 * FRAMES + 1), 30));
    assert_eq!(counts.tx_frames, 60 * FRAMES as u64);
    assert_eq!(counts.rx_frames > 0, received > 0);
    assert!(rig.port.host().queue_counts(1).expect("a queue").interrupts > 0);
    counted
}

fn nothing_is_allocated<P: Port>() {
    for features in [Features::NONE, MRG_RXBUF] {
        assert_eq!(allocations_of::<P>(NullBackend::new(), features, 64, 2048), 0, "to nobody");
        assert_eq!(allocations_of::<P>(Generator::new(), features, 64, 2048), 0, "the same again and again");
        assert_eq!(allocations_of::<P>(Loopback::new(), features, 1000, 2048), 0, "what was sent");
    }
    assert_eq!(allocations_of::<P>(Loopback::new(), MRG_RXBUF, 3000, 1500), 0, "in several buffers");
    let long = Generator::of(&plain(OWN, 9000), NetHeader::default(), Offloads::NONE).expect("a frame");
    assert_eq!(allocations_of::<P>(long, MRG_RXBUF, 1514, 1500), 0, "long frames");
}

#[test]
fn frames_allocate_nothing_in_the_long_run() {
    nothing_is_allocated::<Mmio>();
    nothing_is_allocated::<Pci>();
    nothing_is_allocated::<Packed>();
    // The count counts.
    assert_eq!(measure(|| drop(std::hint::black_box(Box::new(1)))).count_total, 1);
}
