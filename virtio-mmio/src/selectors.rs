//! The registers that say what the others are about.

use std::sync::atomic::{AtomicU32, Ordering};

/// Which word of the features, which queue and which region of shared memory is meant.
#[derive(Debug, Default)]
pub(crate) struct Selectors {
    pub(crate) device_features: Selector,
    pub(crate) driver_features: Selector,
    pub(crate) queue: Selector,
    pub(crate) shared_memory: Selector,
}

impl Selectors {
    pub(crate) fn reset(&self) {
        let Selectors { device_features, driver_features, queue, shared_memory } = self;
        for selector in [device_features, driver_features, queue, shared_memory] {
            selector.set(0);
        }
    }
}

/// One of them.
#[derive(Debug, Default)]
pub(crate) struct Selector(AtomicU32);

impl Selector {
    pub(crate) fn get(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }

    pub(crate) fn set(&self, value: u32) {
        self.0.store(value, Ordering::SeqCst);
    }
}
