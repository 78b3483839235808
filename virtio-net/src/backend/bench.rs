//! The device's side of a network, for tests.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test helper fails by panicking

use std::io;

use virtio_core::{Event, Source, Sources};

use super::{Interest, NetQueue, Packet, Received, Room, SendError};
use crate::NetHeader;
use crate::wire::MAX_FRAME_LEN;

/// A frame from one station to another, of `len` bytes, of which the last ones say `number`.
pub(super) fn frame(to: u8, from: u8, len: usize, number: u32) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, to, 2, 0, 0, 0, 0, from, 0x88, 0xb5];
    frame.resize(len, 0xa5);
    frame[len - 4..].copy_from_slice(&number.to_be_bytes());
    frame
}

/// What [`frame`] said.
pub(super) fn number(frame: &[u8]) -> u32 {
    u32::from_be_bytes(*frame.last_chunk().unwrap())
}

pub(super) fn send(queue: &mut dyn NetQueue, frame: &[u8]) -> Result<(), SendError> {
    send_with(queue, NetHeader::default(), frame)
}

pub(super) fn send_with(queue: &mut dyn NetQueue, header: NetHeader, frame: &[u8]) -> Result<(), SendError> {
    queue.send(&mut Packet::of_bytes(header, frame, &mut Vec::new()))
}

pub(super) fn receive(queue: &mut dyn NetQueue) -> Option<Vec<u8>> {
    receive_with(queue).unwrap().map(|(_, frame)| frame)
}

pub(super) fn receive_with(queue: &mut dyn NetQueue) -> io::Result<Option<(NetHeader, Vec<u8>)>> {
    let mut buffer = vec![0; MAX_FRAME_LEN];
    let received = match queue.receive(&mut Room::of_bytes(&mut buffer, &mut Vec::new()))? {
        Received::Nothing => return Ok(None),
        Received::Lent { header, frame } => (header, Ok(frame.to_vec())),
        Received::Filled { header, len } => (header, Err(len)),
    };
    Ok(Some((received.0, received.1.unwrap_or_else(|len| buffer[..len].to_vec()))))
}

/// The events that a task waits for, with these interests: the tokens and the events.
pub(super) fn events(queue: &dyn NetQueue, receive: bool, send: bool) -> Vec<(u8, Event)> {
    let mut sources = Sources::default();
    queue.sources(Interest { receive, send }, &mut sources);
    let event = |source: &Source| match source {
        Source::Event(event) => event.clone(),
        _ => panic!("a source that is no event"),
    };
    sources.iter().map(|(source, token)| (token, event(source))).collect()
}

/// The one event that a task waits for to receive.
pub(super) fn receive_event(queue: &dyn NetQueue) -> Event {
    let [(super::RECEIVE, event)] = &events(queue, true, false)[..] else { panic!("other sources") };
    event.clone()
}
