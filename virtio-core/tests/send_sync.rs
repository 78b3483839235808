//! Which public types may be sent to another thread, and which may be used from several at once.

use virtio_core::device::{ActivateError, Activation, DeviceState};
use virtio_core::host::{HostState, QueueConfig, QueueRegisters, QueueState};
use virtio_core::memory::{DirtyLog, DiscardInhibitor, MemoryBarrier, PinnedPages, RawIoSlice, RawRegion};
use virtio_core::ring::{FaultSink, QueueCounters, Recorder, WrongQueue};
use virtio_core::task::Ready;
use virtio_core::*;

#[test]
fn shared_by_any_threads() {
    assert_send_sync!(true, true: ConfigSpace, DeviceHost, DiscardInhibitor, DoorbellSite, Event, GuestRam, InlineRuntime, LogLimit,
        MemoryBarrier, PinnedPages, QueueCounters, QueueSetup, Activation, ActivateError, Source, Sources, TaskContext);
    assert_send_sync!(true, true: dyn DirtyLog, dyn FaultSink, dyn Interrupt, dyn InterruptLine, dyn Recorder,
        dyn Runtime, dyn TransportHooks);
    #[cfg(all(feature = "eventfd", target_os = "linux"))]
    assert_send_sync!(true, true: LoopRuntime, SharedRuntime, ThreadRuntime);
}

#[test]
fn of_one_thread_at_a_time() {
    assert_send_sync!(true, false: GuestBuffers, HostBuilder, MemoryView, TaskRunner, Virtqueue, Chain<'_>);
    assert_send_sync!(true, false: dyn QueueTask, dyn VirtioDevice);
}

#[test]
fn of_the_thread_that_made_them() {
    assert_send_sync!(false, false: Reader<'_>, Writer<'_>, RawRegion);
}

#[test]
fn plain_data() {
    assert_send_sync!(true, true: Buffer, ChainFault, DeviceState, DeviceType, Features, HostState, MemoryError, Next,
        QueueConfig, QueuePosition, QueueRegisters, QueueState, Quiesce, RawIoSlice, Ready, RingFault, Ticket, WrongQueue);
}
