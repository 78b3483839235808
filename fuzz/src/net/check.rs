//! What headers may say.

use virtio_core::Features;
use virtio_net::{GsoType, NetCounts, NetHeader, Offloads};

/// What the network may be told of a frame of `len` bytes.
pub(super) fn sent_header(header: &NetHeader, len: usize, allowed: Offloads) {
    let NetHeader { flags, gso_size, hdr_len, csum_start, csum_offset, .. } = *header;
    assert!((14..=65557).contains(&len), "{len} bytes were sent");
    assert_eq!(flags & !(NetHeader::NEEDS_CSUM | NetHeader::UDP_TUNNEL_CSUM), 0, "{header:?}");
    if header.needs_csum() {
        assert!(allowed.contains(Offloads::CSUM));
        assert!(usize::from(csum_start) + usize::from(csum_offset) + 2 <= len, "{header:?} of {len}");
    }
    if !header.is_gso() {
        return;
    }
    let needs = match header.gso().expect("a known type") {
        GsoType::None => panic!("{header:?}"),
        GsoType::Tcp4 => Offloads::TSO4,
        GsoType::Tcp6 => Offloads::TSO6,
        GsoType::Udp => Offloads::UFO,
        GsoType::UdpL4 => Offloads::USO4 | Offloads::USO6,
    };
    let tunnel = header.gso_type & NetHeader::UDP_TUNNEL != 0;
    let needs = needs.with_if(tunnel, Offloads::UDP_TUNNEL_GSO);
    let needs = needs.with_if(header.gso_type & NetHeader::ECN != 0, Offloads::ECN);
    assert!(allowed.contains(needs) && header.needs_csum() && gso_size > 0, "{header:?}");
    assert!(usize::from(hdr_len) <= len && usize::from(hdr_len) >= usize::from(csum_start), "{header:?} of {len}");
}

/// What the driver may be told of a frame of `len` bytes, by these bytes.
pub(super) fn given_header(bytes: &[u8], len: usize, features: Features) -> NetHeader {
    let header = NetHeader::decode(bytes);
    let has = |bit| features.contains(Features::bit(bit));
    assert!(len >= 14);
    if !has(1) {
        assert_eq!(header, NetHeader::default(), "without GUEST_CSUM there is nothing to do");
    }
    let allowed = NetHeader::NEEDS_CSUM | NetHeader::DATA_VALID | NetHeader::UDP_TUNNEL_CSUM;
    assert_eq!(header.flags & !allowed, 0, "{header:?}");
    if header.needs_csum() {
        assert!(usize::from(header.csum_start) + usize::from(header.csum_offset) + 2 <= len, "{header:?} of {len}");
    }
    if header.is_gso() {
        let taken = match header.gso().expect("a known type") {
            GsoType::None => panic!("{header:?}"),
            GsoType::Tcp4 => has(7),
            GsoType::Tcp6 => has(8),
            GsoType::Udp => has(10),
            GsoType::UdpL4 => has(54) && has(55),
        };
        let tunnel = header.gso_type & NetHeader::UDP_TUNNEL == 0 || has(65);
        let ecn = header.gso_type & NetHeader::ECN == 0 || has(9);
        assert!(taken && tunnel && ecn && header.needs_csum() && header.gso_size > 0, "{header:?}");
        assert!(usize::from(header.hdr_len) <= len);
    }
    if !has(57) && bytes.len() >= 20 {
        assert_eq!(bytes[12..20], [0; 8], "no hash is reported");
    }
    header
}

/// Frames that a device has taken and not given to the driver, for whatever reason.
pub(super) fn lost(counts: &NetCounts) -> u64 {
    counts.rx_bad_header
        + counts.rx_short
        + counts.rx_oversize
        + counts.rx_no_fit
        + counts.rx_filtered_mac
        + counts.rx_filtered_vlan
        + counts.rx_link_down
        + counts.rx_no_queue
        + counts.rx_steering_full
        + counts.rx_abandoned
}
