//! Virtqueues, seen from the device.
//!
//! A [`QueueSetup`] is what a driver configured and the transport froze. [`Virtqueue::new`] resolves its areas, and
//! from then on the device takes [`Chain`]s and answers them. In a [`QueueTask`](crate::QueueTask) that is all:
//!
//! ```no_run
//! # fn serve(queue: &mut virtio_core::Virtqueue) {
//! while let Some(chain) = queue.pop() {
//!     let mut answer = chain.writer();
//!     let len = if answer.write(b"hello").is_ok() { 5 } else { 0 };
//!     chain.complete(len);
//! }
//! # }
//! ```
//!
//! A device that works asynchronously turns a chain into a [`Ticket`] and completes that later, in any order.
//!
//! # The rest of the protocol
//!
//! The driver sees nothing of what is complete before the queue is [published](Virtqueue::publish): one index update and
//! one decision on the interrupt for all of it. It rings no doorbell for what it makes available unless the queue is
//! [armed](Virtqueue::arm). The runner of a task does both after each run of it, and a task that wants its answers shown
//! earlier publishes them itself. Who serves a queue without a runner does what follows:
//!
//! ```no_run
//! # fn serve(queue: &mut virtio_core::Virtqueue) {
//! loop {
//!     while let Some(chain) = queue.pop() {
//!         chain.complete(0);
//!     }
//!     queue.publish();
//!     if !queue.arm() {
//!         break; // nothing more: the driver will ring the doorbell
//!     }
//! }
//! # }
//! ```
//!
//! # The files
//!
//! | file | what |
//! |---|---|
//! | `setup` | what a queue is built from, and who hears that its ring is broken |
//! | `queue` | the device's side of a queue: its calls, and (`queue/run`) those of the runner of a task |
//! | `chain` | a chain in the device's hands, and the ticket for one that is completed later |
//! | `layout` | the seam to the ring: what both layouts can do |
//! | `split`, `packed` | a layout each: its state, its areas, its way through a chain |
//! | `cursor` | places in a packed ring |
//! | `walk` | from descriptors to buffers: what both layouts have in common, and the words for it |
//! | `wake` | the two races between publishing and going to sleep, and their fences |
//! | `taken` | a chain as the ring has to know it: what is taken, and what the driver is told |
//! | `in_order` | `VIRTIO_F_IN_ORDER`, beside all that |
//! | `wire` | the constants of the specification |
//! | `position`, `recorder`, `counters`, `features`, `error` | what is saved, logged, counted, offered and wrong |
//!
//! # The path of a chain
//!
//! [`Virtqueue::pop`] looks once for a batch (`Layout::look`), then takes chain by chain (`Split::take`, `Packed::take`) and
//! puts their buffers into the queue's list (`walk::Buffers` over `memory/segments.rs`):
//!
//! 1. One descriptor with a buffer in the region of the last one: `take`, `Buffers::put_single`. No call is made.
//! 2. One in another region: the same, with `SegmentList::put_single_elsewhere`.
//! 3. Several descriptors, one behind the other in the table: `walk`, and one run over them in `Filling::put_run`.
//! 4. An indirect table: `walk`, `walk_table`, and one run over the table.
//! 5. Anything odd, in the ring or in a table: `walk_on` (`Trail::follow`) looks at one descriptor, has `Buffers::add` tell
//!    apart what is odd in it, and goes on with the next run.
//! 6. Then [`Chain::reader`] and [`Chain::writer`] lend the list.
//!
//! Back it goes by [`Chain::complete`] or [`Virtqueue::complete`], through `in_order` if that was negotiated, to
//! `Layout::stage`; and all that is staged is shown by [`Virtqueue::publish`].

mod chain;
mod counters;
mod cursor;
mod error;
mod features;
mod in_order;
mod layout;
mod packed;
mod position;
mod queue;
mod recorder;
mod setup;
mod split;
mod taken;
mod wake;
mod walk;
pub mod wire;

pub use chain::{Chain, Ticket, WrongQueue};
pub use counters::{QueueCounters, QueueCounts};
pub use error::{Area, ChainFault, RingFault};
pub use position::{BadVringBase, QueuePosition};
pub use queue::{Moderation, Virtqueue};
pub use recorder::{InFlight, Recorder};
pub use setup::{FaultSink, QueueSetup};
