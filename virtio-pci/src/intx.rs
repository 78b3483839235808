//! The interrupt status register and the level-triggered interrupt pin.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use virtio_core::InterruptLine;

/// Bit of the interrupt status: buffers of a queue were used.
pub(crate) const ISR_QUEUE: u8 = 1;
/// Bit of the interrupt status: the configuration changed.
pub(crate) const ISR_CONFIG: u8 = 2;

/// The interrupt status, and the pin that follows it while MSI-X is off. No lock: any thread, at any time.
pub(crate) struct Intx {
    isr: AtomicU8,
    /// The command register's INTx disable bit.
    disabled: AtomicBool,
    /// With MSI-X enabled the pin is not used.
    msix_enabled: Arc<AtomicBool>,
    line: Option<Box<dyn InterruptLine>>,
}

impl Intx {
    pub(crate) fn new(line: Option<Box<dyn InterruptLine>>, msix_enabled: Arc<AtomicBool>) -> Intx {
        Intx { isr: AtomicU8::new(0), disabled: AtomicBool::new(false), msix_enabled, line }
    }

    /// Sets bits of the interrupt status, then asserts the pin if it is in use.
    pub(crate) fn raise(&self, bits: u8) {
        // PCI-ISR-02, PCI-ISR-03: before the interrupt, so that its handler finds them.
        self.isr.fetch_or(bits, Ordering::SeqCst);
        if let Some(line) = &self.line {
            line.raise(|| self.level());
        }
    }

    /// PCI-ISR-05: reads the interrupt status, which clears it and deasserts the pin.
    pub(crate) fn acknowledge(&self) -> u8 {
        let bits = self.isr.swap(0, Ordering::SeqCst);
        if bits != 0 {
            self.sync();
        }
        bits
    }

    /// The interrupt status, without side effects.
    pub(crate) fn status(&self) -> u8 {
        self.isr.load(Ordering::SeqCst)
    }

    /// Replaces the interrupt status.
    pub(crate) fn set_status(&self, bits: u8) {
        self.isr.store(bits, Ordering::SeqCst);
        self.sync();
    }

    /// The command register's INTx disable bit; `sync` has to follow.
    pub(crate) fn disable(&self, disabled: bool) {
        self.disabled.store(disabled, Ordering::SeqCst);
    }

    /// PCI-ISR-04: the interrupt bit of the PCI status register. Unlike the pin it ignores INTx disable.
    pub(crate) fn is_asserted(&self) -> bool {
        self.status() != 0 && !self.msix_enabled.load(Ordering::SeqCst)
    }

    fn level(&self) -> bool {
        self.is_asserted() && !self.disabled.load(Ordering::SeqCst)
    }

    /// Has the pin follow what may have changed.
    pub(crate) fn sync(&self) {
        if let Some(line) = &self.line {
            line.follow(|| self.level());
        }
    }
}
