//! What the driver says that it takes over, while it runs.

use virtio_core::Features;
use virtio_core::testing::RingDriver;
use virtio_net::{GsoType, NetHeader, Offloads};

use crate::commands::*;
use crate::offloads::*;
use crate::packets::*;
use crate::rig::*;

each_transport! {
    net_ctrl_offl_01_offloads_are_as_commanded,
    what_a_network_refuses_is_refused,
    drv_net_ctrl_13_offloads_that_were_not_negotiated_are_refused,
    frames_that_wait_are_fitted_to_what_the_driver_takes_then,
}

/// The bits that commands have for offloads.
const COMMANDED: [(Offloads, u64); 9] = [
    (Offloads::CSUM, 1 << 1),
    (Offloads::TSO4, 1 << 7),
    (Offloads::TSO6, 1 << 8),
    (Offloads::ECN, 1 << 9),
    (Offloads::UFO, 1 << 10),
    (Offloads::UDP_TUNNEL_GSO, 1 << 46),
    (Offloads::UDP_TUNNEL_GSO_CSUM, 1 << 47),
    (Offloads::USO4, 1 << 54),
    (Offloads::USO6, 1 << 55),
];

fn bits(offloads: Offloads) -> [u8; 8] {
    let set = COMMANDED.iter().filter(|(offload, _)| offloads.contains(*offload));
    set.fold(0, |bits, (_, bit)| bits | bit).to_le_bytes()
}

const COMMANDS: Features = Features::from_bits(USUAL.bits() | CTRL_VQ.bits() | CTRL_GUEST_OFFLOADS.bits());

fn net_ctrl_offl_01_offloads_are_as_commanded<P: Port>() {
    let mut rig = Rig::<P>::new();
    for _ in 0..2 {
        let mut queues = rig.live(COMMANDS | TUNNELS);
        assert_eq!(rig.network.configuration().receive, Offloads::ALL, "all that was negotiated, at first");
        let header = to_cut(GsoType::Tcp4, 34, 1200);
        let some = Offloads::CSUM | Offloads::TSO4;
        for (offloads, flags, pieces) in [
            (some, 1, 1),
            (Offloads::CSUM | Offloads::TSO6, 0, 5),
            (Offloads::NONE, 0, 5),
            (some | Offloads::UFO | Offloads::ECN, 1, 1),
            (Offloads::CSUM, 0, 5),
            (Offloads::ALL, 1, 1),
        ] {
            assert_eq!(rig.order(&mut queues, OFFLOADS_SET, &bits(offloads)), OK);
            assert_eq!(rig.network.configuration().receive, offloads);
            let given = receive(&rig, &mut queues, header, &tcp4(0x10));
            assert_eq!((given.len(), given[0].0.flags), (pieces, flags), "{offloads:?}");
        }
        // Without checksums there is nothing else.
        assert_eq!(rig.order(&mut queues, OFFLOADS_SET, &bits(Offloads::TSO4)), OK);
        assert_eq!(rig.network.configuration().receive, Offloads::NONE);
        are_pieces(&receive(&rig, &mut queues, header, &tcp4(0x10)), 54);
        rig.port.set_status(0);
        assert!(rig.network.is_closed());
    }
}

fn what_a_network_refuses_is_refused<P: Port>() {
    let mut rig = Rig::<P>::new();
    let mut queues = rig.live(COMMANDS | PLAIN);
    let before = rig.network.configuration();
    rig.network.state().refuses = Some(Offloads::CSUM);
    assert_eq!(rig.order(&mut queues, OFFLOADS_SET, &bits(Offloads::CSUM)), ERR);
    assert_eq!((rig.network.configuration(), rig.handle.counts().commands_refused), (before, 1));
    let header = to_cut(GsoType::Tcp4, 34, 1200);
    let given = receive(&rig, &mut queues, header, &tcp4(0x10));
    assert_eq!(given, [(NetHeader { hdr_len: 54, ..header }, tcp4(0x10))], "as it was");
    assert_eq!(rig.order(&mut queues, OFFLOADS_SET, &bits(Offloads::NONE)), OK);
}

fn drv_net_ctrl_13_offloads_that_were_not_negotiated_are_refused<P: Port>() {
    let mut rig = Rig::<P>::new();
    let mut queues = rig.live(COMMANDS | GUEST_CSUM | GUEST_TSO4);
    let before = rig.network.configuration();
    let negotiated = 1 << 1 | 1 << 7;
    for bit in (0..64).filter(|bit| negotiated >> bit & 1 == 0) {
        assert_eq!(rig.order(&mut queues, OFFLOADS_SET, &(1u64 << bit).to_le_bytes()), ERR, "{bit}");
        assert_eq!(rig.order(&mut queues, OFFLOADS_SET, &(negotiated | 1u64 << bit).to_le_bytes()), ERR, "{bit}");
    }
    for len in 0..8 {
        assert_eq!(rig.order(&mut queues, OFFLOADS_SET, &[0; 8][..len]), ERR);
    }
    assert_eq!(rig.network.configuration(), before);
    assert_eq!(receive(&rig, &mut queues, to_cut(GsoType::Tcp4, 34, 1200), &tcp4(0x10)).len(), 1);
    assert_eq!(rig.order(&mut queues, OFFLOADS_SET, &u64::to_le_bytes(negotiated)), OK);
}

fn frames_that_wait_are_fitted_to_what_the_driver_takes_then<P: Port>() {
    let mut rig = Rig::<P>::new();
    let mut queues = rig.live(COMMANDS | PLAIN);
    // No buffers: the one is looked at, the other is still with the network.
    let header = to_cut(GsoType::Tcp4, 34, 1200);
    rig.arrive(0, header, &tcp4(0x10));
    rig.arrive(0, header, &tcp4(0x10));
    assert_eq!(rig.order(&mut queues, OFFLOADS_SET, &bits(Offloads::NONE)), OK);
    let mut given = Vec::new();
    for _ in 0..10 {
        let place = rig.post(&mut queues, 0, 10000);
        let (header, piece) = rig.got(&mut queues, 0, place).expect("a piece");
        given.push((NetHeader::decode(&header), piece));
    }
    are_pieces(&given[..5], 54);
    are_pieces(&given[5..], 54);
    rig.post(&mut queues, 0, 10000);
    assert_eq!(queues.rx[0].waiting(), 0);
}
