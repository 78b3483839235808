//! Which pair a flow comes to.

use crate::backend::bench::{number, receive, send};
use crate::backend::{NetBackend, NetQueue, Switch};

/// TCP over IPv4 between stations, with the ports.
fn tcp4([to, from]: [u8; 2], [source, destination]: [u16; 2]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, to, 2, 0, 0, 0, 0, from];
    frame.extend([8, 0, 0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, from, 10, 0, 0, to]);
    frame.extend([source.to_be_bytes(), destination.to_be_bytes()].concat());
    frame.resize(80, 0);
    frame
}

#[test]
fn what_answers_a_flow_comes_to_the_pair_that_sent_it() {
    let switch = Switch::new();
    let (client, server) = (switch.port(), switch.port_with_pairs(4));
    let mut client = client.open_queue(0).unwrap();
    let mut pairs: Vec<_> = (0..4).map(|pair| server.open_queue(pair).unwrap()).collect();
    let find = |pairs: &mut [Box<dyn NetQueue>]| {
        let found: Vec<_> = (0..).zip(pairs).filter_map(|(pair, queue)| receive(&mut **queue).map(|_| pair)).collect();
        let [pair] = found[..] else { panic!("{found:?}") };
        pair
    };
    let mut used = [0; 4];
    for port in 0..200 {
        // First from outside: somewhere, and always there.
        send(&mut *client, &tcp4([2, 1], [1000 + port, 80])).unwrap();
        let first: usize = find(&mut pairs);
        used[first] += 1;
        send(&mut *client, &tcp4([2, 1], [1000 + port, 80])).unwrap();
        assert_eq!(find(&mut pairs), first);
        // Then where the device answers from.
        let answers = usize::from(port) % 4;
        send(&mut *pairs[answers], &tcp4([1, 2], [80, 1000 + port])).unwrap();
        assert!(receive(&mut *client).is_some());
        send(&mut *client, &tcp4([2, 1], [1000 + port, 80])).unwrap();
        assert_eq!(find(&mut pairs), answers);
    }
    assert!(used.iter().all(|count| *count > 20), "{used:?}");
}

#[test]
fn a_pair_that_is_closed_has_its_frames_come_to_another() {
    let switch = Switch::new();
    let (client, server) = (switch.port(), switch.port_with_pairs(2));
    let mut client = client.open_queue(0).unwrap();
    let (mut one, two) = (server.open_queue(0).unwrap(), server.open_queue(1).unwrap());
    drop(two);
    for port in 0..100 {
        send(&mut *client, &tcp4([2, 1], [1000 + port, 80])).unwrap();
    }
    assert_eq!(std::iter::from_fn(|| receive(&mut *one)).count(), 100);
    drop(one);
    send(&mut *client, &tcp4([2, 1], [1, 80])).unwrap();
    let mut two = server.open_queue(1).unwrap();
    assert_eq!((receive(&mut *two), server.counts().overflows), (None, 0));
    send(&mut *client, &tcp4([2, 1], [1, 80])).unwrap();
    assert_eq!(receive(&mut *two).as_deref().map(number), Some(0));
}
