//! Drivers and devices out of arbitrary bytes.
//!
//! For [`split`] and [`packed`] one input is guest memory with a ring in it, and a script of what the driver and the
//! device do with it. They panic where the ring does what it must not. Beside not crashing, they check that
//!
//! - memory is what it was, but for what the script wrote into buffers that are for the device to write, and for the
//!   ring's own fields, of which no more change than chains were given back;
//! - everything that a device writes is in the dirty log, while there is one;
//! - the buffers of a chain are those that its descriptors say, those to read first, no more than the ring allows, and
//!   agree with its reader, its writer and its fault;
//! - never more chains are out than the queue has room for, and tickets balance;
//! - a broken ring is reported once, gives nothing more, and stays as it is;
//! - a ring that is saved goes on where it was.
//!
//! [`net`](fn@net) runs a program of what a driver, a network and an embedder do with a network device.
//!
//! Others are about block devices: [`block`](fn@block) runs a program of what a driver and an embedder do with one,
//! [`zone_state`](fn@zone_state) does so on a disk whose zones come from a state file of arbitrary bytes, and
//! [`nbd`](fn@nbd) plays a server.
//!
//! They need no nightly compiler: the targets in `fuzz_targets/` give them to libFuzzer, and tests of virtio-core,
//! virtio-blk and virtio-net run them over the seeds and over inputs derived from these.
//!
//! | | |
//! |---|---|
//! | [`block`](mod@block) | a block device on several kinds of disks, and what is checked of it |
//! | [`campaign`](mod@campaign) | a short campaign, for tests |
//! | `chain` | what was seen of a chain |
//! | `device` | what all devices have in common |
//! | `input` | what the bytes of an input mean |
//! | `memory` | guest memory, with a copy of what it has to contain |
//! | `nbd` | what servers say |
//! | [`net`](mod@net) | a network device, and what is checked of it |
//! | `ring` | where the fields of a ring are, and what a device may change of them |
//! | `run` | the device's side of a ring, step by step, and the checks |
//! | `walk` | what the buffers of a chain have to be |
//! | `threads` | driver and device on two threads, for ThreadSanitizer |
//! | `zone_state` | state files of zones |
//! | [`seeds`] | inputs made by hand |

pub mod block;
pub mod campaign;
mod chain;
mod device;
mod input;
mod memory;
mod nbd;
pub mod net;
mod ring;
mod run;
pub mod seeds;

mod sys;
mod threads;
mod walk;
mod zone_state;

pub use device::Lifecycle;
pub use run::Outcome;
pub use threads::two_threads;
pub use zone_state::ZoneOutcome;

/// Runs `data` on a split ring.
pub fn split(data: &[u8]) -> Outcome {
    run::run(data, false)
}

/// Runs `data` on a packed ring.
pub fn packed(data: &[u8]) -> Outcome {
    run::run(data, true)
}

/// The header and the steps of `data`, a line each.
pub fn describe(data: &[u8]) -> String {
    let mut input = input::Input::new(data);
    let header = input::Header::read(&mut input);
    let steps = std::iter::from_fn(|| input::Step::read(&mut input)).take(input::MOST_STEPS);
    lines(&header, steps)
}

/// Runs `data` on a block device.
pub fn block(data: &[u8]) -> block::Outcome {
    block::run(data)
}

/// Runs `data` on a network device.
pub fn net(data: &[u8]) -> net::Outcome {
    net::run(data)
}

/// The same for a network device.
pub fn describe_net(data: &[u8]) -> String {
    let mut input = input::Input::new(data);
    let header = net::input::Header::read(&mut input);
    let steps = std::iter::from_fn(|| net::step::Step::read(&mut input)).take(net::input::MOST_STEPS);
    lines(&header, steps)
}

/// Gives `data` to a client of an NBD server, as what the server says.
pub fn nbd(data: &[u8]) {
    virtio_blk::backend::nbd::fuzz(data);
}

/// Has a disk with zones use `data` as its state file, and a device use that disk.
///
/// # Panics
/// Where files cannot be written, too.
pub fn zone_state(data: &[u8]) -> ZoneOutcome {
    zone_state::run(data).expect("files can be written")
}

/// The same for a block device.
pub fn describe_block(data: &[u8]) -> String {
    describe_program(&mut input::Input::new(data))
}

/// The same for a state file of zones.
pub fn describe_zone_state(data: &[u8]) -> String {
    let mut input = input::Input::new(data);
    let file = zone_state::describe(&mut input);
    file + &describe_program(&mut input)
}

fn describe_program(input: &mut input::Input<'_>) -> String {
    let header = block::input::Header::read(input);
    let steps = std::iter::from_fn(|| block::input::Step::read(input)).take(block::input::MOST_STEPS);
    lines(&header, steps)
}

fn lines(header: &impl std::fmt::Debug, steps: impl Iterator<Item = impl std::fmt::Debug>) -> String {
    let steps = steps.map(|step| format!("{step:x?}\n"));
    std::iter::once(format!("{header:x?}\n")).chain(steps).collect()
}
