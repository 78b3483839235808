//! A loop that serves requests without a device: it answers reads with zeros.

use virtio_core::Virtqueue;
use virtio_core::testing::TestMemory;

use super::requests::{Alone, Front, Requests, Work, memory};
use crate::contest::{Run, Side};
use crate::queues::Layout;

/// The loop, with its driver.
pub(super) fn side(layout: Layout, work: Work) -> Side {
    let memory = TestMemory::over(&memory());
    let mut requests = Requests::new(Alone::new(&memory, layout), &memory, work, false);
    let mut queue = requests.driver.queue();
    // What a task's runner looks at before it runs the task.
    let doorbell = queue.setup().doorbell.clone();
    let ring = doorbell.clone();
    Box::new(move |batches| {
        let serve = |_| {
            doorbell.take();
            serve(&mut queue);
        };
        let times = requests.time(batches, || ring.signal(), serve);
        assert_eq!(queue.fault(), None);
        Run { times, round_trip: None }
    })
}

/// What is read.
const ZEROS: [u8; 4096] = [0; 4096];

/// One batch.
#[inline(never)]
fn serve(queue: &mut Virtqueue) {
    queue.grant(256);
    while let Some(chain) = queue.pop() {
        let header: [u8; 16] = chain.reader().read_array().expect("a header");
        std::hint::black_box(header);
        let writer = chain.writer();
        let len = writer.remaining();
        let (mut data, mut status) = writer.split_at(len - 1).expect("a status");
        data.write(&ZEROS[..data.remaining()]).expect("the data");
        status.write(&[0]).expect("a status");
        chain.complete(len as u32);
    }
    queue.publish();
    let _ = queue.arm();
}
