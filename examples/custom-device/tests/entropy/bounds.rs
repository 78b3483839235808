//! How much a driver can make the device do.

use std::io;
use std::sync::{Arc, Mutex};

use custom_device::Entropy;
use virtio_core::task::Ready;
use virtio_core::testing::{Buffer, RingDriver, TestMemory};
use virtio_core::{Next, Runtime, TaskRunner};

use crate::front::Front;
use crate::rig::{Rig, connect, start};
use crate::source::Script;

everywhere! {
    one_chain_moves_at_most_64_kib,
    one_run_moves_at_most_256_kib,
    small_reads_are_enough,
    urandom_gives_bytes,
}

const CHAIN: u32 = 64 << 10;
const RUN: usize = 256 << 10;

// spec: DRV-RING-05
fn one_chain_moves_at_most_64_kib<F: Front, D: RingDriver>() {
    let source = Script::endless();
    let mut rig = Rig::<F, D>::new(&source);
    let room = rig.room(16 << 20);
    assert_eq!(rig.answer(&[room]), Some(CHAIN));
    // The same memory again and again, nearly 1 GiB in all.
    assert_eq!(rig.answer(&[room; 60]), Some(CHAIN));
    let bytes = rig.memory.bytes(room.address + u64::from(CHAIN), 1 << 10);
    assert_eq!(bytes, [0; 1 << 10], "nothing behind it was written");
    assert_eq!(source.given(), 2 * CHAIN as usize);
}

/// Keeps a task for a test to run it step by step.
#[derive(Clone, Default)]
struct Steps(Arc<Mutex<Option<TaskRunner>>>);

impl Runtime for Steps {
    fn spawn(&self, runner: TaskRunner) -> io::Result<()> {
        *self.0.lock().unwrap() = Some(runner);
        Ok(())
    }

    fn assist(&self) {}
}

fn one_run_moves_at_most_256_kib<F: Front, D: RingDriver>() {
    let (source, memory, steps) = (Script::endless(), TestMemory::new(1 << 20), Steps::default());
    let front = connect::<F, D>(&source, &memory, steps.clone());
    let mut driver: D = start(&front, &memory);
    let room = Buffer::writable(memory.alloc(CHAIN.into(), 1), CHAIN);
    for _ in 0..32 {
        driver.add(&[room]).expect("room in the ring");
    }
    driver.show();
    let step = || steps.0.lock().unwrap().as_mut().expect("a task").step(Ready::ALL);
    for run in 1..=8 {
        assert_eq!(step(), Next::Again);
        assert_eq!((source.given(), driver.waiting()), (run * RUN, 4 * run));
    }
    assert_eq!(step(), Next::Wait);
    drop(steps.0.lock().unwrap().take());
}

fn small_reads_are_enough<F: Front, D: RingDriver>() {
    let source = Script::endless();
    source.state().most = 1;
    let mut rig = Rig::<F, D>::new(&source);
    let room = rig.room(100);
    assert_eq!(rig.answer(&[room]), Some(1));
}

fn urandom_gives_bytes<F: Front, D: RingDriver>() {
    let (memory, runtime) = (TestMemory::new(1 << 20), virtio_core::InlineRuntime::new());
    let device = Entropy::open().expect("/dev/urandom");
    let host = virtio_core::DeviceHost::builder(device, memory.ram().clone(), Arc::new(runtime.clone()));
    let front = F::connect(host.with(D::LAYOUT));
    let mut rig = Rig::<F, D> { driver: start(&front, &memory), front, memory, runtime };
    let rooms = [rig.room(32), rig.room(32)];
    assert_eq!((rig.answer(&rooms[..1]), rig.answer(&rooms[1..])), (Some(32), Some(32)));
    // The chance that this fails by chance is 2^-256.
    assert_ne!(rig.bytes(&rooms[0]), rig.bytes(&rooms[1]));
}
