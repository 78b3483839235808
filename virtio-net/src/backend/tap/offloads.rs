//! Offloads, as taps know them.

use std::fs::File;
use std::io;

use super::super::sys;
use crate::Offloads;

/// All that is to be cut.
fn gso() -> Offloads {
    Offloads::TSO4 | Offloads::TSO6 | uso()
}

/// Both, or none: the kernel knows only that.
fn uso() -> Offloads {
    Offloads::USO4 | Offloads::USO6
}

/// What has its fields in a longer header.
pub(super) fn tunnel() -> Offloads {
    Offloads::UDP_TUNNEL_GSO | Offloads::UDP_TUNNEL_GSO_CSUM
}

const BITS: [(Offloads, libc::c_uint); 9] = [
    (Offloads::CSUM, libc::TUN_F_CSUM),
    (Offloads::TSO4, libc::TUN_F_TSO4),
    (Offloads::TSO6, libc::TUN_F_TSO6),
    (Offloads::ECN, libc::TUN_F_TSO_ECN),
    (Offloads::UFO, libc::TUN_F_UFO),
    (Offloads::USO4, libc::TUN_F_USO4),
    (Offloads::USO6, libc::TUN_F_USO6),
    (Offloads::UDP_TUNNEL_GSO, sys::TUN_F_UDP_TUNNEL_GSO),
    (Offloads::UDP_TUNNEL_GSO_CSUM, sys::TUN_F_UDP_TUNNEL_GSO_CSUM),
];

/// The most of `wanted` that the kernel takes together. What it leaves out, it does itself.
pub(super) fn possible(wanted: Offloads) -> Offloads {
    let mut possible = wanted;
    if !possible.contains(Offloads::CSUM) {
        return Offloads::NONE;
    }
    if !possible.intersects(Offloads::TSO4 | Offloads::TSO6) {
        possible = possible - Offloads::ECN;
    }
    if !possible.contains(uso()) {
        possible = possible - uso();
    }
    if !possible.intersects(gso()) || !possible.contains(Offloads::UDP_TUNNEL_GSO) {
        possible = possible - tunnel();
    }
    possible
}

/// Has the kernel leave what is possible of these to whoever reads frames.
pub(super) fn set(file: &File, offloads: Offloads) -> io::Result<()> {
    let possible = possible(offloads);
    let bits = BITS.iter().filter(|(offload, _)| possible.contains(*offload));
    sys::set_offloads(file, bits.fold(0, |set, (_, bit)| set | bit))
}

/// What the kernel can leave to whoever reads frames. There are no offloads afterwards.
pub(super) fn probe(file: &File) -> io::Result<Offloads> {
    let csum = Offloads::CSUM;
    let with = [
        (csum, Offloads::NONE),
        (Offloads::TSO4, csum),
        (Offloads::TSO6, csum),
        (Offloads::ECN, csum | Offloads::TSO4),
        (Offloads::UFO, csum),
        (uso(), csum),
        (Offloads::UDP_TUNNEL_GSO, csum | Offloads::TSO4),
        (Offloads::UDP_TUNNEL_GSO_CSUM, csum | Offloads::TSO4 | Offloads::UDP_TUNNEL_GSO),
    ];
    let mut found = Offloads::NONE;
    for (offload, needed) in with {
        // Some kernels have the one and not the other; a bit that is not known is an error.
        found = found.with_if(found.contains(needed) && set(file, offload | needed).is_ok(), offload);
    }
    set(file, Offloads::NONE)?;
    Ok(found)
}

/// What the kernel takes over of frames that are written, if it can leave `receive` to whoever reads.
pub(super) fn transmit(receive: Offloads) -> Offloads {
    let always = Offloads::CSUM | Offloads::TSO4 | Offloads::TSO6 | Offloads::ECN | Offloads::UFO;
    always | (receive & (uso() | tunnel()))
}
