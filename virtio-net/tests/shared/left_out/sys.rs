//! Who runs the tests.

#![allow(unsafe_code)]

pub(crate) fn is_root() -> bool {
    // SAFETY: takes nothing, and cannot fail.
    unsafe { libc::geteuid() == 0 }
}
