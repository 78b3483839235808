//! InterruptStatus, and the line that follows it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use virtio_core::{Interrupt, InterruptLine, TransportHooks};

use crate::registers::{CONFIG_CHANGE, USED_BUFFER};
use crate::selectors::Selectors;

/// The interrupt status register and the line. Takes no lock.
pub(crate) struct Line {
    status: AtomicU32,
    line: Box<dyn InterruptLine>,
}

impl Line {
    pub(crate) fn new(line: impl InterruptLine + 'static) -> Line {
        Line { status: AtomicU32::new(0), line: Box::new(line) }
    }

    pub(crate) fn status(&self) -> u32 {
        self.status.load(Ordering::SeqCst)
    }

    /// MMIO-REG-03: the status first, for the driver reads it when the line fires.
    pub(crate) fn raise(&self, event: u32) {
        self.status.fetch_or(event, Ordering::SeqCst);
        self.line.raise(|| self.status() != 0);
    }

    /// The driver acknowledges: only bits that are set and named are cleared (DRV-MMIO-07), and the line follows
    /// (MMIO-REG-21).
    pub(crate) fn acknowledge(&self, events: u32) {
        self.status.fetch_and(!events, Ordering::SeqCst);
        self.line.follow(|| self.status() != 0);
    }
}

/// The host's end of the transport.
pub(crate) struct Hooks {
    pub(crate) line: Arc<Line>,
    pub(crate) selectors: Arc<Selectors>,
}

impl TransportHooks for Hooks {
    fn queue_interrupt(&self, _index: u16) -> Arc<dyn Interrupt> {
        let line = self.line.clone();
        Arc::new(move || line.raise(USED_BUFFER))
    }

    fn config_interrupt(&self) {
        self.line.raise(CONFIG_CHANGE);
    }

    /// MMIO-REG-05
    /// The status is of all queues together.
    fn queue_reset(&self, _index: u16) {}

    fn reset(&self) {
        let Hooks { line, selectors } = self;
        line.acknowledge(u32::MAX);
        selectors.reset();
    }
}
