//! Prints how this project's rings compare with their peers between two threads: `compare-threads [CASE]...`.
//!
//! A driver in one thread and a device in another, both polling: no doorbell and no interrupt is wanted. The driver
//! writes a number into a buffer of 64 bytes, and makes 32 such chains available at once, whenever so many fit into
//! the ring of 256. The device takes up to 32 of what it finds, reads the number in each buffer, gives the chains back
//! without having written anything, and publishes. The driver checks each chain that comes back, and in the end that
//! the device read the numbers that it wrote.
//!
//! What is timed is what the driver sees: the time from one 4096th chain that came back to the next. Before and after
//! each run the two threads send a cache line to and fro, for that is what a ring between two threads depends on; rounds
//! in which it took longer than between near processors, on either side, do not count.
//!
//! A program of its own: where virtio-queue's functions are called from more places, the compiler inlines less of them,
//! and they get slower.

#![forbid(unsafe_code)]
#![allow(clippy::expect_used)] // a measurement fails by panicking

mod device;
mod driver;
mod packed;
mod split;
mod wait;

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use benches::contest::{Case, Contest, Run, Side};
use benches::queues::{Layout, peer, queue};
use virtio_core::{Features, GuestRam};
use vm_memory::{GuestAddress, GuestMemoryBackend, GuestMemoryMmap};

use device::{serve_ours, serve_peer};
use driver::{BLOCK, Port, drive};
use packed::Packed;
use split::Split;
use wait::{Alarm, Line};

/// Bytes of memory.
const MEMORY: usize = 2 << 20;
/// Where the buffers are.
const BUFFERS: u64 = 0x10_0000;

fn main() -> ExitCode {
    benches::table::run("compare-threads", &[("threads", cases())])
}

fn cases() -> Vec<Case> {
    vec![
        case("threads/split", 5.0, Layout::Split, Features::NONE),
        case("threads/packed", 5.0, Layout::Packed, Features::NONE),
        case("threads/packed-in-order", 5.0, Layout::Packed, Features::IN_ORDER),
    ]
}

fn case(name: &'static str, want: f64, layout: Layout, features: Features) -> Case {
    let contest = Box::new(move || {
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), MEMORY)]).expect("map guest memory");
        Ok(Contest::new(ours(&memory, layout, features), baseline(&memory)))
    });
    Case { name, want, batches: 48, chains: BLOCK as u32, contest }
}

fn ours(memory: &GuestMemoryMmap<()>, layout: Layout, features: Features) -> Side {
    let memory = memory.clone();
    let ram = GuestRam::from_vm_memory(&memory).expect("regions that do not overlap");
    Box::new(move |blocks| {
        run(&memory, layout, blocks, |chains, alarm| serve_ours(queue(&ram, layout, features), chains, alarm))
    })
}

fn baseline(memory: &GuestMemoryMmap<()>) -> Side {
    let memory = memory.clone();
    Box::new(move |blocks| {
        run(&memory, Layout::Split, blocks, |chains, alarm| serve_peer(peer(), &memory, chains, alarm))
    })
}

/// Runs a driver of a ring in this layout against a device.
fn run<D>(memory: &GuestMemoryMmap<()>, layout: Layout, blocks: u32, device: D) -> Run
where
    D: FnOnce(&AtomicU64, &Alarm<'_>) -> u64 + Send,
{
    let memory = memory.get_slice(GuestAddress(0), MEMORY).expect("all of memory");
    match layout {
        Layout::Split => between(Split::new(&memory), blocks, device),
        Layout::Packed => between(Packed::new(&memory), blocks, device),
    }
}

/// Has a device, in a thread of its own, serve so many blocks of chains. It returns the sum of the numbers that it has
/// read.
fn between<D>(mut ring: impl Port, blocks: u32, device: D) -> Run
where
    D: FnOnce(&AtomicU64, &Alarm<'_>) -> u64 + Send,
{
    let chains = AtomicU64::new(u64::from(blocks) * BLOCK);
    let (line, failed) = (Line::default(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let device = scope.spawn(|| {
            let alarm = Alarm::new(&failed);
            line.echo(&alarm);
            let sum = device(&chains, &alarm);
            line.echo(&alarm);
            sum
        });
        let alarm = Alarm::new(&failed);
        let before = line.round_trip(&alarm);
        let times = drive(&mut ring, &chains, &alarm);
        let after = line.round_trip(&alarm);
        let sum = device.join().expect("the device");
        assert_eq!(sum, (0..chains.load(Ordering::Relaxed)).sum::<u64>(), "the device read something else");
        Run { times, round_trip: Some(before.max(after)) }
    })
}
