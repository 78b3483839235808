//! Commands to a device whose pairs are served by threads of their own, or by one, while frames keep coming: what was
//! commanded is so when the command is answered.

use std::collections::HashSet;
use std::sync::Arc;
use std::thread;

use virtio_core::testing::TestMemory;
use virtio_core::{Features, Runtime, SharedRuntime, ThreadRuntime};
use virtio_net::{NetHeader, Offloads};

use crate::commands::*;
use crate::frames::{GROUP, OTHER, OWN, plain, tcp4, tcp4_is_complete};
use crate::network::Network;
use crate::pairs::PAIRS;
use crate::rig::*;
use crate::traffic::{Given, LIMIT, Patience, Traffic, on_threads, under_traffic};

each_transport! {
    net_mq_02_threads_leave_pairs_alone_that_are_given_up,
    net_rss_01_threads_go_by_the_new_table,
    net_ctrl_mac_02_threads_go_by_the_new_addresses,
    net_ctrl_offl_01_threads_go_by_the_new_offloads,
    net_ctrl_mac_02_nothing_is_answered_before_all_threads_know,
}

/// Commands to each device.
const ROUNDS: usize = 24;
/// Frames that are looked at after each.
const FRAMES: usize = 24;

/// Devices of two and of four pairs, each pair on a thread of its own, all on one, and all on two.
fn each<P: Port>(features: Features, test: impl Fn(&Rig<P>, Queues<P::Driver>, u16)) {
    for pairs in [2, 4] {
        let shared = |threads| Arc::new(SharedRuntime::new(threads).unwrap());
        let runtimes: [Arc<dyn Runtime>; 3] = [Arc::new(ThreadRuntime::new()), shared(1), shared(2)];
        for runtime in runtimes {
            let network = Network::new(pairs);
            let memory = TestMemory::new(32 << 20);
            let on = on_threads::<P>(network.clone(), |builder| builder.pairs(pairs).rss(true), memory, runtime);
            let mut rig = Rig { network, ..on };
            let queues = rig.live(features);
            test(&rig, queues, pairs);
        }
    }
}

/// A segment of one of 16 flows, to somebody.
fn segment(to: [u8; 6], number: u64) -> Vec<u8> {
    tcp4(to, 1000 + (number % 16) as u16, &number.to_le_bytes())
}

fn all_of(pairs: u16) -> [u8; 2] {
    pairs.to_le_bytes()
}

// spec: NET-MQ-08 DRV-NET-CTRL-07
fn net_mq_02_threads_leave_pairs_alone_that_are_given_up<P: Port + Sync>() {
    each::<P>(PAIRS, |rig, queues, pairs| {
        let make = |number| (NetHeader::default(), segment(OWN, number));
        // By one pair of the network, which is always in use: so none of the frames is lost.
        under_traffic(
            rig,
            queues,
            1,
            &make,
            |_| true,
            |traffic| {
                for round in 0..ROUNDS {
                    let used = [pairs, 1, pairs - 1, 2][round % 4];
                    let from = traffic.command(PAIRS_SET, &used.to_le_bytes());
                    let (mut count, mut by) = (0, HashSet::new());
                    traffic.until(from, |got| {
                        assert!(got.pair < used, "a frame comes by pair {} of {used}", got.pair);
                        by.insert(got.pair);
                        count += 1;
                        count >= FRAMES && by.len() >= usize::from(used.min(2))
                    });
                    for pair in 0..pairs {
                        assert_eq!(traffic.sends(pair), pair < used, "by pair {pair} of {used}");
                    }
                }
            },
        );
    });
}

fn net_rss_01_threads_go_by_the_new_table<P: Port + Sync>() {
    each::<P>(USUAL | CTRL_VQ | RSS, |rig, queues, pairs| {
        let make = |number| (NetHeader::default(), segment(OWN, number));
        under_traffic(
            rig,
            queues,
            pairs.into(),
            &make,
            |_| true,
            |traffic| {
                for round in 0..ROUNDS as u16 {
                    // Any two pairs, those for even and odd hashes.
                    let table = [round % pairs, (round / pairs) % pairs];
                    let from = traffic.command(RSS_CONFIG, &rss(1 << 1, &table, 0, pairs, &[0x6d; 40]));
                    let (mut count, mut by) = (0, HashSet::new());
                    let wanted = HashSet::from(table);
                    traffic.until(from, |got| {
                        assert!(wanted.contains(&got.pair), "a frame comes by pair {}, and not by {table:?}", got.pair);
                        by.insert(got.pair);
                        count += 1;
                        count >= FRAMES && by == wanted
                    });
                }
            },
        );
    });
}

fn net_ctrl_mac_02_threads_go_by_the_new_addresses<P: Port + Sync>() {
    let to = |number: u64| [OWN, OTHER, GROUP][(number % 3) as usize];
    each::<P>(PAIRS | CTRL_RX | CTRL_MAC_ADDR, |rig, queues, pairs| {
        let make = |number: u64| {
            let frame = [&plain(to(number), 52)[..], &number.to_le_bytes()].concat();
            (NetHeader::default(), frame)
        };
        let must = |number| to(number) == OWN;
        under_traffic(rig, queues, pairs.into(), &make, must, |traffic| {
            traffic.command(PAIRS_SET, &all_of(pairs));
            for round in 0..ROUNDS {
                let (command, data, others): (_, _, &[[u8; 6]]) = match round % 6 {
                    0 => (MAC_TABLE_SET, mac_table(&[OTHER], &[]), &[OTHER]),
                    1 => (MAC_TABLE_SET, mac_table(&[OTHER], &[GROUP]), &[OTHER, GROUP]),
                    2 => (MAC_TABLE_SET, mac_table(&[], &[GROUP]), &[GROUP]),
                    3 => (MAC_TABLE_SET, mac_table(&[], &[]), &[]),
                    4 => (PROMISC, vec![1], &[OTHER, GROUP]),
                    _ => (PROMISC, vec![0], &[]),
                };
                let from = traffic.command(command, &data);
                let wanted: HashSet<_> = others.iter().copied().chain([OWN]).collect();
                heard(traffic, from, &wanted);
            }
        });
    });
}

/// Frames to these come, and to nobody else.
fn heard<P: Port>(traffic: &mut Traffic<'_, P>, from: u64, wanted: &HashSet<[u8; 6]>) {
    let (mut count, mut to) = (0, HashSet::new());
    traffic.until(from, |got| {
        let destination = *got.frame.first_chunk().unwrap();
        assert!(wanted.contains(&destination), "a frame comes to {destination:x?}");
        to.insert(destination);
        count += 1;
        count >= FRAMES && to == *wanted
    });
}

fn net_ctrl_offl_01_threads_go_by_the_new_offloads<P: Port + Sync>() {
    each::<P>(PAIRS | GUEST_CSUM | CTRL_GUEST_OFFLOADS, |rig, queues, pairs| {
        let header = NetHeader { flags: 1, csum_start: 34, csum_offset: 16, ..NetHeader::default() };
        let make = |number| (header, segment(OWN, number));
        under_traffic(
            rig,
            queues,
            pairs.into(),
            &make,
            |_| true,
            |traffic| {
                traffic.command(PAIRS_SET, &all_of(pairs));
                for round in 0..ROUNDS {
                    let takes_over = round % 2 == 1;
                    let (bits, offloads) = if takes_over { (2_u64, Offloads::CSUM) } else { (0, Offloads::NONE) };
                    let from = traffic.command(OFFLOADS_SET, &bits.to_le_bytes());
                    assert_eq!(rig.network.configuration().receive, offloads);
                    let (mut count, mut by) = (0, HashSet::new());
                    traffic.until(from, |got| {
                        assert_eq!((got.flags, tcp4_is_complete(&got.frame)), (takes_over.into(), !takes_over));
                        by.insert(got.pair);
                        count += 1;
                        count >= FRAMES && by.len() > 1
                    });
                }
            },
        );
    });
}

/// What shows that a command was executed.
type Shows<P> = fn(&Rig<P>) -> bool;

/// One of the threads is in the middle of its work, which goes by what was before, when a command comes.
// spec: NET-CTRL-MAC-03 NET-MQ-02 NET-CTRL-OFFL-01
fn net_ctrl_mac_02_nothing_is_answered_before_all_threads_know<P: Port>() {
    let features = PAIRS | RSS | CTRL_MAC_ADDR | GUEST_CSUM | CTRL_GUEST_OFFLOADS;
    let commands: [(Command, Vec<u8>, Shows<P>); 4] = [
        (OFFLOADS_SET, vec![0; 8], |rig| rig.network.configuration().receive == Offloads::NONE),
        (MAC_ADDR_SET, OTHER.to_vec(), |rig| rig.config(0) == OTHER),
        (RSS_CONFIG, rss(1 << 1, &[0, 0], 0, 1, &[0x6d; 40]), |rig| rig.handle.pairs() == 1),
        (PAIRS_SET, vec![1, 0], |rig| rig.handle.pairs() == 1),
    ];
    for held in 0..2 {
        let network = Network::new(2);
        let (memory, runtime) = (TestMemory::new(32 << 20), Arc::new(ThreadRuntime::new()));
        let on = on_threads::<P>(network.clone(), |builder| builder.pairs(2).rss(true), memory, runtime);
        let mut rig = Rig { network, ..on };
        let mut queues = rig.live(features);
        // A frame for each command, by whichever pair it goes.
        (0..8).for_each(|buffer| _ = rig.post(&mut queues, buffer % 2, 512));
        let mut control = queues.control.take().expect("a control queue");
        let answered = |given: &Given, control: &mut P::Driver| {
            let patience = Patience::new();
            while !given.is_answered(&rig, control) {
                patience.wait("a command is not answered");
            }
        };
        for (command, data, shows) in &commands {
            // Both pairs are in use.
            let given = Given::new(&rig, &mut control, 2, PAIRS_SET, &all_of(2));
            answered(&given, &mut control);
            let (is_held, release) = rig.network.hold(held);
            rig.network.inject(held, NetHeader::default(), &segment(OWN, 0));
            is_held.recv_timeout(LIMIT).expect("the device asks for frames");
            let given = Given::new(&rig, &mut control, 2, *command, data);
            let patience = Patience::new();
            while !shows(&rig) {
                patience.wait("a command is not executed");
            }
            for _ in 0..200 {
                assert!(
                    !given.is_answered(&rig, &mut control),
                    "{command:?} is answered, and pair {held} knows nothing"
                );
                thread::yield_now();
            }
            release.send(()).unwrap();
            answered(&given, &mut control);
        }
    }
}
