//! Which public types of the transports and of the block device may be sent to another thread, and which may be used from
//! several at once.

use std::marker::PhantomData;

use virtio_blk::backend::{SyncDisk, SyncQueue};
use virtio_blk::{
    Block, BlockBackend, BlockBuilder, BlockHandle, BlockQueue, BuildError, Completion, MemoryBackend, Operation,
};
use virtio_mmio::{EmptySlot, MmioTransport};
use virtio_pci::{Builder, MessageVector, SentVector, VirtioPci};

/// Whether a type has the traits: the constants of `Probe` itself are there only where it has, and hide those of `No`.
struct Probe<T: ?Sized>(PhantomData<T>);

trait No {
    const SEND: bool = false;
    const SYNC: bool = false;
}

impl<T: ?Sized> No for Probe<T> {}

impl<T: ?Sized + Send> Probe<T> {
    const SEND: bool = true;
}

impl<T: ?Sized + Sync> Probe<T> {
    const SYNC: bool = true;
}

macro_rules! are {
    ($send:literal, $sync:literal: $($type:ty),* $(,)?) => {$(
        assert_eq!(
            (Probe::<$type>::SEND, Probe::<$type>::SYNC), ($send, $sync),
            "{}: Send, Sync", stringify!($type)
        );
    )*};
}

#[test]
fn shared_by_any_threads() {
    are!(true, true: MmioTransport, EmptySlot, VirtioPci, SentVector<fn(u64, u32)>, dyn MessageVector);
    are!(true, true: Block, BlockBuilder, BlockHandle, BuildError, MemoryBackend, dyn BlockBackend, dyn SyncDisk);
    #[cfg(all(feature = "file", unix))]
    are!(true, true: virtio_blk::FileBackend);
}

#[test]
fn of_one_thread_at_a_time() {
    are!(true, false: Operation, Completion, SyncQueue<()>, dyn BlockQueue);
    are!(false, false: Builder);
}
