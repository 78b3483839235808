//! What a driver writes before a frame, and means nothing.

use virtio_core::Features;
use virtio_net::{GsoType, NetHeader};

use crate::frames::{BROADCAST, plain};
use crate::packets::*;
use crate::rig::*;

each_transport! {
    net_tx_01_what_means_nothing_is_ignored,
    net_tx_12_a_wrong_checksum_passes_as_it_is,
    drv_net_tx_02_a_number_of_buffers_is_ignored,
    drv_net_tx_12_the_checksum_of_a_tunnel_passes_as_it_is,
}

const SENDS: Features =
    Features::from_bits(USUAL.bits() | CSUM.bits() | HOST_TSO4.bits() | HOST_TSO6.bits() | HOST_USO.bits());
const TUNNELS: Features = Features::from_bits(SENDS.bits() | HOST_UDP_TUNNEL_GSO.bits());

// spec: NET-TX-02 NET-TX-04 NET-TX-09 NET-TX-13
fn net_tx_01_what_means_nothing_is_ignored<P: Port>() {
    for features in [USUAL, SENDS, TUNNELS] {
        let mut rig = Rig::<P>::new();
        let mut queues = rig.live(features);
        let frame = plain(BROADCAST, 100);
        // Flags that are not known, or of what was received; and places without a flag that says that they count.
        for flags in [0x02, 0x04, 0x10, 0x20, 0x40, 0x80, 0xf6] {
            let mut bytes = vec![0xee; rig.header_len];
            (bytes[0], bytes[1]) = (flags, 0);
            bytes.extend(&frame);
            rig.send_bytes(&mut queues, 0, &bytes).expect("it comes back");
            assert_eq!(rig.network.sent(0), [(NetHeader::default(), frame.clone())], "{flags:#x}");
        }
    }
}

fn net_tx_12_a_wrong_checksum_passes_as_it_is<P: Port>() {
    let mut rig = Rig::<P>::new();
    let mut queues = rig.live(SENDS);
    let mut bytes = frame(&ipv4(A4, B4, TCP, &tcp((1, 2), 0x10, b"data")));
    bytes[50] ^= 0x55;
    assert!(!is_complete(&bytes));
    for flags in [0, NetHeader::DATA_VALID] {
        rig.send(&mut queues, 0, &NetHeader { flags, ..NetHeader::default() }, &bytes);
        assert_eq!(rig.network.sent(0), [(NetHeader::default(), bytes.clone())], "nobody says that it is right");
    }
}

fn drv_net_tx_02_a_number_of_buffers_is_ignored<P: Port>() {
    for features in [USUAL, USUAL | MRG_RXBUF, SENDS] {
        let mut rig = Rig::<P>::new();
        let mut queues = rig.live(features);
        for number in [1, 2, u16::MAX] {
            let mut bytes = vec![0; rig.header_len];
            bytes[10..12].copy_from_slice(&number.to_le_bytes());
            bytes.extend(plain(BROADCAST, 60));
            assert_eq!(rig.send_bytes(&mut queues, 0, &bytes).expect("it comes back").len, 0);
            assert_eq!(rig.network.sent(0), [(NetHeader::default(), plain(BROADCAST, 60))]);
        }
    }
}

fn drv_net_tx_12_the_checksum_of_a_tunnel_passes_as_it_is<P: Port>() {
    let mut rig = Rig::<P>::new();
    let mut queues = rig.live(TUNNELS);
    let inner = frame(&ipv4(A4, B4, TCP, &tcp((1, 2), 0x10, &[3; 3000])));
    let header = to_cut(GsoType::Tcp4, INNER + 20, 1000);
    let header = NetHeader {
        gso_type: header.gso_type | NetHeader::UDP_TUNNEL_IPV4,
        hdr_len: INNER + 40,
        outer_th_offset: OUTER,
        inner_nh_offset: INNER,
        ..header
    };
    // None, and that of the pseudo header alone, of which the driver does not say that it is.
    for bytes in [vxlan_without_checksum(&inner), vxlan(&inner)] {
        rig.send(&mut queues, 0, &header, &bytes).expect("it comes back");
        assert_eq!(rig.network.sent(0), [(header, bytes)]);
    }
}
