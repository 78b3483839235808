//! What a device does that has been restored, where its driver had set it up elsewhere.

use virtio_core::Features;
use virtio_net::NetHeader;

use crate::coalescing::{FOREVER, interrupts, take_all};
use crate::commands::*;
use crate::frames::{BROADCAST, plain};
use crate::network::Network;
use crate::packets::vxlan_without_checksum;
use crate::rig::*;
use crate::rss::{Ears, KEY, V4, tcp4_of};
use crate::state::{on_memory, paused};
use crate::statistics::{CONTROL, RX_BASIC, TX_BASIC};

each_transport! {
    frames_are_steered_and_hashed_elsewhere_as_before,
    interrupts_are_held_back_elsewhere_as_before,
    no_number_goes_back_elsewhere,
    a_device_that_has_counted_goes_on_from_what_is_restored,
}

const FEATURES: Features = Features::from_bits(
    USUAL.bits()
        | CTRL_VQ.bits()
        | MQ.bits()
        | RSS.bits()
        | HASH_REPORT.bits()
        | HASH_TUNNEL.bits()
        | NOTF_COAL.bits()
        | VQ_NOTF_COAL.bits()
        | DEVICE_STATS.bits(),
);

fn rig<P: Port>() -> (Rig<P>, Queues<P::Driver>) {
    let mut rig = Rig::<P>::with(Network::new(2), |builder| builder.rss(true).hash_report(true));
    let queues = rig.live(FEATURES);
    (rig, queues)
}

/// The same device on another host.
fn moved<P: Port>(old: Rig<P>) -> Rig<P> {
    let state = paused(&old);
    let new = on_memory::<P>(&old.memory);
    drop(old.port);
    new.port.host().restore(&state).expect("restored");
    new.port.host().resume();
    new.runtime.poll();
    new
}

fn frames_are_steered_and_hashed_elsewhere_as_before<P: Port>() {
    let (old, mut queues) = rig::<P>();
    let mut ears = Ears::new(&old, &mut queues);
    let table: Vec<u16> = (0..128).map(|at| at / 2 % 2).collect();
    assert_eq!(old.order(&mut queues, RSS_CONFIG, &rss(2, &table, 1, 2, &KEY)), OK);
    assert_eq!(old.order(&mut queues, HASH_TUNNEL_SET, &u32::to_le_bytes(1 << 4)), OK);
    let new = moved(old);
    let place = |hash: u32| usize::from(table[hash as usize % table.len()]);
    let places: Vec<_> = V4.iter().map(|(.., hash)| place(*hash)).collect();
    assert!(places.contains(&0) && places.contains(&1));
    for vector in V4 {
        let (.., hash) = vector;
        assert_eq!(ears.told(&new, &mut queues, &tcp4_of(vector)), Some((hash, 2, place(hash))));
        let tunnelled = vxlan_without_checksum(&tcp4_of(vector));
        assert_eq!(ears.told(&new, &mut queues, &tunnelled), Some((hash, 2, place(hash))));
    }
    assert_eq!(ears.told(&new, &mut queues, &plain(BROADCAST, 60)), Some((0, 0, 1)), "what is not hashed");
}

fn interrupts_are_held_back_elsewhere_as_before<P: Port>() {
    let (old, mut queues) = rig::<P>();
    for (command, data) in
        [(COAL_RX_SET, delay(3, FOREVER)), (COAL_TX_SET, delay(0, 0)), (COAL_VQ_SET, queue_delay(1, 2, FOREVER))]
    {
        assert_eq!(old.order(&mut queues, command, &data), OK);
    }
    take_all(&mut queues);
    let new = moved(old);
    take_all(&mut queues);
    for (queue, expected) in [(0, [false, false, true]), (1, [false, true, false]), (3, [true, true, true])] {
        let held: [bool; 3] = std::array::from_fn(|_| {
            let interrupted = interrupts(&new, &mut queues, queue);
            if interrupted {
                take_all(&mut queues);
            }
            interrupted
        });
        assert_eq!(held, expected, "queue {queue}");
    }
}

/// The basic statistics of the first pair, and those of the control queue.
fn numbers<P: Port>(rig: &Rig<P>, queues: &mut Queues<P::Driver>) -> Vec<Vec<u64>> {
    let replies = crate::statistics::get(rig, queues, &[(0, RX_BASIC), (1, TX_BASIC), (4, CONTROL)], 1000);
    replies.expect("they are told").into_iter().map(|(.., numbers)| numbers).collect()
}

/// Three frames come, and five go.
fn traffic<P: Port>(rig: &Rig<P>, queues: &mut Queues<P::Driver>) {
    for _ in 0..3 {
        rig.post(queues, 0, 2048);
        rig.arrive(0, NetHeader::default(), &plain(BROADCAST, 60));
    }
    for _ in 0..5 {
        rig.send(queues, 0, &NetHeader::default(), &plain(BROADCAST, 70)).expect("it is sent");
    }
    take_all(queues);
}

fn no_number_goes_back_elsewhere<P: Port>() {
    let (old, mut queues) = rig::<P>();
    traffic(&old, &mut queues);
    assert_eq!(old.order(&mut queues, COAL_RX_SET, &[]), ERR);
    let mut before = numbers(&old, &mut queues);
    assert_eq!((before[0][1], before[0][2], before[1][1], before[1][2]), (3, 180, 5, 350));
    assert_eq!(before[2], [2, 1]);
    let mut rig = old;
    for hop in 1..=2 {
        rig = moved(rig);
        let after = numbers(&rig, &mut queues);
        for (before, after) in before.iter().flatten().zip(after.iter().flatten()) {
            assert!(before <= after, "{before} became {after}");
        }
        assert_eq!((after[0][1], after[1][1], &after[2][..]), (3 * hop, 5 * hop, &[2 + hop, 1 + hop][..]));
        traffic(&rig, &mut queues);
        before = after;
    }
    assert_eq!(rig.handle.counts().tx_frames, 5, "what an embedder sees is of this device");
}

fn a_device_that_has_counted_goes_on_from_what_is_restored<P: Port>() {
    let (old, mut queues) = rig::<P>();
    traffic(&old, &mut queues);
    let before = numbers(&old, &mut queues);
    let state = paused(&old);
    let new = on_memory::<P>(&old.memory);
    drop(old.port);
    // It has had a driver of its own.
    let mut new = Rig { header_len: 12, ..new };
    let mut others = new.live(FEATURES);
    traffic(&new, &mut others);
    traffic(&new, &mut others);
    new.port.set_status(0);
    new.runtime.poll();
    new.port.host().restore(&state).expect("restored");
    new.port.host().resume();
    new.runtime.poll();
    let after = numbers(&new, &mut queues);
    assert_eq!((after[0][1], after[1][1]), (before[0][1], before[1][1]));
    assert_eq!(after[2], [before[2][0] + 1, before[2][1] + 1]);
}
