//! What a driver can ask about its queues (virtio 1.4, section 5.1.6.5.11).

use serde::{Deserialize, Serialize};
use virtio_core::Features;

use crate::features;

/// A kind of statistics: bit numbers in requests, and the type of replies.
pub(crate) mod kind {
    pub(crate) const RX_BASIC: u8 = 0;
    pub(crate) const RX_CSUM: u8 = 1;
    pub(crate) const RX_GSO: u8 = 2;
    pub(crate) const RX_SPEED: u8 = 3;
    pub(crate) const TX_BASIC: u8 = 16;
    pub(crate) const TX_CSUM: u8 = 17;
    pub(crate) const TX_GSO: u8 = 18;
    pub(crate) const TX_SPEED: u8 = 19;
    pub(crate) const CVQ: u8 = 32;

    /// Of receive queues.
    pub(crate) const RX: u64 = 1 << RX_BASIC | 1 << RX_CSUM | 1 << RX_GSO | 1 << RX_SPEED;
    /// Of transmit queues.
    pub(crate) const TX: u64 = 1 << TX_BASIC | 1 << TX_CSUM | 1 << TX_GSO | 1 << TX_SPEED;
}

/// The kinds that a driver that negotiated `features` can ask for: a bit for each.
pub(crate) fn kinds(features: Features) -> u64 {
    let bits = |kinds: &[u8], any_of: Features| {
        let on = features.intersects(any_of);
        kinds.iter().filter(|_| on).fold(0, |bits, kind| bits | 1u64 << kind)
    };
    bits(&[kind::RX_BASIC, kind::TX_BASIC, kind::CVQ], features::DEVICE_STATS)
        | bits(&[kind::RX_CSUM], features::GUEST_CSUM)
        | bits(&[kind::TX_CSUM], features::CSUM)
        | bits(&[kind::RX_GSO], features::GUEST_TSO4 | features::GUEST_TSO6)
        | bits(&[kind::TX_GSO], features::HOST_TSO4 | features::HOST_TSO6 | features::HOST_USO)
        | bits(&[kind::RX_SPEED, kind::TX_SPEED], features::SPEED_DUPLEX)
}

macro_rules! statistics {
    ($(#[$doc:meta])* $name:ident { $($kind:ident { $($(#[$field_doc:meta])* $field:ident,)* })* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default)]
        pub(crate) struct $name {
            $($($(#[$field_doc])* pub(crate) $field: u64,)*)*
        }

        impl $name {
            /// Each number of one with the same of the other.
            pub(crate) fn zip(&self, other: &$name, with: fn(u64, u64) -> u64) -> $name {
                $name { $($($field: with(self.$field, other.$field),)*)* }
            }

            /// The numbers of a kind, in the order of the wire; none if it is a kind of other queues.
            pub(crate) fn of_kind(&self, kind: u8) -> Vec<u64> {
                match kind {
                    $(kind::$kind => vec![$(self.$field),*],)*
                    _ => Vec::new(),
                }
            }
        }
    };
}

statistics! {
    /// Of a receive queue, since the device was made, wherever it has been restored. They wrap around.
    ReceiveStats {
        RX_BASIC {
            /// Doorbells.
            rx_notifications,
            /// Packets that the driver got.
            rx_packets,
            /// Bytes of them.
            rx_bytes,
            /// Interrupts.
            rx_interrupts,
            /// Packets that were dropped, for whatever reason.
            rx_drops,
            /// Those of them for which there were no buffers.
            rx_drop_overruns,
        }
        RX_CSUM {
            /// Packets with DATA_VALID.
            rx_csum_valid,
            /// Packets with NEEDS_CSUM.
            rx_needs_csum,
            /// Packets of protocols that are not known.
            rx_csum_none,
            /// Packets with wrong checksums.
            rx_csum_bad,
        }
        RX_GSO {
            /// Packets with a GSO type.
            rx_gso_packets,
            /// Bytes of them.
            rx_gso_bytes,
            /// Packets with a GSO type that the device put together.
            rx_gso_packets_coalesced,
            /// Bytes of them.
            rx_gso_bytes_coalesced,
        }
        RX_SPEED {
            /// Packets that were dropped because they came too fast.
            rx_packets_allowance_exceeded,
            /// Bytes of them.
            rx_bytes_allowance_exceeded,
        }
    }
}

statistics! {
    /// Of a transmit queue, since the device was made, wherever it has been restored. They wrap around.
    TransmitStats {
        TX_BASIC {
            /// Doorbells.
            tx_notifications,
            /// Packets that were sent.
            tx_packets,
            /// Bytes of them.
            tx_bytes,
            /// Interrupts.
            tx_interrupts,
            /// Packets that were dropped, for whatever reason.
            tx_drops,
            /// Those of them whose buffers were malformed.
            tx_drop_malformed,
        }
        TX_CSUM {
            /// Packets whose checksums were complete.
            tx_csum_none,
            /// Packets whose checksums were not.
            tx_needs_csum,
        }
        TX_GSO {
            /// Packets with a GSO type that were sent.
            tx_gso_packets,
            /// Bytes of them.
            tx_gso_bytes,
            /// Segments that they were cut into.
            tx_gso_segments,
            /// Bytes of these.
            tx_gso_segments_bytes,
            /// Packets with a GSO type that were sent whole.
            tx_gso_packets_noseg,
            /// Bytes of them.
            tx_gso_bytes_noseg,
        }
        TX_SPEED {
            /// Packets that were dropped because they were sent too fast.
            tx_packets_allowance_exceeded,
            /// Bytes of them.
            tx_bytes_allowance_exceeded,
        }
    }
}

statistics! {
    /// Of the control queue, since the device was made, wherever it has been restored. They wrap around.
    ControlStats {
        CVQ {
            /// Commands.
            command_num,
            /// Commands that went well.
            ok_num,
        }
    }
}

/// Who knows the statistics.
pub(crate) trait Statistics {
    /// Of the receive queue of a pair that there is.
    fn receive(&self, pair: u16) -> ReceiveStats;
    /// Of the transmit queue of a pair that there is.
    fn transmit(&self, pair: u16) -> TransmitStats;
    /// Of the control queue, without the command that asks for them.
    fn control(&self) -> ControlStats;
}
