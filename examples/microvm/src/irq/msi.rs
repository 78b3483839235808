//! A message-signalled interrupt: an eventfd that KVM turns into the message.
//!
//! While a vector is masked, KVM is detached from its eventfd, so that the eventfd's counter remembers
//! whether the device signalled; that is the vector's pending bit. Unmasking attaches KVM again and
//! delivers what was pending.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use virtio_core::Event;
use virtio_pci::MessageVector;

use super::routes::{Message, Routes};
use crate::error::Error;

/// One vector of a device.
pub(crate) struct MsiVector {
    routes: Arc<Routes>,
    number: u32,
    event: Event,
    state: Mutex<State>,
}

/// A vector is attached exactly while it has a message and is not masked.
struct State {
    has_message: bool,
    masked: bool,
    attached: bool,
}

impl MsiVector {
    /// A vector that is masked and goes nowhere yet.
    pub(crate) fn new(routes: Arc<Routes>) -> Result<Self, Error> {
        let number = routes.allocate()?;
        let event = Event::new().map_err(Error::setup("an eventfd"))?;
        Ok(Self {
            routes,
            number,
            event,
            state: Mutex::new(State { has_message: false, masked: true, attached: false }),
        })
    }

    fn set_route(&self, address: u64, data: u32) -> Result<(), Error> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.routes.set(self.number, Message { address, data })?;
        state.has_message = true;
        self.update(&mut state)
    }

    /// Holds signals back, or delivers them again, the one held back first.
    fn set_masked(&self, masked: bool) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.masked = masked;
        if let Err(error) = self.update(&mut state) {
            log::warn!("interrupt {}: {error}", self.number);
        }
    }

    /// Empties the counter; whether there was something in it.
    fn take(&self) -> bool {
        self.event.take() != 0
    }

    fn update(&self, state: &mut State) -> Result<(), Error> {
        let attach = state.has_message && !state.masked;
        if attach == state.attached {
            return Ok(());
        }
        if attach {
            // KVM delivers what is in the counter when it is attached, but leaves it there: it would count
            // again after the next masking. So the counter is emptied first and the signal repeated.
            let pending = self.take();
            self.routes
                .vm()
                .register_irqfd(self.event.eventfd(), self.number)
                .map_err(Error::kvm("connect an interrupt"))?;
            if pending {
                self.event.signal();
            }
        } else {
            self.routes
                .vm()
                .unregister_irqfd(self.event.eventfd(), self.number)
                .map_err(Error::kvm("disconnect an interrupt"))?;
        }
        state.attached = attach;
        Ok(())
    }
}

impl MessageVector for MsiVector {
    fn route(&self, address: u64, data: u32) -> io::Result<()> {
        self.set_route(address, data).map_err(io::Error::other)
    }

    fn mask(&self) {
        self.set_masked(true);
    }

    fn unmask(&self) {
        self.set_masked(false);
    }

    /// Takes no lock.
    fn signal(&self) {
        self.event.signal();
    }

    fn is_pending(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        !state.attached && self.take() && {
            // Looking must not lose it.
            self.event.signal();
            true
        }
    }

    fn clear(&self) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.attached {
            self.take();
        }
    }

    fn event(&self) -> Option<Event> {
        Some(self.event.clone())
    }
}

impl Drop for MsiVector {
    fn drop(&mut self) {
        self.mask();
    }
}
