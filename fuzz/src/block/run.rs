//! Programs, step by step.

use virtio_core::Buffer;
use virtio_core::testing::{PackedDriver, RingDriver, SplitDriver};

use super::Outcome;
use super::device::Device;
use super::disk::{Disk, SIZE};
use super::input::{Ask, Header, MOST_STEPS, Step};
use super::request::{self, Made, Sent};
use crate::input::Input;

/// Runs an input.
pub(crate) fn run(data: &[u8]) -> Outcome {
    let mut input = Input::new(data);
    let header = Header::read(&mut input);
    run_on(Disk::new(header.disk), header, &mut input)
}

/// Runs the rest of an input on a disk.
pub(crate) fn run_on(disk: Disk, header: Header, input: &mut Input<'_>) -> Outcome {
    match header.is_packed() {
        true => program(Device::<PackedDriver>::new(header, disk), input),
        false => program(Device::<SplitDriver>::new(header, disk), input),
    }
}

fn program<R: RingDriver>(mut device: Device<R>, input: &mut Input<'_>) -> Outcome {
    for _ in 0..MOST_STEPS {
        let Some(step) = Step::read(input).filter(|_| device.has_room()) else { break };
        device.step(step);
        device.outcome.stopped |= device.handle.stopped().is_some();
        device.outcome.broken |= device.is_broken();
    }
    device.rest();
    if device.wild || device.is_broken() {
        device.reset(u32::MAX);
    }
    device.plain_read();
    device.outcome
}

impl<R: RingDriver> Device<R> {
    fn step(&mut self, step: Step) {
        match step {
            Step::Ask(ask) => self.ask(&ask),
            Step::Raw { how, buffers } => self.raw(how, &buffers),
            Step::Kick { lane } => self.kick(lane),
            Step::Finish { which, how } => self.work(|device| {
                if let Some(slow) = &device.disk.slow {
                    slow.finish(which, how);
                }
            }),
            Step::Reset { features } => self.reset(features),
            Step::QueueReset { lane } => self.reset_queue(lane),
            Step::WriteConfig { offset, value, len } => self.work(|device| {
                let mut bytes = vec![value; usize::from(len % 9)];
                device.host.write_config(offset.into(), &bytes);
                device.host.read_config(offset.into(), &mut bytes);
            }),
            Step::Resize { sectors, what } => self.resize(sectors, what),
            Step::Pause => _ = self.pause(),
            Step::Unpause => self.unpause(),
            Step::Resume => self.work(|device| _ = device.handle.resume()),
            Step::Break { lane } => self.break_ring(lane),
            Step::Poke { address, bytes } => {
                let address = u64::from(address) % self.top();
                self.memory.write(address, &bytes);
                (self.wild, self.hostile) = (true, true);
                self.model.forget();
                self.work(|_| {});
            }
            Step::Replace => self.work(|device| {
                device.memory.ram().replace_with(device.memory.ram()).on_complete(|| {});
            }),
            Step::FailZone { zone, offline } => self.work(|device| {
                if let Some(zones) = &device.disk.zoned {
                    let zone = u32::from(zone) % 9;
                    // Refused where there is no such zone, or it cannot fail.
                    _ = if offline { zones.backend.set_offline(zone) } else { zones.backend.set_read_only(zone) };
                }
            }),
            Step::Move => self.migrate(),
        }
    }

    fn ask(&mut self, ask: &Ask) {
        let made = request::make(&self.memory, ask, &self.terms(), &mut self.model);
        let lane = u8::from(ask.has(Ask::SECOND_QUEUE));
        let in_order = self.terms().negotiated.contains(virtio_core::Features::IN_ORDER);
        let hostile = made.hostile || (in_order && made.chain.is_empty());
        if self.add(lane, ask.has(Ask::INDIRECT), Made { hostile, ..made }) && ask.has(Ask::SHOW) {
            self.kick(lane);
        }
    }

    /// A chain of buffers that may be anywhere, but not in the way of what is used.
    fn raw(&mut self, how: u8, buffers: &[(u8, u16)]) {
        let scratch = self.memory.alloc(1024, 16);
        let end = self.memory.ram().regions().last().map_or(0, |(start, len)| start + len);
        let place = |(place, len): &(u8, u16)| {
            let (address, len) = match place >> 1 & 7 {
                0 => (end - u64::from(len % 64), u32::from(*len)),
                1 => (u64::MAX - u64::from(*len), u32::from(*len) + u32::from(place >> 4)),
                2 => (1 << 40, u32::MAX - u32::from(*len)),
                3 => (scratch, 0),
                _ => (scratch + u64::from(place >> 4) * 32, u32::from(len % 512)),
            };
            Buffer { address, len, writable: place & 1 != 0 }
        };
        let chain: Vec<_> = buffers.iter().map(place).collect();
        let writable = chain.iter().filter(|piece| piece.writable).map(|piece| (piece.address, piece.len)).collect();
        // It may be a request for anything that is not known here.
        self.model.forget();
        if self.add(how, how & Ask::INDIRECT != 0, Made { chain, sent: Sent { writable, asked: None }, hostile: true })
        {
            self.kick(how);
        }
    }

    fn resize(&mut self, sectors: u8, what: u8) {
        let len = 512 * u64::from(sectors % 80);
        self.model.forget();
        self.work(|device| match (what % 4, &device.disk.memory) {
            (0, _) => _ = device.handle.resize(len),
            (1, _) => _ = device.handle.resize(len + 1),
            (2, _) => _ = device.handle.refresh(),
            (_, Some(memory)) => {
                memory.set_len((len as usize).min(SIZE));
                device.model.loses = true;
            }
            _ => {}
        });
    }
}
