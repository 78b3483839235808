//! Programs, step by step.

use virtio_core::testing::{PackedDriver, RingDriver, SplitDriver};

use super::Outcome;
use super::device::Device;
use super::disk::{Disk, SIZE};
use super::input::{Ask, Header, MOST_STEPS, Step};
use super::request::{self, Made, Sent};
use crate::device::{Raw, Subject};
use crate::input::Input;

/// Runs an input.
pub(crate) fn run(data: &[u8]) -> Outcome {
    let mut input = Input::new(data);
    let header = Header::read(&mut input);
    run_on(Disk::new(header.disk), header, &mut input)
}

/// Runs the rest of an input on a disk.
pub(crate) fn run_on(disk: Disk, header: Header, input: &mut Input<'_>) -> Outcome {
    match header.rings.is_packed() {
        true => program(Device::<PackedDriver>::new(header, disk), input),
        false => program(Device::<SplitDriver>::new(header, disk), input),
    }
}

fn program<R: RingDriver>(mut device: Device<R>, input: &mut Input<'_>) -> Outcome {
    for _ in 0..MOST_STEPS {
        let Some(step) = Step::read(input).filter(|_| device.stage.has_room()) else { break };
        device.step(step);
        device.note_stop();
        device.stage.lifecycle.broken |= device.stage.is_broken();
    }
    device.rest();
    if device.stage.wild || device.stage.is_broken() {
        device.reset(u32::MAX);
    }
    device.plain_read();
    device.outcome()
}

impl<R: RingDriver> Device<R> {
    fn step(&mut self, step: Step) {
        match step {
            Step::Ask(ask) => self.ask(&ask),
            Step::Raw(raw) => self.raw(&raw),
            Step::Kick { lane } => self.kick_lane(lane),
            Step::Finish { which, how } => self.work(|device| {
                if let Some(slow) = &device.disk.slow {
                    slow.finish(which, how);
                }
            }),
            Step::Reset { features } => self.reset(features),
            Step::QueueReset { lane } => self.reset_queue(self.index(lane)),
            Step::WriteConfig { offset, value, len } => self.work(|device| {
                let mut bytes = vec![value; usize::from(len % 9)];
                device.stage.host.write_config(offset.into(), &bytes);
                device.stage.host.read_config(offset.into(), &mut bytes);
            }),
            Step::Resize { sectors, what } => self.resize(sectors, what),
            Step::Pause => _ = self.pause(),
            Step::Unpause => self.unpause(),
            Step::Resume => self.work(|device| _ = device.handle.resume()),
            Step::Break { lane } => self.break_ring(self.index(lane)),
            Step::Poke { address, bytes } => {
                self.model.forget();
                self.poke(address, bytes);
            }
            Step::Replace => self.replace_memory(),
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
        let made = request::make(&self.stage.memory, ask, &self.terms(), &mut self.model);
        let lane = u8::from(ask.has(Ask::SECOND_QUEUE));
        let in_order = self.terms().negotiated.contains(virtio_core::Features::IN_ORDER);
        let hostile = made.hostile || (in_order && made.chain.is_empty());
        if self.add(lane, ask.has(Ask::INDIRECT), Made { hostile, ..made }) && ask.has(Ask::SHOW) {
            self.kick_lane(lane);
        }
    }

    fn raw(&mut self, raw: &Raw) {
        let chain = raw.chain(&self.stage.memory);
        let writable = chain.iter().filter(|piece| piece.writable).map(|piece| (piece.address, piece.len)).collect();
        // It may be a request for anything that is not known here.
        self.model.forget();
        let made = Made { chain, sent: Sent { writable, asked: None }, hostile: true };
        if self.add(raw.how, raw.how & Ask::INDIRECT != 0, made) {
            self.kick_lane(raw.how);
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
