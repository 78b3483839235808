//! What the epoll of vmm-sys-util does not have.

use std::os::fd::{AsRawFd, BorrowedFd};

use vmm_sys_util::epoll::Epoll;

/// The file of an epoll.
pub(super) fn file(epoll: &Epoll) -> BorrowedFd<'_> {
    // SAFETY: an `Epoll` closes its file when it is dropped and not before, and is borrowed for as long as the result.
    unsafe { BorrowedFd::borrow_raw(epoll.as_raw_fd()) }
}
