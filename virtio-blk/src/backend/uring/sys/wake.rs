//! What wakes those who wait for a ring.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;

use io_uring::IoUring;
use virtio_core::{Event, Source};

use super::Way;

/// What is readable when there are completions.
#[derive(Clone)]
pub(in super::super) enum Wake {
    /// Where completions are deferred: the kernel wakes nobody for those who waits for the ring itself (seen in Linux
    /// 6.18).
    Event(Event),
    /// The ring's own file, for as long as there is something.
    Ring(Arc<OwnedFd>),
}

impl Wake {
    /// Takes what was signalled.
    pub(in super::super) fn take(&self) {
        if let Wake::Event(event) = self {
            event.take();
        }
    }

    pub(in super::super) fn source(&self) -> Source {
        match self {
            Wake::Event(event) => Source::Event(event.clone()),
            Wake::Ring(file) => Source::Readable(file.clone()),
        }
    }
}

impl AsRawFd for Wake {
    fn as_raw_fd(&self) -> RawFd {
        match self {
            Wake::Event(event) => event.as_raw_fd(),
            Wake::Ring(file) => file.as_raw_fd(),
        }
    }
}

/// What wakes those who wait for the ring's completions.
pub(super) fn make(ring: &IoUring, way: Way) -> io::Result<Wake> {
    if let Way::Deferred { .. } = way {
        let event = Event::new()?;
        ring.submitter().register_eventfd(event.as_raw_fd())?;
        return Ok(Wake::Event(event));
    }
    // SAFETY: the ring has its file open, and is borrowed.
    let file = unsafe { BorrowedFd::borrow_raw(ring.as_raw_fd()) }.try_clone_to_owned()?;
    Ok(Wake::Ring(Arc::new(file)))
}

/// The ring goes: whoever waits for its file must not keep it. The number stays that of an open file, which is `by`.
pub(super) fn release(wake: &Wake, by: &impl AsRawFd) {
    let Wake::Ring(file) = wake else {
        return;
    };
    // SAFETY: both are open, and stay so. That `file` is another one afterwards is what this is for: nobody but a poll
    // uses it, and that takes a file out of its set when it is closed.
    let replaced = unsafe { libc::dup3(by.as_raw_fd(), file.as_raw_fd(), libc::O_CLOEXEC) };
    if replaced == -1 {
        log::warn!("a ring stays open for as long as somebody waits for it: {}", io::Error::last_os_error());
    }
}
