//! A network that does with frames what it likes.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use virtio_core::memory::MemoryBarrier;
use virtio_core::testing::{Buffer, RingDriver, TestMemory};
use virtio_core::{Event, Source, Sources};
use virtio_mmio::testing::{Mmio, Packed};
use virtio_net::backend::{Interest, Packet, RECEIVE, Received, Room, SEND, SendError};
use virtio_net::{Capabilities, Configuration, NetBackend, NetHeader, NetQueue, Offloads};
use virtio_pci::testing::Pci;
use vm_memory::{GuestAddress, GuestMemoryMmap, GuestRegionMmap};

use crate::frames::{BROADCAST, OWN, plain};
use crate::on::on;
use crate::rig::*;

/// Where frames are: in a region that goes.
const DATA: u64 = 0x100_0000;
const DATA_LEN: u64 = 0x10_0000;
const LEN: u32 = 4096;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    FillsMoreThanFits,
    FillsNothingAndSaysSo,
    AsksForRoomAgainAndAgain,
    LendsNothing,
    LendsTooMuch,
    LendsWithAnyHeader,
    IsAlwaysFull,
    IsAlwaysDue,
    IsThereAndIsNot,
    ChangesItsSources,
    FailsWhatItCan,
    PanicsInConfigure,
    PanicsInOpen,
    PanicsInSend,
    PanicsInReceive,
    PanicsInSources,
    PanicsInDrop,
}

const ALL: [Wrong; 17] = [
    Wrong::FillsMoreThanFits,
    Wrong::FillsNothingAndSaysSo,
    Wrong::AsksForRoomAgainAndAgain,
    Wrong::LendsNothing,
    Wrong::LendsTooMuch,
    Wrong::LendsWithAnyHeader,
    Wrong::IsAlwaysFull,
    Wrong::IsAlwaysDue,
    Wrong::IsThereAndIsNot,
    Wrong::ChangesItsSources,
    Wrong::FailsWhatItCan,
    Wrong::PanicsInConfigure,
    Wrong::PanicsInOpen,
    Wrong::PanicsInSend,
    Wrong::PanicsInReceive,
    Wrong::PanicsInSources,
    Wrong::PanicsInDrop,
];

#[derive(Clone)]
struct Wild {
    wrong: Wrong,
    calls: Arc<AtomicU64>,
}

impl Wild {
    /// Counts calls.
    fn count(&self) -> u64 {
        self.calls.fetch_add(1, Relaxed)
    }

    fn panic_in(&self, wrong: Wrong) {
        if self.wrong == wrong && !thread::panicking() {
            panic!("on purpose");
        }
    }
}

impl NetBackend for Wild {
    fn capabilities(&self) -> Capabilities {
        let mut can = Capabilities::default();
        (can.transmit, can.receive, can.pairs) = (Offloads::ALL, Offloads::ALL, 4);
        can
    }

    fn configure(&self, _: &Configuration) -> io::Result<()> {
        self.panic_in(Wrong::PanicsInConfigure);
        match self.wrong {
            Wrong::FailsWhatItCan if self.count() % 2 == 1 => Err(io::ErrorKind::Other.into()),
            _ => Ok(()),
        }
    }

    fn open_queue(&self, _pair: u16) -> io::Result<Box<dyn NetQueue>> {
        self.panic_in(Wrong::PanicsInOpen);
        Ok(Box::new(WildQueue { wild: self.clone(), lent: Vec::new(), event: Event::new()? }))
    }
}

struct WildQueue {
    wild: Wild,
    lent: Vec<u8>,
    event: Event,
}

impl NetQueue for WildQueue {
    fn send(&mut self, packet: &mut Packet<'_>) -> Result<(), SendError> {
        self.wild.panic_in(Wrong::PanicsInSend);
        let call = self.wild.count();
        // Everything that a frame gives access to, in any order.
        let mut bytes = vec![7; 3];
        let _ = (packet.copy_into(&mut bytes), packet.peek(&mut bytes), packet.peek(&mut []));
        let _ = packet.io_slices(&bytes).map(<[_]>::len);
        let _ = packet.io_slices(&[]).map(<[_]>::len);
        let _ = (packet.len(), packet.is_empty(), format!("{packet:?} {:?}", packet.header()));
        match self.wild.wrong {
            Wrong::IsAlwaysFull => Err(SendError::Full),
            Wrong::FailsWhatItCan if call.is_multiple_of(2) => Err(SendError::Full),
            Wrong::FailsWhatItCan => Err(SendError::Failed(io::ErrorKind::Other.into())),
            _ => Ok(()),
        }
    }

    fn receive<'a>(&'a mut self, room: &mut Room<'_>) -> io::Result<Received<'a>> {
        self.wild.panic_in(Wrong::PanicsInReceive);
        let call = self.wild.count();
        // It would have the device receive for ever otherwise.
        if call.is_multiple_of(16) {
            return Ok(Received::Nothing);
        }
        let header = NetHeader::default();
        self.lent = plain(OWN, 500);
        let _ = format!("{room:?}");
        match self.wild.wrong {
            Wrong::FillsMoreThanFits => {
                let fits: usize = room.io_slices(&mut []).iter().map(|slice| slice.len).sum();
                return Ok(Received::Filled { header, len: fits + (call % 3) as usize });
            }
            Wrong::FillsNothingAndSaysSo => {
                return Ok(Received::Filled { header, len: [0, 60, 3000, 65557, usize::MAX][(call % 5) as usize] });
            }
            Wrong::AsksForRoomAgainAndAgain => {
                let mut prefix = [0; 40];
                let lens = [(); 3].map(|()| room.io_slices(&mut prefix).len());
                let last = room.io_slices(&mut []).len();
                for prefix in [0, 12, 64, 77, usize::MAX] {
                    if let Some(place) = room.whole(prefix) {
                        place.fill(call as u8);
                    }
                }
                return match call % 3 {
                    0 => Ok(Received::Nothing),
                    1 => Ok(Received::Lent { header, frame: &self.lent }),
                    _ => Ok(Received::Filled { header, len: 60 + lens.iter().sum::<usize>() + last }),
                };
            }
            Wrong::FailsWhatItCan => return Err(io::ErrorKind::Other.into()),
            Wrong::LendsNothing => self.lent.clear(),
            Wrong::LendsTooMuch => self.lent = plain(OWN, 200_000),
            Wrong::LendsWithAnyHeader => {
                let [a, b, ..] = call.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
                let [c, d] = [u16::from(a) << 8, u16::from(b)];
                let any = NetHeader { flags: a, gso_type: b, hdr_len: c, gso_size: d, csum_start: d, ..header };
                return Ok(Received::Lent { header: any, frame: &self.lent });
            }
            _ => {}
        }
        Ok(Received::Lent { header, frame: &self.lent })
    }

    fn sources(&self, interest: Interest, sources: &mut Sources) {
        self.wild.panic_in(Wrong::PanicsInSources);
        let count = if self.wild.wrong == Wrong::ChangesItsSources { self.wild.count() % 80 } else { 1 };
        for number in 0..count {
            let token = if self.wild.wrong == Wrong::ChangesItsSources { number as u8 } else { RECEIVE };
            sources.add(Source::Event(self.event.clone()), token);
        }
        if interest.send {
            sources.add(Source::Event(self.event.clone()), SEND);
        }
        self.event.signal();
    }

    fn sources_version(&self) -> u64 {
        if self.wild.wrong == Wrong::ChangesItsSources { self.wild.count() } else { 0 }
    }

    fn deadline(&self) -> Option<Instant> {
        (self.wild.wrong == Wrong::IsAlwaysDue).then(Instant::now)
    }

    fn is_connected(&self) -> bool {
        self.wild.wrong != Wrong::IsThereAndIsNot || self.wild.count().is_multiple_of(2)
    }
}

impl Drop for WildQueue {
    fn drop(&mut self) {
        self.wild.panic_in(Wrong::PanicsInDrop);
    }
}

fn plug(memory: &TestMemory, fixed: &GuestMemoryMmap<()>) {
    let region = GuestRegionMmap::from_range(GuestAddress(DATA), DATA_LEN as usize, None).unwrap();
    let both = fixed.insert_region(Arc::new(region)).unwrap();
    memory.ram().replace_from_vm_memory(&both).unwrap().on_complete(|| {});
}

fn unplug(memory: &TestMemory) -> MemoryBarrier {
    memory.ram().unmap(DATA, DATA_LEN).unwrap()
}

/// Frames and buffers for them, in the region.
fn add<P: Port>(rig: &Rig<P>, queues: &mut Queues<P::Driver>) {
    let head = rig.memory.place(&[0; 24]);
    for at in 0..6 {
        let place = DATA + u64::from(at * LEN);
        queues.rx[0].add(&[Buffer::writable(place, LEN / (1 + at % 3))]);
        queues.tx[0].add(&[Buffer::readable(head, rig.header_len as u32), Buffer::readable(place, LEN / 4)]);
    }
    let frame = rig.with_header(&NetHeader::default(), &plain(BROADCAST, 100));
    let at = rig.memory.place(&frame);
    queues.tx[0].add(&[Buffer::readable(at, frame.len() as u32)]);
}

fn run<P: Port>(wrong: Wrong) {
    let fixed = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 1 << 20)]).unwrap();
    let memory = TestMemory::over(&fixed);
    plug(&memory, &fixed);
    let wild = Wild { wrong, calls: Arc::default() };
    let mut barriers = Vec::new();
    let quietly = |call: &mut dyn FnMut()| catch_unwind(AssertUnwindSafe(call)).is_ok();
    for features in [USUAL, USUAL | MRG_RXBUF | GUEST_CSUM | GUEST_TSO4] {
        let mut rig = Some(on::<P>(wild.clone(), |builder| builder.pairs(2), memory.clone()));
        for _ in 0..2 {
            quietly(&mut || {
                let rig = rig.as_mut().unwrap();
                let mut queues = rig.live(features);
                add(rig, &mut queues);
                rig.kick(0, &mut queues.rx[0]);
                rig.kick(1, &mut queues.tx[0]);
            });
            barriers.push(unplug(&memory));
            let rig = rig.as_ref().unwrap();
            for _ in 0..3 {
                quietly(&mut || {
                    rig.port.notify(0);
                    rig.port.notify(1);
                    rig.runtime.poll();
                });
            }
            plug(&memory, &fixed);
            quietly(&mut || rig.port.set_status(0));
            quietly(&mut || {
                rig.runtime.poll();
            });
        }
        quietly(&mut || drop(rig.take()));
    }
    barriers.push(unplug(&memory));
    drop((memory, fixed));
    for barrier in barriers {
        assert!(barrier.wait(Duration::from_secs(60)), "{wrong:?}: nothing is left that holds memory");
    }
    let called = wild.calls.load(Relaxed) > 0;
    let panics = format!("{wrong:?}").starts_with("Panics");
    assert!(called || panics, "{wrong:?}: the network was used");
}

#[test]
fn wild_networks_behind_mmio() {
    ALL.into_iter().for_each(run::<Mmio>);
}

#[test]
fn wild_networks_with_packed_rings() {
    ALL.into_iter().for_each(run::<Packed>);
}

#[test]
fn wild_networks_behind_pci() {
    ALL.into_iter().for_each(run::<Pci>);
}
