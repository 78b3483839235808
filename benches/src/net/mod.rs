//! The network device against loops that do the same without one.
//!
//! A ring of 256 with event indexes, and buffers the way Linux has them. The driver fills in a batch outside of the time;
//! within it, it makes the batch available (one store), and the device serves it until the last buffer has come back. Driver
//! and device are in one thread. What was received is checked.
//!
//! - **Ours** is a [`Net`](virtio_net::Net) device behind a host, stepped as a runtime does: with all that a task's runner
//!   does.
//! - **The bare loop** of `null-64` takes chains from this project's queue, and reads a header of each, or writes a header and
//!   a frame to it, as the device does for a [`NullBackend`](virtio_net::NullBackend) and a
//!   [`Generator`](virtio_net::Generator). That of `tap` takes chains from this project's queue, and has a tap of its own read
//!   or write them, header and all, with one system call each.
//!
//! A frame of `null-64` and of `tap-1500` is one buffer with its header, and is received into a buffer of 1536 bytes with
//! mergeable buffers; a batch is 64, as many as Linux takes at a time. The segments of `tap-tso` have 45 times what goes into a
//! packet: they are sent as a buffer of headers and two of data through an indirect table, and received into 16 buffers of
//! 4 KiB; a batch is 8, which fills half of the ring.
//!
//! The taps are in network namespaces of their own. What is received was put into the tap by a packet socket, outside of the
//! time; what is sent is for an address that is nobody's, so that the kernel drops it as soon as it looks at it.

mod frames;
mod null;
mod tap;

use crate::contest::{Case, Contest, Missing, Outcome};
use crate::queues::Layout;
use frames::Direction;
use tap::Size;

/// The cases of the table.
pub fn cases() -> Vec<Case> {
    use Direction::{Receive, Transmit};
    use Layout::{Packed, Split};
    vec![
        case("null-64/tx", 0.5, (4000, null::BATCH), || Ok(null(Split, Transmit))),
        case("null-64/tx/packed", 0.5, (4000, null::BATCH), || Ok(null(Packed, Transmit))),
        case("null-64/rx", 0.5, (4000, null::BATCH), || Ok(null(Split, Receive))),
        case("null-64/rx/packed", 0.5, (4000, null::BATCH), || Ok(null(Packed, Receive))),
        case("tap-1500/tx", 0.95, (300, 64), || tap::contest(Size::Mtu, Transmit)),
        case("tap-1500/rx", 0.95, (300, 64), || tap::contest(Size::Mtu, Receive)),
        case("tap-tso/tx", 0.9, (300, 8), || tap::contest(Size::Tso, Transmit)),
        case("tap-tso/rx", 0.9, (300, 8), || tap::contest(Size::Tso, Receive)),
    ]
}

/// `size`: batches of a run, and frames of a batch.
fn case(
    name: &'static str,
    want: f64,
    (batches, chains): (u32, u32),
    contest: fn() -> Result<Contest, Missing>,
) -> Case {
    Case { name, want, batches, chains, contest: Box::new(contest) }
}

/// Against a loop over this project's queue without a device.
fn null(layout: Layout, direction: Direction) -> Contest {
    let rate = |outcome: &Outcome| {
        let million = |nanoseconds: f64| 1e3 / nanoseconds;
        format!("million frames per second: {:.1}, bare {:.1}", million(outcome.ours), million(outcome.baseline))
    };
    Contest::new(null::device(layout, direction), null::bare(layout, direction)).noted(rate)
}
