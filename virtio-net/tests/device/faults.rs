//! Chains that are damaged, and networks that fail or lie.

use std::io;

use virtio_core::testing::{Buffer, RingDriver};
use virtio_net::NetHeader;

use crate::frames::{BROADCAST, OWN, plain, tcp4};
use crate::lifecycle::{LONG, long};
use crate::network::{Fault, Network};
use crate::rig::*;

each_transport! {
    frames_from_what_is_not_memory_come_back,
    buffers_that_are_not_memory_come_back,
    buffers_that_cannot_be_used_are_found_behind_others,
    a_broken_ring_leaves_other_queues_running,
    a_network_that_cannot_be_opened_is_tried_again,
    a_network_that_refuses_its_configuration_asks_for_a_reset,
    frames_that_are_longer_than_the_room_are_no_frames,
    frames_of_any_length_are_counted_or_given,
    headers_of_any_kind_are_counted_or_understood,
    a_network_without_anybody_takes_the_link_down,
}

/// No test has memory here.
const NOWHERE: u64 = 1 << 40;
/// Where memory ends.
const END: u64 = 32 << 20;

fn frames_from_what_is_not_memory_come_back<P: Port>() {
    let mut rig = Rig::<P>::new();
    let mut queues = rig.live(USUAL);
    let header = rig.memory.place(&[0; 12]);
    let chains = [
        vec![Buffer::readable(NOWHERE, 72)],
        vec![Buffer::readable(header, 12), Buffer::readable(NOWHERE, 60)],
        vec![Buffer::readable(header, 12), Buffer::readable(END - 30, 60)],
        vec![Buffer::readable(NOWHERE, 12), Buffer::readable(header, 60)],
        vec![Buffer::readable(header, 12), Buffer::readable(u64::MAX - 20, 60)],
    ];
    for (number, chain) in (1..).zip(&chains) {
        queues.tx[0].add(chain).unwrap();
        rig.kick(1, &mut queues.tx[0]);
        assert_eq!(queues.tx[0].used().expect("it comes back").len, 0);
        assert_eq!((rig.handle.counts().tx_bad_buffer, rig.network.sent(0).len()), (number, 0));
    }
    // Nothing to send at all, of any length.
    for chain in [vec![Buffer::writable(header, 12)], vec![Buffer::readable(header, 0)]] {
        queues.tx[0].add(&chain).unwrap();
        rig.kick(1, &mut queues.tx[0]);
        assert_eq!(queues.tx[0].used().expect("it comes back").len, 0);
    }
    // More than there can be.
    let at = rig.memory.alloc(1 << 20, 16);
    queues.tx[0].add(&[Buffer::readable(header, 12), Buffer::readable(at, 1 << 20)]).unwrap();
    rig.kick(1, &mut queues.tx[0]);
    assert_eq!(queues.tx[0].used().expect("it comes back").len, 0);
    assert_eq!((rig.handle.counts().tx_bad_length, rig.network.sent(0).len()), (3, 0));
    assert!(!rig.is_broken());
    let frame = plain(BROADCAST, 60);
    rig.send(&mut queues, 0, &NetHeader::default(), &frame);
    assert_eq!(rig.network.sent(0)[0].1, frame);
}

fn buffers_that_are_not_memory_come_back<P: Port>() {
    for features in [USUAL, USUAL | MRG_RXBUF] {
        for fills in [false, true] {
            let mut rig = Rig::<P>::new();
            rig.network.state().fills = fills;
            let mut queues = rig.live(features);
            let good = rig.memory.place(&[UNTOUCHED; 2048]);
            let chains = [
                vec![Buffer::writable(NOWHERE, 2048)],
                vec![Buffer::writable(END - 100, 2048)],
                vec![Buffer::writable(good, 1000), Buffer::writable(NOWHERE, 1000)],
                vec![Buffer::writable(good, 0)],
                vec![Buffer::writable(good, 1000), Buffer::writable(good, 0)],
            ];
            for chain in &chains {
                queues.rx[0].add(chain).unwrap();
            }
            let at = rig.post(&mut queues, 0, 2048);
            let frame = plain(OWN, 400);
            rig.arrive(0, NetHeader::default(), &frame);
            let bad = std::iter::from_fn(|| queues.rx[0].used().filter(|used| used.len == 0)).count();
            let counts = rig.handle.counts();
            assert_eq!((bad, counts.rx_bad_buffer, counts.rx_frames), (5, 5, 1));
            assert_eq!(rig.memory.bytes(at + 12, 400), frame);
            assert_eq!(rig.memory.bytes(good, 2048), [UNTOUCHED; 2048]);
            assert!(!rig.is_broken());
        }
    }
}

// spec: DRV-NET-RX-02
fn buffers_that_cannot_be_used_are_found_behind_others<P: Port>() {
    for fills in [false, true] {
        let mut rig = Rig::<P>::new();
        rig.network.state().fills = fills;
        let mut queues = rig.live(USUAL | MRG_RXBUF);
        let good = rig.post(&mut queues, 0, 100);
        let bad = rig.memory.place(&[UNTOUCHED; 4096]);
        queues.rx[0].add(&[Buffer::readable(bad, 2048), Buffer::writable(bad + 2048, 2048)]).unwrap();
        let places = [rig.post(&mut queues, 0, 500), rig.post(&mut queues, 0, 500)];
        let frame = plain(OWN, 600);
        rig.arrive(0, NetHeader::default(), &frame);
        let lengths: Vec<_> = std::iter::from_fn(|| queues.rx[0].used()).map(|used| used.len).collect();
        assert_eq!(lengths, [0, 0, 500, 112], "fills: {fills}");
        let bytes = [rig.memory.bytes(places[0], 500), rig.memory.bytes(places[1], 112)].concat();
        assert_eq!((bytes[10], &bytes[12..]), (2, &frame[..]));
        assert_eq!(rig.memory.bytes(bad, 4096), [UNTOUCHED; 4096]);
        assert_eq!(rig.memory.bytes(good, 100), [UNTOUCHED; 100]);
    }
}

fn a_broken_ring_leaves_other_queues_running<P: Port>() {
    for broken in 0..4u16 {
        let mut rig = Rig::<P>::with(Network::new(2), |builder| builder);
        let mut queues = rig.live(USUAL | MQ | CTRL_VQ);
        assert_eq!(rig.command(&mut queues, 4, 0, &[2, 0]), Some(0));
        let driver = match broken % 2 {
            0 => &mut queues.rx[usize::from(broken / 2)],
            _ => &mut queues.tx[usize::from(broken / 2)],
        };
        driver.break_ring();
        driver.show();
        rig.port.notify(broken);
        rig.runtime.poll();
        // A ring to receive is not looked at before something is received.
        for flow in 1000..1016 {
            rig.arrive(0, NetHeader::default(), &tcp4(OWN, flow, b""));
        }
        assert!(rig.is_broken(), "queue {broken}");
        let before = rig.handle.counts().rx_frames;
        for pair in 0..2u16 {
            if broken != 2 * pair + 1 {
                assert!(rig.send(&mut queues, pair, &NetHeader::default(), &plain(BROADCAST, 60)).is_some());
                assert_eq!(rig.network.sent(pair.into()).len(), 1);
            }
            if broken != 2 * pair {
                (0..4).for_each(|_| _ = rig.post(&mut queues, pair, 2048));
            }
        }
        rig.arrive(0, NetHeader::default(), &plain(BROADCAST, 60));
        assert!(rig.handle.counts().rx_frames > before, "queue {broken}");
        assert_eq!(rig.command(&mut queues, 4, 0, &[1, 0]), Some(0));
        rig.port.set_status(0);
        assert_eq!(rig.port.status(), 0);
        let mut queues = rig.live(USUAL);
        assert!(rig.send(&mut queues, 0, &NetHeader::default(), &plain(BROADCAST, 60)).is_some());
    }
}

fn a_network_that_cannot_be_opened_is_tried_again<P: Port>() {
    let mut rig = Rig::<P>::new();
    rig.network.state().opening_fails = true;
    let mut queues = rig.live(USUAL);
    assert_eq!(rig.handle.counts().rx_failed, 1);
    let at = rig.post(&mut queues, 0, 2048);
    // What is sent meanwhile is lost, as with a cable that is not plugged in.
    assert!(rig.send(&mut queues, 0, &NetHeader::default(), &plain(BROADCAST, 60)).is_some());
    assert_eq!(rig.handle.counts().tx_inactive, 1);
    (0..100).for_each(|_| _ = rig.runtime.poll());
    assert!(rig.handle.counts().rx_failed < 10, "it is not tried all the time");
    assert!(rig.runtime.next_deadline().is_some());
    assert!(!rig.is_broken());
    rig.network.state().opening_fails = false;
    rig.network.inject(0, NetHeader::default(), &plain(OWN, 60));
    while queues.rx[0].waiting() == 0 {
        rig.runtime.poll();
    }
    assert!(rig.got(&mut queues, 0, at).is_some());
}

fn a_network_that_refuses_its_configuration_asks_for_a_reset<P: Port>() {
    let mut rig = Rig::<P>::new();
    rig.network.state().refuses = Some(virtio_net::Offloads::CSUM);
    assert!(rig.negotiate(USUAL | GUEST_CSUM));
    rig.enable(0, USUAL);
    rig.go();
    assert!(rig.is_broken());
    rig.port.set_status(0);
    let mut queues = rig.live(USUAL);
    assert!(rig.send(&mut queues, 0, &NetHeader::default(), &plain(BROADCAST, 60)).is_some());
}

fn frames_that_are_longer_than_the_room_are_no_frames<P: Port>() {
    for features in [USUAL, USUAL | MRG_RXBUF] {
        let mut rig = Rig::<P>::new();
        let mut queues = rig.live(features);
        let places: Vec<_> = (0..4).map(|_| rig.post(&mut queues, 0, 2048)).collect();
        for (number, claims) in [100_000, usize::MAX].into_iter().enumerate() {
            {
                let mut state = rig.network.state();
                (state.fills, state.claims) = (true, Some(claims));
            }
            rig.arrive(0, NetHeader::default(), &plain(OWN, 60));
            assert_eq!((rig.handle.counts().rx_failed, queues.rx[0].waiting()), (number as u64 + 1, 0));
            // It is tried again after a while.
            rig.network.state().claims = None;
            rig.network.inject(0, NetHeader::default(), &plain(OWN, 60));
            while queues.rx[0].waiting() == 0 {
                rig.runtime.poll();
            }
            assert!(rig.got(&mut queues, 0, places[number]).is_some());
        }
        assert!(!rig.is_broken());
    }
}

fn frames_of_any_length_are_counted_or_given<P: Port>() {
    for fills in [false, true] {
        let mut rig = Rig::<P>::new();
        rig.network.state().fills = fills;
        let mut queues = rig.live(USUAL);
        let at = rig.memory.alloc(1 << 17, 16);
        queues.rx[0].add(&[Buffer::writable(at, 1 << 17)]).unwrap();
        rig.kick(0, &mut queues.rx[0]);
        for len in 0..14 {
            rig.arrive(0, NetHeader::default(), &vec![0xff; len]);
        }
        assert_eq!((rig.handle.counts().rx_short, queues.rx[0].waiting()), (14, 0), "fills: {fills}");
        let frame = plain(OWN, 65557);
        rig.arrive(0, NetHeader::default(), &frame);
        assert_eq!(queues.rx[0].used().expect("the longest frame").len, 65569);
        assert_eq!(rig.memory.bytes(at + 12, 65557), frame);
    }
}

fn headers_of_any_kind_are_counted_or_understood<P: Port>() {
    let mut number = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        number ^= number << 13;
        number ^= number >> 7;
        number ^= number << 17;
        number
    };
    let all = GUEST_CSUM | GUEST_TSO4 | GUEST_TSO6 | GUEST_UFO | GUEST_USO4 | GUEST_USO6 | MRG_RXBUF;
    for features in [USUAL, USUAL | GUEST_CSUM, USUAL | all] {
        let mut rig = Rig::<P>::new();
        let mut queues = rig.live(features);
        let place = rig.memory.alloc(16 * 4096, 16);
        let mut given = 0;
        for round in 0..400u64 {
            while queues.rx[0].used().is_some() {
                given += 1;
            }
            while queues.rx[0].add(&[Buffer::writable(place, 4096)]).is_some() {}
            rig.kick(0, &mut queues.rx[0]);
            let [a, b, c, d] = [(); 4].map(|()| next());
            let small = |number: u64| if number & 7 == 0 { number as u16 >> 1 } else { (number >> 8) as u16 % 80 };
            let header = NetHeader {
                flags: if round % 4 == 0 { 0 } else { a as u8 & 0xf },
                gso_type: [0, 1, 3, 4, 5, 0x81, 0x21, 0x44, 0x61, a as u8, 0, 0, 0, 0, 0][(a >> 8) as usize % 15],
                hdr_len: small(b),
                gso_size: small(c),
                csum_start: small(d),
                csum_offset: small(b >> 16),
                outer_th_offset: small(c >> 16),
                inner_nh_offset: small(d >> 16),
            };
            let frame = match round % 3 {
                0 => long(),
                1 => tcp4(OWN, 7, &vec![3; next() as usize % 3000]),
                _ => plain(OWN, 14 + next() as usize % 2000),
            };
            rig.arrive(0, header, &frame);
        }
        // What is left is cut, and goes where there is room.
        for _ in 0..400 {
            while queues.rx[0].used().is_some() {
                given += 1;
            }
            while queues.rx[0].add(&[Buffer::writable(place, 4096)]).is_some() {}
            rig.kick(0, &mut queues.rx[0]);
        }
        let counts = rig.handle.counts();
        assert!(given > 50 && counts.rx_frames > 50 && counts.rx_bad_header > 50, "{counts:?}");
        let frame = plain(OWN, 60);
        rig.arrive(0, NetHeader::default(), &frame);
        assert_eq!(rig.memory.bytes(place + 12, 60), frame, "the queue goes on");
        // A header that makes sense is understood.
        rig.arrive(0, LONG, &long());
        assert!(!rig.is_broken());
    }
}

fn a_network_without_anybody_takes_the_link_down<P: Port>() {
    let mut rig = Rig::<P>::new();
    let mut queues = rig.live(USUAL | STATUS);
    assert_eq!(rig.config(6), [1, 0]);
    rig.network.state().pairs[0].connected = false;
    rig.arrive(0, NetHeader::default(), &plain(OWN, 60));
    assert_eq!((rig.config(6), rig.handle.is_link_up()), ([0, 0], false));
    assert!(rig.send(&mut queues, 0, &NetHeader::default(), &plain(BROADCAST, 60)).is_some());
    assert_eq!((rig.handle.counts().tx_link_down, rig.network.sent(0).len()), (1, 0));
    rig.network.state().pairs[0].connected = true;
    rig.network.state().pairs[0].receive_error = Some(Fault::Kind(io::ErrorKind::ConnectionReset));
    rig.arrive(0, NetHeader::default(), &plain(OWN, 60));
    assert_eq!((rig.config(6), rig.handle.is_link_up()), ([1, 0], true));
    assert!(rig.send(&mut queues, 0, &NetHeader::default(), &plain(BROADCAST, 60)).is_some());
    assert_eq!(rig.network.sent(0).len(), 1);
}
