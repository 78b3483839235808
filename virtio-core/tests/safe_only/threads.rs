//! Memory that comes and goes while others use it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use virtio_core::testing::{Buffer, RingDriver};
use virtio_core::{Features, GuestBuffers, Virtqueue};

use crate::rig::{Memory, PLUGGED, PLUGGED_LEN};

both_layouts! {
    memory_comes_and_goes_under_a_running_queue,
}

/// How often.
const CHANGES: u32 = 200;

fn memory_comes_and_goes_under_a_running_queue<D: RingDriver>() {
    let memory = Memory::new();
    let (mut driver, mut queue) = memory.ring::<D>(Features::NONE);
    let (over, held) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            drive(&mut driver, &over);
        });
        scope.spawn(|| {
            while !over.load(SeqCst) {
                serve(&mut queue, &held);
            }
        });
        scope.spawn(|| {
            let mut bytes = [0; 512];
            let mut view = memory.ram().view(None);
            while !over.load(SeqCst) {
                let _ = memory.ram().read(PLUGGED, &mut bytes);
                let _ = view.write(PLUGGED + PLUGGED_LEN / 2, &bytes);
                view.refresh();
                thread::yield_now();
            }
        });
        for _ in 0..CHANGES {
            memory.plug();
            let before = held.load(SeqCst);
            while held.load(SeqCst) == before {
                thread::yield_now();
            }
            assert!(memory.unplug().wait(Duration::from_secs(60)), "everybody has let go");
        }
        over.store(true, SeqCst);
    });
    assert_eq!(queue.fault(), None);
}

/// Buffers in the memory that comes and goes, short and long, and around its edges.
fn drive<D: RingDriver>(driver: &mut D, over: &AtomicBool) {
    let mut turn = 0u64;
    while !over.load(SeqCst) {
        while driver.used().is_some() {}
        turn += 1;
        let address = [PLUGGED, PLUGGED + PLUGGED_LEN - 64, PLUGGED - 8, 0x8000][turn as usize % 4];
        let readable = Buffer::readable(address + turn % 8, 1 + (turn % 900) as u32);
        driver.add(&[readable, Buffer::writable(PLUGGED + turn % 0x1000, 600)]);
        let _ = driver.publish();
        thread::yield_now();
    }
}

/// Every chain is used after its memory may have gone: at once, and once more when the queue has moved on.
fn serve(queue: &mut Virtqueue, count: &AtomicU64) {
    let mut kept = Vec::new();
    while let Some(chain) = queue.pop() {
        let mut bytes = vec![0; chain.reader().remaining()];
        let _ = chain.reader().read(&mut bytes);
        let mut held = GuestBuffers::new();
        if held.hold_writable(&chain.writer()).is_ok() {
            count.fetch_add(1, SeqCst);
        }
        kept.push((chain.into_ticket(), held));
    }
    let _ = queue.arm();
    for (ticket, held) in kept {
        let len = held.len();
        held.writer(queue.view()).write(&vec![5; len]).unwrap();
        queue.complete(ticket, len as u32).unwrap();
    }
    queue.publish();
}
