//! From the ring to the network.

use std::time::Instant;

use log::Level;
use virtio_core::memory::RawIoSlice;
use virtio_core::{Chain, Reader, Virtqueue};

use super::check::{BadFrame, check};
use crate::NetHeader;
use crate::backend::{NetQueue, Packet, SendError};
use crate::counters::Counters;
use crate::header::MAX_HEADER_LEN;
use crate::packet::{Layers, flow};
use crate::plan::Plan;
use crate::shared::Shared;

/// A pair's sending side.
#[derive(Default)]
pub(super) struct Transmitter {
    scratch: Vec<RawIoSlice>,
}

/// What a sending side works with.
pub(super) struct Outward<'a> {
    pub(super) plan: &'a Plan,
    pub(super) shared: &'a Shared,
    pub(super) counters: &'a Counters,
    pub(super) pair: u16,
    /// Where frames go; none while the pair is not in use.
    pub(super) engine: Option<&'a mut dyn NetQueue>,
    pub(super) link_up: bool,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sent {
    /// Frames that were taken from the ring.
    pub(super) frames: u32,
    /// The network has no room.
    pub(super) full: bool,
    /// Until when the rate limit holds back more.
    pub(super) until: Option<Instant>,
}

/// What becomes of a chain.
enum Fate {
    /// It was sent, or it makes no sense, and goes back.
    Done { bytes: usize },
    /// The driver's fault.
    Bad,
    /// It stays in the ring.
    Full,
}

impl Transmitter {
    /// Sends at most `most` frames, or so many that they have `most_bytes`.
    pub(super) fn batch(
        &mut self,
        outward: &mut Outward<'_>,
        queue: &mut Virtqueue,
        most: u32,
        most_bytes: usize,
    ) -> Sent {
        let mut sent = Sent::default();
        let rate = outward.shared.options.tx_rate.clone().map(|limit| (limit, Instant::now()));
        let mut bytes = 0;
        while sent.frames < most && bytes < most_bytes {
            sent.until = rate.as_ref().and_then(|(limit, now)| limit.wait(*now));
            if sent.until.is_some() {
                outward.counters.tx_throttled.add(1);
                break;
            }
            let Some(chain) = queue.pop() else { break };
            let len = match self.send(outward, &chain) {
                Fate::Done { bytes } => {
                    chain.complete(0);
                    bytes
                }
                Fate::Bad => {
                    chain.complete_bad_request(0);
                    0
                }
                Fate::Full => {
                    chain.put_back();
                    outward.counters.tx_blocked.add(1);
                    sent.full = true;
                    break;
                }
            };
            if let Some((limit, _)) = &rate {
                limit.take(len as u64);
            }
            sent.frames += 1;
            bytes += len;
        }
        if let Some(engine) = outward.engine.as_deref_mut().filter(|_| sent.frames > 0) {
            engine.flush();
        }
        sent
    }

    /// Sends one frame. DRV-NET-TX-15: what the chain has to be written is left alone.
    #[inline]
    fn send(&mut self, outward: &mut Outward<'_>, chain: &Chain<'_>) -> Fate {
        let Outward { plan, shared, counters, pair, engine, link_up } = outward;
        let mut reader = chain.reader();
        let header = match read_header(&mut reader, plan.header_len) {
            Ok(header) => header,
            Err(error) => return refuse(shared, counters, error),
        };
        let len = reader.remaining();
        let header = match check(&header, len, plan.transmit) {
            Ok(header) => header,
            Err(error) => return refuse(shared, counters, Unsendable::Frame(error)),
        };
        if chain.fault().is_some() {
            return refuse(shared, counters, Unsendable::Buffer);
        }
        let dropped = Fate::Done { bytes: len };
        let Some(engine) = engine.as_deref_mut() else {
            // DRV-NET-CTRL-07
            counters.tx_inactive.add(1);
            return dropped;
        };
        if !*link_up {
            counters.tx_link_down.add(1);
            return dropped;
        }
        let mut packet = Packet::of_guest(header, reader, &mut self.scratch);
        if plan.pairs > 1 && !plan.is_steered(shared.network_steers) {
            note_flow(shared, &packet, *pair);
        }
        match engine.send(&mut packet) {
            Ok(()) => count(counters, &header, len),
            Err(SendError::Full) => return Fate::Full,
            Err(SendError::Failed(error)) => {
                counters.tx_failed.add(1);
                shared.log.log(Level::Debug, format_args!("a frame could not be sent: {error}"));
            }
        }
        dropped
    }
}

/// Why a chain is not a frame that can be sent.
#[derive(Debug, thiserror::Error)]
enum Unsendable {
    #[error("there is no header")]
    NoHeader,
    #[error("a part of it is no memory")]
    Buffer,
    #[error(transparent)]
    Frame(#[from] BadFrame),
}

/// DRV-NET-TX-01. Read once, with one copy, wherever the driver cut it.
#[inline(always)]
fn read_header(reader: &mut Reader<'_>, len: usize) -> Result<NetHeader, Unsendable> {
    let mut bytes = [0; MAX_HEADER_LEN];
    let place = bytes.get_mut(..len).ok_or(Unsendable::NoHeader)?;
    if reader.remaining() < len {
        return Err(Unsendable::NoHeader);
    }
    reader.read(place).map_err(|_| Unsendable::Buffer)?;
    Ok(NetHeader::decode(&bytes))
}

#[cold]
fn refuse(shared: &Shared, counters: &Counters, why: Unsendable) -> Fate {
    match &why {
        Unsendable::NoHeader | Unsendable::Frame(BadFrame::Length { .. }) => counters.tx_bad_length.add(1),
        Unsendable::Buffer => counters.tx_bad_buffer.add(1),
        Unsendable::Frame(_) => counters.tx_bad_header.add(1),
    }
    shared.log.log(Level::Debug, format_args!("a frame was not sent: {why}"));
    Fate::Bad
}

/// NET-MQ-06
fn note_flow(shared: &Shared, packet: &Packet<'_>, pair: u16) {
    let mut head = [0; 128];
    let Ok(len) = packet.peek(&mut head) else { return };
    if let Some(flow) = Layers::parse(&head[..len]).as_ref().and_then(flow::flow) {
        shared.flows.note(flow, pair);
    }
}

#[inline]
fn count(counters: &Counters, header: &NetHeader, len: usize) {
    counters.tx_frames.add(1);
    counters.tx_bytes.add(len as u64);
    if header.flags != 0 {
        counters.tx_csum_frames.add(1);
        if header.is_gso() {
            counters.tx_gso_frames.add(1);
            counters.tx_gso_bytes.add(len as u64);
        }
    }
}
