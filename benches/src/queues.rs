//! The rings that are measured: where they are, and the devices' sides of them.

use virtio_core::{Event, Features, GuestRam, QueueSetup, Virtqueue};
use virtio_queue::{Queue, QueueT};

/// Descriptors in the ring.
pub const SIZE: u16 = 256;
/// Chains in a batch.
pub const BATCH: u16 = 32;

/// Where the descriptors are. All of the ring is below 64 KiB.
pub const DESCRIPTORS: u64 = 0x1000;
/// Where the driver area is.
pub const DRIVER_AREA: u64 = 0x3000;
/// Where the device area is.
pub const DEVICE_AREA: u64 = 0x4000;

/// How the ring is laid out.
#[derive(Clone, Copy, Debug)]
pub enum Layout {
    /// In three parts.
    Split,
    /// In one.
    Packed,
}

/// This project's queue, in a layout, with these features and what every case has.
pub fn queue(ram: &GuestRam, layout: Layout, features: Features) -> Virtqueue {
    let mut setup = QueueSetup::new(ram.clone(), Event::new().expect("an event"));
    setup.size = SIZE;
    (setup.descriptor_area, setup.driver_area, setup.device_area) = (DESCRIPTORS, DRIVER_AREA, DEVICE_AREA);
    let layout = match layout {
        Layout::Split => Features::NONE,
        Layout::Packed => Features::RING_PACKED,
    };
    setup.features = features | layout | Features::VERSION_1 | Features::INDIRECT_DESC;
    Virtqueue::new(setup).expect("a valid ring")
}

/// virtio-queue's queue, a split one.
pub fn peer() -> Queue {
    let mut queue = Queue::new(SIZE).expect("a valid size");
    queue.set_size(SIZE);
    queue.set_desc_table_address(Some(DESCRIPTORS as u32), None);
    queue.set_avail_ring_address(Some(DRIVER_AREA as u32), None);
    queue.set_used_ring_address(Some(DEVICE_AREA as u32), None);
    queue.set_ready(true);
    queue
}
