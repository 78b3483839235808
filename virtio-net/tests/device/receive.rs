//! What a driver is given.

use virtio_core::testing::{Buffer, RingDriver};
use virtio_net::{GsoType, NetHeader};

use crate::frames::{BROADCAST, OWN, plain, tcp4, tcp4_is_complete};
use crate::network::Fault;
use crate::rig::*;

each_transport! {
    net_rx_01_a_frame_arrives_in_one_buffer,
    net_rx_02_a_frame_is_spread_over_buffers,
    net_rxbuf_02_without_merging_a_long_frame_is_dropped,
    no_frame_is_lost_to_a_driver_that_is_slow,
    net_rx_06_a_driver_without_checksums_gets_them_complete,
    net_rx_07_a_driver_without_tso_gets_segments,
    net_rx_27_a_driver_with_tso_gets_the_frame_whole,
    drv_net_rx_01_buffers_that_are_too_small_come_back,
    drv_net_rx_02_buffers_to_read_come_back_untouched,
    a_network_that_fails_is_tried_again,
}

fn net_rx_01_a_frame_arrives_in_one_buffer<P: Port>() {
    let mut rig = Rig::<P>::new();
    let mut queues = rig.live(USUAL);
    for len in [14, 60, 255, 256, 257, 1514] {
        let at = rig.post(&mut queues, 0, 2048);
        let frame = plain(OWN, len);
        rig.arrive(0, NetHeader::default(), &frame);
        let (header, got) = rig.got(&mut queues, 0, at).expect("a frame");
        assert_eq!(header, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
        assert_eq!(got, frame);
    }
    let counts = rig.handle.counts();
    assert_eq!((counts.rx_frames, counts.rx_bytes), (6, 14 + 60 + 255 + 256 + 257 + 1514));
}

// spec: NET-RX-03 NET-RX-04 NET-RXBUF-01
fn net_rx_02_a_frame_is_spread_over_buffers<P: Port>() {
    let mut rig = Rig::<P>::new();
    let mut queues = rig.live(USUAL | MRG_RXBUF);
    let sizes = [100, 64, 500, 33, 1000];
    let places = sizes.map(|size| rig.post(&mut queues, 0, size));
    let frame = plain(OWN, 600);
    rig.arrive(0, NetHeader::default(), &frame);
    let mut bytes = Vec::new();
    for (place, len) in places.into_iter().zip([100, 64, 448]) {
        assert_eq!(queues.rx[0].used().unwrap().len, len, "all but the last are full");
        bytes.extend(rig.memory.bytes(place, len as usize));
    }
    assert!(queues.rx[0].used().is_none());
    assert_eq!(bytes[..12], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0]);
    assert_eq!(bytes[12..], frame);
    // The rest is used for what comes next.
    rig.arrive(0, NetHeader::default(), &plain(OWN, 60));
    assert_eq!([(); 2].map(|()| queues.rx[0].used().unwrap().len), [33, 39]);
}

// spec: DRV-NET-03
fn net_rxbuf_02_without_merging_a_long_frame_is_dropped<P: Port>() {
    let mut rig = Rig::<P>::new();
    let mut queues = rig.live(USUAL);
    let at = rig.post(&mut queues, 0, 100);
    rig.post(&mut queues, 0, 100);
    rig.arrive(0, NetHeader::default(), &plain(OWN, 89));
    assert_eq!((rig.handle.counts().rx_no_fit, queues.rx[0].waiting()), (1, 0));
    let frame = plain(OWN, 88);
    rig.arrive(0, NetHeader::default(), &frame);
    assert_eq!(rig.got(&mut queues, 0, at).unwrap().1, frame);
}

fn no_frame_is_lost_to_a_driver_that_is_slow<P: Port>() {
    let mut rig = Rig::<P>::new();
    let mut queues = rig.live(USUAL);
    let frames: Vec<_> = (100..140).map(|len| plain(OWN, len)).collect();
    for frame in &frames {
        rig.arrive(0, NetHeader::default(), frame);
    }
    let asked = rig.network.state().pairs[0].asked;
    assert!(asked < 5, "the device asked {asked} times for what it has no room for");
    for frame in &frames {
        let at = rig.post(&mut queues, 0, 2048);
        assert_eq!(&rig.got(&mut queues, 0, at).unwrap().1, frame);
    }
}

const NEEDS_CSUM: NetHeader = NetHeader {
    flags: NetHeader::NEEDS_CSUM,
    gso_type: 0,
    hdr_len: 0,
    gso_size: 0,
    csum_start: 34,
    csum_offset: 16,
    outer_th_offset: 0,
    inner_nh_offset: 0,
};

// spec: NET-RX-05
fn net_rx_06_a_driver_without_checksums_gets_them_complete<P: Port>() {
    let mut rig = Rig::<P>::new();
    let mut queues = rig.live(USUAL);
    let at = rig.post(&mut queues, 0, 2048);
    let frame = tcp4(OWN, 1000, b"some bytes");
    assert!(!tcp4_is_complete(&frame));
    rig.arrive(0, NEEDS_CSUM, &frame);
    let (header, got) = rig.got(&mut queues, 0, at).unwrap();
    assert_eq!(header[..10], [0; 10]);
    assert!(tcp4_is_complete(&got));
    assert_eq!(got[54..], frame[54..]);
    assert_eq!(rig.handle.counts().rx_csum_completed, 1);
}

// spec: NET-RX-26
fn net_rx_07_a_driver_without_tso_gets_segments<P: Port>() {
    let mut rig = Rig::<P>::new();
    let mut queues = rig.live(USUAL | GUEST_CSUM);
    let payload: Vec<u8> = (0..10000).map(|at| (at % 253) as u8).collect();
    let header = NetHeader { gso_type: GsoType::Tcp4 as u8, gso_size: 1460, ..NEEDS_CSUM };
    let places: Vec<_> = (0..3).map(|_| rig.post(&mut queues, 0, 2048)).collect();
    rig.arrive(0, header, &tcp4(OWN, 1000, &payload));
    // The driver gives buffers by and by.
    let mut got = Vec::<u8>::new();
    for place in places.into_iter().chain((0..4).map(|_| 0)) {
        let place = if place == 0 { rig.post(&mut queues, 0, 2048) } else { place };
        let (header, segment) = rig.got(&mut queues, 0, place).expect("a segment");
        assert_eq!((header[1], segment.len() <= 1514, tcp4_is_complete(&segment)), (0, true, true));
        got.extend(&segment[54..]);
    }
    assert_eq!(got, payload);
    assert_eq!(rig.handle.counts().rx_segmented, 7);
}

// spec: NET-RX-28 NET-RX-31
fn net_rx_27_a_driver_with_tso_gets_the_frame_whole<P: Port>() {
    let mut rig = Rig::<P>::new();
    let mut queues = rig.live(USUAL | GUEST_CSUM | GUEST_TSO4 | MRG_RXBUF);
    let places: Vec<_> = (0..16).map(|_| rig.post(&mut queues, 0, 4096)).collect();
    let frame = tcp4(OWN, 1000, &[5; 40000]);
    rig.arrive(0, NetHeader { gso_type: GsoType::Tcp4 as u8, gso_size: 1460, ..NEEDS_CSUM }, &frame);
    let mut bytes = Vec::new();
    for place in places {
        let Some(used) = queues.rx[0].used() else { break };
        bytes.extend(rig.memory.bytes(place, used.len as usize));
    }
    assert_eq!(bytes[..12], [1, 1, 54, 0, 0xb4, 5, 34, 0, 16, 0, 10, 0]);
    assert_eq!(bytes[12..], frame);
}

fn drv_net_rx_01_buffers_that_are_too_small_come_back<P: Port>() {
    for features in [USUAL, USUAL | MRG_RXBUF] {
        let mut rig = Rig::<P>::new();
        let mut queues = rig.live(features);
        rig.post(&mut queues, 0, 11);
        let at = rig.post(&mut queues, 0, 2048);
        rig.arrive(0, NetHeader::default(), &plain(BROADCAST, 60));
        assert_eq!(queues.rx[0].used().unwrap().len, 0);
        assert!(rig.got(&mut queues, 0, at).is_some());
        assert_eq!(rig.handle.counts().rx_bad_buffer, 1);
    }
}

fn drv_net_rx_02_buffers_to_read_come_back_untouched<P: Port>() {
    let mut rig = Rig::<P>::new();
    let mut queues = rig.live(USUAL);
    let bad = rig.memory.place(&[UNTOUCHED; 4096]);
    queues.rx[0].add(&[Buffer::readable(bad, 2048), Buffer::writable(bad + 2048, 2048)]).unwrap();
    let at = rig.post(&mut queues, 0, 2048);
    rig.arrive(0, NetHeader::default(), &plain(BROADCAST, 60));
    assert_eq!(queues.rx[0].used().unwrap().len, 0);
    assert!(rig.got(&mut queues, 0, at).is_some());
    assert_eq!(rig.memory.bytes(bad, 4096), [UNTOUCHED; 4096]);
}

fn a_network_that_fails_is_tried_again<P: Port>() {
    let mut rig = Rig::<P>::new();
    let mut queues = rig.live(USUAL);
    let at = rig.post(&mut queues, 0, 2048);
    rig.network.state().pairs[0].receive_error = Some(Fault::Kind(std::io::ErrorKind::NotConnected));
    rig.arrive(0, NetHeader::default(), &plain(BROADCAST, 60));
    assert_eq!((rig.handle.counts().rx_failed, queues.rx[0].waiting()), (1, 0));
    while queues.rx[0].waiting() == 0 {
        rig.runtime.poll();
    }
    assert!(rig.got(&mut queues, 0, at).is_some());
}
