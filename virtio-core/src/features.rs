//! Feature bits: a set of up to 128 of them, with the names of the common range (virtio 1.4, section 6).

use std::fmt;
use std::ops::{BitAnd, BitAndAssign, BitOr, BitOrAssign, Not, Sub};

/// A set of feature bits.
///
/// Virtio counts features in 32-bit words; bits 0 to 23 and 50 to 127 belong to the device type, the rest is common to
/// all devices. Network devices reach bit 70, so 64 bits are not enough.
///
/// ```
/// use virtio_core::Features;
/// let offered = Features::VERSION_1 | Features::EVENT_IDX | Features::bit(9);
/// assert!(offered.contains(Features::EVENT_IDX));
/// assert_eq!(offered.word(0), 1 << 29 | 1 << 9);
/// assert_eq!(format!("{offered:?}"), "{bit 9, EVENT_IDX, VERSION_1}");
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Features(u128);

macro_rules! common {
    ($($(#[$doc:meta])* $name:ident = $bit:literal;)*) => {
        impl Features {
            $($(#[$doc])* pub const $name: Features = Features(1 << $bit);)*
        }

        fn common_name(bit: u32) -> Option<&'static str> {
            match bit {
                $($bit => Some(stringify!($name)),)*
                _ => None,
            }
        }
    };
}

common! {
    /// Bit 24, legacy only: an interrupt when the available ring runs empty, even if suppressed.
    NOTIFY_ON_EMPTY = 24;
    /// Bit 27, legacy only: any framing of messages.
    ANY_LAYOUT = 27;
    /// Bit 28: descriptors may point at tables of descriptors.
    INDIRECT_DESC = 28;
    /// Bit 29: event indexes say when a notification is wanted.
    EVENT_IDX = 29;
    /// Bit 32: the device follows the modern interface.
    VERSION_1 = 32;
    /// Bit 33: addresses are translated or restricted by the platform.
    ACCESS_PLATFORM = 33;
    /// Bit 34: the packed layout of virtqueues.
    RING_PACKED = 34;
    /// Bit 35: buffers are used in the order in which they were made available.
    IN_ORDER = 35;
    /// Bit 36: memory accesses are ordered as the platform orders them.
    ORDER_PLATFORM = 36;
    /// Bit 37: the PCI function has the SR-IOV capability.
    SR_IOV = 37;
    /// Bit 38: doorbells carry more data than the queue's index.
    NOTIFICATION_DATA = 38;
    /// Bit 39: doorbells carry a value chosen by the device.
    NOTIF_CONFIG_DATA = 39;
    /// Bit 40: a queue can be reset on its own.
    RING_RESET = 40;
    /// Bit 41: the device has administration virtqueues.
    ADMIN_VQ = 41;
    /// Bit 43: the device can be suspended.
    SUSPEND = 43;
}

impl Features {
    /// The empty set.
    pub const NONE: Features = Features(0);

    /// The set of one bit; bits from 128 up give the empty set.
    pub const fn bit(bit: u32) -> Features {
        if bit < 128 { Features(1 << bit) } else { Features(0) }
    }

    /// The set with these bits.
    pub const fn from_bits(bits: u128) -> Features {
        Features(bits)
    }

    /// All bits as a number.
    pub const fn bits(self) -> u128 {
        self.0
    }

    /// The 32-bit word that a driver sees under selector `word`; words past the end read zero.
    pub const fn word(self, word: u32) -> u32 {
        if word < 4 { (self.0 >> (32 * word)) as u32 } else { 0 }
    }

    /// This set with word `word` replaced; words past the end are ignored.
    #[must_use]
    pub const fn with_word(self, word: u32, value: u32) -> Features {
        if word < 4 {
            let shift = 32 * word;
            Features(self.0 & !(0xffff_ffff << shift) | (value as u128) << shift)
        } else {
            self
        }
    }

    /// Whether every bit of `other` is in this set.
    pub const fn contains(self, other: Features) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether this set and `other` share a bit.
    pub const fn intersects(self, other: Features) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether no bit is set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The bits' numbers, ascending.
    pub fn iter(self) -> impl Iterator<Item = u32> {
        (0..128).filter(move |bit| self.0 >> bit & 1 == 1)
    }

    /// The names of the bits, ascending: those of the common range, what `device` names, `bit N` for the rest.
    pub fn names(self, device: impl Fn(u32) -> Option<&'static str>) -> Vec<String> {
        self.iter()
            .map(|bit| match common_name(bit).or_else(|| device(bit)) {
                Some(name) => name.to_owned(),
                None => format!("bit {bit}"),
            })
            .collect()
    }
}

impl fmt::Debug for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{}}}", self.names(|_| None).join(", "))
    }
}

impl BitOr for Features {
    type Output = Features;
    fn bitor(self, other: Features) -> Features {
        Features(self.0 | other.0)
    }
}

impl BitOrAssign for Features {
    fn bitor_assign(&mut self, other: Features) {
        self.0 |= other.0;
    }
}

impl BitAnd for Features {
    type Output = Features;
    fn bitand(self, other: Features) -> Features {
        Features(self.0 & other.0)
    }
}

impl BitAndAssign for Features {
    fn bitand_assign(&mut self, other: Features) {
        self.0 &= other.0;
    }
}

/// The difference of two sets.
impl Sub for Features {
    type Output = Features;
    fn sub(self, other: Features) -> Features {
        Features(self.0 & !other.0)
    }
}

impl Not for Features {
    type Output = Features;
    fn not(self) -> Features {
        Features(!self.0)
    }
}
