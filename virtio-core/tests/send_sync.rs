//! Which public types may be sent to another thread, and which may be used from several at once.

use std::marker::PhantomData;

use virtio_core::device::{ActivateError, Activation, DeviceState};
use virtio_core::host::{HostState, QueueConfig, QueueRegisters, QueueState};
use virtio_core::memory::{DirtyLog, DiscardInhibitor, MemoryBarrier, RawIoSlice, RawRegion};
use virtio_core::ring::{FaultSink, QueueCounters, Recorder, WrongQueue};
use virtio_core::task::Ready;
use virtio_core::*;

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
    are!(true, true: ConfigSpace, DeviceHost, DiscardInhibitor, DoorbellSite, Event, GuestRam, InlineRuntime, LogLimit,
        MemoryBarrier, QueueCounters, QueueSetup, Activation, ActivateError, Source, Sources, TaskContext);
    are!(true, true: dyn DirtyLog, dyn FaultSink, dyn Interrupt, dyn InterruptLine, dyn Recorder,
        dyn Runtime, dyn TransportHooks);
    #[cfg(all(feature = "eventfd", target_os = "linux"))]
    are!(true, true: LoopRuntime, SharedRuntime, ThreadRuntime);
}

#[test]
fn of_one_thread_at_a_time() {
    are!(true, false: GuestBuffers, HostBuilder, MemoryView, TaskRunner, Virtqueue, Chain<'_>);
    are!(true, false: dyn QueueTask, dyn VirtioDevice);
}

#[test]
fn of_the_thread_that_made_them() {
    are!(false, false: Reader<'_>, Writer<'_>, RawRegion);
}

#[test]
fn plain_data() {
    are!(true, true: Buffer, ChainFault, DeviceState, DeviceType, Features, HostState, MemoryError, Next,
        QueueConfig, QueuePosition, QueueRegisters, QueueState, Quiesce, RawIoSlice, Ready, RingFault, Ticket, WrongQueue);
}
