//! How one queue wakes another.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use virtio_core::Event;
use virtio_core::task::{Source, Sources};

/// The token of the event: of tokens so high that no inner queue needs to tell it from its own.
const TOKEN: u8 = 62;

/// Wakes a queue that waits for what another one does.
pub(super) struct Waker {
    event: Event,
    woken: AtomicBool,
}

impl Waker {
    pub(super) fn new() -> io::Result<Waker> {
        Ok(Waker { event: Event::new()?, woken: AtomicBool::new(false) })
    }

    pub(super) fn name(&self, sources: &mut Sources) {
        sources.add(Source::Event(self.event.clone()), TOKEN);
    }

    #[cfg(test)]
    pub(super) fn event(&self) -> &Event {
        &self.event
    }

    pub(super) fn wake(&self) {
        self.woken.store(true, Ordering::SeqCst);
        self.event.signal();
    }

    /// Whether it was woken since the last time. The event itself is taken by whoever runs the task.
    pub(super) fn take(&self) -> bool {
        self.woken.swap(false, Ordering::SeqCst)
    }
}

impl fmt::Debug for Waker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Waker")
    }
}
