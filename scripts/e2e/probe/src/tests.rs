#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use crate::datagrams::{Collector, Run, bound, receive, send};
use crate::streams;

const RUN: Run = Run { run: 7, count: 6, len: 100, at_once: 1 };

/// The datagrams of a run, as they come.
fn datagrams(run: Run) -> Vec<Vec<u8>> {
    let socket = bound((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    send(socket.local_addr().unwrap(), &run).unwrap();
    let mut room = Vec::new();
    (0..run.count).map(|_| receive(&socket, &mut room).unwrap().to_vec()).collect()
}

fn verdict(datagrams: &[Vec<u8>]) -> String {
    let mut collector = Collector::new(RUN);
    for datagram in datagrams {
        collector.take(datagram);
    }
    collector.verdict().split(", Ip:").next().unwrap().split(", Udp:").next().unwrap().to_owned()
}

#[test]
fn a_whole_run_is_seen_as_such() {
    let all = datagrams(RUN);
    assert!(all.iter().all(|datagram| datagram.len() == RUN.len));
    assert_eq!(verdict(&all), "all");
    let cut = datagrams(Run { at_once: 3, ..RUN });
    assert_eq!(cut, all, "written three at once");
}

#[test]
fn whatever_is_wrong_with_a_run_is_said() {
    let all = datagrams(RUN);
    let mut some = all.clone();
    some.remove(4);
    some.remove(1);
    assert_eq!(verdict(&some), "2 of 6 missing (1 4), 0 doubled, 0 late, 0 changed, 0 foreign");
    let mut some = all.clone();
    some.push(all[5].clone());
    assert_eq!(verdict(&some), "0 of 6 missing (), 1 doubled, 0 late, 0 changed, 0 foreign");
    let mut some = all.clone();
    some.swap(2, 3);
    assert_eq!(verdict(&some), "0 of 6 missing (), 0 doubled, 1 late, 0 changed, 0 foreign");
    let mut some = all.clone();
    some[3][50] ^= 1;
    assert_eq!(verdict(&some), "0 of 6 missing (), 0 doubled, 0 late, 1 changed, 0 foreign");
    let mut some = all;
    some.push(vec![1, 2, 3]);
    assert_eq!(verdict(&some), "0 of 6 missing (), 0 doubled, 0 late, 0 changed, 1 foreign");
}

#[test]
fn a_run_goes_through_a_request() {
    let run = Run { at_once: 2, ..RUN };
    assert_eq!(Run::parse(run.words().split(' ')), Some(run));
    assert_eq!(Run::parse("1 2 3".split(' ')), None);
    assert_eq!(Run::parse("1 2 3 x".split(' ')), None);
}

#[test]
fn datagrams_of_no_length_are_refused() {
    let to = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    for len in [0, 7, 65_508] {
        assert!(send(to, &Run { len, ..RUN }).is_err(), "{len} bytes");
    }
}

#[test]
fn the_digest_is_that_of_what_is_copied() {
    let mut copied = Vec::new();
    let digest = streams::copy(&mut &b"abcdef"[..], &mut copied, 3).unwrap();
    assert_eq!(copied, b"abc");
    assert_eq!(digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}
