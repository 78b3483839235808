//! Several pairs of queues.

use super::super::Tap;
use super::own_network::in_a_network;
use super::packets::{tcp4, unsummed};
use super::rig::{Host, Rig, assert_same, ip, make_tap, wants};
use crate::Offloads;
use crate::backend::{NetBackend, NetQueue};

/// Datagrams of this many flows.
const FLOWS: u16 = 32;

/// Sends a datagram of each flow to the tap, and says which pair each came to.
fn deliver(host: &mut Host, rigs: &mut [Rig]) -> Vec<usize> {
    (0..FLOWS)
        .map(|flow| {
            host.send(&unsummed(flow).1);
            let mut found = rigs.iter_mut().enumerate().filter_map(|(pair, rig)| {
                let (_, frame) = rig.receive().expect("a frame")?;
                assert_eq!(frame, unsummed(flow).1);
                Some(pair)
            });
            let pair = found.next().expect("it was delivered");
            assert_eq!(found.next(), None);
            pair
        })
        .collect()
}

fn two_pairs(tap: &Tap) -> [Rig; 2] {
    let transmit = tap.capabilities().transmit;
    tap.configure(&wants(Offloads::NONE, transmit, 2)).expect("a configuration");
    [Rig::of_pair(tap, 0), Rig::of_pair(tap, 1)]
}

#[test]
fn a_flow_comes_back_to_the_pair_that_sent_it() {
    in_a_network(|| {
        make_tap("vm0", "multi_queue");
        let tap = Tap::by_name("vm0").pairs(2).open().expect("a tap");
        assert!(tap.capabilities().steers);
        let mut rigs = two_pairs(&tap);
        let mut host = Host::new("vm0");
        for pair in [1, 0, 1] {
            // A flow is one whichever way it goes, and the kernel's hash of it is the same.
            let (header, frame) = tcp4(100, 0);
            let header = crate::NetHeader { gso_type: 0, hdr_len: 0, ..header };
            rigs[pair].send(header, &frame).expect("it is sent");
            assert_eq!(host.next().1, frame);
            let mut back = frame.clone();
            back[26..34].copy_from_slice(&[10, 0, 0, 2, 10, 0, 0, 1]);
            back[34..38].copy_from_slice(&[frame[36], frame[37], frame[34], frame[35]]);
            host.send(&back);
            assert_eq!(rigs[1 - pair].receive().expect("nothing"), None);
            assert_eq!(rigs[pair].next().1, back);
        }
    });
}

#[test]
fn pairs_are_switched_while_they_are_used() {
    in_a_network(|| {
        make_tap("vm0", "multi_queue");
        let tap = Tap::by_name("vm0").pairs(2).open().expect("a tap");
        let mut rigs = two_pairs(&tap);
        let mut host = Host::new("vm0");
        let both = deliver(&mut host, &mut rigs);
        assert!(both.contains(&0) && both.contains(&1), "{both:?}");
        let before = rigs[1].queue.sources_version();

        let transmit = tap.capabilities().transmit;
        tap.configure(&wants(Offloads::NONE, transmit, 1)).expect("a configuration");
        assert!(deliver(&mut host, &mut rigs).iter().all(|pair| *pair == 0));
        assert!(rigs[1].queue.sources_version() != before);
        assert!(rigs[1].files(true, true).is_empty());
        assert!(rigs[1].queue.is_connected());
        assert!(rigs[0].queue.is_connected());

        tap.configure(&wants(Offloads::NONE, transmit, 2)).expect("a configuration");
        assert_eq!(deliver(&mut host, &mut rigs), both);
        assert!(!rigs[1].files(true, true).is_empty());
    });
}

#[test]
fn what_is_set_is_set_for_pairs_that_come_later_too() {
    in_a_network(|| {
        make_tap("vm0", "multi_queue");
        let tap = Tap::by_name("vm0").pairs(2).open().expect("a tap");
        let all = tap.capabilities();
        tap.configure(&wants(all.receive, all.transmit, 1)).expect("a configuration");
        let mut rigs = [Rig::of_pair(&tap, 0), Rig::of_pair(&tap, 1)];
        tap.configure(&wants(all.receive, all.transmit, 2)).expect("a configuration");
        let mut host = Host::with_headers("vm0");
        for pair in [1, 0] {
            let (header, frame) = tcp4(6000, 1000);
            rigs[pair].send(header, &frame).expect("it is sent");
            assert_same(&host.next().1, &frame);
            host.send_with(header, &frame);
            let (got, whole) = rigs.iter_mut().find_map(|rig| rig.receive().expect("a frame")).expect("one has it");
            assert_eq!((got.gso_type, got.gso_size), (header.gso_type, 1000));
            assert_same(&whole, &frame);
        }
    });
}

#[test]
fn an_interface_without_a_driver_has_all_its_queues() {
    in_a_network(|| {
        make_tap("vm0", "multi_queue");
        let several = libc::IFF_VNET_HDR | libc::IFF_MULTI_QUEUE;
        let files = [super::opening::attached("vm0", several), super::opening::attached("vm0", several)];
        let passed = files.iter().map(|file| file.try_clone().expect("a file").into()).collect();
        let enabled = || {
            let flags = |file| crate::backend::sys::attached(file).expect("flags").1;
            [&files[0], &files[1]].map(|file| flags(file) & libc::IFF_DETACH_QUEUE == 0)
        };
        let tap = Tap::by_files(passed).open().expect("a tap");
        tap.configure(&wants(Offloads::NONE, Offloads::NONE, 1)).expect("a configuration");
        assert_eq!(enabled(), [true, false]);
        tap.configure(&Default::default()).expect("a configuration");
        assert_eq!(enabled(), [true, true]);
        tap.configure(&wants(Offloads::NONE, Offloads::NONE, 1)).expect("a configuration");
        drop(tap);
        assert_eq!(enabled(), [true, true]);
    });
}

#[test]
fn all_pairs_come_back_with_the_interface() {
    in_a_network(|| {
        make_tap("vm0", "multi_queue");
        let tap = Tap::by_name("vm0").pairs(2).open().expect("a tap");
        let mut rigs = two_pairs(&tap);
        ip("link del vm0");
        assert!(rigs[1].receive().is_err());
        assert!(rigs.iter().all(|rig| !rig.queue.is_connected()));
        assert!(rigs[1].files(true, true).is_empty());
        make_tap("vm0", "multi_queue");
        rigs[0].until_connected(true);
        let mut host = Host::new("vm0");
        let both = deliver(&mut host, &mut rigs);
        assert!(both.contains(&0) && both.contains(&1), "{both:?}");
        assert!(rigs[1].queue.is_connected());
    });
}
