//! Frames are cut, and put together again.

mod fragments;
mod hostile;
mod stream;

use super::checksum::{naive, naive_pseudo_header};
use super::frames::*;
use crate::NetHeader;
use crate::packet::segment::Segments;
use crate::packet::{Layers, Malformed, Network, Transport};

/// All frames that `frame` is cut into.
fn cut(frame: &[u8], header: &NetHeader) -> Result<Vec<Vec<u8>>, Malformed> {
    let mut segments = Segments::new(frame, header)?;
    let (mut out, mut frames) = (b"something else".to_vec(), Vec::new());
    while segments.next(&mut out) {
        frames.push(out.clone());
        assert!(frames.len() <= frame.len(), "there is no end of it");
    }
    assert!(out.is_empty() && !segments.next(&mut out));
    Ok(frames)
}

/// What a driver says about a frame whose transport header is the one that is found.
fn header(frame: &[u8], gso_type: u8, gso_size: u16) -> NetHeader {
    at(Layers::parse(frame).unwrap().transport().unwrap(), gso_type, gso_size)
}

fn at(transport: &Transport, gso_type: u8, gso_size: u16) -> NetHeader {
    NetHeader {
        flags: NetHeader::NEEDS_CSUM,
        gso_type,
        gso_size,
        csum_start: transport.at as u16,
        csum_offset: transport.checksum_offset() as u16,
        // Nobody relies on it.
        hdr_len: 0xffff,
        ..NetHeader::default()
    }
}

/// Checks the lengths in a packet that ends with its frame, and the checksum of its header.
fn check_network(frame: &[u8], packet: &Network) {
    let word = |at: usize| usize::from(u16::from_be_bytes([frame[at], frame[at + 1]]));
    if packet.is_v4() {
        assert_eq!(word(packet.at + 2), frame.len() - packet.at);
        assert_eq!(naive(&[&frame[packet.at..packet.payload_at]]), 0xffff, "the header's checksum");
    } else {
        assert_eq!(word(packet.at + 4), frame.len() - packet.at - 40);
    }
}

/// Checks all that is in a packet that ends with its frame. `checksum`: what it carries has one.
fn check(frame: &[u8], packet: &Network, checksum: bool) {
    check_network(frame, packet);
    let transport = packet.transport.unwrap();
    let segment = &frame[transport.at..];
    if packet.protocol == UDP {
        assert_eq!(usize::from(u16::from_be_bytes([segment[4], segment[5]])), segment.len());
    }
    let field = &segment[transport.checksum_offset()..][..2];
    if checksum {
        assert_ne!(field, [0, 0]);
        assert_eq!(naive(&[&naive_pseudo_header(packet, segment.len()), segment]), 0xffff);
    } else {
        assert_eq!(field, [0, 0]);
    }
}

#[test]
fn frames_that_are_not_cut_are_completed() {
    let frame = frame(&ipv4(TCP, &tcp((1, 2), 0, &[], b"payload")));
    // NET-TX-02: nothing says where a checksum is.
    let plain = NetHeader { csum_start: 0xffff, csum_offset: 0xffff, gso_size: 1, ..NetHeader::default() };
    assert_eq!(cut(&frame, &plain).unwrap(), std::slice::from_ref(&frame));
    // NET-TX-09: nor of a tunnel. Congestion marks alone say nothing.
    let header =
        NetHeader { gso_type: NetHeader::ECN, outer_th_offset: 0xffff, inner_nh_offset: 3, ..header(&frame, 0, 0) };
    let mut expected = frame.clone();
    crate::packet::checksum::complete(&mut expected, header.csum_start, header.csum_offset).unwrap();
    assert_ne!(expected, frame);
    assert_eq!(cut(&frame, &header).unwrap(), [expected]);
    let behind = NetHeader { csum_offset: 60, ..header };
    assert!(matches!(cut(&frame, &behind), Err(Malformed::Checksum { .. })));
}

#[test]
fn cutting_allocates_nothing() {
    let cases = [
        (frame(&ipv4(TCP, &tcp((1, 2), 0x18, &[], &[7; 9000]))), 1),
        (frame(&ipv6(TCP, &tcp((1, 2), 0x18, &[], &[7; 9000]))), 4),
        (frame(&ipv4(UDP, &udp((1, 2), &[7; 9000]))), 5),
        (frame(&ipv6(UDP, &udp((1, 2), &[7; 9000]))), 3),
    ];
    let mut out = Vec::with_capacity(1500);
    for (frame, gso_type) in &cases {
        let header = header(frame, *gso_type, 1400);
        let mut pieces = 0;
        let counted = allocation_counter::measure(|| {
            let mut segments = Segments::new(frame, &header).unwrap();
            while segments.next(&mut out) {
                pieces += 1;
            }
        });
        assert_eq!((pieces, counted.count_total), (7, 0), "{gso_type}");
    }
}
