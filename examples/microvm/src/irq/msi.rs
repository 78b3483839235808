//! A message-signalled interrupt: an eventfd that KVM turns into the message.
//!
//! While a vector is masked, KVM is detached from its eventfd, so that the eventfd's counter remembers
//! whether the device signalled; that is the vector's pending bit. Unmasking attaches KVM again and
//! delivers what was pending.

use std::sync::{Arc, Mutex, PoisonError};

use vmm_sys_util::eventfd::EventFd;

use super::routes::{Message, Routes};
use crate::error::Error;

/// One vector of a device.
pub(crate) struct MsiVector {
    routes: Arc<Routes>,
    number: u32,
    event: EventFd,
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
        let event = EventFd::new(libc::EFD_NONBLOCK).map_err(Error::setup("an eventfd"))?;
        Ok(Self {
            routes,
            number,
            event,
            state: Mutex::new(State { has_message: false, masked: true, attached: false }),
        })
    }

    /// Lets the vector mean a write of `data` to `address`.
    pub(crate) fn route(&self, address: u64, data: u32) -> Result<(), Error> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.routes.set(self.number, Message { address, data })?;
        state.has_message = true;
        self.update(&mut state)
    }

    /// Holds signals back.
    pub(crate) fn mask(&self) -> Result<(), Error> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.masked = true;
        self.update(&mut state)
    }

    /// Delivers signals again, the one held back first.
    pub(crate) fn unmask(&self) -> Result<(), Error> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.masked = false;
        self.update(&mut state)
    }

    /// Signals. Takes no lock.
    pub(crate) fn signal(&self) {
        // A full counter means that a signal is pending, which is all there is to say.
        if let Err(error) = self.event.write(1) {
            log::debug!("interrupt {}: {error}", self.number);
        }
    }

    /// The eventfd whose writes are signals, for backends that signal by themselves.
    pub(crate) fn event(&self) -> &EventFd {
        &self.event
    }

    /// Whether a signal is held back.
    pub(crate) fn is_pending(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        !state.attached && self.take() && {
            // Looking must not lose it.
            self.signal();
            true
        }
    }

    /// Forgets a signal that is held back.
    pub(crate) fn clear(&self) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.attached {
            self.take();
        }
    }

    /// Empties the counter; whether there was something in it.
    fn take(&self) -> bool {
        self.event.read().is_ok()
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
            self.routes.vm().register_irqfd(&self.event, self.number).map_err(Error::kvm("connect an interrupt"))?;
            if pending {
                self.signal();
            }
        } else {
            self.routes
                .vm()
                .unregister_irqfd(&self.event, self.number)
                .map_err(Error::kvm("disconnect an interrupt"))?;
        }
        state.attached = attach;
        Ok(())
    }
}

impl Drop for MsiVector {
    fn drop(&mut self) {
        if let Err(error) = self.mask() {
            log::warn!("{error}");
        }
    }
}
