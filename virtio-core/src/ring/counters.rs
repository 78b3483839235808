//! What a queue counts.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// The counters of one queue, kept over resets. Send and Sync; reading never waits.
        #[derive(Debug, Default)]
        pub struct QueueCounters {
            $($name: AtomicU64,)*
        }

        /// What [`QueueCounters`] stood at.
        #[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct QueueCounts {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl QueueCounters {
            /// The counts now. They are brought up to date when a batch is published.
            pub fn read(&self) -> QueueCounts {
                QueueCounts { $($name: self.$name.load(Relaxed),)* }
            }
        }
    };
}

counters! {
    /// Chains taken.
    chains,
    /// Bytes of the buffers in them.
    bytes,
    /// Doorbells rung, as far as they did not coincide.
    doorbells,
    /// Interrupts sent.
    interrupts,
    /// Batches after which the driver wanted no interrupt.
    suppressed,
    /// Bad requests in good chains.
    request_faults,
    /// Chains with bad buffers.
    chain_faults,
    /// Times that the ring's structure was broken.
    ring_faults,
    /// Chains that the device dropped without an answer: a fault of the device.
    dropped,
}

impl QueueCounters {
    pub(super) fn ring_fault(&self) {
        self.ring_faults.fetch_add(1, Relaxed);
    }

    pub(crate) fn doorbells(&self, count: u64) {
        self.doorbells.fetch_add(count, Relaxed);
    }
}

/// Counts of a batch, not yet visible to others.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) bytes: u64,
    pub(super) interrupts: u64,
    pub(super) suppressed: u64,
    pub(super) request_faults: u64,
    pub(super) chain_faults: u64,
    pub(super) dropped: u64,
}

impl Tally {
    /// Adds the tally, and chains that were taken, to the counters and starts anew. One queue is the only writer of
    /// these.
    pub(super) fn flush(&mut self, chains: u16, to: &QueueCounters) {
        let Tally { bytes, interrupts, suppressed, request_faults, chain_faults, dropped } = std::mem::take(self);
        let add = |counter: &AtomicU64, count| {
            if count != 0 {
                counter.store(counter.load(Relaxed).wrapping_add(count), Relaxed);
            }
        };
        add(&to.chains, chains.into());
        add(&to.bytes, bytes);
        add(&to.interrupts, interrupts);
        add(&to.suppressed, suppressed);
        add(&to.request_faults, request_faults);
        add(&to.chain_faults, chain_faults);
        add(&to.dropped, dropped);
    }
}
