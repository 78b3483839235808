//! Device type numbers (virtio 1.4, section 5).

use std::fmt;

/// The number that tells a driver what a device is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceType(pub u32);

macro_rules! types {
    ($($(#[$doc:meta])* $name:ident = $number:literal;)*) => {
        impl DeviceType {
            $($(#[$doc])* pub const $name: DeviceType = DeviceType($number);)*
            fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }
    };
}

types! {
    /// Network card.
    NET = 1;
    /// Block device.
    BLOCK = 2;
    /// Console.
    CONSOLE = 3;
    /// Entropy source.
    ENTROPY = 4;
    /// Traditional memory balloon.
    BALLOON = 5;
    /// SCSI host.
    SCSI = 8;
    /// 9P transport.
    P9 = 9;
    /// GPU.
    GPU = 16;
    /// Input device.
    INPUT = 18;
    /// Socket device.
    VSOCK = 19;
    /// Crypto device.
    CRYPTO = 20;
    /// IOMMU.
    IOMMU = 23;
    /// Memory device.
    MEM = 24;
    /// Sound device.
    SOUND = 25;
    /// File system device.
    FS = 26;
    /// Persistent memory.
    PMEM = 27;
}

impl fmt::Debug for DeviceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{name}({})", self.0),
            None => write!(f, "DeviceType({})", self.0),
        }
    }
}
