#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

use crate::backend::bench::{events, frame, receive, receive_with, send};
use crate::backend::{Generator, NetBackend, Received, Room};
use crate::{NetHeader, Offloads};

#[test]
fn the_frame_of_the_house_is_a_datagram_to_everybody() {
    let generator = Generator::new();
    let frame = generator.frame();
    assert_eq!(frame.len(), 64);
    assert_eq!(frame[..6], [0xff; 6]);
    assert_eq!(frame[12..14], [8, 0]);
    let ip = &frame[14..34];
    assert_eq!(u16::from_be_bytes([ip[2], ip[3]]), 50, "bytes of the packet");
    assert_eq!(u16::from_be_bytes([frame[38], frame[39]]), 30, "bytes of the datagram");
    let sum: u32 = ip.chunks(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]]))).sum();
    assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff, "the header's checksum");
    assert_eq!(Generator::default().frame(), frame);
}

#[test]
fn a_frame_comes_again_and_again_and_is_not_copied() {
    let header = NetHeader { flags: NetHeader::NEEDS_CSUM, csum_start: 34, csum_offset: 6, ..NetHeader::default() };
    let sent = frame(1, 2, 200, 77);
    let generator = Generator::of(&sent, header, Offloads::CSUM).unwrap();
    assert_eq!((generator.capabilities().receive, generator.capabilities().transmit), (Offloads::CSUM, Offloads::ALL));
    let mut queue = generator.open_queue(3).unwrap();
    for _ in 0..1000 {
        let mut nothing = [];
        let mut scratch = Vec::new();
        let received = queue.receive(&mut Room::of_bytes(&mut nothing, &mut scratch)).unwrap();
        let Received::Lent { header: got, frame } = received else { panic!("{received:?}") };
        assert_eq!((got, frame.as_ptr()), (header, generator.frame().as_ptr()));
        assert_eq!(frame, sent);
        send(&mut *queue, &sent).unwrap();
    }
    assert!(events(&*queue, true, true).is_empty());
}

#[test]
fn each_pair_has_a_limit_of_its_own() {
    let generator = Generator::new().limit(3);
    for pair in [0, 1, 0] {
        let mut queue = generator.open_queue(pair).unwrap();
        let count = (0..10).map_while(|_| receive(&mut *queue)).count();
        assert_eq!(count, 3);
        assert!(receive_with(&mut *queue).unwrap().is_none());
    }
}

#[test]
fn what_is_no_frame_is_not_generated() {
    for len in [0, 13, 65558] {
        assert!(Generator::of(&vec![0; len], NetHeader::default(), Offloads::NONE).is_err(), "{len} bytes");
    }
    for len in [14, 65557] {
        assert!(Generator::of(&vec![0; len], NetHeader::default(), Offloads::NONE).is_ok(), "{len} bytes");
    }
    assert!(Generator::new().open_queue(0x8000).is_err());
}
