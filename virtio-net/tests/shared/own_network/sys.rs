//! Namespaces.

#![allow(unsafe_code)]

/// Gives this thread a network of its own, and mounts of its own.
pub(crate) fn leave_the_host() -> std::io::Result<()> {
    // SAFETY: takes no pointer, and changes nothing but what this thread sees.
    let result = unsafe { libc::unshare(libc::CLONE_NEWNET | libc::CLONE_NEWNS) };
    if result == -1 { Err(std::io::Error::last_os_error()) } else { Ok(()) }
}
