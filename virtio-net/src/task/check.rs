//! Whether a driver's header makes sense: what the network gets to see of it.

#[cfg(test)]
mod tests;

use crate::wire::{ETHERNET_LEN, MAX_FRAME_LEN};
use crate::{GsoType, NetHeader, Offloads};

/// Why a frame is not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadFrame {
    #[error("{len} bytes are no frame")]
    Length { len: usize },
    #[error("a GSO type of {gso_type:#04x} is unknown or was not negotiated")]
    Gso { gso_type: u8 },
    #[error("flags {flags:#04x} and GSO type {gso_type:#04x} do not go together")]
    Tunnel { flags: u8, gso_type: u8 },
    #[error("a frame to be cut without a size, or without a checksum to complete")]
    GsoIncomplete,
    #[error("a checksum at {offset} from {start} on, in a frame of {len} bytes")]
    Checksum { start: u16, offset: u16, len: usize },
    #[error("a tunnel with headers at {outer} and {inner}, in a frame of {len} bytes")]
    TunnelHeaders { outer: u16, inner: u16, len: usize },
}

/// What is left to do with a frame of `len` bytes, whose driver wrote `header`, and may leave `allowed` to the device. Nothing
/// of what it means is left out, and nothing that means nothing is in it.
pub(super) fn check(header: &NetHeader, len: usize, allowed: Offloads) -> Result<NetHeader, BadFrame> {
    if !(ETHERNET_LEN..=MAX_FRAME_LEN).contains(&len) {
        return Err(BadFrame::Length { len });
    }
    // The usual frame. NET-TX-01, NET-TX-02, NET-TX-07, NET-TX-09, NET-TX-12, NET-TX-13: without these, nothing else counts.
    if header.gso_type == 0 && header.flags & (NetHeader::NEEDS_CSUM | NetHeader::UDP_TUNNEL_CSUM) == 0 {
        return Ok(NetHeader::default());
    }
    check_tunnel(header, len, allowed)?;
    let gso = check_gso(header, allowed)?;
    // DRV-NET-TX-03: what was not negotiated means nothing.
    let csum = header.needs_csum() && allowed.contains(Offloads::CSUM);
    if gso != GsoType::None && (!csum || header.gso_size == 0) {
        // DRV-NET-TX-09
        return Err(BadFrame::GsoIncomplete);
    }
    if !csum {
        return Ok(NetHeader::default());
    }
    let NetHeader { csum_start, csum_offset, .. } = *header;
    // DRV-NET-TX-08: wider than the numbers are.
    let end = usize::from(csum_start) + usize::from(csum_offset) + 2;
    if end > len {
        return Err(BadFrame::Checksum { start: csum_start, offset: csum_offset, len });
    }
    let checked = NetHeader { flags: NetHeader::NEEDS_CSUM, csum_start, csum_offset, ..NetHeader::default() };
    if gso == GsoType::None {
        // NET-TX-06
        return Ok(checked);
    }
    Ok(cut(header, checked, end, len, allowed))
}

/// The rest of the header of a frame that is to be cut; its checksum ends at `end`.
fn cut(header: &NetHeader, checked: NetHeader, end: usize, len: usize, allowed: Offloads) -> NetHeader {
    // DRV-NET-TX-05: without the feature the bit means nothing.
    let ecn = if allowed.contains(Offloads::ECN) { 0 } else { NetHeader::ECN };
    let gso_type = header.gso_type & !ecn;
    // NET-TX-05, DRV-NET-TX-10: a hint, which is brought to where headers can end.
    let hdr_len = usize::from(header.hdr_len).clamp(end, len);
    let mut checked = NetHeader {
        gso_type,
        gso_size: header.gso_size,
        hdr_len: u16::try_from(hdr_len).unwrap_or(u16::MAX),
        ..checked
    };
    if gso_type & NetHeader::UDP_TUNNEL != 0 {
        checked.flags |= header.flags & NetHeader::UDP_TUNNEL_CSUM;
        checked.outer_th_offset = header.outer_th_offset;
        checked.inner_nh_offset = header.inner_nh_offset;
    }
    checked
}

fn check_gso(header: &NetHeader, allowed: Offloads) -> Result<GsoType, BadFrame> {
    let bad = BadFrame::Gso { gso_type: header.gso_type };
    let gso = header.gso().ok_or(bad)?;
    let needs = match gso {
        GsoType::None => return Ok(gso),
        GsoType::Tcp4 => Offloads::TSO4,
        GsoType::Tcp6 => Offloads::TSO6,
        GsoType::Udp => Offloads::UFO,
        GsoType::UdpL4 => Offloads::USO4 | Offloads::USO6,
    };
    // DRV-NET-TX-04
    if allowed.contains(needs) { Ok(gso) } else { Err(bad) }
}

fn check_tunnel(header: &NetHeader, len: usize, allowed: Offloads) -> Result<(), BadFrame> {
    let NetHeader { flags, gso_type, outer_th_offset: outer, inner_nh_offset: inner, csum_start, .. } = *header;
    let bad = BadFrame::Tunnel { flags, gso_type };
    let sums = flags & NetHeader::UDP_TUNNEL_CSUM != 0;
    match gso_type & NetHeader::UDP_TUNNEL {
        // NET-TX-11, DRV-NET-TX-07
        0 if sums => return Err(bad),
        0 => return Ok(()),
        // NET-TX-08
        NetHeader::UDP_TUNNEL => return Err(bad),
        _ => {}
    }
    let feature = Offloads::UDP_TUNNEL_GSO.with_if(sums, Offloads::UDP_TUNNEL_GSO_CSUM);
    let base = header.gso();
    // NET-TX-10, DRV-NET-TX-06, DRV-NET-TX-13
    if !allowed.contains(feature)
        || !header.needs_csum()
        || flags & NetHeader::DATA_VALID != 0
        || matches!(base, None | Some(GsoType::None | GsoType::Udp))
    {
        return Err(bad);
    }
    // DRV-NET-TX-11: the tunnel's own header of UDP lies before what is in it, and that before what is summed.
    let fits = usize::from(outer) >= ETHERNET_LEN
        && usize::from(outer) + 8 <= usize::from(inner)
        && inner < csum_start
        && usize::from(csum_start) < len;
    if fits { Ok(()) } else { Err(BadFrame::TunnelHeaders { outer, inner, len }) }
}
