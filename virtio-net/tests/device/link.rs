//! The link, and announcements.

use virtio_core::Features;
use virtio_core::testing::RingDriver;
use virtio_net::NetHeader;

use crate::commands::*;
use crate::frames::{BROADCAST, OWN, plain};
use crate::network::Network;
use crate::rig::*;

each_transport! {
    the_link_goes_down_and_up,
    a_link_without_anybody_at_its_other_end_is_down,
    what_waits_for_buffers_when_the_link_goes_down_is_dropped,
    net_ctrl_ann_01_an_announcement_is_asked_for_and_acknowledged,
    who_cannot_announce_is_not_asked_to,
}

const LINK: Features = Features::from_bits(USUAL.bits() | STATUS.bits());
const UP: u16 = 1;
const ANNOUNCE: u16 = 2;

fn status<P: Port>(rig: &Rig<P>) -> u16 {
    u16::from_le_bytes(rig.config(6))
}

fn sends<P: Port>(rig: &Rig<P>, queues: &mut Queues<P::Driver>) -> bool {
    let used = rig.send(queues, 0, &NetHeader::default(), &plain(BROADCAST, 60));
    assert_eq!(used.expect("it comes back").len, 0);
    !rig.network.sent(0).is_empty()
}

// spec: NET-CFG-12
fn the_link_goes_down_and_up<P: Port>() {
    let mut rig = Rig::<P>::with(Network::new(1), |builder| builder.speed(1000, virtio_net::Duplex::Full));
    let mut queues = rig.live(LINK | SPEED_DUPLEX);
    assert!(status(&rig) == UP && rig.handle.is_link_up());
    for round in 1..4 {
        let _ = rig.port.take_interrupts();
        let generation = rig.port.generation();
        rig.handle.set_link(false);
        assert!(rig.port.take_interrupts().1 && rig.port.generation() != generation, "the driver is told");
        assert!(status(&rig) == 0 && !rig.handle.is_link_up());
        assert!(!sends(&rig, &mut queues) && !rig.hears(&mut queues, &plain(OWN, 60)));
        let counts = rig.handle.counts();
        assert_eq!((counts.tx_link_down, counts.rx_link_down), (round, round));
        // Nothing has changed, and the driver is not told that it has.
        let _ = rig.port.take_interrupts();
        rig.handle.set_link(false);
        assert!(!rig.port.take_interrupts().1);
        rig.handle.set_link(true);
        assert!(rig.port.take_interrupts().1 && status(&rig) == UP);
        assert!(sends(&rig, &mut queues) && rig.hears(&mut queues, &plain(OWN, 60)));
        assert_eq!(rig.config(12), 1000u32.to_le_bytes());
    }
    // The link is not the driver's: it is what it was after a reset.
    rig.handle.set_link(false);
    rig.port.set_status(0);
    assert_eq!(status(&rig), 0);
    let mut queues = rig.live(LINK);
    assert!(status(&rig) == 0 && !sends(&rig, &mut queues));
}

fn a_link_without_anybody_at_its_other_end_is_down<P: Port>() {
    let mut rig = Rig::<P>::new();
    let mut queues = rig.live(LINK);
    let connect = |rig: &Rig<P>, connected: bool| {
        rig.network.state().pairs[0].connected = connected;
        // The network has something to say.
        rig.arrive(0, NetHeader::default(), &[]);
    };
    let _ = rig.port.take_interrupts();
    connect(&rig, false);
    assert!(rig.port.take_interrupts().1 && status(&rig) == 0 && !rig.handle.is_link_up());
    // Both have to want it.
    rig.handle.set_link(false);
    connect(&rig, true);
    assert_eq!(status(&rig), 0);
    rig.handle.set_link(true);
    assert!(rig.port.take_interrupts().1 && status(&rig) == UP);
    assert!(sends(&rig, &mut queues) && rig.hears(&mut queues, &plain(OWN, 60)));
}

fn what_waits_for_buffers_when_the_link_goes_down_is_dropped<P: Port>() {
    let mut rig = Rig::<P>::new();
    let mut queues = rig.live(LINK);
    for _ in 0..3 {
        rig.arrive(0, NetHeader::default(), &plain(OWN, 60));
    }
    rig.handle.set_link(false);
    let at = rig.post(&mut queues, 0, 2048);
    assert_eq!((queues.rx[0].waiting(), rig.handle.counts().rx_link_down), (0, 3));
    rig.handle.set_link(true);
    rig.arrive(0, NetHeader::default(), &plain(OWN, 61));
    assert_eq!(rig.got(&mut queues, 0, at).unwrap().1.len(), 61);
}

fn net_ctrl_ann_01_an_announcement_is_asked_for_and_acknowledged<P: Port>() {
    let mut rig = Rig::<P>::new();
    let mut queues = rig.live(LINK | CTRL_VQ | GUEST_ANNOUNCE);
    for _ in 0..2 {
        let _ = rig.port.take_interrupts();
        assert!(rig.handle.announce());
        assert!(rig.port.take_interrupts().1, "the driver is told");
        assert_eq!(status(&rig), UP | ANNOUNCE);
        // The link is another bit of the same field.
        rig.handle.set_link(false);
        assert_eq!(status(&rig), ANNOUNCE);
        rig.handle.set_link(true);
        let _ = rig.port.take_interrupts();
        assert_eq!(rig.order(&mut queues, ANNOUNCE_ACK, &[]), OK);
        assert_eq!(status(&rig), UP);
        assert!(!rig.port.take_interrupts().1, "it was the driver that changed it");
    }
    // One that was not asked may say it all the same.
    assert_eq!((rig.order(&mut queues, ANNOUNCE_ACK, &[]), status(&rig)), (OK, UP));
    rig.handle.announce();
    rig.port.set_status(0);
    assert_eq!(status(&rig), UP, "a reset takes the wish back");
}

fn who_cannot_announce_is_not_asked_to<P: Port>() {
    let mut rig = Rig::<P>::new();
    assert!(!rig.handle.announce());
    let mut queues = rig.live(LINK | CTRL_VQ);
    let _ = rig.port.take_interrupts();
    assert!(!rig.handle.announce() && !rig.port.take_interrupts().1);
    assert_eq!((status(&rig), rig.order(&mut queues, ANNOUNCE_ACK, &[])), (UP, ERR));
}
