//! What is left to do with frames that the driver is given.

use virtio_core::Features;
use virtio_core::testing::RingDriver;
use virtio_net::{GsoType, NetCounts, NetHeader};

use crate::frames::{BROADCAST, OWN, plain};
use crate::network::Network;
use crate::packets::*;
use crate::rig::*;

each_transport! {
    net_rx_43_headers_are_as_long_as_was_negotiated,
    net_rx_05_without_checksums_nothing_is_left_to_do,
    net_rx_08_what_the_driver_does_not_take_is_cut,
    net_rx_10_datagrams_are_cut_unless_the_driver_takes_those_of_both_versions,
    net_rx_13_without_the_feature_marked_frames_are_cut,
    net_rx_14_with_the_feature_marks_are_told,
    net_rx_17_a_checksum_is_left_to_the_driver,
    net_rx_18_a_wrong_checksum_stays_one,
    net_rx_27_frames_to_be_cut_without_checksum_or_size_are_dropped,
    net_rx_30_other_flags_are_clear,
    net_rx_33_only_the_network_says_that_a_checksum_is_right,
}

/// All that a driver can take over, but for what is in tunnels.
pub(crate) const PLAIN: Features = Features::from_bits(
    GUEST_CSUM.bits()
        | GUEST_TSO4.bits()
        | GUEST_TSO6.bits()
        | GUEST_ECN.bits()
        | GUEST_UFO.bits()
        | GUEST_USO4.bits()
        | GUEST_USO6.bits(),
);
pub(crate) const TUNNELS: Features =
    Features::from_bits(PLAIN.bits() | GUEST_UDP_TUNNEL_GSO.bits() | GUEST_UDP_TUNNEL_GSO_CSUM.bits());

/// What a driver that negotiated `features` is given of a frame: headers and frames, each in one buffer.
pub(crate) fn given<P: Port>(
    features: Features,
    header: NetHeader,
    bytes: &[u8],
) -> (Vec<(NetHeader, Vec<u8>)>, NetCounts) {
    let mut rig = Rig::<P>::new();
    let mut queues = rig.live(USUAL | features);
    let given = receive(&rig, &mut queues, header, bytes);
    (given, rig.handle.counts())
}

pub(crate) fn receive<P: Port>(
    rig: &Rig<P>,
    queues: &mut Queues<P::Driver>,
    header: NetHeader,
    bytes: &[u8],
) -> Vec<(NetHeader, Vec<u8>)> {
    let places: Vec<_> = std::iter::from_fn(|| (queues.rx[0].free() > 0).then(|| rig.post(queues, 0, 10000))).collect();
    rig.arrive(0, header, bytes);
    let mut given = Vec::new();
    for place in &places {
        let Some((header, frame)) = rig.got(queues, 0, *place) else { break };
        given.push((NetHeader::decode(&header), frame));
    }
    // The buffers that are left are used up by frames that nobody looks at.
    while queues.rx[0].free() < places.len() {
        rig.arrive(0, NetHeader::default(), &plain(OWN, 60));
        queues.rx[0].used().expect("a buffer");
    }
    given
}

fn payload(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 241) as u8 ^ (at >> 8) as u8).collect()
}

pub(crate) fn tcp4(flags: u8) -> Vec<u8> {
    frame(&ipv4(B4, A4, TCP, &tcp((1000, 80), flags, &payload(5000))))
}

pub(crate) fn tcp6() -> Vec<u8> {
    frame(&ipv6(v6("fd00::2"), v6("fd00::1"), TCP, &tcp((1000, 80), 0x10, &payload(5000))))
}

fn udp4() -> Vec<u8> {
    frame(&ipv4(B4, A4, UDP, &udp((1000, 80), &payload(5000))))
}

fn udp6() -> Vec<u8> {
    frame(&ipv6(v6("fd00::2"), v6("fd00::1"), UDP, &udp((1000, 80), &payload(5000))))
}

/// Pieces are whole frames: nothing is left to do with them, and behind headers of `headers` bytes is what was in the frame.
pub(crate) fn are_pieces(given: &[(NetHeader, Vec<u8>)], headers: usize) {
    assert!(given.len() > 1, "it was cut");
    assert!(given.iter().all(|(header, piece)| *header == NetHeader::default() && is_complete(piece)));
    let together: Vec<_> = given.iter().flat_map(|(_, piece)| piece[headers..].to_vec()).collect();
    assert_eq!(together, payload(5000));
}

// spec: NET-RX-16
fn net_rx_43_headers_are_as_long_as_was_negotiated<P: Port>() {
    let host = CSUM | HOST_TSO4 | HOST_TSO6 | HOST_USO | HOST_UDP_TUNNEL_GSO;
    let guest = TUNNELS - GUEST_UDP_TUNNEL_GSO_CSUM;
    for (features, len) in [
        (Features::NONE, 12),
        (MRG_RXBUF, 12),
        (CTRL_VQ | HASH_REPORT, 20),
        (CTRL_VQ | HASH_REPORT | MRG_RXBUF, 20),
        (host, 24),
        (guest, 24),
        (host | guest | MRG_RXBUF, 24),
        (CTRL_VQ | HASH_REPORT | guest, 24),
    ] {
        let mut rig = Rig::<P>::with(Network::new(1), |builder| builder.hash_report(true));
        let mut queues = rig.live(USUAL | features);
        let frame = plain(OWN, 100);
        let at = rig.post(&mut queues, 0, 2048);
        rig.arrive(0, NetHeader::default(), &frame);
        assert_eq!(queues.rx[0].used().unwrap().len, len + 100);
        let mut expected = vec![0; len as usize];
        expected[10] = 1;
        assert_eq!(rig.memory.bytes(at, len as usize + 100), [&expected[..], &frame].concat());
        rig.send_bytes(&mut queues, 0, &[&vec![0; len as usize][..], &plain(BROADCAST, 80)].concat()).unwrap();
        assert_eq!(rig.network.sent(0)[0].1, plain(BROADCAST, 80));
    }
}

// spec: NET-RX-06
fn net_rx_05_without_checksums_nothing_is_left_to_do<P: Port>() {
    let bytes = frame(&ipv4(B4, A4, UDP, &udp((1, 2), b"data")));
    let needs = NetHeader { gso_type: 0, gso_size: 0, ..to_cut(GsoType::UdpL4, 34, 0) };
    for header in [needs, NetHeader { flags: 0xff, ..needs }] {
        let (given, counts) = given::<P>(Features::NONE, header, &bytes);
        assert!(given[0].0 == NetHeader::default() && is_complete(&given[0].1));
        assert_eq!((given.len(), counts.rx_csum_completed), (1, 1));
    }
    let (given, _) = given::<P>(Features::NONE, NetHeader { flags: NetHeader::DATA_VALID, ..needs }, &bytes);
    assert_eq!(given, [(NetHeader::default(), bytes)]);
}

// spec: NET-RX-07 NET-RX-09 NET-RX-26 NET-RX-45
fn net_rx_08_what_the_driver_does_not_take_is_cut<P: Port>() {
    for (gso, needs, bytes, headers) in
        [(GsoType::Tcp4, GUEST_TSO4, tcp4(0x10), 54), (GsoType::Tcp6, GUEST_TSO6, tcp6(), 74)]
    {
        let header = to_cut(gso, headers - 20, 1200);
        // Without the one, without all, and without the work on checksums, too.
        for features in [PLAIN - needs, GUEST_CSUM, Features::NONE] {
            let (given, counts) = given::<P>(features, header, &bytes);
            are_pieces(&given, headers.into());
            assert_eq!(counts.rx_segmented, given.len() as u64);
        }
        let (given, counts) = given::<P>(PLAIN, header, &bytes);
        assert_eq!(given, [(NetHeader { hdr_len: headers, ..header }, bytes)]);
        assert_eq!((counts.rx_gso_frames, counts.rx_segmented), (1, 0));
    }
    // Fragments of IP: the first has the header of UDP, and a checksum over all.
    let (bytes, header) = (udp4(), to_cut(GsoType::Udp, 34, 1200));
    for features in [PLAIN - GUEST_UFO, GUEST_CSUM, Features::NONE] {
        let (given, _) = given::<P>(features, header, &bytes);
        assert!(given.len() > 1 && given.iter().all(|(header, _)| *header == NetHeader::default()));
        let together: Vec<_> = given.iter().flat_map(|(_, piece)| piece[34..].to_vec()).collect();
        let whole = [&bytes[..34], &together].concat();
        assert!(whole.len() == bytes.len() && whole[42..] == bytes[42..] && is_complete(&whole));
    }
    let (given, _) = given::<P>(PLAIN, header, &bytes);
    assert_eq!(given, [(NetHeader { hdr_len: 42, ..header }, bytes)]);
}

fn net_rx_10_datagrams_are_cut_unless_the_driver_takes_those_of_both_versions<P: Port>() {
    for (bytes, headers) in [(udp4(), 42), (udp6(), 62)] {
        let header = to_cut(GsoType::UdpL4, headers - 8, 1200);
        for features in [PLAIN - GUEST_USO4 - GUEST_USO6, GUEST_CSUM, Features::NONE] {
            let (given, _) = given::<P>(features, header, &bytes);
            are_pieces(&given, headers.into());
        }
        let (given, _) = given::<P>(PLAIN, header, &bytes);
        assert_eq!(given, [(NetHeader { hdr_len: headers, ..header }, bytes)]);
    }
}

/// A segment with the mark of congestion, and its header.
fn marked() -> (NetHeader, Vec<u8>) {
    let header = to_cut(GsoType::Tcp4, 34, 1200);
    (NetHeader { gso_type: header.gso_type | NetHeader::ECN, ..header }, tcp4(0x90))
}

fn net_rx_13_without_the_feature_marked_frames_are_cut<P: Port>() {
    let (header, bytes) = marked();
    let (given, _) = given::<P>(PLAIN - GUEST_ECN, header, &bytes);
    are_pieces(&given, 54);
    let marks: Vec<_> = given.iter().map(|(_, piece)| piece[47] & 0x80 != 0).collect();
    assert!(marks[0] && marks[1..].iter().all(|mark| !mark), "the mark is the first piece's alone");
}

fn net_rx_14_with_the_feature_marks_are_told<P: Port>() {
    let (header, bytes) = marked();
    let (given, _) = given::<P>(PLAIN, header, &bytes);
    assert_eq!(given, [(NetHeader { hdr_len: 54, ..header }, bytes)]);
}

// spec: NET-RX-19 NET-RX-20
fn net_rx_17_a_checksum_is_left_to_the_driver<P: Port>() {
    let ends = (v6("fd00::2"), v6("fd00::1"));
    for (bytes, start, gso) in [
        (frame(&ipv4(B4, A4, TCP, &tcp((1, 2), 0x10, b"odd"))), 34, GsoType::Tcp4),
        (frame(&ipv4(B4, A4, UDP, &udp((1, 2), b"some"))), 34, GsoType::UdpL4),
        (frame(&ipv6(ends.0, ends.1, TCP, &tcp((1, 2), 0x10, b"more"))), 54, GsoType::Tcp6),
    ] {
        let header = NetHeader { gso_type: 0, gso_size: 0, ..to_cut(gso, start, 0) };
        let (given, counts) = given::<P>(GUEST_CSUM, header, &bytes);
        assert_eq!(given, [(header, bytes.clone())]);
        assert_eq!(counts.rx_csum_frames, 1);
        // As a driver completes it.
        let (start, at) = (usize::from(start), usize::from(start + header.csum_offset));
        let mut complete = bytes;
        let sum = !crate::frames::fold(crate::frames::sum(&complete[start..]));
        complete[at..at + 2].copy_from_slice(&sum.to_be_bytes());
        assert!(is_complete(&complete));
    }
}

fn net_rx_18_a_wrong_checksum_stays_one<P: Port>() {
    let mut bytes = frame(&ipv4(B4, A4, TCP, &tcp((1, 2), 0x10, b"data")));
    bytes[50] ^= 0x55;
    assert!(!is_complete(&bytes));
    let (passed, _) = given::<P>(PLAIN, NetHeader::default(), &bytes);
    assert_eq!(passed, [(NetHeader::default(), bytes.clone())], "nobody says that it is right, or to be completed");
    // A checksum that is not in the frame is none.
    let needs = NetHeader { gso_type: 0, gso_size: 0, ..to_cut(GsoType::Tcp4, 34, 0) };
    let len = bytes.len() as u16;
    for (start, offset) in [(len - 1, 0), (34, len - 35), (0xffff, 0xffff), (0xffff, 1), (0, 0xffff)] {
        for features in [PLAIN, Features::NONE] {
            let header = NetHeader { csum_start: start, csum_offset: offset, ..needs };
            let (given, counts) = given::<P>(features, header, &bytes);
            assert_eq!((given.len(), counts.rx_bad_header), (0, 1), "{start} and {offset}");
        }
    }
}

// spec: NET-RX-28
fn net_rx_27_frames_to_be_cut_without_checksum_or_size_are_dropped<P: Port>() {
    let good = to_cut(GsoType::Tcp4, 34, 1200);
    for header in [
        NetHeader { flags: 0, ..good },
        NetHeader { flags: NetHeader::DATA_VALID, ..good },
        NetHeader { gso_size: 0, ..good },
        NetHeader { gso_type: 2, ..good },
        NetHeader { gso_type: 7, ..good },
        NetHeader { csum_start: 6000, ..good },
    ] {
        for features in [PLAIN, GUEST_CSUM, Features::NONE] {
            let (given, counts) = given::<P>(features, header, &tcp4(0x10));
            assert_eq!((given.len(), counts.rx_bad_header), (0, 1), "{header:?} with {features:?}");
        }
    }
}

// spec: NET-RX-38 NET-RX-40
fn net_rx_30_other_flags_are_clear<P: Port>() {
    let needs = to_cut(GsoType::Tcp4, 34, 1200);
    // Of segments that were put together, and what is not known: of tunnels there are rules of their own.
    let others = !(NetHeader::NEEDS_CSUM | NetHeader::DATA_VALID | NetHeader::UDP_TUNNEL_CSUM);
    let (given, _) = given::<P>(PLAIN, NetHeader { flags: needs.flags | others, ..needs }, &tcp4(0x10));
    assert_eq!(given.len(), 1);
    assert_eq!(given[0].0.flags, NetHeader::NEEDS_CSUM);
    let (given, _) = self::given::<P>(PLAIN, NetHeader { flags: others, ..NetHeader::default() }, &tcp4(0x10));
    assert_eq!(given[0].0, NetHeader::default());
}

// spec: NET-RX-32
fn net_rx_33_only_the_network_says_that_a_checksum_is_right<P: Port>() {
    let bytes = frame(&ipv4(B4, A4, TCP, &tcp((1, 2), 0x10, b"data")));
    let valid = NetHeader { flags: NetHeader::DATA_VALID, ..NetHeader::default() };
    let (given, counts) = given::<P>(GUEST_CSUM, valid, &bytes);
    assert_eq!((given, counts.rx_csum_valid), (vec![(valid, bytes.clone())], 1));
    let (given, counts) = self::given::<P>(GUEST_CSUM, NetHeader::default(), &bytes);
    assert_eq!((given, counts.rx_csum_valid), (vec![(NetHeader::default(), bytes)], 0));
}
