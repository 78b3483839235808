//! Where the driver announces available buffers.

use virtio_core::{DeviceHost, DoorbellSite};

use crate::layout::{NOTIFY_MULTIPLIER, Region};

/// The doorbell of each queue, by its offset in the BAR.
pub(crate) fn sites(host: &DeviceHost, notify: Region) -> Vec<DoorbellSite> {
    let site = |queue: u16| {
        let offset = u64::from(notify.offset) + u64::from(NOTIFY_MULTIPLIER) * u64::from(queue);
        // Any width and any value: the place says which queue it is.
        Some(DoorbellSite { queue, offset, width: None, datamatch: None, event: host.doorbell(queue)?.clone() })
    };
    (0..host.queue_count()).filter_map(site).collect()
}

/// A write at `within` the doorbells. DRV-PCI-17: the place alone counts; where there is no queue, it is nobody's. What is
/// written may be the queue's number, the value of NOTIF_CONFIG_DATA, and with NOTIFICATION_DATA how much there is to
/// take as well: a hint that nobody needs (DRV-PACKED-04).
#[inline]
pub(crate) fn ring(host: &DeviceHost, within: u64) {
    if let Ok(queue) = u16::try_from(within / u64::from(NOTIFY_MULTIPLIER)) {
        host.notify(queue);
    }
}
