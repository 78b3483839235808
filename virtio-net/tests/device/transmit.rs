//! What a driver sends.

use virtio_core::testing::{Buffer, RingDriver};
use virtio_net::{GsoType, NetHeader};

use crate::frames::{BROADCAST, plain, tcp4};
use crate::network::Fault;
use crate::rig::*;

each_transport! {
    a_frame_goes_out_as_it_is,
    net_cfg_06_a_frame_as_long_as_the_mtu_allows_goes_out_whole,
    any_framing_is_the_same,
    frames_to_be_cut_go_to_the_network_as_they_are,
    drv_net_tx_01_what_is_no_frame_comes_back,
    drv_net_tx_15_buffers_to_write_are_left_alone,
    a_network_without_room_has_the_driver_wait,
    a_network_that_fails_costs_the_frame,
}

fn a_frame_goes_out_as_it_is<P: Port>() {
    let mut rig = Rig::<P>::new();
    let mut queues = rig.live(USUAL);
    for len in [14, 60, 64, 1514] {
        let frame = plain(BROADCAST, len);
        let used = rig.send(&mut queues, 0, &NetHeader::default(), &frame).expect("the buffer comes back");
        assert_eq!(used.len, 0);
        assert_eq!(rig.network.sent(0), [(NetHeader::default(), frame)]);
    }
    let counts = rig.handle.counts();
    assert_eq!((counts.tx_frames, counts.tx_bytes), (4, 14 + 60 + 64 + 1514));
    assert!(rig.network.state().pairs[0].flushes >= 4);
}

fn net_cfg_06_a_frame_as_long_as_the_mtu_allows_goes_out_whole<P: Port>() {
    let mut rig = Rig::<P>::with(crate::network::Network::new(1), |builder| builder.mtu(9000));
    let mut queues = rig.live(USUAL | MTU);
    let frame = plain(BROADCAST, 9014);
    rig.send(&mut queues, 0, &NetHeader::default(), &frame);
    assert_eq!(rig.network.sent(0)[0].1, frame);
}

fn any_framing_is_the_same<P: Port>() {
    let mut rig = Rig::<P>::new();
    let mut queues = rig.live(USUAL);
    let frame = plain(BROADCAST, 200);
    let bytes = rig.with_header(&NetHeader::default(), &frame);
    for cut in [1, 5, 11, 12, 13, 26, 211] {
        let at = rig.memory.place(&bytes);
        let rest = bytes.len() - cut;
        let buffers = [Buffer::readable(at, cut as u32), Buffer::readable(at + cut as u64, rest as u32)];
        queues.tx[0].add(&buffers).unwrap();
        rig.kick(1, &mut queues.tx[0]);
        assert_eq!(queues.tx[0].used().unwrap().len, 0);
        assert_eq!(rig.network.sent(0)[0].1, frame, "cut at {cut}");
    }
    // A byte each, behind an indirect table.
    let at = rig.memory.place(&bytes);
    let buffers: Vec<_> = (0..bytes.len()).map(|byte| Buffer::readable(at + byte as u64, 1)).collect();
    queues.tx[0].add_indirect(&buffers[..bytes.len().min(15)]).unwrap();
    rig.kick(1, &mut queues.tx[0]);
    assert!(queues.tx[0].used().is_some());
    assert_eq!(rig.handle.counts().tx_bad_length, 1, "three bytes behind the header are no frame");
}

fn frames_to_be_cut_go_to_the_network_as_they_are<P: Port>() {
    let mut rig = Rig::<P>::new();
    let mut queues = rig.live(USUAL | CSUM | HOST_TSO4);
    let frame = tcp4(BROADCAST, 1000, &[7; 30000]);
    let header = NetHeader {
        flags: NetHeader::NEEDS_CSUM,
        gso_type: GsoType::Tcp4 as u8,
        hdr_len: 54,
        gso_size: 1460,
        csum_start: 34,
        csum_offset: 16,
        ..NetHeader::default()
    };
    rig.send(&mut queues, 0, &header, &frame);
    assert_eq!(rig.network.sent(0), [(header, frame.clone())]);
    let counts = rig.handle.counts();
    assert_eq!((counts.tx_gso_frames, counts.tx_gso_bytes, counts.tx_csum_frames), (1, frame.len() as u64, 1));
    // DRV-NET-TX-04
    rig.send(&mut queues, 0, &NetHeader { gso_type: GsoType::Tcp6 as u8, ..header }, &frame).expect("it comes back");
    assert_eq!((rig.network.sent(0).len(), rig.handle.counts().tx_bad_header), (0, 1));
}

fn drv_net_tx_01_what_is_no_frame_comes_back<P: Port>() {
    let mut rig = Rig::<P>::new();
    let mut queues = rig.live(USUAL);
    for len in [1, 11, 12, 25] {
        assert_eq!(rig.send_bytes(&mut queues, 0, &vec![0; len]).expect("it comes back").len, 0);
    }
    assert_eq!((rig.network.sent(0).len(), rig.handle.counts().tx_bad_length), (0, 4));
    assert!(!rig.is_broken());
    let frame = plain(BROADCAST, 60);
    rig.send(&mut queues, 0, &NetHeader::default(), &frame);
    assert_eq!(rig.network.sent(0).len(), 1, "the queue goes on");
}

fn drv_net_tx_15_buffers_to_write_are_left_alone<P: Port>() {
    let mut rig = Rig::<P>::new();
    let mut queues = rig.live(USUAL);
    let frame = plain(BROADCAST, 60);
    let bytes = rig.with_header(&NetHeader::default(), &frame);
    let (at, more) = (rig.memory.place(&bytes), rig.memory.place(&[UNTOUCHED; 64]));
    queues.tx[0].add(&[Buffer::readable(at, bytes.len() as u32), Buffer::writable(more, 64)]).unwrap();
    rig.kick(1, &mut queues.tx[0]);
    assert_eq!(queues.tx[0].used().unwrap().len, 0);
    assert_eq!(rig.network.sent(0)[0].1, frame);
    assert_eq!(rig.memory.bytes(more, 64), [UNTOUCHED; 64]);
}

fn a_network_without_room_has_the_driver_wait<P: Port>() {
    let mut rig = Rig::<P>::new();
    let mut queues = rig.live(USUAL);
    rig.network.make_room(0, 2);
    let frames: Vec<_> = (60..65).map(|len| plain(BROADCAST, len)).collect();
    for frame in &frames {
        let bytes = rig.with_header(&NetHeader::default(), frame);
        let at = rig.memory.place(&bytes);
        queues.tx[0].add(&[Buffer::readable(at, bytes.len() as u32)]).unwrap();
    }
    rig.kick(1, &mut queues.tx[0]);
    assert_eq!(queues.tx[0].waiting(), 2, "the others stay in the ring");
    rig.network.make_room(0, 2);
    rig.runtime.poll();
    assert_eq!(queues.tx[0].waiting(), 4);
    rig.network.make_room(0, 100);
    rig.runtime.poll();
    assert_eq!(queues.tx[0].waiting(), 5);
    assert_eq!(rig.network.sent(0).into_iter().map(|(_, frame)| frame).collect::<Vec<_>>(), frames, "in order");
    assert!(rig.handle.counts().tx_blocked >= 2);
}

fn a_network_that_fails_costs_the_frame<P: Port>() {
    let mut rig = Rig::<P>::new();
    let mut queues = rig.live(USUAL);
    rig.network.state().pairs[0].send_error = Some(Fault::Kind(std::io::ErrorKind::BrokenPipe));
    assert!(rig.send(&mut queues, 0, &NetHeader::default(), &plain(BROADCAST, 60)).is_some());
    assert_eq!(rig.handle.counts().tx_failed, 1);
    rig.network.state().pairs[0].send_error = None;
    rig.send(&mut queues, 0, &NetHeader::default(), &plain(BROADCAST, 60));
    assert_eq!(rig.network.sent(0).len(), 1);
}
