//! Limits that change while the device runs.

use virtio_core::testing::{Buffer, RingDriver};
use virtio_net::{NetHeader, Rate, RateLimit};

use crate::frames::{BROADCAST, OWN, plain};
use crate::network::Network;
use crate::rig::*;

each_transport! {
    a_limit_that_is_lifted_lets_go_what_waits,
    a_limit_can_come_later,
    a_device_without_limits_gets_none,
}

/// A frame at once, and the next one in a day.
fn strict() -> Option<Rate> {
    Some(Rate { per_second: 1, burst: 1 })
}

/// Five frames to be sent, and five that come; how many got through.
fn traffic<P: Port>(rig: &Rig<P>, queues: &mut Queues<P::Driver>) -> (usize, usize) {
    let bytes = rig.with_header(&NetHeader::default(), &plain(BROADCAST, 100));
    let at = rig.memory.place(&bytes);
    for _ in 0..5 {
        queues.tx[0].add(&[Buffer::readable(at, bytes.len() as u32)]).expect("room in the ring");
        rig.post(queues, 0, 2048);
        rig.network.inject(0, NetHeader::default(), &plain(OWN, 100));
    }
    rig.kick(1, &mut queues.tx[0]);
    taken(queues)
}

fn taken<D: RingDriver>(queues: &mut Queues<D>) -> (usize, usize) {
    let count = |ring: &mut D| std::iter::from_fn(|| ring.used()).count();
    (count(&mut queues.tx[0]), count(&mut queues.rx[0]))
}

fn a_limit_that_is_lifted_lets_go_what_waits<P: Port>() {
    let debt = || {
        let limit = RateLimit::new(strict(), None);
        // Nothing more for as long as any test takes.
        (0..100_000).for_each(|_| limit.take(1));
        limit
    };
    let mut rig = Rig::<P>::with(Network::new(1), |builder| builder.receive_limit(debt()).transmit_limit(debt()));
    let mut queues = rig.live(USUAL);
    assert_eq!(traffic(&rig, &mut queues), (0, 0));
    assert!(rig.handle.set_transmit_limit(None, None));
    rig.runtime.poll();
    assert_eq!(taken(&mut queues), (5, 0));
    assert!(rig.handle.set_receive_limit(None, Some(Rate::new(u64::MAX))));
    rig.runtime.poll();
    assert_eq!(taken(&mut queues), (0, 5));
    assert_eq!(traffic(&rig, &mut queues), (5, 5));
}

fn a_limit_can_come_later<P: Port>() {
    let limit = RateLimit::new(None, None);
    let mut rig = Rig::<P>::with(Network::new(1), |builder| builder.transmit_limit(limit.clone()));
    let mut queues = rig.live(USUAL);
    assert_eq!(traffic(&rig, &mut queues), (5, 5));
    assert!(rig.handle.set_transmit_limit(strict(), None));
    (0..100_000).for_each(|_| limit.take(1));
    assert_eq!(traffic(&rig, &mut queues), (0, 5));
}

fn a_device_without_limits_gets_none<P: Port>() {
    let mut rig = Rig::<P>::with(Network::new(1), |builder| builder);
    let mut queues = rig.live(USUAL);
    assert!(!rig.handle.set_receive_limit(strict(), None) && !rig.handle.set_transmit_limit(strict(), None));
    assert_eq!(traffic(&rig, &mut queues), (5, 5));
}
