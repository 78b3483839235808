use proptest::prelude::*;

use super::frames::*;
use crate::packet::checksum::{Sum, complete, is_partial, pseudo_header};
use crate::packet::{Addresses, Layers, Malformed, Network, Protocol};

/// Word by word, as it is defined: what is left of the sum, with the high byte first.
pub(super) fn naive(parts: &[&[u8]]) -> u16 {
    let mut sum = 0_u64;
    for part in parts {
        for word in part.chunks(2) {
            sum += u64::from(word[0]) << 8 | u64::from(word.get(1).copied().unwrap_or(0));
        }
    }
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    sum as u16
}

/// The pseudo header of what a packet without extension headers carries, `len` bytes of it.
pub(super) fn naive_pseudo_header(packet: &Network, len: usize) -> Vec<u8> {
    let len = (len as u32).to_be_bytes();
    let tail = [0, 0, 0, packet.protocol];
    match packet.addresses {
        Addresses::V4 { source, destination } => [source.as_slice(), &destination, &tail, &len].concat(),
        Addresses::V6 { source, destination } => [source.as_slice(), &destination, &tail, &len].concat(),
    }
}

fn network(frame: &[u8]) -> Network {
    Layers::parse(frame).unwrap().network.unwrap()
}

/// A frame whose checksum is to be completed, as drivers make them, and where it is.
fn partial(packet: &[u8]) -> (Vec<u8>, u16, u16) {
    let mut frame = frame(packet);
    let network = network(&frame);
    let transport = network.transport.unwrap();
    let at = transport.at + transport.checksum_offset();
    let sum = naive(&[&naive_pseudo_header(&network, frame.len() - transport.at)]);
    frame[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    (frame, transport.at as u16, transport.checksum_offset() as u16)
}

fn packets(payload: &[u8]) -> [Vec<u8>; 4] {
    let (segment, datagram) = (tcp((1, 2), 0x18, &[1; 4], payload), udp((1, 2), payload));
    [ipv4(TCP, &segment), ipv4(UDP, &datagram), ipv6(TCP, &segment), ipv6(UDP, &datagram)]
}

// spec: NET-RX-06 NET-RX-20
#[test]
fn checksums_are_completed() {
    for packet in packets(b"an odd number of bytes.") {
        let (mut frame, start, offset) = partial(&packet);
        complete(&mut frame, start, offset).unwrap();
        let segment = &frame[usize::from(start)..];
        let pseudo = naive_pseudo_header(&network(&frame), segment.len());
        assert_eq!(naive(&[&pseudo, segment]), 0xffff);
    }
}

#[test]
fn net_rx_06_a_checksum_is_never_zero() {
    let (mut frame, start, offset) = partial(&ipv4(UDP, &udp((1, 2), &[0, 0])));
    let mut completed = frame.clone();
    complete(&mut completed, start, offset).unwrap();
    // With its own checksum as data, the sum is all ones, and the checksum would be zero.
    frame[42..44].copy_from_slice(&completed[40..42]);
    complete(&mut frame, start, offset).unwrap();
    assert_eq!(frame[40..42], [0xff, 0xff]);
}

// spec: DRV-NET-TX-08
#[test]
fn drv_net_tx_08_a_checksum_is_in_the_frame_or_refused() {
    let frame: Vec<u8> = (0..60).collect();
    for (start, offset) in [(0, 59), (59, 0), (58, 1), (60, 0), (0, u16::MAX), (u16::MAX, 0), (u16::MAX, u16::MAX)] {
        let mut bytes = frame.clone();
        assert_eq!(complete(&mut bytes, start, offset), Err(Malformed::Checksum { start, offset, len: 60 }));
        assert_eq!(bytes, frame);
    }
    for (start, offset) in [(0, 58), (58, 0), (57, 1), (0, 0)] {
        let mut bytes = frame.clone();
        assert_eq!(complete(&mut bytes, start, offset), Ok(()));
        assert_ne!(bytes, frame);
    }
    assert!(complete(&mut [], 0, 0).is_err());
}

#[test]
fn net_rx_19_the_sum_of_the_pseudo_header_is_known() {
    for packet in packets(b"payload") {
        let (mut frame, start, offset) = partial(&packet);
        let packet = network(&frame);
        let (at, len) = (usize::from(start + offset), frame.len() - usize::from(start));
        assert!(is_partial(&frame, &packet, len));
        assert!(!is_partial(&frame, &packet, len + 1));
        assert!(!is_partial(&frame[..at + 1], &packet, len));
        complete(&mut frame, start, offset).unwrap();
        assert!(!is_partial(&frame, &packet, len));
    }
    let other = frame(&ipv4(1, &[8, 0, 0, 0]));
    assert!(!is_partial(&other, &network(&other), 4));
}

#[test]
fn net_rx_19_zero_and_all_ones_are_the_same_sum() {
    // The protocol, the length, and a destination that fills it up.
    let packet = ipv4_between([0; 4], [0, 0, 0xff, 0xe6], &[], UDP, &udp((1, 2), &[]));
    let mut frame = frame(&packet);
    assert_eq!(pseudo_header(&network(&frame), Protocol::Udp, 8).partial(), [0xff, 0xff]);
    assert!(is_partial(&frame, &network(&frame), 8));
    frame[40..42].copy_from_slice(&[0xff, 0xff]);
    assert!(is_partial(&frame, &network(&frame), 8));
}

proptest! {
    #[test]
    fn sums_are_those_defined(bytes in prop::collection::vec(any::<u8>(), 0..600), start in 0..8_usize, number in any::<u16>()) {
        // At any alignment.
        let bytes = bytes.get(start..).unwrap_or_default();
        prop_assert_eq!(Sum::default().add(bytes).partial(), naive(&[bytes]).to_be_bytes());
        let even = &bytes[..bytes.len() & !1];
        prop_assert_eq!(
            Sum::default().add(even).number(number).add(bytes).complement(),
            (!naive(&[even, &number.to_be_bytes(), bytes])).to_be_bytes()
        );
    }

    #[test]
    fn drv_net_tx_08_any_place_is_in_the_frame_or_refused(
        mut frame in prop::collection::vec(any::<u8>(), 0..300), start in 0..400_u16, offset in 0..400_u16,
    ) {
        let at = usize::from(start) + usize::from(offset);
        let before = frame.clone();
        match complete(&mut frame, start, offset) {
            Ok(()) => {
                let sum = naive(&[&before[usize::from(start)..]]);
                let field = u16::from_be_bytes([frame[at], frame[at + 1]]);
                prop_assert!(field == !sum || (field == 0xffff && sum == 0xffff));
                frame[at..at + 2].copy_from_slice(&before[at..at + 2]);
                prop_assert_eq!(frame, before);
            }
            Err(_) => prop_assert!(at + 2 > frame.len() && frame == before),
        }
    }
}

#[test]
fn long_sums_do_not_run_over() {
    let ones = vec![0xff; 1 << 20];
    assert_eq!(Sum::default().add(&ones).add(&ones).partial(), [0xff, 0xff]);
    assert_eq!(Sum::default().add(&ones[1..]).partial(), naive(&[&ones[1..]]).to_be_bytes());
}
