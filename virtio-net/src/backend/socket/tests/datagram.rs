//! A frame in each datagram.

use std::os::unix::net::UnixDatagram as Peer;
use std::sync::Arc;

use super::super::datagram::DatagramQueue;
use super::super::{SocketError, UnixDgram};
use super::rig::{Folder, Rig, frame, is_not_connected};
use crate::Capabilities;
use crate::backend::sys::MOST_DATAGRAMS;
use crate::backend::{Interest, NetBackend, NetQueue, NetworkCounts};
use crate::wire::MAX_FRAME_LEN;

fn open(network: &UnixDgram) -> Rig<DatagramQueue> {
    Rig::of(DatagramQueue::new(Arc::clone(&network.shared)))
}

fn pair() -> (UnixDgram, Rig<DatagramQueue>, Peer) {
    let (ours, peer) = Peer::pair().expect("sockets");
    let network = UnixDgram::from_socket(ours).expect("a network");
    let rig = open(&network);
    (network, rig, peer)
}

fn read(peer: &Peer) -> Vec<u8> {
    let mut bytes = vec![0; 70_000];
    let len = peer.recv(&mut bytes).expect("a datagram");
    bytes.truncate(len);
    bytes
}

#[test]
fn frames_go_both_ways() {
    let folder = Folder::new();
    let peer = Peer::bind(folder.path("peer")).expect("a socket");
    let own = folder.path("own");
    let network = UnixDgram::builder(folder.path("peer")).own_path(&own).connect().expect("a network");
    assert_eq!(network.capabilities(), Capabilities::default());
    peer.connect(&own).expect("a connection");
    let mut rig = open(&network);
    assert!(rig.queue.is_connected());
    for (seed, len) in [14, 60, 1514, 9014, MAX_FRAME_LEN].into_iter().enumerate() {
        let (out, back) = (frame(len, seed as u32), frame(len, 100 + seed as u32));
        rig.send(&out).expect("it is sent");
        assert!(read(&peer) == out, "{len}");
        peer.send(&back).expect("it is sent");
        assert!(rig.next() == back, "{len}");
    }
    assert_eq!(rig.receive().expect("nothing"), None);
    assert_eq!((network.malformed(), network.lost(), network.disconnects()), (0, 0, 0));
    drop(rig);
    assert!(own.exists());
    drop(network);
    assert!(!own.exists());
}

#[test]
fn the_socket_of_our_own_is_somewhere_and_goes() {
    let folder = Folder::new();
    let peer = Peer::bind(folder.path("peer")).expect("a socket");
    let network = UnixDgram::builder(folder.path("peer")).greeting(b"VFKT").connect().expect("a network");
    let mut greeting = [0; 10];
    let (len, from) = peer.recv_from(&mut greeting).expect("a greeting");
    assert_eq!(&greeting[..len], b"VFKT");
    let own = from.as_pathname().expect("a path").to_owned();
    // Others cannot reach it.
    let mode = std::os::unix::fs::MetadataExt::mode(&own.parent().expect("a folder").metadata().expect("a folder"));
    assert_eq!(mode & 0o777, 0o700);
    let mut rig = open(&network);
    peer.send_to(&frame(60, 1), &own).expect("it is sent");
    assert_eq!(rig.next(), frame(60, 1));
    drop((rig, network));
    assert!(!own.parent().expect("a folder").exists());
}

#[test]
fn many_go_in_a_batch_and_come_in_order() {
    let (_network, mut rig, peer) = pair();
    // A socket keeps only so many datagrams.
    let reader = std::thread::spawn(move || {
        for seed in 0..200 {
            assert!(read(&peer) == frame(60 + seed as usize, seed), "{seed}");
        }
        peer
    });
    for seed in 0..200 {
        let frame = frame(60 + seed as usize, seed);
        rig.until(|rig| {
            let sent = rig.put(&frame).is_ok();
            if !sent || seed % 50 == 49 {
                rig.queue.flush();
            }
            sent.then_some(())
        });
    }
    rig.until(|rig| {
        rig.queue.flush();
        (!rig.is_stuck()).then_some(())
    });
    let peer = reader.join().expect("all of them");
    let writer = std::thread::spawn(move || {
        (0..3 * MOST_DATAGRAMS as u32).for_each(|seed| assert_eq!(peer.send(&frame(100, seed)).expect("sent"), 100));
    });
    for seed in 0..3 * MOST_DATAGRAMS as u32 {
        assert!(rig.next() == frame(100, seed), "{seed}");
    }
    writer.join().expect("all of them");
}

#[test]
fn what_does_not_fit_waits_and_is_not_lost() {
    let (network, mut rig, peer) = pair();
    let taken = rig.fill(|seed| frame(1000, seed));
    assert!(taken > 100 && taken < 10_000, "{taken}");
    assert!(rig.is_stuck() && rig.queue.is_connected());
    let reader = std::thread::spawn(move || (0..=taken).for_each(|seed| assert!(read(&peer) == frame(1000, seed))));
    rig.until(|rig| {
        rig.queue.flush();
        (!rig.is_stuck()).then_some(())
    });
    rig.send(&frame(1000, taken)).expect("there is room");
    rig.until(|rig| {
        rig.queue.flush();
        (!rig.is_stuck()).then_some(())
    });
    reader.join().expect("all of them");
    assert_eq!((network.lost(), network.disconnects()), (0, 0));
}

#[test]
fn datagrams_that_are_no_frames_are_counted_and_nothing_else() {
    let (network, mut rig, peer) = pair();
    for len in [0, 1, 13, MAX_FRAME_LEN + 1, MAX_FRAME_LEN + 1000] {
        peer.send(&frame(len, 0)).expect("it is sent");
    }
    peer.send(&frame(14, 7)).expect("it is sent");
    assert_eq!(rig.next(), frame(14, 7));
    assert_eq!((network.malformed(), network.disconnects()), (5, 0));
    assert_eq!(network.counts(), NetworkCounts { malformed: 5, ..NetworkCounts::default() });
}

#[test]
fn somebody_who_goes_is_waited_for() {
    let folder = Folder::new();
    let path = folder.path("peer");
    let builder = UnixDgram::builder(&path).greeting(b"VFKT");
    let network = builder.own_path(folder.path("own")).connect_later().expect("a network");
    let mut rig = open(&network);
    for round in 0..3 {
        assert!(!rig.queue.is_connected() && rig.queue.deadline().is_some());
        assert!(is_not_connected(rig.send(&frame(60, 0))));
        let peer = Peer::bind(&path).expect("a socket");
        rig.until_connected(true);
        assert_eq!(rig.queue.deadline(), None);
        assert_eq!(read(&peer), b"VFKT");
        rig.send(&frame(60, round)).expect("it is sent");
        assert_eq!(read(&peer), frame(60, round));
        peer.send_to(&frame(70, round), folder.path("own")).expect("it is sent");
        assert_eq!(rig.next(), frame(70, round));

        drop(peer);
        std::fs::remove_file(&path).expect("it is there");
        // Sending shows it.
        rig.send(&frame(60, 0)).expect("it is taken");
        assert!(!rig.queue.is_connected());
        assert_eq!((network.disconnects(), network.lost()), (u64::from(round) + 1, u64::from(round) + 1));
        let named = rig.named(Interest { receive: true, send: true });
        assert!(named.iter().all(|(writable, _)| !writable));
    }
}

#[test]
fn the_next_queue_goes_on_with_the_connection() {
    let (network, rig, peer) = pair();
    drop(rig);
    peer.send(&frame(60, 1)).expect("it is sent");
    let mut rig = open(&network);
    assert!(rig.queue.is_connected());
    assert_eq!(rig.next(), frame(60, 1));
    rig.send(&frame(60, 2)).expect("it is sent");
    assert_eq!(read(&peer), frame(60, 2));
    assert!(network.open_queue(1).is_err());
}

#[test]
fn what_cannot_be_made_is_refused() {
    let folder = Folder::new();
    let refused = UnixDgram::connect(folder.path("nothing")).expect_err("nobody is there");
    assert!(matches!(refused, SocketError::Connect { .. }), "{refused}");
    let _peer = Peer::bind(folder.path("peer")).expect("a socket");
    std::fs::write(folder.path("taken"), "something").expect("a file");
    let refused = UnixDgram::builder(folder.path("peer")).own_path(folder.path("taken")).connect();
    assert!(matches!(&refused, Err(SocketError::Bind { path, .. }) if *path == folder.path("taken")), "{refused:?}");
    // What is there is left alone.
    assert_eq!(std::fs::read(folder.path("taken")).expect("a file"), b"something");
}
