//! Which event interrupts the driver how.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use virtio_core::{Event, Interrupt, TransportHooks};

use crate::common::Selectors;
use crate::intx::{ISR_CONFIG, ISR_QUEUE, Intx};
use crate::msix::{Msix, NO_VECTOR};

/// The function's interrupts, and the registers that say where they go. No lock is taken to signal one.
pub(crate) struct Routing {
    pub(crate) intx: Intx,
    pub(crate) msix: Msix,
    config: AtomicU16,
    queues: Box<[AtomicU16]>,
}

impl Routing {
    pub(crate) fn new(intx: Intx, msix: Msix, queues: usize) -> Routing {
        let queues = (0..queues).map(|_| AtomicU16::new(NO_VECTOR)).collect();
        Routing { intx, msix, config: AtomicU16::new(NO_VECTOR), queues }
    }

    pub(crate) fn config_vector(&self) -> u16 {
        self.config.load(Ordering::SeqCst)
    }

    pub(crate) fn set_config_vector(&self, vector: u16) {
        self.config.store(self.checked(vector), Ordering::SeqCst);
    }

    /// The vector of queue `index`; 0 for a queue that does not exist, as all its registers.
    pub(crate) fn queue_vector(&self, index: u16) -> u16 {
        self.queues.get(usize::from(index)).map_or(0, |vector| vector.load(Ordering::SeqCst))
    }

    pub(crate) fn set_queue_vector(&self, index: u16, vector: u16) {
        if let Some(register) = self.queues.get(usize::from(index)) {
            register.store(self.checked(vector), Ordering::SeqCst);
        }
    }

    /// PCI-MSIX-04, PCI-MSIX-09, DRV-PCI-15: every vector of the table can be had by anything, and no other.
    fn checked(&self, vector: u16) -> u16 {
        if vector < self.msix.count() { vector } else { NO_VECTOR }
    }

    /// Sends the message of `vector`. PCI-INTR-01, PCI-INTR-03: without a vector there is no interrupt, not by the pin
    /// either.
    fn send(&self, vector: u16) {
        if let Some(vector) = self.msix.vector(vector) {
            vector.signal();
        }
    }

    fn queue_interrupt(&self, index: u16) {
        if !self.msix.is_enabled() {
            self.intx.raise(ISR_QUEUE);
            // If the driver has enabled MSI-X just now, it may not look at the pin any more.
            if !self.msix.is_enabled() {
                return;
            }
        }
        self.send(self.queue_vector(index));
    }

    fn config_interrupt(&self) {
        // PCI-ISR-02: the status says so in either mode; the pin follows only without MSI-X.
        self.intx.raise(ISR_CONFIG);
        if self.msix.is_enabled() {
            self.send(self.config_vector());
        }
    }

    /// PCI-MSIX-07: what a reset of the device does here. The PCI side of the function stays as it is.
    fn reset(&self) {
        let Routing { intx, msix, config, queues } = self;
        for vector in queues.iter().chain([config]) {
            vector.store(NO_VECTOR, Ordering::SeqCst);
        }
        msix.clear();
        intx.set_status(0);
    }
}

/// The host's end of the function.
pub(crate) struct Hooks {
    pub(crate) routing: Arc<Routing>,
    pub(crate) selectors: Arc<Selectors>,
}

impl TransportHooks for Hooks {
    fn queue_interrupt(&self, index: u16) -> Arc<dyn Interrupt> {
        Arc::new(QueueInterrupt { routing: Arc::clone(&self.routing), index })
    }

    fn config_interrupt(&self) {
        self.routing.config_interrupt();
    }

    /// As for a queue that was never set up: a driver that enables it again sets its vector again.
    fn queue_reset(&self, index: u16) {
        self.routing.set_queue_vector(index, NO_VECTOR);
    }

    fn reset(&self) {
        let Hooks { routing, selectors } = self;
        routing.reset();
        selectors.reset();
    }
}

/// The interrupt of one queue, wherever the driver routes it.
struct QueueInterrupt {
    routing: Arc<Routing>,
    index: u16,
}

impl Interrupt for QueueInterrupt {
    fn signal(&self) {
        self.routing.queue_interrupt(self.index);
    }

    fn event(&self) -> Option<Event> {
        if !self.routing.msix.is_enabled() {
            return None; // the interrupt status has to be set before the pin
        }
        self.routing.msix.vector(self.routing.queue_vector(self.index))?.event()
    }
}
