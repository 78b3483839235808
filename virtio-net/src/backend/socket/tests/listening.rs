//! Streams that others connect to.

use std::os::unix::net::UnixStream as Peer;

use super::super::{SocketError, UnixStream};
use super::rig::{Folder, Rig, frame, framed, is_not_connected};
use super::stream::{open, read};
use crate::backend::socket::stream::StreamQueue;
use crate::backend::{Interest, NetQueue, RECEIVE};

const BOTH: Interest = Interest { receive: true, send: true };

fn until_connected(rig: &mut Rig<StreamQueue>) {
    rig.until(|rig| {
        assert_eq!(rig.receive().expect("nothing"), None);
        rig.queue.is_connected().then_some(())
    });
}

#[test]
fn two_devices_meet() {
    let folder = Folder::new();
    let listening = UnixStream::listen(folder.path("socket")).expect("a network");
    let connecting = UnixStream::connect(folder.path("socket")).expect("a network");
    let (mut one, mut other) = (open(&listening), open(&connecting));
    assert!(!one.queue.is_connected());
    until_connected(&mut one);
    for (seed, len) in [14, 60, 1514, 9014].into_iter().enumerate() {
        let (out, back) = (frame(len, seed as u32), frame(len, 100 + seed as u32));
        one.send(&out).expect("it is sent");
        assert_eq!(other.next(), out);
        other.send(&back).expect("it is sent");
        assert_eq!(one.next(), back);
    }
    // Who sends takes the connection, too.
    drop((one, other, connecting));
    let connecting = UnixStream::connect(folder.path("socket")).expect("a network");
    let (mut one, mut other) = (open(&listening), open(&connecting));
    let got = one.until(|one| {
        let _ = one.send(&frame(60, 1));
        other.receive().expect("a frame")
    });
    assert_eq!(got, frame(60, 1));
    // The socket goes with the network.
    drop((one, listening));
    assert!(!folder.path("socket").exists());
}

#[test]
fn one_is_served_at_a_time() {
    let folder = Folder::new();
    let network = UnixStream::listen(folder.path("socket")).expect("a network");
    let mut rig = open(&network);
    assert!(is_not_connected(rig.send(&frame(60, 0))));
    assert_eq!(rig.named(BOTH), [(false, RECEIVE)], "whoever comes is waited for");
    assert_eq!(rig.named(Interest::default()), []);
    let mut peers = [(); 2].map(|()| Peer::connect(folder.path("socket")).expect("a connection"));
    let version = rig.queue.sources_version();
    until_connected(&mut rig);
    assert_ne!(rig.queue.sources_version(), version);
    for (round, peer) in peers.iter_mut().enumerate() {
        let frame = frame(60, round as u32);
        rig.until(|rig| rig.send(&frame).ok());
        assert_eq!(read(peer, 64), framed(&frame));
        peer.shutdown(std::net::Shutdown::Both).expect("it goes");
        rig.until(|rig| {
            assert_eq!(rig.receive().expect("nothing"), None);
            (network.disconnects() == round as u64 + 1).then_some(())
        });
        // The next one is taken after a while.
        assert!(rig.queue.is_connected() || rig.queue.deadline().is_some());
    }
    rig.until(|rig| {
        assert_eq!(rig.receive().expect("nothing"), None);
        rig.queue.deadline().is_none().then_some(())
    });
    assert_eq!(rig.named(BOTH), [(false, RECEIVE)]);
}

#[test]
fn nothing_that_is_there_is_replaced() {
    let folder = Folder::new();
    std::fs::write(folder.path("socket"), b"text").expect("a file");
    let refused = UnixStream::listen(folder.path("socket"));
    assert!(matches!(refused, Err(SocketError::Bind { .. })), "{refused:?}");
    assert_eq!(std::fs::read(folder.path("socket")).expect("a file"), b"text");
    let path = folder.path(&"x".repeat(200));
    assert!(matches!(UnixStream::listen(path), Err(SocketError::Path { .. })));
}
