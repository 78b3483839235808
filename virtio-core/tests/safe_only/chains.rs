//! Chains, their buffers and tickets: kept too long, given back twice or elsewhere, forgotten.

use std::mem::forget;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use virtio_core::ring::{FaultSink, InFlight, Recorder};
use virtio_core::testing::{Buffer, RingDriver};
use virtio_core::{ChainFault, Features, GuestBuffers, MemoryError, QueuePosition, RingFault, Virtqueue};

use crate::rig::{Memory, PLUGGED, PLUGGED_LEN};

both_layouts! {
    buffers_outlive_all_that_they_came_from,
    nobody_gets_past_the_end_of_a_buffer,
    what_is_forgotten_is_lost_and_no_more,
    tickets_are_of_one_queue,
    lengths_are_only_told_to_the_driver,
    a_chain_left_halfway_by_a_panic,
    a_ring_whose_memory_goes_between_two_calls,
}

/// As many bytes as one copy takes in the long way.
const LONG: u32 = 0x400;

fn buffers_outlive_all_that_they_came_from<D: RingDriver>() {
    let memory = Memory::new();
    memory.plug();
    let (mut driver, mut queue) = memory.ring::<D>(Features::NONE);
    let chain =
        [Buffer::readable(PLUGGED, LONG), Buffer::readable(PLUGGED + 0x1000, 7), Buffer::writable(PLUGGED, LONG)];
    driver.add(&chain);
    let _ = driver.publish();
    let (mut input, mut output, mut copy) = (GuestBuffers::new(), GuestBuffers::new(), GuestBuffers::new());
    let chain = queue.pop().unwrap();
    input.hold_readable(&chain.reader()).unwrap();
    output.hold_writable(&chain.writer()).unwrap();
    chain.complete(0);
    queue.publish();
    drop(queue);
    let barrier = memory.unplug();
    drop((driver, memory));
    assert!(!barrier.is_complete());

    output.unmarked_writer().write(&[3; LONG as usize]).unwrap();
    // What is held can be handed on.
    copy.hold_readable(&input.reader()).unwrap();
    drop(input);
    let mut bytes = [0; LONG as usize + 7];
    copy.reader().read(&mut bytes).unwrap();
    assert_eq!(bytes[..LONG as usize], [3; LONG as usize]);
    assert_eq!((output.is_writable(), copy.is_writable()), (true, false));
    output.clear();
    assert!(output.io_slices().is_empty() && output.unmarked_writer().remaining() == 0);
    assert!(!barrier.is_complete(), "the copy holds it");
    drop(copy);
    assert!(barrier.is_complete());
}

fn nobody_gets_past_the_end_of_a_buffer<D: RingDriver>() {
    let memory = Memory::new();
    memory.plug();
    let (mut driver, mut queue) = memory.ring::<D>(Features::NONE);
    let end = PLUGGED + PLUGGED_LEN;
    driver.add(&[Buffer::readable(end - 3, 3), Buffer::writable(end - 300, 300)]);
    driver.add(&[Buffer::readable(end - 3, 4), Buffer::writable(end - 1, u32::MAX)]);
    driver.add(&[Buffer::writable(u64::MAX - 1, 1)]);
    let _ = driver.publish();

    let chain = queue.pop().unwrap();
    let (mut reader, mut writer) = (chain.reader(), chain.writer());
    assert_eq!(reader.read(&mut [0; 4]), Err(MemoryError::Short { wanted: 4, left: 3 }));
    assert_eq!(writer.write(&[0; 301]), Err(MemoryError::Short { wanted: 301, left: 300 }));
    assert!(writer.skip(usize::MAX).is_err() && reader.clone().split_at(4).is_err());
    let (mut front, mut back) = writer.split_at(299).unwrap();
    front.write(&[1; 299]).unwrap();
    back.write(&[2]).unwrap();
    for writer in [&mut front, &mut back] {
        writer.write(&[]).unwrap();
        assert!(writer.write(&[1]).is_err() && writer.skip(1).is_err());
    }
    reader.skip(3).unwrap();
    let mut held = GuestBuffers::new();
    held.hold_readable(&reader).unwrap();
    assert!(held.is_empty() && held.reader().read_array::<1>().is_err());
    held.mark_written(&memory.ram().view(None), usize::MAX);
    chain.complete(0);

    // Partly outside: what is inside can be used, and no more.
    let chain = queue.pop().unwrap();
    assert_eq!(chain.fault(), Some(ChainFault::Unmapped { address: end - 3, len: 4 }));
    let (mut reader, mut writer) = (chain.reader(), chain.writer());
    assert!(reader.read(&mut [0; 4]).is_err() && writer.write(&[0; 2]).is_err());
    assert!(held.hold_readable(&reader).is_err() && held.hold_writable(&writer).is_err());
    assert!(held.is_empty() && held.io_slices().is_empty());
    reader.read(&mut [0; 3]).unwrap();
    writer.write(&[9]).unwrap();
    assert!(reader.read(&mut [0; 1]).is_err() && writer.write(&[0]).is_err());
    let _ = writer.skip(0x7fff_ffff);
    assert!(writer.write(&[0]).is_err());
    chain.complete(1);
    let chain = queue.pop().unwrap();
    assert!(chain.writer().write(&[0]).is_err());
    drop(chain);
    queue.publish();
    assert_eq!(driver.waiting(), 3);
}

fn what_is_forgotten_is_lost_and_no_more<D: RingDriver>() {
    let memory = Memory::new();
    memory.plug();
    let (mut driver, mut queue) = memory.ring::<D>(Features::NONE);
    for _ in 0..4 {
        driver.add(&[Buffer::readable(PLUGGED, LONG), Buffer::writable(PLUGGED, LONG)]);
    }
    let _ = driver.publish();
    forget(queue.pop().unwrap());
    drop(queue.pop().unwrap().into_ticket());
    let chain = queue.pop().unwrap();
    let mut held = GuestBuffers::new();
    held.hold_writable(&chain.writer()).unwrap();
    forget((chain.reader(), chain.writer(), held));
    chain.complete(0);
    let barrier = memory.unplug();
    // The chain points at what has gone.
    let chain = queue.pop().unwrap();
    let _ = chain.writer().write(&[1; LONG as usize]);
    chain.complete(0);
    queue.publish();
    assert_eq!((queue.in_flight(), driver.waiting()), (1, 2));
    queue.refresh_memory();
    assert!(!barrier.is_complete(), "held for ever");
    forget(barrier);
    forget(queue);

    let mut again = Virtqueue::new(driver.setup()).unwrap();
    while let Some(chain) = again.pop() {
        let _ = chain.writer().write(&[1; LONG as usize]);
        chain.complete(0);
    }
    again.publish();
}

fn tickets_are_of_one_queue<D: RingDriver>() {
    for features in [Features::NONE, Features::IN_ORDER] {
        let memory = Memory::new();
        let ((mut driver, mut queue), (_other_driver, mut other)) =
            (memory.ring::<D>(features), memory.ring::<D>(features));
        for _ in 0..3 {
            driver.add(&[Buffer::writable(0x8000, 16)]);
        }
        let _ = driver.publish();
        let tickets = [queue.pop().unwrap().into_ticket(), queue.pop().unwrap().into_ticket()];
        let tickets = tickets.map(|ticket| other.complete(ticket, 16).unwrap_err().0);
        other.publish();
        let mut rebuilt = Virtqueue::new(driver.setup()).unwrap();
        let [first, second] = tickets.map(|ticket| rebuilt.complete(ticket, 16).unwrap_err().0);
        rebuilt.publish();
        queue.complete(second, 16).unwrap();
        queue.break_ring(RingFault::NoAnswer { head: 0 });
        queue.complete(first, 16).unwrap();
        queue.publish();
        assert_eq!((queue.in_flight(), queue.pop().is_none()), (0, true));
    }
}

fn lengths_are_only_told_to_the_driver<D: RingDriver>() {
    for features in [Features::NONE, Features::IN_ORDER] {
        let memory = Memory::new();
        let (mut driver, mut queue) = memory.ring::<D>(features);
        for _ in 0..5 {
            driver.add(&[Buffer::writable(0x8000, 16)]);
        }
        let _ = driver.publish();
        let ticket = queue.pop().unwrap().into_ticket();
        queue.pop().unwrap().complete(u32::MAX);
        queue.pop().unwrap().put_back();
        queue.pop().unwrap().complete_bad_request(u32::MAX);
        queue.complete(ticket, u32::MAX).unwrap();
        queue.publish();
        queue.pop().unwrap().break_ring();
        assert!(queue.pop().is_none());
        queue.start();
        queue.grant(u32::MAX);
        assert!(queue.pop().is_none() && !queue.arm());
        queue.publish();
    }
}

/// Panics at its `turn`th call, whichever that is.
struct Fuse {
    calls: AtomicU32,
    turn: u32,
}

impl Fuse {
    fn call(&self) {
        if self.calls.fetch_add(1, SeqCst) == self.turn && !std::thread::panicking() {
            panic!("on purpose");
        }
    }
}

struct Shared(Arc<Fuse>);

impl Recorder for Shared {
    fn popped(&self, _chain: InFlight) {
        self.0.call();
    }
    fn put_back(&self, _id: u16) {
        self.0.call();
    }
    fn staged(&self, _id: u16, _len: u32) {
        self.0.call();
    }
    fn publishing(&self, _position: QueuePosition) {
        self.0.call();
    }
    fn published(&self, _position: QueuePosition) {
        self.0.call();
    }
}

impl FaultSink for Shared {
    fn ring_fault(&self, _index: u16, _fault: RingFault) {
        self.0.call();
    }
}

/// Everything of the embedder's that a queue calls panics in its turn; the queue is used on.
fn a_chain_left_halfway_by_a_panic<D: RingDriver>() {
    for turn in 0..24 {
        for features in [Features::NONE, Features::IN_ORDER] {
            let memory = Memory::new();
            memory.plug();
            let mut driver = D::new(&memory.test, 16, features);
            let fuse = Arc::new(Fuse { calls: AtomicU32::new(0), turn });
            let mut setup = driver.setup();
            let interrupt = fuse.clone();
            setup.interrupt = Arc::new(move || interrupt.call());
            setup.faults = Arc::new(Shared(fuse.clone()));
            setup.recorder = Some(Arc::new(Shared(fuse.clone())));
            let mut queue = Virtqueue::new(setup).unwrap();
            let mut held = GuestBuffers::new();
            for round in 0..5 {
                for _ in 0..2 {
                    driver.add(&[Buffer::readable(PLUGGED, LONG), Buffer::writable(PLUGGED + 0x1000, LONG)]);
                }
                let _ = driver.publish();
                let _ = catch_unwind(AssertUnwindSafe(|| serve(&mut queue, &mut held, round)));
                match round {
                    1 => memory.unplug().on_complete(|| {}),
                    2 => memory.plug(),
                    3 => driver.break_ring(),
                    _ => {}
                }
                let _ = held.unmarked_writer().write(&[1; LONG as usize]);
            }
        }
    }
}

fn serve(queue: &mut Virtqueue, held: &mut GuestBuffers, round: u32) {
    let mut tickets = Vec::new();
    while let Some(chain) = queue.pop() {
        let _ = held.hold_writable(&chain.writer());
        match round % 2 {
            0 => chain.complete(LONG),
            _ => tickets.push(chain.into_ticket()),
        }
    }
    for ticket in tickets {
        queue.complete(ticket, LONG).unwrap();
    }
    queue.publish();
    let _ = queue.arm();
}

fn a_ring_whose_memory_goes_between_two_calls<D: RingDriver>() {
    let memory = Memory::new();
    let (mut driver, mut queue) = memory.ring::<D>(Features::EVENT_IDX);
    for _ in 0..3 {
        driver.add(&[Buffer::writable(0x8000, 16)]);
    }
    let _ = driver.publish();
    let ticket = queue.pop().unwrap().into_ticket();
    queue.pop().unwrap().complete(16);
    let (start, len) = memory.ram().regions()[0];
    let barrier = memory.ram().unmap(start, len).unwrap();
    // The queue still has the old memory, until it looks.
    queue.pop().unwrap().complete(16);
    queue.publish();
    queue.disarm();
    assert!(!barrier.is_complete() && queue.fault().is_none());
    assert!(!queue.arm());
    assert!(matches!(queue.fault(), Some(RingFault::Area { .. })));
    assert!(barrier.is_complete(), "nothing of the old memory is left");
    queue.complete(ticket, 16).unwrap();
    queue.publish();
    queue.disarm();
    queue.start();
    let _ = queue.position();
    assert!(queue.pop().is_none() && !queue.arm() && !queue.refresh_memory());
}
