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
        // Always, although the line may be asserted: one that is edge-triggered fires for each event.
        self.line.set(true);
        if self.status() == 0 {
            // Acknowledged in between, and the line may have been lowered before we raised it.
            self.follow();
        }
    }

    /// The driver acknowledges: only bits that are set and named are cleared (DRV-MMIO-07).
    pub(crate) fn acknowledge(&self, events: u32) {
        self.status.fetch_and(!events, Ordering::SeqCst);
        self.follow();
    }

    /// Brings the line to the level that the status asks for (MMIO-REG-21).
    ///
    /// Whoever sets the line looks at the status again: so the last one to set it has seen the last status, whatever
    /// others did meanwhile. Each further round means that another thread changed the status in this one.
    fn follow(&self) {
        loop {
            let asserted = self.status() != 0;
            self.line.set(asserted);
            if (self.status() != 0) == asserted {
                return;
            }
        }
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
