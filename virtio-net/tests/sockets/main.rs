//! Networks behind sockets: a real one, and what a process sees of one that goes.

#![cfg(all(feature = "socket", target_os = "linux"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

mod folder;
#[path = "../shared/left_out/mod.rs"]
mod left_out;
mod passt;
mod qemu;
mod signal;
mod sys;

use virtio_core::memory::RawIoSlice;
use virtio_net::NetHeader;
use virtio_net::backend::{NetQueue, Packet, Received, Room, SendError};

/// Sends a batch of one frame.
fn send(queue: &mut dyn NetQueue, frame: &[u8]) -> Result<(), SendError> {
    let mut scratch: Vec<RawIoSlice> = Vec::new();
    queue.send(&mut Packet::of_bytes(NetHeader::default(), frame, &mut scratch))?;
    queue.flush();
    Ok(())
}

/// A frame, if one is there.
fn receive(queue: &mut dyn NetQueue) -> Option<Vec<u8>> {
    let (mut buffer, mut scratch) = (vec![0; 70_000], Vec::new());
    match queue.receive(&mut Room::of_bytes(&mut buffer, &mut scratch)).expect("a frame, or nothing") {
        Received::Lent { frame, .. } => Some(frame.to_vec()),
        _ => None,
    }
}
