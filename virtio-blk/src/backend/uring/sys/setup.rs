//! Making a ring.

use std::fs::File;
use std::io::{self, PipeReader};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use io_uring::{IoUring, Probe, opcode};

/// How the kernel is to run a ring. What it does not know yet, it refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Way {
    /// For one thread alone, which is interrupted by nothing and asks for its completions (Linux 6.1; 6.6 with `lean`).
    Deferred {
        /// Without the array that nobody uses.
        lean: bool,
    },
    /// For any thread, which is not interrupted for its completions (Linux 5.19).
    Cooperative,
    /// For any thread.
    Plain,
}

impl Way {
    /// The best first.
    pub(in super::super) const ALL: [Way; 4] =
        [Way::Deferred { lean: true }, Way::Deferred { lean: false }, Way::Cooperative, Way::Plain];
    /// Those for rings that are used on several threads.
    pub(in super::super) const ANY_THREAD: [Way; 2] = [Way::Cooperative, Way::Plain];

    fn ring(self, entries: u32) -> io::Result<IoUring> {
        let mut builder = IoUring::builder();
        // A child of this process has no use for it.
        builder.setup_clamp().dontfork();
        match self {
            Way::Deferred { lean } => {
                builder.setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag().setup_submit_all();
                if lean {
                    builder.setup_no_sqarray();
                }
            }
            Way::Cooperative => {
                builder.setup_coop_taskrun().setup_taskrun_flag().setup_submit_all();
            }
            Way::Plain => {}
        }
        builder.build(entries)
    }
}

/// A ring by the first of `ways` that the kernel knows, and whether its completions have to be asked for.
pub(super) fn ring(entries: u32, ways: &[Way]) -> io::Result<(IoUring, bool)> {
    let mut refused = io::Error::from(io::ErrorKind::InvalidInput);
    for way in ways {
        match way.ring(entries) {
            Ok(ring) => return Ok((ring, matches!(way, Way::Deferred { .. }))),
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => refused = error,
            Err(error) => return Err(error),
        }
    }
    Err(refused)
}

/// Makes sure that the kernel knows the requests that there is no other way for; says whether it knows `fallocate`, too.
pub(super) fn probe(ring: &IoUring) -> io::Result<bool> {
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe)?;
    let needed = [
        opcode::Read::CODE,
        opcode::Write::CODE,
        opcode::Readv::CODE,
        opcode::Writev::CODE,
        opcode::ReadFixed::CODE,
        opcode::WriteFixed::CODE,
        opcode::Fsync::CODE,
        opcode::AsyncCancel::CODE,
    ];
    if needed.iter().all(|code| probe.is_supported(*code)) && ring.params().is_feature_nodrop() {
        return Ok(probe.is_supported(opcode::Fallocate::CODE));
    }
    Err(io::Error::new(io::ErrorKind::Unsupported, "io_uring of this kernel is too old: Linux 5.6 is needed"))
}

/// Registers the disk's files with the ring. Returns the ring's own file, and a pipe that ends when the kernel has freed
/// the ring: its other end is one more of the ring's files, and nobody else's.
pub(super) fn files(ring: &IoUring, files: [&File; 2]) -> io::Result<(OwnedFd, PipeReader)> {
    let [main, buffered] = files;
    let (end, other_end) = io::pipe()?;
    ring.submitter().register_files(&[main.as_raw_fd(), buffered.as_raw_fd(), other_end.as_raw_fd()])?;
    // SAFETY: the ring has its file open, and is borrowed.
    let wake = unsafe { BorrowedFd::borrow_raw(ring.as_raw_fd()) }.try_clone_to_owned()?;
    Ok((wake, end))
}

/// Puts another file in the place of a ring's: the number stays that of an open file, and does not keep the ring.
pub(super) fn replace(wake: &OwnedFd, by: &impl AsRawFd) {
    // SAFETY: both are open, and stay so. That `wake` is another file afterwards is what this is for: nobody but a poll
    // uses it, and that takes a file out of its set when it is closed.
    let replaced = unsafe { libc::dup3(by.as_raw_fd(), wake.as_raw_fd(), libc::O_CLOEXEC) };
    if replaced == -1 {
        log::warn!("a ring stays open for as long as somebody waits for it: {}", io::Error::last_os_error());
    }
}
