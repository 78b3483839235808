//! What a network's errors and a driver's mistakes cost: one frame each.

use virtio_core::testing::RingDriver;
use virtio_net::{GsoType, NetHeader};

use crate::frames::{BROADCAST, OWN, plain};
use crate::network::Fault;
use crate::packets::*;
use crate::rig::*;

each_transport! {
    a_frame_that_cannot_be_sent_comes_back,
    a_network_that_cannot_receive_loses_nothing,
    drv_net_tx_04_work_that_was_not_negotiated_is_not_sent,
    drv_net_tx_08_checksums_and_pieces_that_cannot_be_are_not_sent,
    drv_net_tx_10_what_is_only_strange_is_sent,
    drv_net_tx_11_tunnels_that_cannot_be_are_not_sent,
}

/// EIO, EAGAIN, EBADFD and ENOBUFS, as Linux numbers them; elsewhere they are other errors.
const ERRORS: [i32; 4] = [5, 11, 77, 105];

fn a_frame_that_cannot_be_sent_comes_back<P: Port>() {
    let mut rig = Rig::<P>::new();
    let mut queues = rig.live(USUAL);
    for (number, error) in (1..).zip(ERRORS) {
        rig.network.state().pairs[0].send_error = Some(Fault::System(error));
        let used = rig.send(&mut queues, 0, &NetHeader::default(), &plain(BROADCAST, 60)).expect("it comes back");
        assert_eq!(used.len, 0);
        let counts = rig.handle.counts();
        assert_eq!((counts.tx_failed, counts.tx_frames), (number, number - 1), "error {error}");
        // The other direction has nothing to do with it.
        let at = rig.post(&mut queues, 0, 2048);
        rig.arrive(0, NetHeader::default(), &plain(OWN, 60));
        assert_eq!(rig.got(&mut queues, 0, at).expect("a frame").1, plain(OWN, 60));
        rig.network.state().pairs[0].send_error = None;
        let frame = plain(BROADCAST, 60 + error as usize);
        assert!(rig.send(&mut queues, 0, &NetHeader::default(), &frame).is_some());
        assert_eq!(rig.network.sent(0), [(NetHeader::default(), frame)]);
    }
    assert_eq!(rig.handle.counts().rx_failed, 0);
    assert!(!rig.is_broken());
}

fn a_network_that_cannot_receive_loses_nothing<P: Port>() {
    let mut rig = Rig::<P>::new();
    let mut queues = rig.live(USUAL);
    for (number, error) in (1..).zip(ERRORS) {
        let at = rig.post(&mut queues, 0, 2048);
        rig.network.state().pairs[0].receive_error = Some(Fault::System(error));
        let frame = plain(OWN, 60 + error as usize);
        rig.arrive(0, NetHeader::default(), &frame);
        let counts = rig.handle.counts();
        assert_eq!((counts.rx_failed, counts.rx_frames), (number, number - 1), "error {error}");
        assert_eq!((queues.rx[0].waiting(), rig.memory.bytes(at, 2048)), (0, vec![UNTOUCHED; 2048]));
        // Nor has this direction with the other.
        assert!(rig.send(&mut queues, 0, &NetHeader::default(), &plain(BROADCAST, 60)).is_some());
        assert_eq!(rig.network.sent(0).len(), 1);
        assert!(rig.runtime.next_deadline().is_some(), "it is tried again");
        while queues.rx[0].waiting() == 0 {
            rig.runtime.poll();
        }
        assert_eq!(rig.got(&mut queues, 0, at).expect("a frame").1, frame);
    }
    assert_eq!(rig.handle.counts().tx_failed, 0);
    assert!(!rig.is_broken());
}

/// A segment of TCP, and the header that has it cut.
fn segment() -> (NetHeader, Vec<u8>) {
    (to_cut(GsoType::Tcp4, 34, 1000), frame(&ipv4(B4, A4, TCP, &tcp((1000, 80), 0x10, &[3; 4000]))))
}

/// Sends a frame with each of these headers, none of which goes; and one that goes after each.
fn assert_refused<P: Port>(rig: &Rig<P>, queues: &mut Queues<P::Driver>, headers: &[NetHeader], frame: &[u8]) {
    for header in headers {
        let before = rig.handle.counts();
        let used = rig.send(queues, 0, header, frame).expect("it comes back");
        let counts = rig.handle.counts();
        assert_eq!((used.len, counts.tx_bad_header - before.tx_bad_header), (0, 1), "{header:?}");
        assert_eq!((counts.tx_frames, rig.network.sent(0)), (before.tx_frames, vec![]), "{header:?}");
        let good = plain(BROADCAST, 60);
        assert!(rig.send(queues, 0, &NetHeader::default(), &good).is_some());
        assert_eq!(rig.network.sent(0), [(NetHeader::default(), good)]);
    }
    assert!(!rig.is_broken());
}

// spec: DRV-NET-TX-06 DRV-NET-TX-07
fn drv_net_tx_04_work_that_was_not_negotiated_is_not_sent<P: Port>() {
    let mut rig = Rig::<P>::new();
    let mut queues = rig.live(USUAL | CSUM | HOST_TSO4);
    let (header, segment) = segment();
    let tunnels = [NetHeader::UDP_TUNNEL_IPV4, NetHeader::UDP_TUNNEL].map(|bits| GsoType::Tcp4 as u8 | bits);
    let types = [GsoType::Tcp6 as u8, GsoType::Udp as u8, GsoType::UdpL4 as u8, 2, 6, 0x1f];
    let mut headers: Vec<_> =
        types.into_iter().chain(tunnels).map(|gso_type| NetHeader { gso_type, ..header }).collect();
    headers.push(NetHeader { flags: header.flags | NetHeader::UDP_TUNNEL_CSUM, ..header });
    assert_refused(&rig, &mut queues, &headers, &segment);
}

// spec: DRV-NET-TX-09
fn drv_net_tx_08_checksums_and_pieces_that_cannot_be_are_not_sent<P: Port>() {
    let mut rig = Rig::<P>::new();
    let mut queues = rig.live(USUAL | CSUM | HOST_TSO4);
    let (header, segment) = segment();
    let len = segment.len() as u16;
    let places = [(len, 0), (len - 1, 0), (len - 17, 16), (0, len - 1), (0xffff, 0), (0xffff, 0xffff), (0, 0xffff)];
    let mut headers = Vec::new();
    for (csum_start, csum_offset) in places {
        headers.push(NetHeader { csum_start, csum_offset, ..header });
        headers.push(NetHeader { csum_start, csum_offset, gso_type: 0, ..header });
    }
    headers.push(NetHeader { gso_size: 0, ..header });
    headers.push(NetHeader { flags: 0, ..header });
    assert_refused(&rig, &mut queues, &headers, &segment);
}

// spec: DRV-NET-TX-05
fn drv_net_tx_10_what_is_only_strange_is_sent<P: Port>() {
    let mut rig = Rig::<P>::new();
    let mut queues = rig.live(USUAL | CSUM | HOST_TSO4);
    let (header, segment) = segment();
    for gso_size in [1, 0xfffe, 0xffff] {
        for hdr_len in [0, 1, 54, 0xffff] {
            let ecn = header.gso_type | NetHeader::ECN;
            let strange = NetHeader { gso_type: ecn, gso_size, hdr_len, ..header };
            assert_eq!(rig.send(&mut queues, 0, &strange, &segment).expect("it comes back").len, 0);
            let sent = rig.network.sent(0);
            let [(sent, bytes)] = &sent[..] else { panic!("{} frames", sent.len()) };
            assert_eq!((sent.gso_type, sent.gso_size, &bytes[..]), (header.gso_type, gso_size, &segment[..]));
            assert!((52..=segment.len()).contains(&sent.hdr_len.into()), "{sent:?}");
        }
    }
    assert_eq!((rig.handle.counts().tx_gso_frames, rig.handle.counts().tx_bad_header), (12, 0));
}

// spec: DRV-NET-TX-13
fn drv_net_tx_11_tunnels_that_cannot_be_are_not_sent<P: Port>() {
    let mut rig = Rig::<P>::new();
    let mut queues = rig.live(USUAL | CSUM | HOST_TSO4 | HOST_TSO6 | HOST_USO | HOST_UDP_TUNNEL_GSO);
    let inner = segment().1;
    let frame = vxlan(&inner);
    let header = NetHeader {
        gso_type: GsoType::Tcp4 as u8 | NetHeader::UDP_TUNNEL_IPV4,
        outer_th_offset: OUTER,
        inner_nh_offset: INNER,
        ..to_cut(GsoType::Tcp4, INNER + 20, 1000)
    };
    let places = [(0, 0), (0, INNER), (OUTER, 0), (OUTER, OUTER), (INNER, OUTER), (0xffff, INNER), (OUTER, 0xffff)];
    let mut headers: Vec<_> = places
        .map(|(outer_th_offset, inner_nh_offset)| NetHeader { outer_th_offset, inner_nh_offset, ..header })
        .to_vec();
    headers.push(NetHeader { flags: header.flags | NetHeader::DATA_VALID, ..header });
    headers.push(NetHeader { flags: header.flags | NetHeader::UDP_TUNNEL_CSUM, ..header });
    headers.push(NetHeader { flags: 0, ..header });
    headers.push(NetHeader { gso_type: GsoType::Udp as u8 | NetHeader::UDP_TUNNEL_IPV4, ..header });
    assert_refused(&rig, &mut queues, &headers, &frame);
    assert_eq!(rig.send(&mut queues, 0, &header, &frame).expect("it comes back").len, 0);
    assert_eq!(rig.network.sent(0).len(), 1, "one that can be is");
}
