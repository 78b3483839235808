//! The io_uring of the loop.

#![allow(unsafe_code)]

use std::fs::File;
use std::os::fd::AsRawFd;

use io_uring::{IoUring, opcode, types};
use vm_memory::GuestMemoryMmap;

/// An io_uring with one file, as good as the system has it.
pub(super) struct Loop {
    ring: IoUring,
    /// What operations work on, mapped for as long as there may be some.
    memory: GuestMemoryMmap<()>,
}

impl Loop {
    pub(super) fn new(file: &File, memory: &GuestMemoryMmap<()>, entries: u32) -> Loop {
        let best = IoUring::builder().setup_single_issuer().setup_defer_taskrun().build(entries);
        let ring = best.or_else(|_| IoUring::new(entries)).expect("an io_uring");
        ring.submitter().register_files(&[file.as_raw_fd()]).expect("a file");
        Loop { ring, memory: memory.clone() }
    }

    /// Moves `len` bytes for each of these (place in guest memory, place in the file), and waits for all of them.
    #[inline(never)] // to be counted
    pub(super) fn batch(&mut self, write: bool, len: u32, batch: &[(u64, u64)]) {
        for (at, place) in batch {
            let host = super::host(&self.memory, *at, len as usize);
            let operation = if write {
                opcode::Write::new(types::Fixed(0), host, len).offset(*place).build()
            } else {
                opcode::Read::new(types::Fixed(0), host, len).offset(*place).build()
            };
            // SAFETY: the memory was checked to be `len` bytes of guest memory, which stays mapped as long as `self` lives,
            // and nothing is in flight when this returns. No reference to it exists.
            unsafe { self.ring.submission().push(&operation) }.expect("room in the ring");
        }
        self.ring.submit_and_wait(batch.len()).expect("an io_uring");
        let mut done = 0;
        while done < batch.len() {
            for completion in self.ring.completion() {
                assert_eq!(completion.result(), len as i32, "a whole transfer");
                done += 1;
            }
            if done < batch.len() {
                self.ring.submit_and_wait(1).expect("an io_uring");
            }
        }
    }
}
