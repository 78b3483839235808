//! What the histories of both layouts are made of: guest memory, buffers good and bad, and how they are run.

mod run;

use std::fmt;

use proptest::prelude::*;
use virtio_core::testing::TestMemory;
use virtio_core::{Buffer, Features};

pub(crate) use run::{Broken, Model, ModelChain, Step, Trick, good_step, run};

/// Guest memory: a region that holds everything, one right behind it, and one far away.
const REGIONS: [(u64, usize); 3] = [(0, 0x10000), (0x10000, 0x1000), (1 << 40, 0x1000)];

/// Where buffers are, and where tables are.
const BUFFERS: std::ops::Range<u64> = 0x8000..0xf000;
const TABLES: u64 = 0xf000;

/// Memory with something in the buffers.
fn memory() -> TestMemory {
    let memory = TestMemory::with_regions(&REGIONS);
    for at in BUFFERS.step_by(8) {
        memory.write(at, &(at.wrapping_mul(0x9e37_79b9)).to_le_bytes());
    }
    memory
}

/// All of it.
fn everything(memory: &TestMemory) -> Vec<Vec<u8>> {
    REGIONS.iter().map(|(start, len)| memory.bytes(*start, *len)).collect()
}

/// Address, length, and whether it is writable.
pub(crate) type Part = (u64, u32, bool);

fn buffers(parts: &[Part]) -> Vec<Buffer> {
    parts.iter().map(|&(address, len, writable)| Buffer { address, len, writable }).collect()
}

pub(crate) fn address() -> impl Strategy<Value = u64> {
    prop_oneof![
        20 => BUFFERS,
        2 => 0xfff0u64..0x11010,
        1 => Just(1 << 40),
        1 => (1u64 << 40) + 0xff0..(1 << 40) + 0x1010,
        1 => any::<u64>(),
        1 => u64::MAX - 64..=u64::MAX,
    ]
}

pub(crate) fn length() -> impl Strategy<Value = u32> {
    prop_oneof![20 => 1u32..64, 1 => Just(0), 1 => any::<u32>(), 1 => Just(u32::MAX)]
}

fn good_parts() -> impl Strategy<Value = Vec<Part>> {
    let buffer = || (BUFFERS, 1u32..64);
    (prop::collection::vec(buffer(), 0..3), prop::collection::vec(buffer(), 0..3)).prop_map(|(readable, writable)| {
        let readable = readable.into_iter().map(|(address, len)| (address, len, false));
        readable.chain(writable.into_iter().map(|(address, len)| (address, len, true))).collect()
    })
}

pub(crate) fn bad_parts() -> impl Strategy<Value = Vec<Part>> {
    prop::collection::vec((address(), length(), any::<bool>()), 1..4)
}

/// What a device says that it has written: so many bytes, or all that there are.
fn written() -> impl Strategy<Value = Option<u32>> {
    prop_oneof![2 => Just(None), 1 => (0u32..100).prop_map(Some)]
}

pub(crate) fn features() -> impl Strategy<Value = Features> {
    (any::<bool>(), prop::bool::weighted(0.8), any::<bool>()).prop_map(|(event_idx, indirect, in_order)| {
        let pick = |yes, feature| if yes { feature } else { Features::NONE };
        Features::VERSION_1
            | pick(event_idx, Features::EVENT_IDX)
            | pick(indirect, Features::INDIRECT_DESC)
            | pick(in_order, Features::IN_ORDER)
    })
}

/// The steps of a history, which are shown one to a line.
#[derive(Clone)]
pub(crate) struct Script<S>(pub(crate) Vec<S>);

impl<S: fmt::Debug> fmt::Debug for Script<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|step| f.write_fmt(format_args!("\n    {step:?},")))
    }
}

/// Up to `most` steps.
pub(crate) fn script<S: fmt::Debug>(step: impl Strategy<Value = S>, most: usize) -> impl Strategy<Value = Script<S>> {
    prop::collection::vec(step, 0..most).prop_map(Script)
}
