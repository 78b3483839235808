//! The device status field (virtio 1.4, section 2.1).

/// The driver has found the device.
pub const ACKNOWLEDGE: u8 = 1;
/// The driver knows how to drive it.
pub const DRIVER: u8 = 2;
/// The driver is ready: the device is live.
pub const DRIVER_OK: u8 = 4;
/// The driver's choice of features was accepted.
pub const FEATURES_OK: u8 = 8;
/// The device cannot go on without a reset.
pub const NEEDS_RESET: u8 = 64;
/// The driver has given up, or the device cannot even be reset.
pub const FAILED: u8 = 128;

/// What a driver can set by itself.
pub(super) const PLAIN: u8 = ACKNOWLEDGE | DRIVER | FAILED;
