//! Offsets of the registers (virtio 1.4, section 4.2.2).

pub(crate) const MAGIC: u64 = 0x000;
pub(crate) const VERSION: u64 = 0x004;
pub(crate) const DEVICE_ID: u64 = 0x008;
pub(crate) const VENDOR_ID: u64 = 0x00c;
pub(crate) const DEVICE_FEATURES: u64 = 0x010;
pub(crate) const DEVICE_FEATURES_SEL: u64 = 0x014;
pub(crate) const DRIVER_FEATURES: u64 = 0x020;
pub(crate) const DRIVER_FEATURES_SEL: u64 = 0x024;
pub(crate) const QUEUE_SEL: u64 = 0x030;
pub(crate) const QUEUE_SIZE_MAX: u64 = 0x034;
pub(crate) const QUEUE_SIZE: u64 = 0x038;
pub(crate) const QUEUE_READY: u64 = 0x044;
pub(crate) const QUEUE_NOTIFY: u64 = 0x050;
pub(crate) const INTERRUPT_STATUS: u64 = 0x060;
pub(crate) const INTERRUPT_ACK: u64 = 0x064;
pub(crate) const STATUS: u64 = 0x070;
pub(crate) const QUEUE_DESC_LOW: u64 = 0x080;
pub(crate) const QUEUE_DESC_HIGH: u64 = 0x084;
pub(crate) const QUEUE_DRIVER_LOW: u64 = 0x090;
pub(crate) const QUEUE_DRIVER_HIGH: u64 = 0x094;
pub(crate) const QUEUE_DEVICE_LOW: u64 = 0x0a0;
pub(crate) const QUEUE_DEVICE_HIGH: u64 = 0x0a4;
pub(crate) const SHM_SEL: u64 = 0x0ac;
pub(crate) const SHM_LEN_LOW: u64 = 0x0b0;
pub(crate) const SHM_LEN_HIGH: u64 = 0x0b4;
pub(crate) const SHM_BASE_LOW: u64 = 0x0b8;
pub(crate) const SHM_BASE_HIGH: u64 = 0x0bc;
pub(crate) const QUEUE_RESET: u64 = 0x0c0;
pub(crate) const CONFIG_GENERATION: u64 = 0x0fc;
pub(crate) const CONFIG: u64 = 0x100;

/// "virt", little-endian.
pub(crate) const MAGIC_VALUE: u32 = 0x7472_6976;
/// The version of the modern register interface.
pub(crate) const VERSION_VALUE: u32 = 2;

/// InterruptStatus: buffers were used.
pub(crate) const USED_BUFFER: u32 = 1;
/// InterruptStatus: the configuration, or the need for a reset, has changed.
pub(crate) const CONFIG_CHANGE: u32 = 2;
