//! Offloads, as they were agreed on and no others.

use super::super::Tap;
use super::super::offloads::possible;
use super::own_network::in_a_network;
use super::packets::{is_summed, payload, tcp4, tcp4_ecn, tcp6, tunnel, ufo, unsummed, uso};
use super::rig::{Host, Rig, assert_same, join, make_tap, wants};
use crate::backend::NetBackend;
use crate::{NetHeader, Offloads};

const LEN: usize = 6000;
const SIZE: u16 = 1000;

type Frame = (NetHeader, Vec<u8>);

/// What belongs together of a frame that is to be cut.
fn gist(header: &NetHeader) -> (u8, u8, u16, u16, u16) {
    let NetHeader { flags, gso_type, gso_size, csum_start, csum_offset, .. } = *header;
    (flags, gso_type, gso_size, csum_start, csum_offset)
}

/// Frames that are to be cut, with what has to be agreed on.
fn kinds() -> Vec<(&'static str, Offloads, Frame)> {
    let csum = Offloads::CSUM;
    vec![
        ("TCP over IPv4", csum | Offloads::TSO4, tcp4(LEN, SIZE)),
        ("TCP over IPv6", csum | Offloads::TSO6, tcp6(LEN, SIZE)),
        ("TCP with congestion marks", csum | Offloads::TSO4 | Offloads::ECN, tcp4_ecn(LEN, SIZE)),
        ("UDP over IPv4", csum | Offloads::USO4 | Offloads::USO6, uso(false, LEN, SIZE)),
        ("UDP over IPv6", csum | Offloads::USO4 | Offloads::USO6, uso(true, LEN, SIZE)),
    ]
}

#[test]
fn what_the_driver_takes_comes_whole_and_else_it_is_cut() {
    in_a_network(|| {
        make_tap("vm0", "");
        let tap = Tap::open("vm0").expect("a tap");
        let mut rig = Rig::new(&tap, Offloads::NONE);
        let mut host = Host::with_headers("vm0");
        let all = tap.capabilities();
        for (name, needed, (header, frame)) in kinds() {
            if !all.receive.contains(needed) {
                assert!(!all.transmit.contains(needed), "{name}");
                continue;
            }
            tap.configure(&wants(needed, all.transmit, 1)).expect("a configuration");
            host.send_with(header, &frame);
            let (got, whole) = rig.next();
            assert_eq!(gist(&got), gist(&header), "{name}");
            assert_same(&whole, &frame);

            tap.configure(&wants(Offloads::NONE, all.transmit, 1)).expect("a configuration");
            host.send_with(header, &frame);
            let mut bytes = Vec::new();
            for piece in 0..6 {
                let (got, frame) = rig.next();
                assert_eq!((got.gso_type, got.flags & NetHeader::NEEDS_CSUM), (0, 0), "{name}, piece {piece}");
                assert_eq!(frame.len(), usize::from(header.hdr_len) + 1000, "{name}, piece {piece}");
                bytes.extend_from_slice(&frame[usize::from(header.hdr_len)..]);
            }
            assert!(bytes == payload(LEN), "{name}");
            assert_eq!(rig.receive().expect("nothing"), None, "{name}");
        }
    });
}

#[test]
fn what_the_driver_leaves_is_taken_over() {
    in_a_network(|| {
        make_tap("vm0", "");
        let tap = Tap::open("vm0").expect("a tap");
        let can = tap.capabilities().transmit;
        let mut rig = Rig::new(&tap, Offloads::NONE);
        let mut host = Host::with_headers("vm0");
        for (name, needed, (header, frame)) in kinds() {
            if !can.contains(needed) {
                continue;
            }
            rig.send(header, &frame).expect(name);
            let (got, whole) = host.next();
            assert_eq!(gist(&got), gist(&header), "{name}");
            assert_same(&whole, &frame);
        }
    });
}

/// What one is given, the other one is to deliver.
fn two_joined() -> [Tap; 2] {
    let taps = ["vm0", "vm1"].map(|name| {
        make_tap(name, "");
        Tap::open(name).expect("a tap")
    });
    join(&["vm0", "vm1"]);
    taps
}

#[test]
fn fragments_and_checksums_are_made_for_who_does_not_take_them() {
    in_a_network(|| {
        let [one, other] = two_joined();
        let (mut from, mut to) = (Rig::new(&one, Offloads::NONE), Rig::new(&other, Offloads::NONE));

        let (header, frame) = unsummed(2000);
        assert!(!is_summed(&frame));
        from.send(header, &frame).expect("it is sent");
        let (got, summed) = to.next();
        assert_eq!((got, summed.len()), (NetHeader::default(), frame.len()));
        assert!(is_summed(&summed));

        other.configure(&wants(Offloads::CSUM, Offloads::NONE, 1)).expect("a configuration");
        from.send(header, &frame).expect("it is sent");
        let (got, left) = to.next();
        assert_eq!(gist(&got), gist(&header));
        assert_same(&left, &frame);

        let (header, frame) = ufo(LEN, 1000);
        from.send(header, &frame).expect("it is sent");
        let mut bytes = Vec::new();
        while bytes.len() < 8 + LEN {
            let (got, piece) = to.next();
            assert_eq!(got.gso_type, 0);
            assert_eq!(piece[23], 17);
            bytes.extend_from_slice(&piece[34..]);
        }
        assert!(bytes[8..] == payload(LEN));
    });
}

#[test]
fn tunnels_are_cut_for_who_does_not_take_them() {
    in_a_network(|| {
        let [one, other] = two_joined();
        let all = other.capabilities();
        assert_eq!(all.receive & tunnels(), all.transmit & tunnels());
        if !all.receive.contains(Offloads::UDP_TUNNEL_GSO) {
            return super::left_out::left_out("the kernel's tap knows no tunnels");
        }
        let (mut from, mut to) = (Rig::new(&one, Offloads::NONE), Rig::new(&other, all.receive));
        let (header, frame) = tunnel(LEN, SIZE);
        from.send(header, &frame).expect("it is sent");
        let (got, whole) = to.next();
        assert_eq!(gist(&got), gist(&header));
        assert_same(&whole, &frame);
        assert_eq!((got.outer_th_offset, got.inner_nh_offset), (header.outer_th_offset, header.inner_nh_offset));

        other.configure(&wants(all.receive - tunnels(), Offloads::NONE, 1)).expect("a configuration");
        from.send(header, &frame).expect("it is sent");
        let mut bytes = Vec::new();
        for _ in 0..6 {
            let (got, piece) = to.next();
            assert_eq!(got.gso_type, 0);
            bytes.extend_from_slice(&piece[usize::from(header.hdr_len)..]);
        }
        assert!(bytes == payload(LEN));
    });
}

fn tunnels() -> Offloads {
    Offloads::UDP_TUNNEL_GSO | Offloads::UDP_TUNNEL_GSO_CSUM
}

#[test]
fn a_header_becomes_no_longer_while_there_are_queues() {
    in_a_network(|| {
        make_tap("vm0", "");
        let tap = Tap::open("vm0").expect("a tap");
        let all = tap.capabilities();
        if !all.receive.contains(Offloads::UDP_TUNNEL_GSO) {
            return super::left_out::left_out("the kernel's tap knows no tunnels");
        }
        tap.configure(&wants(Offloads::NONE, Offloads::NONE, 1)).expect("a configuration");
        let mut rig = Rig::of_pair(&tap, 0);
        let refused = tap.configure(&wants(all.receive, Offloads::NONE, 1)).expect_err("it is too late");
        assert_eq!(refused.kind(), std::io::ErrorKind::ResourceBusy);
        // What was set before stays.
        let mut host = Host::with_headers("vm0");
        let (header, frame) = tcp4(LEN, SIZE);
        host.send_with(header, &frame);
        for _ in 0..6 {
            assert_eq!(rig.next().1.len(), 54 + 1000);
        }
        drop(rig);
        let mut rig = Rig::new(&tap, all.receive);
        host.send_with(header, &frame);
        assert_same(&rig.next().1, &frame);
    });
}

#[test]
fn what_the_interface_cannot_is_refused() {
    in_a_network(|| {
        make_tap("vm0", "");
        let tap = Tap::open("vm0").expect("a tap");
        let refused = tap.configure(&wants(Offloads::NONE, Offloads::NONE, 2)).expect_err("it has one pair");
        assert_eq!(refused.kind(), std::io::ErrorKind::InvalidInput);
        assert!(tap.open_queue(1).is_err());
        assert!(tap.open_queue(0).is_ok());
    });
}

#[test]
fn the_kernel_is_asked_only_for_what_it_takes_together() {
    let all = Offloads::ALL;
    assert_eq!(possible(all), all);
    assert_eq!(possible(all - Offloads::CSUM), Offloads::NONE);
    assert_eq!(possible(Offloads::CSUM | Offloads::ECN), Offloads::CSUM);
    assert_eq!(possible(Offloads::CSUM | Offloads::USO4), Offloads::CSUM);
    assert_eq!(possible(Offloads::CSUM | tunnels()), Offloads::CSUM);
    let csum_alone = Offloads::CSUM | Offloads::TSO4 | Offloads::UDP_TUNNEL_GSO_CSUM;
    assert_eq!(possible(csum_alone), Offloads::CSUM | Offloads::TSO4);
    // Whatever a driver agrees on, the real one takes what is left of it.
    in_a_network(|| {
        make_tap("vm0", "");
        let tap = Tap::open("vm0").expect("a tap");
        let receive = tap.capabilities().receive;
        let each = [
            Offloads::CSUM,
            Offloads::TSO4,
            Offloads::TSO6,
            Offloads::ECN,
            Offloads::UFO,
            Offloads::USO4,
            Offloads::USO6,
            Offloads::UDP_TUNNEL_GSO,
            Offloads::UDP_TUNNEL_GSO_CSUM,
        ];
        for set in 0..1_u32 << each.len() {
            let chosen = each.iter().enumerate().filter(|(bit, _)| set >> bit & 1 != 0);
            let chosen = chosen.fold(Offloads::NONE, |all, (_, one)| all | *one);
            tap.configure(&wants(chosen & receive, Offloads::NONE, 1)).unwrap_or_else(|_| panic!("{chosen:?}"));
        }
    });
}
