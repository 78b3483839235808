//! A device's end of a port.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use virtio_core::{Event, Source, Sources};

use super::port::{Delivery, Port};
use super::{Plug, Ports};
use crate::MacAddress;
use crate::backend::frames::{Buffers, Frame};
use crate::backend::{Interest, NetQueue, Packet, RECEIVE, Received, Room, SendError};

/// One pair of queues.
pub(super) struct SwitchQueue {
    plug: Arc<Plug>,
    pair: u16,
    /// The ports as they were last.
    ports: Ports,
    version: u64,
    /// The time of this batch.
    now: Option<u32>,
    out: Out,
    event: Event,
    /// Frames that were taken out of the inbox and not received yet.
    batch: VecDeque<Frame>,
    /// What was received last.
    lent: Option<Frame>,
    /// Buffers to be given back.
    empty: Vec<Vec<u8>>,
}

/// What sending needs.
#[derive(Default)]
struct Out {
    buffers: Buffers,
    /// Whom to wake when the batch has been sent.
    wake: Vec<Event>,
}

impl SwitchQueue {
    pub(super) fn open(plug: &Arc<Plug>, pair: u16) -> io::Result<SwitchQueue> {
        let event = Event::new()?;
        let inbox = plug.port.inbox(pair).ok_or(io::ErrorKind::InvalidInput)?;
        inbox.open(&event)?;
        Ok(SwitchQueue {
            plug: Arc::clone(plug),
            pair,
            ports: Arc::from([]),
            version: 0,
            now: None,
            out: Out::default(),
            event,
            batch: VecDeque::new(),
            lent: None,
            empty: Vec::new(),
        })
    }
}

impl NetQueue for SwitchQueue {
    fn send(&mut self, packet: &mut Packet<'_>) -> Result<(), SendError> {
        let SwitchQueue { plug, ports, version, out, .. } = self;
        let Plug { switch, port } = &**plug;
        let frame = Frame::copy(packet, &mut out.buffers)?;
        let (to, from) = addresses(&frame.bytes);
        let now = *self.now.get_or_insert_with(|| switch.now());
        // Before anything is looked up: what is found then is among these ports, or has gone.
        switch.refresh(ports, version);
        if let (true, Some(id)) = (from.is_usable(), port.id()) {
            switch.addresses.learn(from, id, now);
        }
        port.sends(&frame, self.pair);
        let known = if to.is_multicast() { None } else { switch.addresses.find(to, now) };
        match known {
            Some(id) => {
                let behind = ports.get(usize::from(id.get() - 1)).and_then(Option::as_ref);
                match behind.filter(|behind| behind.slot() != port.slot()) {
                    Some(behind) => out.deliver(behind, frame),
                    // Its own port, where it has come from.
                    None => out.buffers.give(frame.bytes),
                }
            }
            None => out.flood(ports.iter().flatten().filter(|other| other.slot() != port.slot()), frame),
        }
        Ok(())
    }

    fn flush(&mut self) {
        self.now = None;
        self.out.wake.drain(..).for_each(|event| event.signal());
    }

    fn receive<'a>(&'a mut self, _room: &mut Room<'_>) -> io::Result<Received<'a>> {
        self.empty.extend(self.lent.take().map(|lent| lent.bytes));
        if self.batch.is_empty()
            && let Some(inbox) = self.plug.port.inbox(self.pair)
        {
            inbox.take(&mut self.batch, &mut self.empty);
        }
        let Some(frame) = self.batch.pop_front() else { return Ok(Received::Nothing) };
        let Frame { header, bytes } = self.lent.insert(frame);
        Ok(Received::Lent { header: *header, frame: bytes })
    }

    fn sources(&self, interest: Interest, sources: &mut Sources) {
        if interest.receive {
            sources.add(Source::Event(self.event.clone()), RECEIVE);
        }
    }
}

impl Drop for SwitchQueue {
    fn drop(&mut self) {
        self.flush();
        if let Some(inbox) = self.plug.port.inbox(self.pair) {
            inbox.close(self.batch.len());
        }
    }
}

impl Out {
    fn deliver(&mut self, port: &Port, frame: Frame) {
        match port.deliver(frame) {
            Delivery::Taken(buffer, wake) => {
                buffer.into_iter().for_each(|buffer| self.buffers.give(buffer));
                self.wake.extend(wake);
            }
            Delivery::Lost(frame) => self.buffers.give(frame.bytes),
        }
    }

    /// Each port has a copy of its own, the last one the frame itself.
    fn flood<'a>(&mut self, ports: impl Iterator<Item = &'a Arc<Port>>, frame: Frame) {
        let mut ports = ports.peekable();
        while let Some(port) = ports.next() {
            if ports.peek().is_none() {
                return self.deliver(port, frame);
            }
            let mut bytes = self.buffers.take(frame.bytes.len());
            bytes.extend_from_slice(&frame.bytes);
            self.deliver(port, Frame { header: frame.header, bytes });
        }
        self.buffers.give(frame.bytes);
    }
}

/// Where a frame goes, and where it comes from.
fn addresses(frame: &[u8]) -> (MacAddress, MacAddress) {
    let address = |at: usize| frame.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or_default();
    (MacAddress(address(0)), MacAddress(address(6)))
}
