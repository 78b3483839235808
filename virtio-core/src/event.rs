//! A thing that one side signals and the other waits for.

pub use imp::Event;

#[cfg(all(feature = "eventfd", target_os = "linux"))]
mod imp {
    use std::fmt;
    use std::io;
    use std::os::fd::{AsRawFd, RawFd};
    use std::sync::Arc;

    use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

    /// A counter that one side signals and the other waits for: an eventfd, so that a hypervisor (ioeventfd, irqfd) or
    /// another process can be either side.
    ///
    /// Cheap to clone; all clones are the same event. Send and Sync; no call blocks.
    #[derive(Clone)]
    pub struct Event(Arc<EventFd>);

    impl Event {
        /// An event that has not been signalled.
        ///
        /// # Errors
        /// Those of the eventfd system call: the process has too many files open.
        pub fn new() -> io::Result<Event> {
            Ok(Event(Arc::new(EventFd::new(EFD_NONBLOCK)?)))
        }

        /// Signals once.
        pub fn signal(&self) {
            // Fails only when the counter is full: then it is signalled.
            let _ = self.0.write(1);
        }

        /// Takes what has been signalled: how often, since the last time.
        pub fn take(&self) -> u64 {
            self.0.read().unwrap_or(0)
        }

        /// The eventfd. Reading from it takes what has been signalled.
        pub fn eventfd(&self) -> &EventFd {
            &self.0
        }
    }

    impl AsRawFd for Event {
        fn as_raw_fd(&self) -> RawFd {
            self.0.as_raw_fd()
        }
    }

    impl fmt::Debug for Event {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "Event(fd {})", self.0.as_raw_fd())
        }
    }
}

#[cfg(not(all(feature = "eventfd", target_os = "linux")))]
mod imp {
    use std::io;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// A counter that one side signals and the other polls.
    ///
    /// Cheap to clone; all clones are the same event. Send and Sync; no call blocks.
    #[derive(Clone, Debug, Default)]
    pub struct Event(Arc<AtomicU64>);

    impl Event {
        /// An event that has not been signalled.
        ///
        /// # Errors
        /// None here; other builds make a file descriptor.
        pub fn new() -> io::Result<Event> {
            Ok(Event::default())
        }

        /// Signals once.
        pub fn signal(&self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }

        /// Takes what has been signalled: how often, since the last time.
        pub fn take(&self) -> u64 {
            self.0.swap(0, Ordering::SeqCst)
        }
    }
}
