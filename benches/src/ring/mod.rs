//! Virtqueues against `virtio_queue::Queue`, and against themselves.
//!
//! A ring of 256 with event indexes. The driver fills in as many chains as fit, up to eight batches of 32, outside of
//! the time. Within it, for each batch, the driver makes 32 chains available (one store, in each layout), and the
//! device takes these chains, looks at the address, the length and the direction of every buffer, completes each chain
//! with a length, publishes, and decides on the interrupt. The driver checks that the device saw the buffers that it
//! was given, and that all came back.
//!
//! - **Ours** pops (which walks the chain, checks it, and resolves every buffer), completes, and publishes once per
//!   batch.
//! - **The baseline** calls `pop_descriptor_chain` with a plain reference to memory, walks the descriptors, calls
//!   `add_used` per chain (it has no publish of its own) and `needs_notification` per batch. It does not look up the
//!   memory behind a descriptor, as a device would have to.
//!
//! No published crate has a packed ring: the baseline of ours is the same split ring.

mod device;
mod driver;
mod packed;
mod shape;
mod split;

use virtio_core::Features;
use vm_memory::GuestMemoryAtomic;
use vm_memory::bitmap::AtomicBitmap;

use crate::contest::{Case, Contest};
use crate::queues::{BATCH, Layout};
use device::{baseline, ours, serve_iter, serve_live, serve_pop};
use driver::{Memory, map};
pub(crate) use driver::{Ring, ring};
use shape::{Placement, Shape};

/// The cases of the table.
pub fn cases() -> Vec<Case> {
    use Layout::{Packed, Split};
    use Placement::{Local, Random};
    let (direct, indirect, scattered) = (Shape::direct, Shape::indirect, Shape::scattered);
    vec![
        case("split/1", 12.0, direct(1), |shape| against_pop(shape, Split)),
        case("split/1/iter", 8.0, direct(1), against_iter),
        case("split/1/live", 10.0, direct(1), live),
        case("split/1/dirty", 10.0, direct(1), dirty),
        case("split/4", 10.0, direct(4), |shape| against_pop(shape, Split)),
        case("split/indirect-4", 9.0, indirect(4), |shape| against_pop(shape, Split)),
        case("split/indirect-19", 9.0, indirect(19), |shape| against_pop(shape, Split)),
        case("split/indirect-128", 8.0, indirect(128), |shape| against_pop(shape, Split)),
        case("split/regions-64/local", 0.9, scattered(Local), |shape| against_one_region(shape, Split)),
        case("split/regions-64/random", 0.5, scattered(Random), |shape| against_one_region(shape, Split)),
        case("split/in-order", 1.0, direct(1), |shape| against_any_order(shape, Split)),
        case("packed/1", 10.0, direct(1), |shape| against_pop(shape, Packed)),
        case("packed/4", 10.0, direct(4), |shape| against_pop(shape, Packed)),
        case("packed/indirect-4", 9.0, indirect(4), |shape| against_pop(shape, Packed)),
        case("packed/indirect-128", 8.0, indirect(128), |shape| against_pop(shape, Packed)),
        case("packed/regions-64/random", 0.5, scattered(Random), |shape| against_one_region(shape, Packed)),
        case("packed/in-order", 1.0, direct(1), |shape| against_any_order(shape, Packed)),
    ]
}

fn case(name: &'static str, want: f64, shape: Shape, contest: fn(Shape) -> Contest) -> Case {
    let contest = Box::new(move || Ok(contest(shape)));
    Case { name, want, batches: shape.batches(), chains: BATCH.into(), contest }
}

/// Against the baseline as it is mostly used.
fn against_pop(shape: Shape, layout: Layout) -> Contest {
    let memory: Memory<()> = map(shape.regions);
    let ours = ours(&memory, shape, layout, Features::NONE);
    let peer = memory.clone();
    Contest::new(ours, baseline(&memory, shape, move |queue| serve_pop(queue, &peer, shape.written())))
}

/// Against the baseline with an iterator per batch.
fn against_iter(shape: Shape) -> Contest {
    let memory: Memory<()> = map(shape.regions);
    let ours = ours(&memory, shape, Layout::Split, Features::NONE);
    let (peer, mut heads) = (memory.clone(), Vec::new());
    let serve = move |queue: &mut _| serve_iter(queue, &peer, shape.written(), &mut heads);
    Contest::new(ours, baseline(&memory, shape, serve))
}

/// Against the baseline with memory that may change at any time, as ours always may.
fn live(shape: Shape) -> Contest {
    let memory: Memory<()> = map(shape.regions);
    let ours = ours(&memory, shape, Layout::Split, Features::NONE);
    let peer = GuestMemoryAtomic::new(memory.clone());
    Contest::new(ours, baseline(&memory, shape, move |queue| serve_live(queue, &peer, shape.written())))
}

/// With a log of what the device writes, on both sides.
fn dirty(shape: Shape) -> Contest {
    let memory: Memory<AtomicBitmap> = map(shape.regions);
    let ours = ours(&memory, shape, Layout::Split, Features::NONE);
    let peer = memory.clone();
    Contest::new(ours, baseline(&memory, shape, move |queue| serve_pop(queue, &peer, shape.written())))
}

/// In memory of as many regions as the shape says, against ours in memory of one.
fn against_one_region(shape: Shape, layout: Layout) -> Contest {
    let one = Shape { regions: 1, ..shape };
    let side = |shape: Shape| ours::<()>(&map(shape.regions), shape, layout, Features::NONE);
    Contest::new(side(shape), side(one))
}

/// With IN_ORDER, against ours without.
fn against_any_order(shape: Shape, layout: Layout) -> Contest {
    let memory: Memory<()> = map(shape.regions);
    let side = |features| ours(&memory, shape, layout, features);
    Contest::new(side(Features::IN_ORDER), side(Features::NONE))
}
