//! Numbers that stand in rings (virtio 1.4, sections 2.7 and 2.8), for those who write or check rings themselves.

/// `VIRTQ_DESC_F_NEXT`: another descriptor follows.
pub const NEXT: u16 = 1;
/// `VIRTQ_DESC_F_WRITE`: for the device to write; in a used descriptor of a packed ring: it has written.
pub const WRITE: u16 = 2;
/// `VIRTQ_DESC_F_INDIRECT`: points at a table.
pub const INDIRECT: u16 = 4;
/// `VIRTQ_DESC_F_AVAIL`, in the packed layout only: available, if it is as the wrap counter and [`USED`] is not.
pub const AVAIL: u16 = 1 << 7;
/// `VIRTQ_DESC_F_USED`, in the packed layout only: used, if it is as the wrap counter and [`AVAIL`] is, too.
pub const USED: u16 = 1 << 15;

/// `VIRTQ_AVAIL_F_NO_INTERRUPT`, in the flags of an available ring.
pub const NO_INTERRUPT: u16 = 1;
/// `VIRTQ_USED_F_NO_NOTIFY`, in the flags of a used ring.
pub const NO_NOTIFY: u16 = 1;
