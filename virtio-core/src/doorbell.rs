//! Where a driver's doorbell writes arrive.

use crate::event::Event;

/// A place that a driver writes to when it has made buffers available, published by a transport.
///
/// For transports with registers; where the driver can be handed an event, that is
/// [`DeviceHost::doorbell`](crate::DeviceHost::doorbell).
///
/// A hypervisor that can turn a write into a signal (KVM's ioeventfd) registers it, so that a doorbell does not leave
/// the kernel. A transport takes plain writes to the same place too.
///
/// With NOTIFICATION_DATA (virtio 1.4, section 2.9) a doorbell carries, beside the queue's number, how much there is to
/// take, so its value is another one each time. Where the place alone says which queue is meant, as over PCI, that makes
/// no difference. Where the value has to be matched, as over MMIO, it cannot be any more: a transport publishes no such
/// sites when the feature is offered, whether the driver then negotiates it or not.
///
/// Send and Sync.
#[derive(Clone, Debug)]
pub struct DoorbellSite {
    /// The queue that it is for.
    pub queue: u16,
    /// Bytes from the start of the transport's window, or of the BAR that it is in.
    pub offset: u64,
    /// Bytes that are written at once; none where the driver chooses, between 2 and 4 over PCI.
    pub width: Option<u8>,
    /// The value that is written, where others written to the same place are for other queues.
    pub datamatch: Option<u32>,
    /// What to signal.
    pub event: Event,
}
