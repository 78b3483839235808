//! A network that takes everything, or has always something.

use virtio_core::Virtqueue;
use virtio_net::features::MRG_RXBUF;
use virtio_net::{Generator, Net, NullBackend};

use super::frames::{Direction, Frames, HEADER, Traffic};
use crate::contest::{Run, Side};
use crate::live::{Alive, live, step};
use crate::queues::{Layout, SIZE};

/// Frames in a batch.
pub(super) const BATCH: u32 = 64;

/// Frames of the generator, each in one buffer.
fn traffic(direction: Direction) -> Traffic {
    let frame = Generator::new().frame().to_vec();
    Traffic { direction, batch: BATCH, header: [0; HEADER as usize], frame, room: 1536, first: u32::MAX }
}

/// A device.
pub(super) fn device(layout: Layout, direction: Direction) -> Side {
    let mut frames = Frames::new(layout, traffic(direction));
    let net = match direction {
        Direction::Receive => Net::builder(Generator::new()),
        Direction::Transmit => Net::builder(NullBackend::new()),
    };
    let net = net.queue_size(SIZE).build().expect("a device");
    let handle = net.handle();
    let (host, mut runners) = live(net, layout, MRG_RXBUF, frames.memory(), &[frames.enabled()]);
    let mut alive = Alive { runner: runners.remove(0), host };
    Box::new(move |batches| {
        let Alive { runner, host } = &mut alive;
        let times = frames.time(batches, || (), || host.notify(direction.queue()), |first| step(runner, first));
        assert_eq!(host.last_fault(), None);
        let counts = handle.counts();
        let count = if direction == Direction::Receive { counts.rx_frames } else { counts.tx_frames };
        assert!(count > 0, "frames have gone through");
        Run { times, round_trip: None }
    })
}

/// A loop that serves buffers without a device, with its driver.
pub(super) fn bare(layout: Layout, direction: Direction) -> Side {
    let mut frames = Frames::new(layout, traffic(direction));
    let mut queue = frames.queue();
    let frame = Generator::new().frame().to_vec();
    // What a task's runner looks at before it runs the task.
    let doorbell = queue.setup().doorbell.clone();
    let ring = doorbell.clone();
    Box::new(move |batches| {
        let serve = |_| {
            doorbell.take();
            match direction {
                Direction::Receive => receive(&mut queue, &frame),
                Direction::Transmit => transmit(&mut queue),
            }
        };
        let times = frames.time(batches, || (), || ring.signal(), serve);
        assert_eq!(queue.fault(), None);
        Run { times, round_trip: None }
    })
}

/// One batch that is sent.
#[inline(never)]
fn transmit(queue: &mut Virtqueue) {
    queue.grant(256);
    while let Some(chain) = queue.pop() {
        let header: [u8; HEADER as usize] = chain.reader().read_array().expect("a header");
        std::hint::black_box(header);
        chain.complete(0);
    }
    queue.publish();
    let _ = queue.arm();
}

/// One batch that is received.
#[inline(never)]
fn receive(queue: &mut Virtqueue, frame: &[u8]) {
    let mut header = [0; HEADER as usize];
    // It is in one buffer.
    header[10] = 1;
    queue.grant(256);
    while let Some(chain) = queue.pop() {
        let mut writer = chain.writer();
        writer.write(&header).expect("room for a header");
        writer.write(std::hint::black_box(frame)).expect("room for a frame");
        chain.complete(HEADER + frame.len() as u32);
    }
    queue.publish();
    let _ = queue.arm();
}
