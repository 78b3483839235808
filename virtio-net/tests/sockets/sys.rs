//! Signals.

#![allow(unsafe_code)]

/// Has this process end when it writes to somebody who has gone, as programs do that are not written in Rust.
pub(crate) fn be_ended_by_pipes() {
    // SAFETY: the default needs no handler.
    let before = unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    assert_ne!(before, libc::SIG_ERR);
}
