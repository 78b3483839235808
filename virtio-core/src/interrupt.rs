//! Telling the driver: see [`TransportHooks`](crate::TransportHooks) for who does.

use crate::event::Event;

/// One way to notify the driver: of used buffers in one queue, or of a change of the configuration.
///
/// Called by queue tasks on their hot path: an implementation takes no lock that is shared between queues, and waits
/// for nobody. Signals that the driver has not seen yet may be merged: it looks at the ring, not at their number.
pub trait Interrupt: Send + Sync {
    /// Notifies the driver.
    fn signal(&self);

    /// An event that does the same when signalled, where there is one: for a device whose completions another process
    /// or the kernel reports. It may change with the transport's routing.
    fn event(&self) -> Option<Event> {
        None
    }
}

/// Nobody is notified.
impl Interrupt for () {
    fn signal(&self) {}
}

/// A closure is an interrupt.
impl<F: Fn() + Send + Sync> Interrupt for F {
    fn signal(&self) {
        self();
    }
}

/// An event is an interrupt.
impl Interrupt for Event {
    fn signal(&self) {
        Event::signal(self);
    }

    fn event(&self) -> Option<Event> {
        Some(self.clone())
    }
}

/// A level-triggered interrupt line, as an MMIO device or a PCI function without MSI-X has one.
pub trait InterruptLine: Send + Sync {
    /// Sets the line's level. `true` is said again for every event while the line is asserted, so an edge-triggered
    /// line can be served by it: it fires on each `true` and ignores `false`.
    fn set(&self, asserted: bool);
}

/// For transports that have a status register, and a line at the level that it asks for.
impl dyn InterruptLine {
    /// Brings the line to where `level` says. Called after each change of that, by any thread.
    ///
    /// Whoever sets the line looks at the level again: so the last one to set it has seen the last level, whatever
    /// others did meanwhile. Each further round means that another thread changed the level in this one.
    pub fn follow(&self, level: impl Fn() -> bool) {
        loop {
            let asserted = level();
            self.set(asserted);
            if level() == asserted {
                return;
            }
        }
    }

    /// The same after an event: `true` is said although the line may be asserted.
    pub fn raise(&self, level: impl Fn() -> bool) {
        if level() {
            self.set(true);
            // Whoever lowered the level meanwhile may have lowered the line before it was raised here.
            if !level() {
                self.follow(level);
            }
        }
    }
}

/// A closure is a line.
impl<F: Fn(bool) + Send + Sync> InterruptLine for F {
    fn set(&self, asserted: bool) {
        self(asserted);
    }
}
