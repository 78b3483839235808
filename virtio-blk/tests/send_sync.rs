//! Which public types of the transports and of the block device may be sent to another thread, and which may be used from
//! several at once.

use virtio_blk::backend::{SyncDisk, SyncQueue};
use virtio_blk::{
    Block, BlockBackend, BlockBuilder, BlockHandle, BlockQueue, BuildError, Completion, MemoryBackend, Operation,
};
use virtio_core::assert_send_sync;
use virtio_mmio::{EmptySlot, MmioTransport};
use virtio_pci::{Builder, MessageVector, SentVector, VirtioPci};

#[test]
fn shared_by_any_threads() {
    assert_send_sync!(true, true: MmioTransport, EmptySlot, VirtioPci, SentVector<fn(u64, u32)>, dyn MessageVector);
    assert_send_sync!(true, true: Block, BlockBuilder, BlockHandle, BuildError, MemoryBackend, dyn BlockBackend, dyn SyncDisk,
        virtio_blk::ZonedBackend, virtio_blk::RateLimit, virtio_blk::Stopped, virtio_blk::NullBackend);
    #[cfg(all(feature = "file", unix))]
    assert_send_sync!(true, true: virtio_blk::FileBackend, virtio_blk::FileOptions, virtio_blk::OpenError);
    assert_send_sync!(true, true: virtio_blk::backend::HostZonesError, virtio_blk::backend::ZoneFault);
    #[cfg(all(feature = "nbd", unix))]
    assert_send_sync!(true, true: virtio_blk::NbdBackend, virtio_blk::backend::nbd::NbdBuilder, virtio_blk::backend::nbd::NbdError);
    #[cfg(all(feature = "uring", target_os = "linux"))]
    assert_send_sync!(true, true: virtio_blk::UringBackend, virtio_blk::UringBuilder);
    #[cfg(all(feature = "imago", unix))]
    assert_send_sync!(true, true: virtio_blk::ImageBackend, virtio_blk::ImageOptions, virtio_blk::ImageError);
}

#[test]
fn of_one_thread_at_a_time() {
    assert_send_sync!(true, false: Operation, Completion, SyncQueue<()>, dyn BlockQueue);
    assert_send_sync!(false, false: Builder);
}
