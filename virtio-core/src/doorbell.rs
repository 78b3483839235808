//! Where a driver's doorbell writes arrive.

use crate::event::Event;

/// A place that a driver writes to when it has made buffers available, published by a transport.
///
/// A hypervisor that can turn a write into a signal (KVM's ioeventfd) registers it, so that a doorbell does not leave
/// the kernel. A transport takes plain writes to the same place too.
#[derive(Clone, Debug)]
pub struct DoorbellSite {
    /// The queue that it is for.
    pub queue: u16,
    /// Bytes from the start of the transport's window, or of the BAR that it is in.
    pub offset: u64,
    /// Bytes that are written at once; 0 for any number.
    pub width: u8,
    /// The value that is written, where others written to the same place are for other queues.
    pub datamatch: Option<u32>,
    /// What to signal.
    pub event: Event,
}
