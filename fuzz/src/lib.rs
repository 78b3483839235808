//! Drivers and devices out of arbitrary bytes: one input is guest memory with a ring in it, and a script of what the
//! driver and the device do with it.
//!
//! [`split`] and [`packed`] run an input and panic where the ring does what it must not. Beside not crashing, they
//! check that
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
//! They need no nightly compiler: the targets in `fuzz_targets/` give them to libFuzzer, and a test of virtio-core runs
//! them over the seeds and over inputs derived from these.
//!
//! | | |
//! |---|---|
//! | `chain` | what was seen of a chain |
//! | `input` | what the bytes of an input mean |
//! | `memory` | guest memory, with a copy of what it has to contain |
//! | `ring` | where the fields of a ring are, and what a device may change of them |
//! | `run` | the device's side, step by step, and the checks |
//! | `walk` | what the buffers of a chain have to be |
//! | `threads` | driver and device on two threads, for ThreadSanitizer |
//! | [`seeds`] | inputs made by hand |

mod chain;
mod input;
mod memory;
mod ring;
mod run;
pub mod seeds;

mod sys;
mod threads;
mod walk;

pub use run::Outcome;
pub use threads::two_threads;

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
    let lines = steps.map(|step| format!("{step:x?}\n"));
    std::iter::once(format!("{header:x?}\n")).chain(lines).collect()
}
