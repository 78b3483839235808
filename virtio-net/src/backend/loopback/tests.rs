#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

use crate::backend::bench::{events, frame, number, receive, receive_event, receive_with, send, send_with};
use crate::backend::{Loopback, NetBackend, NetQueue, RECEIVE, SEND, SendError};
use crate::{NetHeader, Offloads};

fn open() -> Box<dyn NetQueue> {
    Loopback::new().open_queue(0).unwrap()
}

#[test]
fn what_a_pair_sends_comes_back_to_it_alone() {
    let network = Loopback::new();
    assert_eq!((network.capabilities().transmit, network.capabilities().receive), (Offloads::ALL, Offloads::ALL));
    let (mut one, mut other) = (network.open_queue(0).unwrap(), network.open_queue(1).unwrap());
    let header =
        NetHeader { flags: 1, gso_type: 1, gso_size: 1000, hdr_len: 54, csum_start: 34, ..NetHeader::default() };
    for len in [18, 60, 1514, 9014, 65549] {
        send_with(&mut *one, header, &frame(1, 2, len, 5)).unwrap();
    }
    assert_eq!(receive(&mut *other), None);
    for len in [18, 60, 1514, 9014, 65549] {
        assert_eq!(receive_with(&mut *one).unwrap(), Some((header, frame(1, 2, len, 5))));
    }
    assert_eq!(receive(&mut *one), None);
}

#[test]
fn a_full_loop_says_when_there_is_room_again() {
    for (len, room) in [(60, 256), (65557, 64)] {
        let mut queue = open();
        let [(SEND, emptied)] = &events(&*queue, false, true)[..] else { panic!("other sources") };
        let taken = (0..1000).take_while(|number| send(&mut *queue, &frame(1, 2, len, *number)).is_ok()).count();
        assert_eq!(taken, room, "of {len} bytes");
        assert!(matches!(send(&mut *queue, &frame(1, 2, len, 0)), Err(SendError::Full)));
        assert_eq!(emptied.take(), 0);
        for expected in 0..room as u32 {
            assert_eq!(number(&receive(&mut *queue).unwrap()), expected);
            assert_eq!(emptied.take(), u64::from(expected == 0), "once, with the first one that was taken");
        }
        assert_eq!(receive(&mut *queue), None);
        send(&mut *queue, &frame(1, 2, len, 9)).unwrap();
        assert_eq!(number(&receive(&mut *queue).unwrap()), 9);
        assert_eq!(emptied.take(), 0, "nobody was refused");
    }
}

#[test]
fn one_signal_tells_of_all_frames_until_somebody_finds_none() {
    let mut queue = open();
    let filled = receive_event(&*queue);
    for number in 0..3 {
        send(&mut *queue, &frame(1, 2, 60, number)).unwrap();
        assert_eq!(filled.take(), u64::from(number == 0));
    }
    assert_eq!((0..9).map_while(|_| receive(&mut *queue)).count(), 3);
    send(&mut *queue, &frame(1, 2, 60, 3)).unwrap();
    assert_eq!(filled.take(), 1);
    receive(&mut *queue).unwrap();
    send(&mut *queue, &frame(1, 2, 60, 4)).unwrap();
    assert_eq!(filled.take(), 0, "nobody has found nothing since");
    assert_eq!(number(&receive(&mut *queue).unwrap()), 4);
    assert_eq!(events(&*queue, true, true).iter().map(|(token, _)| *token).collect::<Vec<_>>(), [RECEIVE, SEND]);
    assert!(events(&*queue, false, false).is_empty());
}

#[test]
fn what_is_no_frame_is_refused_and_a_closed_loop_forgets() {
    let mut queue = open();
    for len in [0, 13, 65558] {
        assert!(matches!(send(&mut *queue, &vec![0; len]), Err(SendError::Failed(_))), "{len} bytes");
    }
    send(&mut *queue, &frame(1, 2, 60, 1)).unwrap();
    drop(queue);
    assert_eq!(receive(&mut *open()), None);
}

#[test]
fn frames_that_go_round_allocate_nothing() {
    let mut queue = open();
    let mut buffer = vec![0; 65557];
    let (mut one, mut other) = (Vec::with_capacity(4), Vec::with_capacity(4));
    let frames = [frame(1, 2, 60, 1), frame(1, 2, 9000, 2), frame(1, 2, 65000, 3)];
    let mut round = || {
        for frame in &frames {
            queue.send(&mut crate::backend::Packet::of_bytes(NetHeader::default(), frame, &mut one)).unwrap();
        }
        for frame in &frames {
            let mut room = crate::backend::Room::of_bytes(&mut buffer, &mut other);
            let received = queue.receive(&mut room).unwrap();
            assert!(matches!(received, crate::backend::Received::Lent { frame: got, .. } if got == frame));
        }
    };
    (0..10).for_each(|_| round());
    let allocations = allocation_counter::measure(|| (0..100).for_each(|_| round())).count_total;
    assert_eq!(allocations, 0);
}
