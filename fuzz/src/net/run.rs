//! Programs, step by step.

use std::time::{Duration, Instant};

use virtio_core::testing::{PackedDriver, RingDriver, SplitDriver};
use virtio_core::{Buffer, Features};
use virtio_net::NetHeader;

use super::Outcome;
use super::device::{Device, Sent};
use super::frame::Frame;
use super::input::{Header, MOST_STEPS};
use super::step::Step;
use crate::device::{Raw, Subject};
use crate::input::Input;

/// Bytes of the longest buffer of the driver.
const LONGEST: u16 = 4096;

/// Runs an input.
pub(crate) fn run(data: &[u8]) -> Outcome {
    let mut input = Input::new(data);
    let header = Header::read(&mut input);
    match header.rings.is_packed() {
        true => program(Device::<PackedDriver>::new(header), &mut input),
        false => program(Device::<SplitDriver>::new(header), &mut input),
    }
}

fn program<R: RingDriver>(mut device: Device<R>, input: &mut Input<'_>) -> Outcome {
    for _ in 0..MOST_STEPS {
        let Some(step) = Step::read(input).filter(|_| device.stage.has_room()) else { break };
        device.step(step);
        device.stage.lifecycle.broken |= device.stage.is_broken();
    }
    device.rest();
    // The driver may have asked for anything, and rings may be full.
    for pair in &mut device.network.state().pairs {
        pair.coming.clear();
    }
    device.reset([0; 7]);
    device.plain_frames();
    device.reset([0; 7]);
    device.outcome()
}

impl<R: RingDriver> Device<R> {
    fn step(&mut self, step: Step) {
        match step {
            Step::Send { how, frame, cuts } => self.send(how, &frame, cuts),
            Step::Post { how, len, count } => self.post(how, len, count),
            Step::Arrive { how, frame } => {
                let pair = usize::from(how & Step::SECOND_PAIR).min(self.network_pairs() - 1);
                let bytes = frame.bytes(65400);
                // Now and then one that is no frame.
                let len = if how & Step::SHORT != 0 { usize::from(how >> 4) } else { bytes.len() };
                self.arrive(pair, frame.header(), bytes[..len.min(bytes.len())].to_vec());
            }
            Step::Command { how, class, command, data, room } => {
                let mut bytes = vec![class, command];
                bytes.extend(data);
                self.command(how, &bytes, room);
            }
            Step::Raw(raw) => self.raw(&raw),
            Step::Kick { lane } => self.kick(usize::from(lane % 5)),
            Step::Reset { features } => self.reset(features),
            Step::QueueReset { lane } => self.reset_queue(usize::from(lane % 5)),
            Step::Pause => _ = self.pause(),
            Step::Unpause => self.unpause(),
            Step::Break { lane } => self.break_ring(usize::from(lane % 5)),
            Step::Poke { address, bytes } => self.poke(address, bytes),
            Step::Replace => self.replace_memory(),
            Step::Link { up } => self.work(|device| {
                device.network.state().connected = up & 2 != 0;
                device.handle.set_link(up & 1 != 0);
            }),
            Step::Room { lane, frames } => self.work(|device| {
                let mut state = device.network.state();
                let pair = usize::from(lane & 1);
                state.make_room(pair, usize::from(frames % 16));
                state.pairs[pair].fails = lane & 2 != 0;
            }),
            Step::Move => self.migrate(),
            Step::Announce => self.work(|device| _ = device.handle.announce()),
        }
    }

    fn network_pairs(&self) -> usize {
        usize::from(virtio_net::NetBackend::capabilities(&self.network).pairs)
    }

    fn pair(&self, how: u8) -> usize {
        usize::from(how & Step::SECOND_PAIR).min(self.pairs() - 1)
    }

    /// A frame with its header, in up to three pieces.
    fn send(&mut self, how: u8, frame: &Frame, cuts: [u8; 2]) {
        let NetHeader { flags, gso_type, hdr_len, gso_size, csum_start, csum_offset, outer_th_offset, inner_nh_offset } =
            frame.header();
        let mut bytes = vec![flags, gso_type];
        for number in [hdr_len, gso_size, csum_start, csum_offset, 0] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.resize(20, 0);
        bytes.extend(outer_th_offset.to_le_bytes());
        bytes.extend(inner_nh_offset.to_le_bytes());
        bytes.truncate(self.header_len());
        let payload = frame.bytes(LONGEST.into());
        bytes.extend(&payload);
        if how & Step::SHORT != 0 {
            bytes.truncate(usize::from(how >> 4) * 3);
        }
        let at = self.stage.memory.place(&bytes);
        let mut ends: Vec<usize> = cuts.iter().map(|cut| usize::from(*cut)).filter(|cut| *cut > 0).collect();
        ends.push(bytes.len());
        ends.sort_unstable();
        let mut chain = Vec::new();
        let mut start = 0;
        for end in ends.into_iter().map(|end| end.min(bytes.len())) {
            if end > start {
                chain.push(Buffer::readable(at + start as u64, (end - start) as u32));
                start = end;
            }
        }
        if chain.is_empty() {
            return;
        }
        let frame = bytes.get(self.header_len()..).unwrap_or_default().to_vec();
        let lane = 2 * self.pair(how) + 1;
        if self.add(lane, how & Step::INDIRECT != 0, Sent { chain, frame }, false) && how & Step::SHOW != 0 {
            self.kick(lane);
        }
    }

    fn post(&mut self, how: u8, len: u16, count: u8) {
        let lane = 2 * self.pair(how);
        let len = u32::from(len % LONGEST) + 1;
        for _ in 0..=count % 8 {
            let at = self.untouched(len as usize);
            let cut = if how & Step::SHORT != 0 { len / 3 } else { 0 };
            let pieces = [(at, cut), (at + u64::from(cut), len - cut)];
            let chain = pieces.into_iter().filter(|(_, len)| *len > 0).map(|(at, len)| Buffer::writable(at, len));
            let sent = Sent { chain: chain.collect(), frame: Vec::new() };
            if !self.add(lane, how & Step::INDIRECT != 0, sent, false) {
                break;
            }
        }
        if how & Step::SHOW != 0 {
            self.kick(lane);
        }
    }

    fn command(&mut self, how: u8, bytes: &[u8], room: u8) {
        let Some(lane) = self.control() else { return };
        let (at, answer) = (self.stage.memory.place(bytes), self.untouched(room.into()));
        let cut = if how & Step::SHORT != 0 { 1 } else { 0 };
        let pieces = [(at, cut), (at + u64::from(cut), bytes.len() as u32 - cut)];
        let readable = pieces.into_iter().filter(|(_, len)| *len > 0).map(|(at, len)| Buffer::readable(at, len));
        let mut chain: Vec<_> = readable.collect();
        if room > 0 {
            chain.push(Buffer::writable(answer, room.into()));
        }
        if self.add(lane, how & Step::INDIRECT != 0, Sent { chain, frame: Vec::new() }, false) && how & Step::SHOW != 0
        {
            self.kick(lane);
        }
    }

    fn raw(&mut self, raw: &Raw) {
        let chain = raw.chain(&self.stage.memory);
        self.murky = true;
        let lane = usize::from(raw.how >> 4) % 5;
        if self.add(lane, raw.how & Step::INDIRECT != 0, Sent { chain, frame: Vec::new() }, true) {
            self.kick(lane);
        }
    }

    /// A frame in each direction, which have to get through.
    fn plain_frames(&mut self) {
        let (sent, received) = (self.outcome.sent, self.outcome.received);
        let frame = Frame { kind: 3, len: 100, ..Frame::default() };
        self.send(Step::SHOW, &frame, [0, 0]);
        self.post(Step::SHOW, 2000, 0);
        self.arrive(0, NetHeader::default(), frame.bytes(100));
        let until = Instant::now() + Duration::from_secs(4);
        while self.outcome.sent == sent || self.outcome.received == received {
            assert!(Instant::now() < until, "frames do not get through: {:?}", self.handle.counts());
            self.work(|_| {});
        }
        assert!(!self.stage.is_broken() && !self.stage.negotiated.contains(Features::bit(17)));
    }
}
