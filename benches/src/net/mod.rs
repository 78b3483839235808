//! The network device against loops that do the same without one.
//!
//! A ring of 256 with event indexes, and buffers the way Linux has them: a frame to send is one buffer with its header, one to
//! be received goes to a buffer of 1536 bytes with mergeable buffers. The driver fills in a batch of 64, as many as Linux
//! takes at a time, outside of the time; within it, it makes the batch available (one store), and the device serves it
//! until the last buffer has come back. Driver and device are in one thread. What was received is checked.
//!
//! - **Ours** is a [`Net`](virtio_net::Net) device behind a host, stepped as a runtime does: with all that a task's runner
//!   does.
//! - **The bare loop** of `null-64` takes chains from this project's queue, and reads a header of each, or writes a header and
//!   a frame to it, as the device does for a [`NullBackend`](virtio_net::NullBackend) and a
//!   [`Generator`](virtio_net::Generator).

mod frames;
mod null;

use crate::contest::{Case, Contest, Outcome};
use crate::queues::Layout;
use frames::{BATCH, Direction};

/// The cases of the table.
pub fn cases() -> Vec<Case> {
    use Direction::{Receive, Transmit};
    use Layout::{Packed, Split};
    vec![
        case("null-64/tx", 0.5, 4000, || null(Split, Transmit)),
        case("null-64/tx/packed", 0.5, 4000, || null(Packed, Transmit)),
        case("null-64/rx", 0.5, 4000, || null(Split, Receive)),
        case("null-64/rx/packed", 0.5, 4000, || null(Packed, Receive)),
    ]
}

fn case(name: &'static str, want: f64, batches: u32, contest: fn() -> Contest) -> Case {
    Case { name, want, batches, chains: BATCH, contest: Box::new(contest) }
}

/// Against a loop over this project's queue without a device.
fn null(layout: Layout, direction: Direction) -> Contest {
    let rate = |outcome: &Outcome| {
        let million = |nanoseconds: f64| 1e3 / nanoseconds;
        format!("million frames per second: {:.1}, bare {:.1}", million(outcome.ours), million(outcome.baseline))
    };
    Contest::new(null::device(layout, direction), null::bare(layout, direction)).noted(rate)
}
