//! Our device, with its driver.

use std::sync::Arc;

use virtio_blk::features::{FLUSH, MQ};
use virtio_blk::{Block, BlockBackend, BlockBuilder, NullBackend, UringBackend};
use virtio_core::DeviceHost;
use virtio_core::task::TaskRunner;
use virtio_core::testing::TestMemory;
use vm_memory::GuestMemoryMmap;

use super::FILE;
use super::calls::{Calls, Counted};
use super::file::Image;
use super::requests::{Alone, Front, Requests, Work, memory};
use crate::contest::{Run, Side};
use crate::live::{Alive, Enabled, step};
use crate::queues::{Layout, SIZE};

/// What is behind the device.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Disk {
    File,
    Uring,
}

/// How the device is made.
#[derive(Clone, Copy)]
pub(super) struct Options {
    pub(super) disk: Disk,
    /// Past the page cache.
    pub(super) direct: bool,
    pub(super) merge: bool,
}

impl Options {
    pub(super) fn new() -> Options {
        Options { disk: Disk::Uring, direct: false, merge: true }
    }
}

/// A device without a file.
pub(super) fn null(layout: Layout, work: Work) -> Side {
    let memory = TestMemory::over(&memory());
    let requests = Requests::new(Alone::new(&memory, layout), &memory, work, false);
    driven(Block::builder(NullBackend::new(FILE)), layout, &memory, requests)
}

/// A device on a file.
pub(super) fn on(options: Options, work: Work, file: &Image, memory: &GuestMemoryMmap<()>) -> Side {
    let memory = TestMemory::over(memory);
    let requests = Requests::split(&memory, work);
    driven(builder(options, file), Layout::Split, &memory, requests)
}

/// The same, with memory of its own, and what its storage is called for.
pub(super) fn counted(options: Options, work: Work, file: &Image) -> (Side, Arc<Calls>) {
    let memory = TestMemory::over(&memory());
    let requests = Requests::split(&memory, work);
    let calls = Arc::default();
    let block = Block::builder(Counted { backend: storage(options, file), calls: Arc::clone(&calls) });
    (driven(block.merge(options.merge), Layout::Split, &memory, requests), calls)
}

/// A device on a file, to be built.
pub(super) fn builder(options: Options, file: &Image) -> BlockBuilder {
    Block::builder(storage(options, file)).merge(options.merge)
}

fn storage(options: Options, file: &Image) -> Arc<dyn BlockBackend> {
    let backend = file.backend(options.direct);
    match options.disk {
        Disk::Uring => Arc::new(UringBackend::new(backend)),
        Disk::File => Arc::new(backend),
    }
}

fn driven<D: Front + 'static>(
    block: BlockBuilder,
    layout: Layout,
    memory: &TestMemory,
    mut requests: Requests<D>,
) -> Side {
    let (host, mut runners) = live(block, layout, memory, std::slice::from_ref(&requests));
    let mut alone = Alive { runner: runners.remove(0), host };
    Box::new(move |batches| {
        let Alive { runner, host } = &mut alone;
        let times = requests.time(batches, || host.notify(0), |first| step(runner, first));
        assert_eq!(host.last_fault(), None);
        Run { times, round_trip: None }
    })
}

/// A live device with a queue for each driver, and the tasks that serve them.
pub(super) fn live<D: Front>(
    block: BlockBuilder,
    layout: Layout,
    memory: &TestMemory,
    drivers: &[Requests<D>],
) -> (DeviceHost, Vec<TaskRunner>) {
    let block = block.queues(drivers.len() as u16).queue_size(SIZE).build().expect("a device");
    let own = if drivers.len() > 1 { FLUSH | MQ } else { FLUSH };
    let queues: Vec<_> =
        (0..).zip(drivers).map(|(index, requests)| Enabled { index, areas: requests.driver.areas() }).collect();
    let (host, runners) = crate::live::live(block, layout, own, memory, &queues);
    assert_eq!(runners.len(), usize::from(host.queue_count()));
    (host, runners)
}
