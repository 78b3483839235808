//! Offsets of the registers in the window, by their names in virtio 1.4, section 4.2.2, for those who write drivers and
//! tests of them.

/// MagicValue.
pub const MAGIC: u64 = 0x000;
/// Version.
pub const VERSION: u64 = 0x004;
/// DeviceID.
pub const DEVICE_ID: u64 = 0x008;
/// VendorID.
pub const VENDOR_ID: u64 = 0x00c;
/// DeviceFeatures: the selected word.
pub const DEVICE_FEATURES: u64 = 0x010;
/// DeviceFeaturesSel.
pub const DEVICE_FEATURES_SEL: u64 = 0x014;
/// DriverFeatures: the selected word.
pub const DRIVER_FEATURES: u64 = 0x020;
/// DriverFeaturesSel.
pub const DRIVER_FEATURES_SEL: u64 = 0x024;
/// QueueSel: the queue that the other registers are about.
pub const QUEUE_SEL: u64 = 0x030;
/// QueueSizeMax.
pub const QUEUE_SIZE_MAX: u64 = 0x034;
/// QueueSize.
pub const QUEUE_SIZE: u64 = 0x038;
/// QueueReady.
pub const QUEUE_READY: u64 = 0x044;
/// QueueNotify: the doorbells.
pub const QUEUE_NOTIFY: u64 = 0x050;
/// InterruptStatus.
pub const INTERRUPT_STATUS: u64 = 0x060;
/// InterruptACK.
pub const INTERRUPT_ACK: u64 = 0x064;
/// Status.
pub const STATUS: u64 = 0x070;
/// QueueDescLow.
pub const QUEUE_DESC_LOW: u64 = 0x080;
/// QueueDescHigh.
pub const QUEUE_DESC_HIGH: u64 = 0x084;
/// QueueDriverLow.
pub const QUEUE_DRIVER_LOW: u64 = 0x090;
/// QueueDriverHigh.
pub const QUEUE_DRIVER_HIGH: u64 = 0x094;
/// QueueDeviceLow.
pub const QUEUE_DEVICE_LOW: u64 = 0x0a0;
/// QueueDeviceHigh.
pub const QUEUE_DEVICE_HIGH: u64 = 0x0a4;
/// SHMSel.
pub const SHM_SEL: u64 = 0x0ac;
/// SHMLenLow.
pub const SHM_LEN_LOW: u64 = 0x0b0;
/// SHMLenHigh.
pub const SHM_LEN_HIGH: u64 = 0x0b4;
/// SHMBaseLow.
pub const SHM_BASE_LOW: u64 = 0x0b8;
/// SHMBaseHigh.
pub const SHM_BASE_HIGH: u64 = 0x0bc;
/// QueueReset.
pub const QUEUE_RESET: u64 = 0x0c0;
/// ConfigGeneration.
pub const CONFIG_GENERATION: u64 = 0x0fc;
/// Config: the configuration space begins here.
pub const CONFIG: u64 = 0x100;

/// VendorID of a device that names none.
pub(crate) const NO_VENDOR: u32 = 0;

/// "virt", little-endian.
pub const MAGIC_VALUE: u32 = 0x7472_6976;
/// The version of the modern register interface.
pub const VERSION_VALUE: u32 = 2;

/// InterruptStatus: buffers were used.
pub const USED_BUFFER: u32 = 1;
/// InterruptStatus: the configuration, or the need for a reset, has changed.
pub const CONFIG_CHANGE: u32 = 2;
