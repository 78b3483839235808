//! The end of a ring.

#![allow(unsafe_code)]

use std::mem::ManuallyDrop;
use std::time::{Duration, Instant};

use super::{Finished, PATIENCE, Retired, Ring, is_busy, wait, wake};
use crate::backend::Operation;

#[allow(clippy::vec_box)] // an operation stays in its box
impl Ring {
    /// Gives up the ring: gives back the operations that the kernel does not have, and what keeps the others.
    pub(in super::super) fn retire(mut self) -> (Vec<Box<Operation>>, Option<Retired>) {
        self.close()
    }

    /// Closes the ring, once.
    fn close(&mut self) -> (Vec<Box<Operation>>, Option<Retired>) {
        let Some(end) = self.end.take() else {
            return (Vec::new(), None);
        };
        let (mut own, mut lent) = (Vec::new(), Vec::new());
        for entry in self.table.drain(..) {
            let list = if entry.lent { &mut lent } else { &mut own };
            list.extend(entry.operation);
        }
        self.lent = 0;
        let done = lent.is_empty() && self.unpin().is_ok_and(|unpinned| unpinned);
        if done {
            // The kernel frees a ring some time after it was closed; others may want the files at once.
            let _ = self.ring.submitter().unregister_files();
        }
        wake::release(&self.wake, &end);
        // SAFETY: this is reached once, and nothing uses the ring afterwards: `retire` and `drop` end its life.
        unsafe { ManuallyDrop::drop(&mut self.ring) };
        let pages = self.pages.take().map(|pages| pages.pinned);
        let retired = if done { None } else { Some(Retired::new(lent, pages, end, self.stuck.clone())) };
        (own, retired)
    }

    /// Waits for what the kernel has, for `PATIENCE`.
    fn wait(&mut self) {
        let limit = Instant::now() + PATIENCE;
        let (mut asked, mut each) = (false, false);
        while self.lent > 0 {
            if !asked {
                asked = self.push_cancel(None);
            }
            // What the kernel did not take has been lent to nobody, but that is not told from what it did take.
            if self.enter().is_err_and(|error| !is_busy(&error)) {
                return;
            }
            while let Some(finished) = self.next() {
                if finished == (Finished::Cancel { result: -libc::EINVAL }) && !each {
                    each = true;
                    self.cancel_each();
                }
            }
            let left = limit.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            if self.lent > 0 && !self.has_more() && wait(&self.wake, left.min(Duration::from_millis(10))) {
                self.wake.take();
            }
        }
    }

    /// Cancels everything by itself, as far as there is room.
    pub(in super::super) fn cancel_each(&mut self) {
        for tag in 0..=u16::MAX {
            match self.table.get(usize::from(tag)) {
                None => return,
                Some(entry) if entry.lent => {
                    if !self.push_cancel(Some(tag)) && (self.enter().is_err() || !self.push_cancel(Some(tag))) {
                        return;
                    }
                }
                Some(_) => {}
            }
        }
    }
}

impl Drop for Ring {
    /// Nothing of the kernel's accesses guest memory after this, but for what a [`Retired`] leaves behind.
    fn drop(&mut self) {
        self.wait();
        self.close();
    }
}
