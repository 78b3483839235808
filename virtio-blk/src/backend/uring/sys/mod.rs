//! The ring: where guest memory is lent to the kernel.
//!
//! What is lent lives in the ring's table: the operation, and with it the guest memory that it has mapped and the array
//! of its pieces. Nothing takes it out of there before its completion has been read; a ring that goes before that leaves
//! it to a [`Retired`], which keeps it until the kernel has freed the ring. So all that is outside of this folder is
//! safe code.

#![allow(unsafe_code)]

mod close;
mod request;
mod retired;
mod setup;
mod wake;

use std::fs::File;
use std::io::{self, PipeReader};
use std::mem::ManuallyDrop;
use std::time::Duration;

use io_uring::types::CancelBuilder;
use io_uring::{EnterFlags, IoUring, opcode};
use virtio_core::GuestRam;

use super::pieces;
use super::shared::Stuck;
use crate::backend::Operation;

use request::Pages;
pub(super) use request::{Request, Target};
pub(super) use retired::{Retired, wait};
pub(super) use setup::Way;
pub(super) use wake::Wake;

/// What stands for a cancellation in a completion.
const CANCEL: u64 = u64::MAX;
/// The longest piece of memory that the kernel registers as one buffer.
const BUFFER: usize = 1 << 30;
/// How long a ring that goes waits for what the kernel still has, before it leaves that behind.
const PATIENCE: Duration = Duration::from_secs(1);

/// The kernel need not signal what comes to light while the ring is entered: whoever enters it looks at once. Not where
/// accesses of one processor to two places may be seen in another order: the kernel has no barrier between saying that
/// there is work and looking whether to signal it.
const QUIET: bool = cfg!(target_arch = "x86_64");

/// What the kernel has finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finished {
    /// The request of the operation with this tag, with what a system call would have returned.
    Request { tag: u16, result: i32 },
    /// A cancellation.
    Cancel { result: i32 },
}

/// A ring, and the operations that it was given.
///
/// Send, not Sync. The kernel may want it on one thread alone: [`enter`](Self::enter) fails on others then, with EEXIST.
pub(super) struct Ring {
    ring: ManuallyDrop<IoUring>,
    wake: Wake,
    /// Ends when the kernel has freed the ring, and so has done with all that it was lent.
    end: Option<PipeReader>,
    /// By tag.
    table: Vec<Entry>,
    /// Entries that are lent, and cancellations that have not come back.
    lent: u32,
    cancels: u32,
    /// Completions that the ring has room for.
    room: u32,
    allocates: bool,
    pages: Option<Pages>,
    stuck: Stuck,
    #[cfg(test)]
    entered: u32,
}

#[derive(Default)]
struct Entry {
    operation: Option<Box<Operation>>,
    /// The kernel may access what the operation has; from before the request is shown to it until its completion was
    /// read.
    lent: bool,
    /// The request uses a registered buffer.
    registered: bool,
}

impl Ring {
    /// A ring of `entries` for up to `depth` operations on these files.
    pub(super) fn open(files: [&File; 2], entries: u32, depth: u16, ways: &[Way], stuck: Stuck) -> io::Result<Ring> {
        let (ring, way) = setup::ring(entries, ways)?;
        let allocates = setup::probe(&ring)?;
        let end = setup::files(&ring, files)?;
        Ok(Ring {
            wake: wake::make(&ring, way)?,
            end: Some(end),
            table: (0..depth).map(|_| Entry::default()).collect(),
            lent: 0,
            cancels: 0,
            room: ring.params().cq_entries(),
            allocates,
            pages: None,
            stuck,
            #[cfg(test)]
            entered: 0,
            ring: ManuallyDrop::new(ring),
        })
    }

    /// Readable when there are completions.
    pub(super) fn wake(&self) -> &Wake {
        &self.wake
    }

    /// Whether the kernel takes [`Request::Allocate`].
    pub(super) fn allocates(&self) -> bool {
        self.allocates
    }

    /// How many operations the kernel has.
    pub(super) fn lent(&self) -> u32 {
        self.lent
    }

    /// Whether one more request has room for its completion.
    pub(super) fn has_room(&self) -> bool {
        self.lent.saturating_add(self.cancels) < self.room
    }

    /// Takes an operation in; gives it back where its tag is that of another one, or no tag.
    pub(super) fn insert(&mut self, operation: Box<Operation>) -> Result<(), Box<Operation>> {
        match self.table.get_mut(usize::from(operation.tag())) {
            Some(entry) if entry.operation.is_none() => {
                entry.operation = Some(operation);
                Ok(())
            }
            _ => Err(operation),
        }
    }

    /// An operation that was taken in.
    pub(super) fn operation(&self, tag: u16) -> Option<&Operation> {
        self.table.get(usize::from(tag))?.operation.as_deref()
    }

    /// Whether the kernel has this one.
    pub(super) fn has_lent(&self, tag: u16) -> bool {
        self.table.get(usize::from(tag)).is_some_and(|entry| entry.lent)
    }

    /// Gives an operation back, unless the kernel has it.
    pub(super) fn take(&mut self, tag: u16) -> Option<Box<Operation>> {
        let entry = self.table.get_mut(usize::from(tag))?;
        if entry.lent { None } else { entry.operation.take() }
    }

    /// Has the next [`enter`](Self::enter) hand on a request of the operation with this tag. False where there is no
    /// room for it.
    ///
    /// # Errors
    /// What the kernel need not be asked for.
    pub(super) fn push(&mut self, tag: u16, request: Request) -> io::Result<bool> {
        let Ring { ring, table, lent, cancels, room, pages, .. } = self;
        let entry = table.get_mut(usize::from(tag)).ok_or(io::ErrorKind::InvalidInput)?;
        let operation = entry.operation.as_deref().ok_or(io::ErrorKind::InvalidInput)?;
        if entry.lent {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // Each has a completion, and all of them fit.
        if lent.saturating_add(*cancels) >= *room {
            return Ok(false);
        }
        let usable = pages.as_ref().filter(|pages| pages.pinned.hold(&operation.buffers));
        let (sqe, registered) = request.entry(operation, usable)?;
        // SAFETY: what the request points at is the operation's: the array of its pieces, and guest memory, which it
        // keeps mapped; a driver that writes that meanwhile changes bytes, no more. A read's memory is the driver's to be
        // written. The operation is in the table, and stays there while `lent`: it is not changed (no `&mut` of it is
        // given out), not moved (it is in a box) and not dropped. A ring that is dropped first sees to it (`retired`).
        // The files are the ring's own, by index.
        if unsafe { ring.submission().push(&sqe.user_data(u64::from(tag))) }.is_err() {
            return Ok(false);
        }
        (entry.lent, entry.registered) = (true, registered);
        *lent += 1;
        if let (true, Some(pages)) = (registered, pages) {
            pages.used += 1;
        }
        Ok(true)
    }

    /// Has the next [`enter`](Self::enter) cancel the request of one operation, or of all of them, which kernels before
    /// 5.19 refuse with EINVAL. False where there is no room for that.
    pub(super) fn push_cancel(&mut self, tag: Option<u16>) -> bool {
        let sqe = match tag {
            Some(tag) => opcode::AsyncCancel::new(u64::from(tag)).build(),
            None => opcode::AsyncCancel2::new(CancelBuilder::any().all()).build(),
        };
        // SAFETY: it has no pointers.
        let pushed = unsafe { self.ring.submission().push(&sqe.user_data(CANCEL)) }.is_ok();
        self.cancels += u32::from(pushed);
        pushed
    }

    /// Whether something was pushed that the kernel has not taken, or there are completions that only a call brings to
    /// light.
    pub(super) fn wants_enter(&mut self) -> bool {
        let submission = self.ring.submission();
        !submission.is_empty() || submission.taskrun() || submission.cq_overflow()
    }

    /// How much was pushed that the kernel has not taken.
    pub(super) fn pushed(&mut self) -> usize {
        self.ring.submission().len()
    }

    /// Hands on what was pushed, and brings completions to light. Does not wait.
    ///
    /// # Errors
    /// EAGAIN and EBUSY where the kernel cannot take more now.
    pub(super) fn enter(&mut self) -> io::Result<()> {
        let deferred = matches!(self.wake, Wake::Event(_));
        let submission = self.ring.submission();
        let pushed = u32::try_from(submission.len()).unwrap_or(u32::MAX);
        let events = deferred || submission.taskrun() || submission.cq_overflow();
        drop(submission);
        let flags = if events { EnterFlags::GETEVENTS } else { EnterFlags::empty() };
        if QUIET && deferred {
            self.ring.completion().disable_eventfd();
        }
        #[cfg(test)]
        {
            self.entered += 1;
        }
        let entered = loop {
            // SAFETY: it takes no argument, and does not wait for more than no completions.
            match unsafe { self.ring.submitter().enter::<libc::sigset_t>(pushed, 0, flags.bits(), None) } {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result,
            }
        };
        if QUIET && deferred {
            self.ring.completion().enable_eventfd();
        }
        entered.map(|_| ())
    }

    /// Whether there is something to be done at once that nobody is woken for: completions that were not taken, and
    /// those that came to light, or are to be brought there, since the ring was entered.
    pub(super) fn has_more(&mut self) -> bool {
        let submission = self.ring.submission();
        let hidden = submission.taskrun() || submission.cq_overflow();
        drop(submission);
        hidden || !self.ring.completion().is_empty()
    }

    /// The next completion.
    #[inline]
    pub(super) fn next(&mut self) -> Option<Finished> {
        loop {
            let cqe = self.ring.completion().next()?;
            let result = cqe.result();
            if cqe.user_data() == CANCEL {
                self.cancels = self.cancels.saturating_sub(1);
                return Some(Finished::Cancel { result });
            }
            let tag = u16::try_from(cqe.user_data()).ok();
            let entry = tag.and_then(|tag| self.table.get_mut(usize::from(tag)));
            // The kernel completes each request once, and nothing else.
            let (Some(tag), Some(entry)) = (tag, entry) else { continue };
            if !std::mem::take(&mut entry.lent) {
                continue;
            }
            self.lent = self.lent.saturating_sub(1);
            if let (true, Some(pages)) = (std::mem::take(&mut entry.registered), &mut self.pages) {
                pages.used = pages.used.saturating_sub(1);
            }
            return Some(Finished::Request { tag, result });
        }
    }

    /// Registers guest memory with the ring. Blocks for as long as the kernel takes to pin all of it.
    pub(super) fn pin(&mut self, ram: &GuestRam) -> io::Result<()> {
        let mut buffers = Vec::new();
        let pinned = ram.pin_pages(|slices| {
            let pieces: Vec<libc::iovec> = slices.iter().flat_map(|slice| pieces::split(*slice, BUFFER)).collect();
            for (index, piece) in (0..).zip(&pieces) {
                buffers.push((piece.iov_base.addr(), piece.iov_len, index));
            }
            // SAFETY: the memory is mapped until the call returns. The kernel keeps its pages, not the mapping, so they
            // are there for as long as they are registered; it accesses them for requests alone, and those use a buffer
            // only for operations that hold this version of memory mapped (`PinnedPages::hold`).
            unsafe { self.ring.submitter().register_buffers(&pieces) }
        })?;
        buffers.sort_unstable();
        self.pages = Some(Pages { pinned, buffers, used: 0 });
        Ok(())
    }

    /// Whether memory has changed since it was registered.
    pub(super) fn is_stale(&self) -> bool {
        self.pages.as_ref().is_some_and(|pages| pages.pinned.is_stale())
    }

    /// Requests in flight that use registered memory.
    #[cfg(test)]
    pub(super) fn registered(&self) -> u32 {
        self.pages.as_ref().map_or(0, |pages| pages.used)
    }

    /// How often the ring was entered.
    #[cfg(test)]
    pub(super) fn entered(&self) -> u32 {
        self.entered
    }

    /// Takes back what was registered, unless requests in flight use it.
    pub(super) fn unpin(&mut self) -> io::Result<bool> {
        if self.pages.as_ref().is_some_and(|pages| pages.used == 0) {
            self.ring.submitter().unregister_buffers()?;
            self.pages = None;
        }
        Ok(self.pages.is_none())
    }
}

/// Whether the kernel may take the same later.
pub(super) fn is_busy(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EBUSY))
}
