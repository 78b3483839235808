//! Operations that meet each other, in one queue or several, and storage that fails under them.

use std::time::{Duration, Instant};

use super::held::Held;
use super::rig::{APPEND, CAPACITY, KIB, SIZE, WRITE, ZEROES, ZONE, at, broken, io_error, runs, usual};
use crate::backend::bench::{Bench, finish, perform};
use crate::backend::zone::ZoneState::*;
use crate::backend::zone::ZonedModel;
use crate::backend::zoned::{ZonedBackend, ZonedBuilder};
use crate::backend::{BlockBackend, BlockQueue, Completion, Operation, OperationKind, OperationResult, ZoneError};

struct Meeting {
    bench: Bench,
    held: Held,
    disk: ZonedBackend,
    one: Box<dyn BlockQueue>,
    other: Box<dyn BlockQueue>,
}

impl Meeting {
    fn new(change: impl FnOnce(ZonedBuilder) -> ZonedBuilder) -> Meeting {
        let held = Held::new(vec![0xee; SIZE as usize]);
        let disk = change(usual(held.clone())).build().unwrap();
        let (one, other) = (disk.open_queue(64).unwrap(), disk.open_queue(64).unwrap());
        Meeting { bench: Bench::new(), held, disk, one, other }
    }

    fn usual() -> Meeting {
        Meeting::new(|builder| builder)
    }

    fn aware() -> Meeting {
        Meeting::new(|builder| builder.model(ZonedModel::HostAware).zone_capacity(ZONE).max_append_len(0))
    }

    fn write(&mut self, tag: u16, offset: u64, len: u64, byte: u8) -> Box<Operation> {
        self.bench.write(tag, offset, &vec![byte; len as usize])
    }

    fn append(&mut self, tag: u16, offset: u64, len: u64, byte: u8) -> Box<Operation> {
        let place = self.bench.memory.place(&vec![byte; len as usize]);
        self.bench.operation(tag, APPEND, offset, &[(place, len as u32)])
    }

    fn manage(&mut self, tag: u16, kind: OperationKind, offset: u64) -> Box<Operation> {
        self.bench.operation(tag, kind, offset, &[])
    }

    /// What is read by a queue that nobody else uses.
    fn runs(&mut self, offset: u64, len: u64) -> Vec<(u8, u64)> {
        let (read, place) = self.bench.read(60, offset, len as u32);
        assert_eq!(perform(&mut *self.disk.open_queue(64).unwrap(), read).unwrap(), len);
        runs(&self.bench.memory.bytes(place, len as usize))
    }

    fn zone(&self, zone: u32) -> (crate::backend::zone::ZoneState, u64) {
        let zone = self.disk.zone(zone).unwrap();
        (zone.state, zone.write_pointer - zone.start)
    }
}

/// What a queue has to say now, by tag.
fn done(queue: &mut dyn BlockQueue) -> Vec<(u16, OperationResult)> {
    let mut done = Vec::new();
    queue.completions(64, &mut |Completion { operation, result }| done.push((operation.tag(), result)));
    done
}

#[track_caller]
fn tags(done: &[(u16, OperationResult)]) -> Vec<u16> {
    done.iter().for_each(|(tag, result)| assert!(result.is_ok(), "{tag}: {result:?}"));
    done.iter().map(|(tag, _)| *tag).collect()
}

#[test]
fn writes_to_a_zone_are_under_way_together_and_end_in_any_order() {
    let mut meeting = Meeting::usual();
    for tag in 0..4 {
        meeting.held.hold(tag);
        let write = meeting.write(tag, at(1) + u64::from(tag) * 12 * KIB, 12 * KIB, tag as u8 + 1);
        match tag % 2 {
            0 => meeting.one.submit(write),
            _ => meeting.other.submit(write),
        }
    }
    assert_eq!(meeting.held.seen().len(), 4, "none waits for another");
    assert_eq!(meeting.zone(1), (ImplicitlyOpen, CAPACITY), "full when its end is there, and not before");
    for tag in [3, 1, 2, 0] {
        meeting.held.let_go(tag);
        let (one, other) = (done(&mut *meeting.one), done(&mut *meeting.other));
        assert_eq!([tags(&one), tags(&other)].concat(), [tag]);
        assert_eq!(meeting.zone(1).0, Full);
    }
    let expected: Vec<_> = (1..=4).map(|byte| (byte, 12 * KIB)).collect();
    assert_eq!(meeting.runs(at(1), CAPACITY), expected);
}

#[test]
fn what_is_being_written_is_read_when_it_is_there() {
    let mut meeting = Meeting::usual();
    meeting.held.hold(1);
    let write = meeting.write(1, at(1), 4 * KIB, 7);
    meeting.one.submit(write);
    let (read, place) = meeting.bench.read(2, at(1), 8192);
    meeting.other.submit(read);
    let (behind, _) = meeting.bench.read(3, at(1) + 4 * KIB, 8192);
    meeting.other.submit(behind);
    assert_eq!(tags(&done(&mut *meeting.other)), [3], "what was never written needs no waiting");
    assert_eq!(meeting.held.seen(), [(WRITE, at(1), 4 * KIB)], "nothing old is asked for");
    meeting.held.let_go(1);
    assert_eq!(tags(&done(&mut *meeting.one)), [1]);
    assert_eq!(tags(&done(&mut *meeting.other)), [2]);
    assert_eq!(runs(&meeting.bench.memory.bytes(place, 8192)), [(7, 4 * KIB), (0, 4 * KIB)]);
    assert_eq!(meeting.held.seen(), [(OperationKind::Read, at(1), 4 * KIB)]);
}

#[test]
fn a_reset_waits_for_older_writes_and_newer_ones_wait_for_it() {
    for all in [false, true] {
        let mut meeting = Meeting::usual();
        meeting.held.hold(1);
        let write = meeting.write(1, at(1), 4 * KIB, 1);
        meeting.one.submit(write);
        let (kind, offset) = if all { (OperationKind::ZoneResetAll, 0) } else { (OperationKind::ZoneReset, at(1)) };
        let reset = meeting.manage(2, kind, offset);
        meeting.other.submit(reset);
        let newer = meeting.write(3, at(1), 8 * KIB, 2);
        meeting.other.submit(newer);
        let appended = meeting.append(4, at(1), KIB, 3);
        meeting.one.submit(appended);
        let elsewhere = meeting.append(5, at(2), KIB, 4);
        meeting.one.submit(elsewhere);
        assert!(done(&mut *meeting.other).is_empty());
        assert_eq!(tags(&done(&mut *meeting.one)), if all { vec![] } else { vec![5] });
        assert_eq!(meeting.zone(1), (ImplicitlyOpen, 4 * KIB));
        meeting.held.let_go(1);
        assert_eq!(tags(&done(&mut *meeting.one)), [1]);
        assert_eq!(tags(&done(&mut *meeting.other)), [2, 3]);
        assert_eq!(tags(&done(&mut *meeting.one)), if all { vec![4, 5] } else { vec![4] });
        assert_eq!(meeting.runs(at(1), 10 * KIB), [(2, 8 * KIB), (3, KIB), (0, KIB)]);
    }
}

#[test]
fn a_queue_that_waits_for_another_is_woken_by_it() {
    let held = Held::new(vec![0xee; SIZE as usize]);
    let disk = usual(held.clone()).build().unwrap();
    let mut bench = Bench::new();
    held.hold(1);
    let write = bench.write(1, at(1), &[1; 512]);
    let reset = bench.operation(2, OperationKind::ZoneReset, at(1), &[]);
    let mut waiting = super::super::queue::ZonedQueue::open(&disk.shared, 4).unwrap();
    let mut one = disk.open_queue(4).unwrap();
    one.submit(write);
    waiting.submit(reset);
    assert!(done(&mut *one).is_empty() && done(&mut waiting).is_empty());
    assert_eq!(waiting.waker().event().take(), 0);
    held.let_go(1);
    assert_eq!(tags(&done(&mut *one)), [1]);
    assert_eq!(waiting.waker().event().take(), 1);
    assert_eq!(tags(&done(&mut waiting)), [2]);
}

#[test]
fn a_queue_that_has_gone_is_woken_no_more() {
    let held = Held::new(vec![0xee; SIZE as usize]);
    let disk = usual(held.clone()).build().unwrap();
    let mut bench = Bench::new();
    held.hold(1);
    let write = bench.write(1, at(1), &[1; 512]);
    let (read, _) = bench.read(2, at(1), 512);
    let mut waiting = super::super::queue::ZonedQueue::open(&disk.shared, 4).unwrap();
    let mut one = disk.open_queue(4).unwrap();
    one.submit(write);
    waiting.submit(read);
    let event = waiting.waker().event().clone();
    drop(waiting);
    held.let_go(1);
    assert_eq!(tags(&done(&mut *one)), [1]);
    assert_eq!(event.take(), 0);
}

#[test]
fn the_pointer_goes_back_over_a_write_that_failed() {
    let mut meeting = Meeting::new(|builder| builder.max_open(1).max_active(1));
    for (tag, cut) in [(1, false), (2, true)] {
        if cut {
            meeting.held.cut_short(tag);
        } else {
            meeting.held.fail(tag);
        }
        let append = meeting.append(tag, at(1), 4 * KIB, 1);
        io_error(perform(&mut *meeting.one, append));
        assert_eq!(meeting.zone(1), (Empty, 0));
    }
    meeting.held.cut_short(3);
    let write = meeting.write(3, at(1), 4 * KIB, 1);
    assert_eq!(perform(&mut *meeting.one, write).unwrap(), 2 * KIB, "the device makes an error of that");
    assert_eq!(meeting.zone(1), (Empty, 0));
    // Nothing is taken by that zone any more.
    let open = meeting.manage(1, OperationKind::ZoneOpen, at(2));
    perform(&mut *meeting.one, open).unwrap();
    meeting.held.fail(4);
    let write = meeting.write(4, at(2), CAPACITY, 1);
    io_error(perform(&mut *meeting.one, write));
    assert_eq!(meeting.zone(2), (ExplicitlyOpen, 0));
    assert_eq!(meeting.runs(at(2), ZONE), [(0, ZONE)]);
}

#[test]
fn what_a_failed_write_left_out_between_others_cannot_be_read() {
    let mut meeting = Meeting::usual();
    for tag in 0..4 {
        meeting.held.hold(tag);
        let append = meeting.append(tag, at(1), 4 * KIB, tag as u8 + 1);
        meeting.one.submit(append);
    }
    meeting.held.fail(1);
    (0..4).for_each(|tag| meeting.held.let_go(tag));
    let results = done(&mut *meeting.one);
    let failed: Vec<_> = results.iter().filter(|(_, result)| result.is_err()).map(|(tag, _)| *tag).collect();
    assert_eq!(failed, [1]);
    assert_eq!(meeting.zone(1), (ImplicitlyOpen, 16 * KIB), "the pointer stays behind the others");
    for (offset, len) in [(0, 16 * KIB), (4 * KIB, 512), (8 * KIB - 512, 1024)] {
        let (read, _) = meeting.bench.read(5, at(1) + offset, len as u32);
        io_error(perform(&mut *meeting.one, read));
    }
    assert_eq!(meeting.runs(at(1), 4 * KIB), [(1, 4 * KIB)]);
    assert_eq!(meeting.runs(at(1) + 8 * KIB, 12 * KIB), [(3, 4 * KIB), (4, 4 * KIB), (0, 4 * KIB)]);
    let write = meeting.write(5, at(1) + 4 * KIB, 4 * KIB, 9);
    assert_eq!(broken(perform(&mut *meeting.one, write)), ZoneError::UnalignedWritePointer);
    let reset = meeting.manage(5, OperationKind::ZoneReset, at(1));
    perform(&mut *meeting.one, reset).unwrap();
    assert_eq!(meeting.runs(at(1), ZONE), [(0, ZONE)]);
}

#[test]
fn the_pointer_goes_back_over_all_that_failed_at_the_end_of_a_zone() {
    let mut meeting = Meeting::usual();
    for tag in 0..4 {
        meeting.held.hold(tag);
        let append = meeting.append(tag, at(1), 4 * KIB, 1);
        meeting.one.submit(append);
    }
    for tag in [2, 1, 3] {
        meeting.held.fail(tag);
        meeting.held.let_go(tag);
        io_error(done(&mut *meeting.one).pop().unwrap().1);
    }
    assert_eq!(meeting.zone(1), (ImplicitlyOpen, 4 * KIB));
    meeting.held.let_go(0);
    assert_eq!(tags(&done(&mut *meeting.one)), [0]);
    assert_eq!(meeting.runs(at(1), ZONE), [(1, 4 * KIB), (0, ZONE - 4 * KIB)]);
}

#[test]
fn what_waits_can_be_given_up_and_holds_up_nobody_then() {
    for one_by_one in [false, true] {
        let mut meeting = Meeting::usual();
        meeting.held.hold(1);
        let write = meeting.write(1, at(1), 4 * KIB, 1);
        meeting.one.submit(write);
        let reset = meeting.manage(2, OperationKind::ZoneReset, at(1));
        let (read, _) = meeting.bench.read(3, at(1), 4096);
        meeting.other.submit(reset);
        meeting.other.submit(read);
        let behind = meeting.write(4, at(1) + 4 * KIB, 4 * KIB, 2);
        meeting.one.submit(behind);
        assert!(done(&mut *meeting.other).is_empty());
        match one_by_one {
            true => [2, 3, 50].into_iter().for_each(|tag| meeting.other.cancel_one(tag)),
            false => meeting.other.cancel(),
        }
        let given_up = done(&mut *meeting.other);
        assert_eq!(given_up.iter().map(|(tag, _)| *tag).collect::<Vec<_>>(), [2, 3]);
        given_up.into_iter().for_each(|(_, result)| drop(io_error(result)));
        // The write behind the reset goes on.
        assert_eq!(tags(&done(&mut *meeting.one)), [4]);
        meeting.held.let_go(1);
        assert_eq!(tags(&done(&mut *meeting.one)), [1]);
        assert_eq!(meeting.runs(at(1), 8 * KIB), [(1, 4 * KIB), (2, 4 * KIB)]);
        assert!(done(&mut *meeting.other).is_empty());
    }
}

#[test]
fn cancelled_writes_come_back_and_their_zone_goes_on() {
    let mut meeting = Meeting::usual();
    for tag in 1..=3 {
        meeting.held.hold(tag);
        let append = meeting.append(tag, at(1), 4 * KIB, 1);
        meeting.one.submit(append);
    }
    assert!(done(&mut *meeting.one).is_empty());
    meeting.one.cancel();
    let given_up = finish(&mut *meeting.one, 3);
    for Completion { operation, result } in given_up {
        assert_eq!((operation.kind(), operation.offset()), (APPEND, at(1)), "as it was submitted");
        io_error(result);
    }
    assert_eq!(meeting.zone(1), (Empty, 0));
}

#[test]
fn a_queue_that_goes_leaves_nothing_behind() {
    let mut meeting = Meeting::usual();
    meeting.held.hold(1);
    let write = meeting.write(1, at(1), 4 * KIB, 1);
    meeting.one.submit(write);
    let reset = meeting.manage(2, OperationKind::ZoneReset, at(1));
    meeting.one.submit(reset);
    let erase = meeting.bench.range(3, OperationKind::SecureErase, at(2), ZONE);
    meeting.held.hold(3);
    meeting.one.submit(erase);
    let append = meeting.append(4, at(2), 4 * KIB, 2);
    meeting.other.submit(append);
    let append = meeting.append(5, at(1), 4 * KIB, 2);
    meeting.other.submit(append);
    assert!(done(&mut *meeting.one).is_empty() && done(&mut *meeting.other).is_empty());
    drop(std::mem::replace(&mut meeting.one, meeting.disk.open_queue(4).unwrap()));
    assert_eq!(tags(&done(&mut *meeting.other)), [4, 5]);
    assert_eq!((meeting.zone(1), meeting.zone(2)), ((ImplicitlyOpen, 4 * KIB), (ImplicitlyOpen, 4 * KIB)));
}

#[test]
fn nothing_is_written_or_read_where_it_is_being_erased() {
    let mut meeting = Meeting::usual();
    let write = meeting.write(1, at(2), 4 * KIB, 1);
    perform(&mut *meeting.one, write).unwrap();
    for fails in [false, true] {
        meeting.held.hold(2);
        let erase = meeting.bench.range(2, OperationKind::SecureErase, at(1), 2 * ZONE);
        meeting.one.submit(erase);
        assert_eq!(meeting.zone(2), (Empty, 0));
        let reset = meeting.manage(3, OperationKind::ZoneReset, at(2));
        meeting.one.submit(reset);
        let append = meeting.append(4, at(2), 4 * KIB, 2);
        meeting.other.submit(append);
        assert!(done(&mut *meeting.one).is_empty() && done(&mut *meeting.other).is_empty());
        if fails {
            meeting.held.fail(2);
        }
        meeting.held.let_go(2);
        let ended = done(&mut *meeting.one);
        assert_eq!(
            ended.iter().map(|(tag, result)| (*tag, result.is_ok())).collect::<Vec<_>>(),
            [(2, !fails), (3, true)]
        );
        assert_eq!(tags(&done(&mut *meeting.other)), [4]);
        assert_eq!(meeting.runs(at(2), 8 * KIB), [(2, 4 * KIB), (0, 4 * KIB)]);
    }
}

#[test]
fn what_is_left_out_in_a_host_aware_zone_is_zeroed_before_the_write() {
    let mut meeting = Meeting::aware();
    meeting.held.hold(1);
    let write = meeting.write(1, at(1) + 8 * KIB, 4 * KIB, 1);
    meeting.one.submit(write);
    assert_eq!(meeting.held.seen(), [(ZEROES, at(1), 8 * KIB)]);
    // What comes into that range waits: else it would be zeroed as well.
    let inside = meeting.write(2, at(1) + 4 * KIB, KIB, 2);
    meeting.other.submit(inside);
    assert!(done(&mut *meeting.other).is_empty());
    meeting.held.let_go(1);
    assert_eq!(tags(&done(&mut *meeting.one)), [1]);
    assert_eq!(tags(&done(&mut *meeting.other)), [2]);
    let expected = [(0, 4 * KIB), (2, KIB), (0, 3 * KIB), (1, 4 * KIB), (0, ZONE - 12 * KIB)];
    assert_eq!(meeting.runs(at(1), ZONE), expected);
    for (tag, cut) in [(3, false), (4, true)] {
        if cut {
            meeting.held.cut_short(tag);
        } else {
            meeting.held.fail(tag);
        }
        let write = meeting.write(tag, at(1) + 32 * KIB, KIB, 3);
        io_error(perform(&mut *meeting.one, write));
        assert_eq!(meeting.zone(1), (ImplicitlyOpen, 12 * KIB));
    }
    assert_eq!(meeting.runs(at(1), ZONE), expected);
}

#[test]
fn a_host_aware_zone_is_mended_where_a_write_failed() {
    let mut meeting = Meeting::aware();
    for tag in [1, 2] {
        meeting.held.hold(tag);
        let write = meeting.write(tag, at(1) + u64::from(tag - 1) * 4 * KIB, 4 * KIB, tag as u8);
        meeting.one.submit(write);
    }
    meeting.held.fail(1);
    meeting.held.let_go(1);
    meeting.held.let_go(2);
    assert_eq!(done(&mut *meeting.one).len(), 2);
    let (read, _) = meeting.bench.read(3, at(1), 512);
    io_error(perform(&mut *meeting.one, read));
    let write = meeting.write(3, at(1), 4 * KIB, 3);
    perform(&mut *meeting.one, write).unwrap();
    assert_eq!(meeting.runs(at(1), 8 * KIB), [(3, 4 * KIB), (2, 4 * KIB)]);
    // Over several zones all pointers go back.
    meeting.held.fail(4);
    let write = meeting.write(4, at(3) - KIB, ZONE + 2 * KIB, 4);
    io_error(perform(&mut *meeting.one, write));
    assert_eq!([2, 3, 4].map(|zone| meeting.zone(zone)), [(Empty, 0); 3]);
}

#[test]
fn a_read_by_pieces_that_fails_gives_its_memory_back() {
    let mut meeting = Meeting::aware();
    for (tag, zone) in [(1, 1), (2, 2)] {
        let write = meeting.write(tag, at(zone), 4 * KIB, 1);
        perform(&mut *meeting.one, write).unwrap();
    }
    for cut in [false, true] {
        if cut {
            meeting.held.cut_short(5);
        } else {
            meeting.held.fail(5);
        }
        let (read, _) = meeting.bench.read(5, at(1), 2 * ZONE as u32);
        meeting.one.submit(read);
        meeting.one.kick();
        let Completion { operation, result } = finish(&mut *meeting.one, 1).pop().unwrap();
        assert_eq!((operation.offset(), operation.len()), (at(1), 2 * ZONE));
        match cut {
            true => assert_eq!(result.unwrap(), 2 * KIB),
            false => drop(io_error(result)),
        }
    }
    assert_eq!(meeting.runs(at(1), 2 * ZONE), [(1, 4 * KIB), (0, ZONE - 4 * KIB), (1, 4 * KIB), (0, ZONE - 4 * KIB)]);
}

#[test]
fn appends_of_several_threads_all_find_a_place_of_their_own() {
    const THREADS: u8 = 4;
    let memory = crate::backend::MemoryBackend::new(vec![0xee; SIZE as usize]);
    let disk = usual(memory).build().unwrap();
    let append = |byte: u8| {
        let (mut bench, mut queue) = (Bench::new(), disk.open_queue(8).unwrap());
        let mut places = Vec::new();
        for zone in 1..=4 {
            let limit = Instant::now() + Duration::from_secs(60);
            while Instant::now() < limit {
                let place = bench.memory.place(&[byte; 512]);
                let operation = bench.operation(0, APPEND, at(zone), &[(place, 512)]);
                match perform(&mut *queue, operation) {
                    Ok(place) => places.push(place),
                    result => {
                        assert_eq!(broken(result), ZoneError::InvalidCommand);
                        break;
                    }
                }
            }
        }
        places.into_iter().map(|place| (place, byte)).collect::<Vec<_>>()
    };
    let mut all: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (1..=THREADS).map(|byte| scope.spawn(move || append(byte))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    all.sort_unstable();
    let sectors = |zone: u32| (0..CAPACITY / 512).map(move |sector| at(zone) + 512 * sector);
    assert_eq!(all.iter().map(|(place, _)| *place).collect::<Vec<_>>(), (1..=4).flat_map(sectors).collect::<Vec<_>>());
    let (mut bench, mut queue) = (Bench::new(), disk.open_queue(8).unwrap());
    for (place, byte) in all {
        let (read, memory) = bench.read(0, place, 512);
        perform(&mut *queue, read).unwrap();
        assert_eq!(runs(&bench.memory.bytes(memory, 512)), [(byte, 512)]);
    }
}
