//! Peers that say nonsense, go away, and come back.

use std::io::{ErrorKind, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use super::super::UnixStream;
use super::rig::{Folder, frame, framed, is_not_connected};
use super::stream::{open, pair, read};
use crate::backend::{Interest, NetBackend, NetQueue};
use crate::wire::MAX_FRAME_LEN;

#[test]
fn a_length_that_no_frame_has_ends_the_connection() {
    for bad in [0, MAX_FRAME_LEN as u32 + 1, 0x1000_0000, u32::MAX] {
        let (network, mut rig, mut peer) = pair();
        peer.write_all(&framed(&frame(60, 1))).expect("it is sent");
        peer.write_all(&[&bad.to_be_bytes()[..], &[0; 100]].concat()).expect("it is sent");
        // What came before it is a frame still.
        assert_eq!(rig.next(), frame(60, 1));
        let error = rig.until(|rig| rig.receive().err());
        assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
        assert_eq!((network.malformed(), network.disconnects()), (1, 1));
        assert!(!rig.queue.is_connected());
        assert_eq!(rig.receive().expect("nothing"), None);
        assert!(is_not_connected(rig.send(&frame(60, 1))));
        // Nothing is waited for, for ever: the socket was given.
        assert!(rig.named(Interest { receive: true, send: true }).is_empty());
        assert_eq!(rig.queue.deadline(), None);
        assert!(peer.write_all(&[0]).is_err());
    }
}

#[test]
fn frames_that_are_too_short_are_counted_and_nothing_else() {
    let (network, mut rig, mut peer) = pair();
    let mut bytes = Vec::new();
    for len in 1..14 {
        bytes.extend(framed(&frame(len, 0)));
    }
    for _ in 0..1000 {
        bytes.extend(framed(&[0]));
    }
    bytes.extend(framed(&frame(14, 7)));
    peer.write_all(&bytes).expect("it is sent");
    assert_eq!(rig.next(), frame(14, 7));
    assert_eq!((network.malformed(), network.disconnects()), (1013, 0));
    assert_eq!(network.counts().malformed, 1013);
}

#[test]
fn somebody_who_goes_is_waited_for() {
    let folder = Folder::new();
    let path = folder.path("socket");
    let network = UnixStream::connect_later(&path).expect("a path");
    let mut rig = open(&network);
    for round in 0..3 {
        assert!(!rig.queue.is_connected());
        assert!(is_not_connected(rig.send(&frame(60, 0))));
        // Attempts become rare, and not too rare.
        let next = rig.queue.deadline().expect("another attempt");
        assert!(next <= Instant::now() + Duration::from_secs(2));
        assert!(rig.named(Interest { receive: true, send: true }).is_empty());
        let version = rig.queue.sources_version();

        let listener = UnixListener::bind(&path).expect("a socket");
        rig.until_connected(true);
        assert!(rig.queue.sources_version() != version);
        assert_eq!(rig.queue.deadline(), None);
        let (mut peer, _) = listener.accept().expect("a connection");
        rig.send(&frame(60, round)).expect("it is sent");
        assert_eq!(read(&mut peer, 64), framed(&frame(60, round)));
        peer.write_all(&framed(&frame(70, round))).expect("it is sent");
        // Half a frame is no frame, on this connection or on the next one.
        peer.write_all(&framed(&frame(80, round))[..50]).expect("it is sent");
        assert_eq!(rig.next(), frame(70, round));

        drop((peer, listener));
        std::fs::remove_file(&path).expect("it is there");
        rig.until_connected(false);
        assert_eq!(network.disconnects(), u64::from(round) + 1);
    }
    assert_eq!((network.malformed(), network.lost()), (0, 0));
}

#[test]
fn who_sends_finds_that_somebody_has_gone() {
    let (network, mut rig, peer) = pair();
    drop(peer);
    let mut sent = 0;
    while rig.send(&frame(60, 0)).is_ok() {
        sent += 1;
        assert!(sent < 10, "it is still sent");
    }
    assert!(!rig.queue.is_connected());
    assert_eq!((network.lost(), network.disconnects()), (sent, 1));
    assert_eq!((network.counts().lost, network.counts().disconnects), (sent, 1));
}

#[test]
fn what_was_not_sent_is_counted() {
    let (network, mut rig, peer) = pair();
    let taken = rig.fill(|seed| frame(1000, seed));
    drop(peer);
    rig.until_connected(false);
    assert!(network.lost() > 0 && network.lost() < taken.into(), "{} of {taken}", network.lost());
}

#[test]
fn a_peer_that_only_listens_is_no_peer_that_has_gone() {
    let (network, mut rig, mut peer) = pair();
    peer.shutdown(Shutdown::Read).expect("a socket");
    peer.write_all(&framed(&frame(60, 1))).expect("it is sent");
    assert_eq!(rig.next(), frame(60, 1));
    // What cannot be sent to it ends the connection.
    while rig.send(&frame(60, 0)).is_ok() && rig.queue.is_connected() {}
    assert_eq!(network.disconnects(), 1);
}
