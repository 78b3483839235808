//! The block device against loops that do the same without one, and against itself.
//!
//! A ring of 256 with indirect tables and event indexes, the way Linux uses it: each request has a header, its data in one
//! piece, and a status. The driver fills in a batch of 32 outside of the time; within it, it makes the batch available (one
//! store), and the device serves it until the last request has come back. Driver and device are in one thread. What the
//! driver put in and what came back is checked.
//!
//! - **Ours** is a [`Block`](virtio_blk::Block) device behind a host, stepped as a runtime does: with all that a task's
//!   runner does.
//! - **The bare loop** of `null` takes chains from this project's queue, reads the header, copies zeros to the data as
//!   `NullBackend` does, writes the status and completes. That of the others submits 32 operations to an io_uring of its own,
//!   on the same file and the same memory, and waits for them: no ring, no requests.

mod bare;
mod calls;
mod device;
mod file;
mod null;
mod requests;
mod two;

use crate::contest::{Case, Contest};
use crate::queues::Layout;
use calls::Calls;
use device::{Disk, Options};
use requests::{DEPTH, Kind, Pattern, Work};

/// Bytes of the file.
const FILE: u64 = 64 << 20;

const RANDOM_READ: Work = Work { kind: Kind::Read, pattern: Pattern::Random, len: 4096 };
const RANDOM_WRITE: Work = Work { kind: Kind::Write, ..RANDOM_READ };
const SEQUENTIAL_READ: Work = Work { pattern: Pattern::Sequential, len: 128 << 10, ..RANDOM_READ };
const SEQUENTIAL_WRITE: Work = Work { kind: Kind::Write, ..SEQUENTIAL_READ };
const NEIGHBOURS: Work = Work { pattern: Pattern::Sequential, ..RANDOM_READ };

/// The cases of the table.
pub fn cases() -> Vec<Case> {
    vec![
        case("null/split", 0.5, 4000, || null(Layout::Split)),
        case("null/packed", 0.5, 4000, || null(Layout::Packed)),
        case("randread-4k/uring", 0.9, 400, || against_bare(RANDOM_READ)),
        case("randwrite-4k/uring", 0.9, 400, || against_bare(RANDOM_WRITE)),
        case("randread-4k/uring-vs-file", 1.05, 400, || against_file(RANDOM_READ, false)),
        case("slow-4k/uring-vs-file", 4.0, 8, || against_file(RANDOM_READ, true)),
        case("seqread-128k/uring", 0.95, 40, || against_bare(SEQUENTIAL_READ)),
        case("seqwrite-128k/uring", 0.95, 40, || against_bare(SEQUENTIAL_WRITE)),
        case("merge-4k/file", 1.5, 400, || merging(Disk::File)),
        case("merge-4k/uring", 1.5, 400, || merging(Disk::Uring)),
        case("queues-2", 0.9, 400, two::contest),
    ]
}

fn case(name: &'static str, want: f64, batches: u32, contest: fn() -> Contest) -> Case {
    Case { name, want, batches, chains: DEPTH, contest: Box::new(move || Ok(contest())) }
}

/// Against a loop over this project's queue without a device.
fn null(layout: Layout) -> Contest {
    Contest::new(device::null(layout, RANDOM_READ), null::side(layout, RANDOM_READ))
}

/// Against a loop over an io_uring.
fn against_bare(work: Work) -> Contest {
    let (file, memory) = (file::make(FILE), requests::memory());
    let ours = device::on(Options::new(), work, &file, &memory);
    Contest::new(ours, bare::side(work, &file, &memory))
}

/// io_uring against system calls that wait. `slow`: past the page cache.
fn against_file(work: Work, slow: bool) -> Contest {
    let file = file::make(FILE);
    // Each driver has memory of its own.
    let side = |disk| device::on(Options { disk, direct: slow, ..Options::new() }, work, &file, &requests::memory());
    Contest::new(side(Disk::Uring), side(Disk::File))
}

/// Neighbours that are merged against neighbours that are not.
fn merging(disk: Disk) -> Contest {
    let file = file::make(FILE);
    let side = |merge| device::counted(Options { disk, merge, ..Options::new() }, NEIGHBOURS, &file);
    let ((ours, merged), (baseline, apart)) = (side(true), side(false));
    let per_mib = move |calls: &Calls| calls.per_mib(disk == Disk::Uring);
    Contest::new(ours, baseline)
        .noted(move |_| format!("system calls per MiB: {:.1} merged, {:.1} apart", per_mib(&merged), per_mib(&apart)))
}
