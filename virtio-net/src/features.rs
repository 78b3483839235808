//! Feature bits of network devices (virtio 1.4, section 5.1.3), by the names that the specification gives them without
//! `VIRTIO_NET_F_`; which of them go together, and what they mean for frames.
//!
//! ```
//! use virtio_net::{Loopback, Net, features};
//! let net = Net::builder(Loopback::new()).without(features::CTRL_VLAN | features::GUEST_ANNOUNCE).build()?;
//! # use virtio_core::VirtioDevice;
//! assert!(!net.features().intersects(features::CTRL_VLAN) && net.features().contains(features::CTRL_RX));
//! # Ok::<(), virtio_net::BuildError>(())
//! ```

mod bits;
#[cfg(test)]
mod tests;

use virtio_core::Features;
use virtio_core::device::FeatureRefusal;

pub use bits::*;

use crate::Offloads;

/// Features, and what each needs: one of each group.
type Needs = &'static [(Features, &'static [Features])];

/// What would be of no use alone is not offered alone, but a driver may choose it so: no rule forbids that (BASIC-FEAT-02).
const OFFERED_WITH: Needs = &[
    // NET-CFG-14
    (CTRL_RX_EXTRA, &[CTRL_VQ]),
    (CTRL_GUEST_OFFLOADS, &[CTRL_VQ]),
    (GUEST_ANNOUNCE, &[STATUS]),
    (DEVICE_STATS, &[CTRL_VQ]),
    // NET-CFG-13
    (HASH_REPORT, &[CTRL_VQ]),
];

/// NET-FEAT-02: in an order in which none depends on one that follows.
const NEEDS: Needs = &[
    (GUEST_TSO4, &[GUEST_CSUM]),
    (GUEST_TSO6, &[GUEST_CSUM]),
    (GUEST_ECN, &[or(GUEST_TSO4, GUEST_TSO6)]),
    (GUEST_UFO, &[GUEST_CSUM]),
    (GUEST_USO4, &[GUEST_CSUM]),
    (GUEST_USO6, &[GUEST_CSUM]),
    (GUEST_UDP_TUNNEL_GSO, &[GUEST_TSO4, GUEST_TSO6, GUEST_USO4, GUEST_USO6]),
    (GUEST_UDP_TUNNEL_GSO_CSUM, &[GUEST_UDP_TUNNEL_GSO]),
    (HOST_TSO4, &[CSUM]),
    (HOST_TSO6, &[CSUM]),
    (HOST_ECN, &[or(HOST_TSO4, HOST_TSO6)]),
    (HOST_UFO, &[CSUM]),
    (HOST_USO, &[CSUM]),
    (HOST_UDP_TUNNEL_GSO, &[HOST_TSO4, HOST_TSO6, HOST_USO]),
    (HOST_UDP_TUNNEL_GSO_CSUM, &[HOST_UDP_TUNNEL_GSO]),
    (CTRL_RX, &[CTRL_VQ]),
    (CTRL_VLAN, &[CTRL_VQ]),
    (GUEST_ANNOUNCE, &[CTRL_VQ]),
    (MQ, &[CTRL_VQ]),
    (CTRL_MAC_ADDR, &[CTRL_VQ]),
    (NOTF_COAL, &[CTRL_VQ]),
    (VQ_NOTF_COAL, &[CTRL_VQ]),
    (RSS, &[CTRL_VQ]),
    (HASH_TUNNEL, &[CTRL_VQ, or(RSS, HASH_REPORT)]),
];

const fn or(one: Features, other: Features) -> Features {
    Features::from_bits(one.bits() | other.bits())
}

/// What can be offered of `offered`.
pub(crate) fn consistent(offered: Features) -> Features {
    OFFERED_WITH.iter().chain(NEEDS).fold(offered, |offered, (feature, needs)| {
        let met = needs.iter().all(|need| offered.intersects(*need));
        if met { offered } else { offered - *feature }
    })
}

/// Whether a driver can choose these: dependencies that the specification states for drivers.
pub(crate) fn check(accepted: Features) -> Result<(), FeatureRefusal> {
    for (feature, needs) in NEEDS {
        if !accepted.contains(*feature) {
            continue;
        }
        if let Some(needs) = needs.iter().find(|need| !accepted.intersects(**need)) {
            return Err(FeatureRefusal::Dependency { feature: *feature, needs: *needs });
        }
    }
    Ok(())
}

/// An offload, and the features by which a driver takes it, and leaves it to the device.
const OFFLOADS: &[(Offloads, Features, Features)] = &[
    (Offloads::CSUM, GUEST_CSUM, CSUM),
    (Offloads::TSO4, GUEST_TSO4, HOST_TSO4),
    (Offloads::TSO6, GUEST_TSO6, HOST_TSO6),
    (Offloads::ECN, GUEST_ECN, HOST_ECN),
    (Offloads::UFO, GUEST_UFO, HOST_UFO),
    (Offloads::USO4, GUEST_USO4, HOST_USO),
    (Offloads::USO6, GUEST_USO6, HOST_USO),
    (Offloads::UDP_TUNNEL_GSO, GUEST_UDP_TUNNEL_GSO, HOST_UDP_TUNNEL_GSO),
    (Offloads::UDP_TUNNEL_GSO_CSUM, GUEST_UDP_TUNNEL_GSO_CSUM, HOST_UDP_TUNNEL_GSO_CSUM),
];

/// The features that offer a driver what a network can leave to it, and take over from it.
pub(crate) fn of_offloads(receive: Offloads, transmit: Offloads) -> Features {
    let mut features = OFFLOADS.iter().fold(Features::NONE, |features, (offload, guest, host)| {
        let guest = if receive.contains(*offload) { *guest } else { Features::NONE };
        let host = if transmit.contains(*offload) { *host } else { Features::NONE };
        features | guest | host
    });
    // One feature for both.
    if !transmit.contains(Offloads::USO4 | Offloads::USO6) {
        features = features - HOST_USO;
    }
    features
}

/// What the driver takes.
pub(crate) fn receive_offloads(features: Features) -> Offloads {
    let taken = OFFLOADS.iter().filter(|(_, guest, _)| features.contains(*guest));
    taken.fold(Offloads::NONE, |offloads, (offload, ..)| offloads | *offload)
}

/// What the driver may leave to the device.
pub(crate) fn transmit_offloads(features: Features) -> Offloads {
    let left = OFFLOADS.iter().filter(|(.., host)| features.contains(*host));
    left.fold(Offloads::NONE, |offloads, (offload, ..)| offloads | *offload)
}

/// NET-RX-43: bytes before each frame, in both directions.
pub(crate) fn header_len(features: Features) -> usize {
    if features.intersects(GUEST_UDP_TUNNEL_GSO | HOST_UDP_TUNNEL_GSO) {
        24
    } else if features.contains(HASH_REPORT) {
        20
    } else {
        12
    }
}

/// NET-FEAT-03: pairs of queues that the driver sees, of as many as the device has.
pub(crate) fn pairs(features: Features, max: u16) -> u16 {
    if features.intersects(MQ | RSS) { max } else { 1 }
}
