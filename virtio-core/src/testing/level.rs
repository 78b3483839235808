//! An interrupt line.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

/// The level of an interrupt line.
#[derive(Clone, Debug, Default)]
pub struct Level(Arc<AtomicBool>);

impl Level {
    /// Sets the line.
    pub fn set(&self, asserted: bool) {
        self.0.store(asserted, SeqCst);
    }

    /// Whether it is asserted.
    pub fn get(&self) -> bool {
        self.0.load(SeqCst)
    }

    /// What the bits of an interrupt status say, which the line at `level` must follow: used buffers, a change of the
    /// configuration.
    pub fn reasons(level: bool, bits: u32) -> (bool, bool) {
        assert_eq!(level, bits != 0, "the line follows the status");
        (bits & 1 != 0, bits & 2 != 0)
    }
}
