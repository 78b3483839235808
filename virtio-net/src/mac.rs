//! Addresses of network interfaces.

use std::fmt;
use std::str::FromStr;

/// An Ethernet address. Plain data: Send and Sync.
///
/// ```
/// use virtio_net::MacAddress;
/// let mac: MacAddress = "52:54:00:12:34:56".parse()?;
/// assert_eq!(mac.0, [0x52, 0x54, 0, 0x12, 0x34, 0x56]);
/// assert_eq!(mac.to_string(), "52:54:00:12:34:56");
/// assert!(!mac.is_multicast());
/// # Ok::<(), virtio_net::BadMacAddress>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct MacAddress(pub [u8; 6]);

/// Not six bytes in hexadecimal with colons between them. Send and Sync.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no MAC address: six bytes in hexadecimal with colons between them are")]
pub struct BadMacAddress(pub String);

impl MacAddress {
    /// For every interface of a network.
    pub const BROADCAST: MacAddress = MacAddress([0xff; 6]);

    /// Whether it stands for a group of interfaces; the broadcast address does, too.
    pub const fn is_multicast(self) -> bool {
        self.0[0] & 1 != 0
    }

    /// Whether it stands for all interfaces.
    pub const fn is_broadcast(self) -> bool {
        matches!(self.0, [0xff, 0xff, 0xff, 0xff, 0xff, 0xff])
    }

    /// Whether an interface can have it: it stands for no group, and is not zero.
    pub const fn is_usable(self) -> bool {
        !self.is_multicast() && !matches!(self.0, [0, 0, 0, 0, 0, 0])
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl FromStr for MacAddress {
    type Err = BadMacAddress;

    fn from_str(text: &str) -> Result<MacAddress, BadMacAddress> {
        let bad = || BadMacAddress(text.to_owned());
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part =
                parts.next().filter(|part| part.len() == 2 && part.bytes().all(|digit| digit.is_ascii_hexdigit()));
            *byte = u8::from_str_radix(part.ok_or_else(bad)?, 16).map_err(|_| bad())?;
        }
        if parts.next().is_some() { Err(bad()) } else { Ok(MacAddress(bytes)) }
    }
}
