//! The configuration space of a device, and the features that it offers.

use virtio_core::Features;

use super::Duplex;
use crate::MacAddress;
use crate::backend::Capabilities;
use crate::features::{self, *};
use crate::settings::Limits;
use crate::wire::*;

/// Speed and duplex of which nothing is known.
const UNKNOWN_SPEED: u32 = u32::MAX;
const UNKNOWN_DUPLEX: u8 = 0xff;

/// The configuration space as it is at the beginning.
pub(super) fn bytes(mac: MacAddress, mtu: Option<u16>, speed: Option<(u32, Duplex)>, limits: &Limits) -> Vec<u8> {
    let mut bytes = vec![0; CONFIG_LEN];
    put(&mut bytes, field::MAC, &mac.0);
    put(&mut bytes, field::STATUS, &status::LINK_UP.to_le_bytes());
    put(&mut bytes, field::MAX_VIRTQUEUE_PAIRS, &limits.max_pairs.to_le_bytes());
    put(&mut bytes, field::MTU, &mtu.unwrap_or(0).to_le_bytes());
    // NET-CFG-10; NET-CFG-11 as the description of the field has it, where the rule has the two the other way round
    let (speed, duplex) = match speed {
        Some((speed, Duplex::Half)) => (speed, 0),
        Some((speed, Duplex::Full)) => (speed, 1),
        None => (UNKNOWN_SPEED, UNKNOWN_DUPLEX),
    };
    put(&mut bytes, field::SPEED, &speed.to_le_bytes());
    put(&mut bytes, field::DUPLEX, &[duplex]);
    // NET-CFG-07, NET-CFG-08
    put(&mut bytes, field::RSS_MAX_KEY_SIZE, &[limits.hash_key]);
    put(&mut bytes, field::RSS_MAX_INDIRECTION_TABLE_LENGTH, &limits.rss_table.to_le_bytes());
    put(&mut bytes, field::SUPPORTED_HASH_TYPES, &limits.hash_types.to_le_bytes());
    put(&mut bytes, field::SUPPORTED_TUNNEL_TYPES, &limits.tunnel_types.to_le_bytes());
    bytes
}

/// All that the device can do on this network.
pub(super) fn offered(can: &Capabilities, pairs: u16, mtu: Option<u16>, speed: Option<u32>) -> Features {
    // What a driver needs for offloads the device does by itself where the network does not: NET-RX-06.
    let mut offered = features::of_offloads(can.receive, can.transmit)
        | MAC
        | MRG_RXBUF
        | STATUS
        | CTRL_VQ
        | CTRL_RX
        | CTRL_RX_EXTRA
        | CTRL_VLAN
        | CTRL_MAC_ADDR
        | GUEST_ANNOUNCE
        | NOTF_COAL
        | VQ_NOTF_COAL
        | DEVICE_STATS
        | HASH_REPORT
        | HASH_TUNNEL
        | GUEST_HDRLEN;
    let when = |condition, features| if condition { features } else { Features::NONE };
    // NET-CFG-01
    offered |= when(pairs > 1, MQ | RSS);
    offered |= when(mtu.is_some(), MTU);
    offered |= when(speed.is_some(), SPEED_DUPLEX);
    offered |= when(!can.receive.is_empty(), CTRL_GUEST_OFFLOADS);
    offered
}
