//! Frames in a stream.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream as Peer};
use std::sync::Arc;

use super::super::stream::StreamQueue;
use super::super::{SocketError, UnixStream};
use super::rig::{Folder, Rig, frame, framed};
use crate::backend::{Interest, NetBackend, NetQueue};
use crate::wire::MAX_FRAME_LEN;
use crate::{Capabilities, Offloads};

/// A queue, and the other end of its socket.
pub(super) fn pair() -> (UnixStream, Rig<StreamQueue>, Peer) {
    let (ours, peer) = Peer::pair().expect("sockets");
    let network = UnixStream::from_socket(ours).expect("a network");
    let rig = open(&network);
    (network, rig, peer)
}

pub(super) fn open(network: &UnixStream) -> Rig<StreamQueue> {
    Rig::of(StreamQueue::new(Arc::clone(&network.shared)))
}

pub(super) fn read(peer: &mut Peer, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    peer.read_exact(&mut bytes).expect("bytes");
    bytes
}

#[test]
fn frames_go_both_ways() {
    let folder = Folder::new();
    let listener = UnixListener::bind(folder.path("socket")).expect("a socket");
    let network = UnixStream::connect(folder.path("socket")).expect("a network");
    let (mut peer, _) = listener.accept().expect("a connection");
    let can = network.capabilities();
    assert_eq!((can, can.transmit, can.receive), (Capabilities::default(), Offloads::NONE, Offloads::NONE));
    let mut rig = open(&network);
    assert!(rig.queue.is_connected());
    for (seed, len) in [14, 60, 1514, 9014, MAX_FRAME_LEN].into_iter().enumerate() {
        let (out, back) = (frame(len, seed as u32), frame(len, 100 + seed as u32));
        let expected = framed(&out);
        let writer = std::thread::spawn(move || {
            let got = read(&mut peer, expected.len());
            assert!(got == expected, "{len}");
            peer.write_all(&framed(&back)).expect("it is sent");
            (peer, back)
        });
        rig.send(&out).expect("it is sent");
        let got = rig.until(|rig| {
            rig.queue.flush();
            rig.receive().expect("a frame")
        });
        let back;
        (peer, back) = writer.join().expect("the peer");
        assert!(got == back, "{len}");
    }
    assert_eq!(rig.receive().expect("nothing"), None);
    assert_eq!((network.malformed(), network.lost(), network.disconnects()), (0, 0, 0));
}

#[test]
fn a_batch_goes_at_its_end() {
    let (_network, mut rig, mut peer) = pair();
    let frames: Vec<_> = (0..20).map(|seed| frame(100 + seed as usize, seed)).collect();
    for frame in &frames {
        rig.put(frame).expect("it is taken");
    }
    peer.set_nonblocking(true).expect("a flag");
    assert!(peer.read(&mut [0; 1]).is_err());
    let version = rig.queue.sources_version();
    rig.queue.flush();
    // Nothing else is waited for than before: batches cost no other calls.
    assert_eq!(rig.queue.sources_version(), version);
    let expected: Vec<_> = frames.iter().flat_map(|frame| framed(frame)).collect();
    let mut got = vec![0; expected.len() + 1];
    assert_eq!(peer.read(&mut got).expect("one call has them all"), expected.len());
    assert!(got[..expected.len()] == expected);
}

#[test]
fn frames_come_in_any_pieces() {
    let (_network, mut rig, mut peer) = pair();
    let expected = frame(40, 1);
    for byte in framed(&expected) {
        assert_eq!(rig.receive().expect("nothing"), None);
        peer.write_all(&[byte]).expect("it is sent");
    }
    assert_eq!(rig.next(), expected);

    // Many at once, and a half.
    let frames: Vec<_> = (0..50).map(|seed| frame(1000, seed)).collect();
    let bytes: Vec<_> = frames.iter().flat_map(|frame| framed(frame)).collect();
    peer.write_all(&bytes[..bytes.len() - 500]).expect("it is sent");
    for frame in &frames[..49] {
        assert!(rig.next() == *frame);
    }
    assert_eq!(rig.receive().expect("nothing"), None);
    peer.write_all(&bytes[bytes.len() - 500..]).expect("it is sent");
    assert!(rig.next() == frames[49]);
}

#[test]
fn what_does_not_fit_waits_and_is_not_lost() {
    let (network, mut rig, mut peer) = pair();
    let size = |seed: u32| 1000 + (seed as usize % 7) * 100;
    let taken = rig.fill(|seed| frame(size(seed), seed));
    // No more is kept than there is room for, and the rest of it is waited for.
    assert!(taken > 100 && taken < 10_000, "{taken}");
    assert!(rig.is_stuck() && rig.queue.is_connected());
    let named = rig.named(Interest { receive: false, send: false });
    assert_eq!(named.len(), 1);

    let reader = std::thread::spawn(move || {
        for seed in 0..=taken {
            let expected = framed(&frame(size(seed), seed));
            assert!(read(&mut peer, expected.len()) == expected, "{seed}");
        }
        peer
    });
    rig.until(|rig| {
        rig.queue.flush();
        (!rig.is_stuck()).then_some(())
    });
    rig.send(&frame(size(taken), taken)).expect("there is room");
    reader.join().expect("all of them");
    assert_eq!((network.lost(), network.disconnects()), (0, 0));
}

#[test]
fn the_next_queue_goes_on_with_the_connection() {
    let (network, mut rig, mut peer) = pair();
    let (first, second) = (frame(100, 1), frame(100, 2));
    let bytes = [framed(&first), framed(&second)].concat();
    peer.write_all(&bytes[..150]).expect("it is sent");
    assert_eq!(rig.next(), first);
    rig.put(&second).expect("it is taken");
    drop(rig);
    assert_eq!(read(&mut peer, 104), framed(&second));
    peer.write_all(&bytes[150..]).expect("it is sent");
    let mut rig = open(&network);
    assert!(rig.queue.is_connected());
    assert_eq!(rig.next(), second);
    rig.send(&first).expect("it is sent");
    assert_eq!(read(&mut peer, 104), framed(&first));
    assert!(matches!(network.open_queue(1), Err(error) if error.kind() == std::io::ErrorKind::InvalidInput));
}

#[test]
fn a_frame_that_is_too_long_is_refused() {
    let (_network, mut rig, mut peer) = pair();
    assert!(rig.send(&vec![0; MAX_FRAME_LEN + 1]).is_err());
    rig.send(&frame(60, 1)).expect("it is sent");
    assert_eq!(read(&mut peer, 64), framed(&frame(60, 1)));
}

#[test]
fn where_nobody_is_there_is_an_error() {
    let folder = Folder::new();
    let refused = UnixStream::connect(folder.path("nothing")).expect_err("nobody is there");
    assert!(matches!(&refused, SocketError::Connect { path, .. } if *path == folder.path("nothing")), "{refused}");
    let long = "x".repeat(200);
    assert!(matches!(UnixStream::connect(&long), Err(SocketError::Path { .. })));
    assert!(matches!(UnixStream::connect_later(&long), Err(SocketError::Path { .. })));
}
