//! Which port a frame comes to, and when its device is woken.

use crate::backend::bench::{events, frame, number, receive, receive_event, receive_with, send, send_with};
use crate::backend::{Configuration, NetBackend, NetQueue, Switch, SwitchPort};
use crate::{NetHeader, Offloads};

fn plug(switch: &Switch) -> (SwitchPort, Box<dyn NetQueue>) {
    let port = switch.port();
    let queue = port.open_queue(0).unwrap();
    (port, queue)
}

#[test]
fn what_is_unknown_floods_and_what_is_known_does_not() {
    let switch = Switch::new();
    let (_a, mut a) = plug(&switch);
    let (_b, mut b) = plug(&switch);
    let (_c, mut c) = plug(&switch);
    let first = frame(2, 1, 60, 1);
    send(&mut *a, &first).unwrap();
    assert_eq!((receive(&mut *a), receive(&mut *b), receive(&mut *c)), (None, Some(first.clone()), Some(first)));
    let answer = frame(1, 2, 60, 2);
    send(&mut *b, &answer).unwrap();
    assert_eq!((receive(&mut *a), receive(&mut *b), receive(&mut *c)), (Some(answer), None, None));
    let second = frame(2, 1, 60, 3);
    send(&mut *a, &second).unwrap();
    assert_eq!((receive(&mut *a), receive(&mut *b), receive(&mut *c)), (None, Some(second), None));
}

#[test]
fn groups_always_flood_and_are_not_learned() {
    let switch = Switch::new();
    let (_a, mut a) = plug(&switch);
    let (_b, mut b) = plug(&switch);
    let (_c, mut c) = plug(&switch);
    for to in [[0xff; 6], [1, 0, 0x5e, 0, 0, 1], [0x33, 0x33, 0, 0, 0, 1]] {
        let mut group = frame(2, 1, 60, 1);
        group[..6].copy_from_slice(&to);
        let mut hostile = frame(3, 2, 60, 2);
        hostile[6..12].copy_from_slice(&to);
        send(&mut *b, &hostile).unwrap();
        assert_eq!((receive(&mut *a), receive(&mut *c)), (Some(hostile.clone()), Some(hostile)));
        send(&mut *a, &group).unwrap();
        assert_eq!((receive(&mut *a), receive(&mut *b), receive(&mut *c)), (None, Some(group.clone()), Some(group)));
    }
}

#[test]
fn no_address_is_nobodys() {
    let switch = Switch::new();
    let (_a, mut a) = plug(&switch);
    let (_b, mut b) = plug(&switch);
    let (_c, mut c) = plug(&switch);
    let mut hostile = frame(3, 2, 60, 2);
    hostile[6..12].fill(0);
    send(&mut *b, &hostile).unwrap();
    assert_eq!((receive(&mut *a), receive(&mut *c)), (Some(hostile.clone()), Some(hostile)));
    let mut lost = frame(3, 1, 60, 1);
    lost[..6].fill(0);
    send(&mut *a, &lost).unwrap();
    assert_eq!((receive(&mut *b), receive(&mut *c)), (Some(lost.clone()), Some(lost)));
}

#[test]
fn a_port_that_sends_to_itself_gets_nothing_and_waits_for_nobody() {
    let switch = Switch::new();
    let port = switch.port_with_pairs(2);
    let (mut one, mut other) = (port.open_queue(0).unwrap(), port.open_queue(1).unwrap());
    let (_b, mut b) = plug(&switch);
    send(&mut *one, &frame(1, 1, 60, 1)).unwrap();
    send(&mut *other, &frame(1, 2, 60, 2)).unwrap();
    assert_eq!((receive(&mut *one), receive(&mut *other), receive(&mut *b)), (None, None, None));
    assert_eq!(port.counts().overflows, 0);
}

#[test]
fn an_address_moves_with_what_it_sends() {
    let switch = Switch::new();
    let (_a, mut a) = plug(&switch);
    let (_b, mut b) = plug(&switch);
    let (_c, mut c) = plug(&switch);
    send(&mut *b, &frame(0, 2, 60, 0)).unwrap();
    send(&mut *c, &frame(0, 2, 60, 0)).unwrap();
    for queue in [&mut a, &mut b, &mut c] {
        while receive(&mut **queue).is_some() {}
    }
    send(&mut *a, &frame(2, 1, 60, 1)).unwrap();
    assert_eq!((receive(&mut *b), receive(&mut *c)), (None, Some(frame(2, 1, 60, 1))));
}

#[test]
fn headers_and_frames_of_all_lengths_go_through_as_they_are() {
    let switch = Switch::new();
    let (port, mut a) = plug(&switch);
    assert_eq!((port.capabilities().transmit, port.capabilities().receive), (Offloads::ALL, Offloads::ALL));
    let (_b, mut b) = plug(&switch);
    let (_c, mut c) = plug(&switch);
    for len in [18, 60, 1514, 9014, 65557] {
        let header = NetHeader { flags: 1, gso_type: 4, gso_size: len as u16, csum_start: 3, ..NetHeader::default() };
        let sent = frame(9, 1, len, 7);
        send_with(&mut *a, header, &sent).unwrap();
        assert_eq!(receive_with(&mut *b).unwrap(), Some((header, sent.clone())));
        assert_eq!(receive_with(&mut *c).unwrap(), Some((header, sent)));
    }
    for len in [0, 13, 65558] {
        assert!(send(&mut *a, &vec![0; len]).is_err(), "{len} bytes");
    }
    assert_eq!((receive(&mut *b), receive(&mut *c)), (None, None));
}

#[test]
fn who_waits_is_woken_once_a_batch_and_who_does_not_is_not() {
    let switch = Switch::new();
    let (_a, mut a) = plug(&switch);
    let (_b, mut b) = plug(&switch);
    let event = receive_event(&*b);
    for number in 0..3 {
        send(&mut *a, &frame(2, 1, 60, number)).unwrap();
        assert_eq!(event.take(), 0, "the batch goes on");
    }
    a.flush();
    assert_eq!(event.take(), 1);
    for number in 3..6 {
        send(&mut *a, &frame(2, 1, 60, number)).unwrap();
        a.flush();
        assert_eq!(event.take(), 0, "nobody has found nothing since");
    }
    assert_eq!(
        (0..9).map_while(|_| receive(&mut *b)).map(|frame| number(&frame)).collect::<Vec<_>>(),
        [0, 1, 2, 3, 4, 5]
    );
    send(&mut *a, &frame(2, 1, 60, 6)).unwrap();
    drop(a);
    assert_eq!(event.take(), 1, "a batch that ends with its sender has ended");
    assert_eq!(number(&receive(&mut *b).unwrap()), 6);
    assert!(events(&*b, false, true).is_empty());
}

#[test]
fn the_newest_frames_are_lost_and_counted_where_nobody_takes_them() {
    for (len, room) in [(60, 512), (65557, 64)] {
        let switch = Switch::new();
        let (_a, mut a) = plug(&switch);
        let (port, mut b) = plug(&switch);
        let (other, mut c) = plug(&switch);
        for number in 0..1000 {
            send(&mut *a, &frame(2, 1, len, number)).unwrap();
            receive(&mut *c).unwrap();
        }
        assert_eq!((port.counts().overflows, other.counts().overflows), (1000 - room, 0));
        let received = std::iter::from_fn(|| receive(&mut *b));
        assert!(received.map(|frame| number(&frame)).eq(0..room as u32));
        send(&mut *a, &frame(2, 1, len, 5)).unwrap();
        assert_eq!(receive(&mut *b).as_deref().map(number), Some(5));
    }
}

#[test]
fn a_port_that_has_gone_is_forgotten_with_its_addresses() {
    let switch = Switch::new();
    let (_a, mut a) = plug(&switch);
    let (port, mut b) = plug(&switch);
    let (_c, mut c) = plug(&switch);
    send(&mut *b, &frame(1, 2, 60, 0)).unwrap();
    drop(port);
    assert_eq!(switch.ports(), 3, "its queue is open");
    drop(b);
    assert_eq!(switch.ports(), 2);
    let (_d, mut d) = plug(&switch);
    while receive(&mut *a).or_else(|| receive(&mut *c)).is_some() {}
    send(&mut *a, &frame(2, 1, 60, 1)).unwrap();
    assert_eq!(receive(&mut *c), Some(frame(2, 1, 60, 1)), "it is not known any more");
    assert_eq!(receive(&mut *d), Some(frame(2, 1, 60, 1)), "and whoever has the slot now is as any other");
}

#[test]
fn a_closed_port_takes_nothing_and_opens_again_empty() {
    let switch = Switch::new();
    let (_a, mut a) = plug(&switch);
    let (port, b) = plug(&switch);
    assert_eq!(port.open_queue(0).err().unwrap().kind(), std::io::ErrorKind::ResourceBusy);
    assert!(port.open_queue(1).is_err());
    send(&mut *a, &frame(2, 1, 60, 1)).unwrap();
    drop(b);
    for number in 0..1000 {
        send(&mut *a, &frame(2, 1, 60, number)).unwrap();
    }
    // What waited, and what came while nobody was there.
    assert_eq!((port.counts().overflows, port.counts().unclaimed), (0, 1 + 1000));
    let mut b = port.open_queue(0).unwrap();
    assert_eq!(receive(&mut *b), None);
    for number in 0..100 {
        send(&mut *a, &frame(2, 1, 60, number)).unwrap();
    }
    assert_eq!(receive(&mut *b).as_deref().map(number), Some(0));
    // Some of the others were taken out of the inbox with it.
    drop(b);
    assert_eq!((port.counts().overflows, port.counts().unclaimed), (0, 1001 + 99));
}

#[test]
fn frames_for_pairs_that_are_not_used_any_more_are_counted() {
    let switch = Switch::new();
    let (_a, mut a) = plug(&switch);
    let port = switch.port_with_pairs(2);
    // All of them come by the pair that is open.
    let mut other = port.open_queue(1).unwrap();
    for number in 0..10 {
        send(&mut *a, &frame(2, 1, 60, number)).unwrap();
    }
    port.configure(&Configuration { pairs: 1, ..Configuration::default() }).unwrap();
    assert_eq!((receive(&mut *other), port.counts().unclaimed), (None, 10));
}

#[test]
fn frames_in_transit_allocate_nothing() {
    let switch = Switch::new();
    let (_a, mut a) = plug(&switch);
    let (_b, mut b) = plug(&switch);
    let (_c, mut c) = plug(&switch);
    let frames = [frame(2, 1, 60, 1), frame(2, 1, 1514, 2), frame(0xff, 1, 65000, 3)];
    let (mut scratch, mut room) = (Vec::with_capacity(4), Vec::with_capacity(4));
    let mut round = || {
        for frame in frames.iter().cycle().take(30) {
            let mut packet = crate::backend::Packet::of_bytes(NetHeader::default(), frame, &mut scratch);
            a.send(&mut packet).unwrap();
        }
        a.flush();
        for queue in [&mut b, &mut c] {
            let mut count = 0;
            while let crate::backend::Received::Lent { .. } =
                queue.receive(&mut crate::backend::Room::of_bytes(&mut [], &mut room)).unwrap()
            {
                count += 1;
            }
            assert_eq!(count, 30);
        }
    };
    (0..10).for_each(|_| round());
    let allocations = allocation_counter::measure(|| (0..100).for_each(|_| round())).count_total;
    assert_eq!(allocations, 0);
}

#[test]
fn what_waits_for_pairs_that_are_not_used_any_more_is_forgotten() {
    let switch = Switch::new();
    let (_a, mut a) = plug(&switch);
    let port = switch.port_with_pairs(2);
    port.configure(&Configuration { pairs: 2, ..Configuration::default() }).unwrap();
    let (mut one, mut two) = (port.open_queue(0).unwrap(), port.open_queue(1).unwrap());
    for from in 32..64 {
        send(&mut *a, &frame(2, from, 60, 1)).unwrap();
    }
    port.configure(&Configuration { pairs: 1, ..Configuration::default() }).unwrap();
    assert_eq!(receive(&mut *two), None);
    while receive(&mut *one).is_some() {}
    for from in 32..64 {
        send(&mut *a, &frame(2, from, 60, 2)).unwrap();
    }
    assert_eq!(std::iter::from_fn(|| receive(&mut *one)).count(), 32);
    assert_eq!(receive(&mut *two), None);
}
