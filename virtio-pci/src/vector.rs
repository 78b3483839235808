//! Message vectors: what the embedder does for each entry of the MSI-X table.

#[cfg(test)]
mod tests;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use virtio_core::Event;

/// One message-signalled interrupt of the function, made by the embedder.
///
/// It starts masked and without a route. While it is masked, what is signalled is kept; [`unmask`](Self::unmask) lets it
/// through. [`signal`](Self::signal) comes from queue tasks at any time; the other calls come one at a time, from the
/// threads that write the function's registers. No call may call back into the function.
///
/// # On KVM
///
/// A vector is an eventfd and a GSI of its own:
///
/// - `route` puts an MSI entry for the GSI into the routing table (`KVM_SET_GSI_ROUTING`);
/// - `unmask` attaches the eventfd to the GSI (`KVM_IRQFD`). The kernel looks at the eventfd when it is attached, so what
///   was signalled while it was masked fires now: no wake-up is lost, whichever comes first;
/// - `mask` detaches it (`KVM_IRQFD` with the deassign flag). The eventfd goes on counting, and a signal that came before
///   has been injected or is still in the count;
/// - `signal` is a write to the eventfd, and `event` gives it away for a device whose completions another process reports;
/// - `is_pending` polls the eventfd for something to read; `clear` reads it.
///
/// An embedder that injects messages by a call (`KVM_SIGNAL_MSI`, or an interrupt controller in its own process) uses
/// [`SentVector`].
pub trait MessageVector: Send + Sync {
    /// What the vector sends from now on. Called before each unmasking with a new route, and while unmasked if the
    /// driver changes the entry then.
    ///
    /// # Errors
    /// Whatever the hypervisor says: the vector stays masked, so what is signalled pends.
    fn route(&self, address: u64, data: u32) -> io::Result<()>;

    /// Sends nothing any more; keeps what is signalled.
    fn mask(&self);

    /// Sends what is signalled, and what has been kept. Called with a route only.
    fn unmask(&self);

    /// Sends the message, or keeps it while masked. Takes no lock that is shared with other vectors, and waits for
    /// nobody.
    fn signal(&self);

    /// Whether something is kept because the vector is masked.
    fn is_pending(&self) -> bool;

    /// Forgets what is kept.
    fn clear(&self);

    /// An event that does the same as [`signal`](Self::signal) when it is signalled, where there is one.
    fn event(&self) -> Option<Event> {
        None
    }
}

/// Makes the vectors of a function, when it is built.
///
/// A closure from a vector's number to the vector is one.
pub trait MessageVectors {
    /// Makes vector `index`, masked. Called once for each.
    ///
    /// # Errors
    /// Whatever keeps the embedder from making it: the function is not built.
    fn vector(&self, index: u16) -> io::Result<Arc<dyn MessageVector>>;
}

impl<F: Fn(u16) -> io::Result<Arc<dyn MessageVector>>> MessageVectors for F {
    fn vector(&self, index: u16) -> io::Result<Arc<dyn MessageVector>> {
        self(index)
    }
}

/// A vector that sends its messages by a call, and keeps the pending bit itself.
///
/// The function is given the address and the data of the message. It is called by whoever signals or unmasks, and must
/// not call back into the PCI function.
///
/// Send and Sync. A change of mask or route waits for the call that sends.
pub struct SentVector<F> {
    send: F,
    /// Signals read it together; only changes of the mask and the route keep them out.
    route: RwLock<Route>,
    pending: AtomicBool,
}

#[derive(Clone, Copy)]
struct Route {
    address: u64,
    data: u32,
    masked: bool,
}

impl<F: Fn(u64, u32) + Send + Sync> SentVector<F> {
    /// A masked vector.
    pub fn new(send: F) -> SentVector<F> {
        let route = RwLock::new(Route { address: 0, data: 0, masked: true });
        SentVector { send, route, pending: AtomicBool::new(false) }
    }

    fn change(&self, change: impl FnOnce(&mut Route)) {
        change(&mut self.route.write().unwrap_or_else(PoisonError::into_inner));
    }
}

impl<F: Fn(u64, u32) + Send + Sync> MessageVector for SentVector<F> {
    fn route(&self, address: u64, data: u32) -> io::Result<()> {
        self.change(|route| (route.address, route.data) = (address, data));
        Ok(())
    }

    fn mask(&self) {
        // Signals that saw it unmasked have sent their message when this has the lock: none is sent after it.
        self.change(|route| route.masked = true);
    }

    fn unmask(&self) {
        self.change(|route| route.masked = false);
        // A signal either saw the mask, and then its pending bit was set before the lock came free and is seen here;
        // or it comes later and sends by itself. So none is lost.
        if self.pending.swap(false, Ordering::SeqCst) {
            self.signal();
        }
    }

    fn signal(&self) {
        let route = self.route.read().unwrap_or_else(PoisonError::into_inner);
        if route.masked {
            self.pending.store(true, Ordering::SeqCst);
        } else {
            (self.send)(route.address, route.data);
        }
    }

    fn is_pending(&self) -> bool {
        self.pending.load(Ordering::SeqCst)
    }

    fn clear(&self) {
        self.pending.store(false, Ordering::SeqCst);
    }
}

impl<F> std::fmt::Debug for SentVector<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SentVector").field("pending", &self.pending).finish_non_exhaustive()
    }
}
