//! Work on frames that one side leaves to the other.

use std::fmt;
use std::ops::{BitAnd, BitOr, Sub};

/// A set of offloads: of frames that a receiver takes with work left to do. What each means for a frame is in virtio 1.4,
/// sections 5.1.6.2 (sent by the driver) and 5.1.6.4 (received by it); by which [features](crate::features) a driver takes
/// part, in section 5.1.3.
///
/// Plain data: Send and Sync.
///
/// ```
/// use virtio_net::Offloads;
/// let some = Offloads::CSUM | Offloads::TSO4;
/// assert!(some.contains(Offloads::TSO4) && !some.contains(Offloads::TSO6));
/// assert_eq!(format!("{some:?}"), "{CSUM, TSO4}");
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Offloads(u16);

macro_rules! offloads {
    ($($(#[$doc:meta])* $name:ident = $bit:literal;)*) => {
        impl Offloads {
            $($(#[$doc])* pub const $name: Offloads = Offloads(1 << $bit);)*
            /// All of them.
            pub const ALL: Offloads = Offloads($(1 << $bit)|*);
            const NAMES: &'static [(Offloads, &'static str)] = &[$((Offloads::$name, stringify!($name)),)*];
        }
    };
}

offloads! {
    /// Checksums of TCP and UDP that are not complete.
    CSUM = 0;
    /// TCP over IPv4, to be cut into segments.
    TSO4 = 1;
    /// TCP over IPv6, to be cut into segments.
    TSO6 = 2;
    /// Such frames with congestion marks (CWR).
    ECN = 3;
    /// UDP, to be cut into fragments of IP.
    UFO = 4;
    /// UDP over IPv4, to be cut into datagrams.
    USO4 = 5;
    /// UDP over IPv6, to be cut into datagrams.
    USO6 = 6;
    /// What is to be cut is in a tunnel over UDP.
    UDP_TUNNEL_GSO = 7;
    /// The same, and the tunnel's own checksum is not complete.
    UDP_TUNNEL_GSO_CSUM = 8;
}

impl Offloads {
    /// None: whole frames with complete checksums.
    pub const NONE: Offloads = Offloads(0);

    #[cfg(test)]
    pub(crate) const fn from_bits(bits: u16) -> Offloads {
        Offloads(bits & Offloads::ALL.0)
    }

    /// Whether all of `other` are in this set.
    pub const fn contains(self, other: Offloads) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether this set and `other` share one.
    pub const fn intersects(self, other: Offloads) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// This set, with `other` if `condition` holds.
    #[must_use]
    pub fn with_if(self, condition: bool, other: Offloads) -> Offloads {
        if condition { self | other } else { self }
    }
}

impl BitOr for Offloads {
    type Output = Offloads;
    fn bitor(self, other: Offloads) -> Offloads {
        Offloads(self.0 | other.0)
    }
}

impl BitAnd for Offloads {
    type Output = Offloads;
    fn bitand(self, other: Offloads) -> Offloads {
        Offloads(self.0 & other.0)
    }
}

/// The difference of two sets.
impl Sub for Offloads {
    type Output = Offloads;
    fn sub(self, other: Offloads) -> Offloads {
        Offloads(self.0 & !other.0)
    }
}

impl fmt::Debug for Offloads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Offloads::NAMES.iter().filter(|(offload, _)| self.contains(*offload));
        write!(f, "{{{}}}", names.map(|(_, name)| *name).collect::<Vec<_>>().join(", "))
    }
}
