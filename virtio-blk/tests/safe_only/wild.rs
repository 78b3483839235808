//! A backend that does with its operations what it likes.

#![allow(clippy::vec_box)] // an operation stays in its box from submission to completion

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use virtio_blk::{Block, BlockBackend, BlockQueue, Completion, Operation};
use virtio_core::memory::MemoryBarrier;
use virtio_core::testing::{Buffer, RingDriver, TestMemory};
use vm_memory::{GuestAddress, GuestMemoryMmap, GuestRegionMmap};

use crate::ports::{Mmio, Pci, Port};
use crate::rig::{IN, OUT, Rig, USUAL, header};

/// Where the data of requests is: in a region that goes.
const DATA: u64 = 0x100_0000;
const DATA_LEN: u64 = 0x10_0000;
const LEN: u32 = 4096;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    TellsLengthsTooLarge,
    TellsLengthsTooSmall,
    GivesBackMoreThanAsked,
    GivesBackInAnotherQueue,
    NeverGivesBack,
    GivesBackLate,
    PanicsInOpen,
    PanicsInSubmit,
    PanicsInCompletions,
    PanicsInCancel,
    PanicsInDrop,
}

const ALL: [Wrong; 11] = [
    Wrong::TellsLengthsTooLarge,
    Wrong::TellsLengthsTooSmall,
    Wrong::GivesBackMoreThanAsked,
    Wrong::GivesBackInAnotherQueue,
    Wrong::NeverGivesBack,
    Wrong::GivesBackLate,
    Wrong::PanicsInOpen,
    Wrong::PanicsInSubmit,
    Wrong::PanicsInCompletions,
    Wrong::PanicsInCancel,
    Wrong::PanicsInDrop,
];

/// All queues of all devices on it have the same operations. Clones are the same backend.
#[derive(Clone)]
struct Wild {
    wrong: Wrong,
    operations: Arc<Mutex<Vec<Box<Operation>>>>,
}

impl Wild {
    fn take(&self, most: usize) -> Vec<Box<Operation>> {
        let mut operations = self.operations.lock().unwrap_or_else(PoisonError::into_inner);
        // The youngest first, which may be another queue's.
        let rest = operations.len().saturating_sub(most);
        operations.split_off(rest)
    }

    /// Uses everything that an operation gives access to.
    fn use_up(&self, operations: &[Box<Operation>]) {
        for operation in operations {
            let mut bytes = vec![9; operation.len() as usize + 1];
            let _ = operation.writer().write(&bytes);
            let _ = operation.writer().write(&bytes[1..]);
            let _ = operation.reader().read(&mut bytes);
            let _ = operation.reader().read(&mut bytes[1..]);
            let _ = (operation.io_slices().len(), format!("{operation:?}"));
        }
    }

    fn panic_in(&self, wrong: Wrong) {
        if self.wrong == wrong && !thread::panicking() {
            panic!("on purpose");
        }
    }
}

impl BlockBackend for Wild {
    fn size(&self) -> io::Result<u64> {
        Ok(1 << 20)
    }

    fn open_queue(&self, _depth: u16) -> io::Result<Box<dyn BlockQueue>> {
        self.panic_in(Wrong::PanicsInOpen);
        Ok(Box::new(WildQueue(self.clone())))
    }
}

struct WildQueue(Wild);

impl BlockQueue for WildQueue {
    fn submit(&mut self, operation: Box<Operation>) {
        self.0.panic_in(Wrong::PanicsInSubmit);
        self.0.operations.lock().unwrap_or_else(PoisonError::into_inner).push(operation);
    }

    fn completions(&mut self, most: usize, done: &mut dyn FnMut(Completion)) {
        self.0.panic_in(Wrong::PanicsInCompletions);
        let (most, told) = match self.0.wrong {
            Wrong::TellsLengthsTooLarge => (most, u64::MAX),
            Wrong::TellsLengthsTooSmall => (most, 1),
            Wrong::GivesBackMoreThanAsked | Wrong::GivesBackInAnotherQueue => (usize::MAX, u64::from(LEN)),
            _ => (0, 0),
        };
        for operation in self.0.take(most) {
            self.0.use_up(std::slice::from_ref(&operation));
            done(Completion { operation, result: Ok(told) });
        }
    }

    fn cancel(&mut self) {
        self.0.panic_in(Wrong::PanicsInCancel);
    }
}

impl Drop for WildQueue {
    fn drop(&mut self) {
        self.0.panic_in(Wrong::PanicsInDrop);
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

fn add<P: Port>(rig: &Rig<P>, driver: &mut P::Driver, kind: u32) {
    let head = Buffer::readable(rig.memory.place(&header(kind, 0)), 16);
    let status = Buffer::writable(rig.memory.alloc(1, 1), 1);
    let data = Buffer { address: DATA, len: LEN, writable: kind == IN };
    driver.add(&[head, data, status]);
}

fn run<P: Port>(wrong: Wrong) {
    let fixed = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 1 << 20)]).unwrap();
    let memory = TestMemory::over(&fixed);
    plug(&memory, &fixed);
    let wild = Wild { wrong, operations: Arc::default() };
    let rig = || Rig::<P>::with(Block::builder(wild.clone()).build().unwrap(), memory.clone(), |builder| builder);
    let rigs = [rig(), rig()];
    let quietly = |call: &mut dyn FnMut()| catch_unwind(AssertUnwindSafe(call)).is_ok();
    let mut barriers = Vec::new();
    let mut submitted = 0;
    for _ in 0..3 {
        for rig in &rigs {
            quietly(&mut || {
                let mut driver = rig.live(USUAL);
                for kind in [IN, OUT, IN] {
                    add(rig, &mut driver, kind);
                }
                rig.kick(&mut driver);
            });
        }
        submitted = submitted.max(wild.operations.lock().unwrap_or_else(PoisonError::into_inner).len());
        barriers.push(unplug(&memory));
        for rig in &rigs {
            quietly(&mut || {
                rig.runtime.poll();
            });
        }
        wild.use_up(&wild.operations.lock().unwrap_or_else(PoisonError::into_inner));
        plug(&memory, &fixed);
        for rig in &rigs {
            quietly(&mut || rig.port.set_status(0));
            quietly(&mut || {
                rig.runtime.poll();
            });
        }
    }
    for rig in rigs {
        let mut rig = Some(rig);
        quietly(&mut || drop(rig.take()));
    }
    barriers.push(unplug(&memory));
    let held = matches!(wrong, Wrong::NeverGivesBack | Wrong::GivesBackLate);
    assert_eq!(submitted != 0, held || wrong == Wrong::PanicsInCancel || wrong == Wrong::PanicsInDrop, "{wrong:?}");
    // Whoever still has operations uses them elsewhere, when all else is gone.
    drop((memory, fixed));
    if wrong == Wrong::NeverGivesBack {
        return std::mem::forget(wild);
    }
    let worker = thread::spawn(move || {
        let operations = wild.take(usize::MAX);
        wild.use_up(&operations);
    });
    worker.join().unwrap();
    for barrier in barriers {
        assert!(barrier.wait(Duration::from_secs(60)), "{wrong:?}: nothing is left that holds memory");
    }
}

#[test]
fn wild_backends_behind_mmio() {
    ALL.into_iter().for_each(run::<Mmio>);
}

#[test]
fn wild_backends_behind_pci() {
    ALL.into_iter().for_each(run::<Pci>);
}
