//! The driver's buffers for one frame.

use virtio_core::memory::RawIoSlice;
use virtio_core::{GuestBuffers, Ticket, Virtqueue};

/// Buffers that were taken from a receive queue for one frame: as many as it may need, before it is known how long it is.
/// What it does not need goes back into the ring.
#[derive(Default)]
pub(super) struct Gather {
    /// Each with the bytes that it has room for.
    chains: Vec<(Ticket, usize)>,
    buffers: GuestBuffers,
}

/// What can be made of the buffers in a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filled {
    /// There is room enough.
    Enough,
    /// There is not, for now.
    Short,
    /// There is not, and there cannot be more.
    Never,
    /// There is not, and what comes next in the ring cannot be used. It has been left there.
    Bad,
    /// There is not, and what comes next in the ring is of another version of memory. It has been left there.
    Stale,
}

/// Buffers that a frame may be spread over; more are given in no run.
pub(super) const MOST_BUFFERS: usize = 192;
/// Slices that a system call takes, less those that are not the driver's.
const MOST_SLICES: usize = 1000;

impl Gather {
    /// Bytes that there is room for.
    pub(super) fn room(&self) -> usize {
        self.buffers.len()
    }

    /// Takes more buffers until there is room for `need` bytes: of one chain, unless frames may be spread. Chains that cannot
    /// be used go back to the driver as they are, if they come first; `bad` counts them.
    ///
    /// The first buffer has room for the header of `header_len` bytes, whatever is needed (DRV-NET-RX-01).
    pub(super) fn fill(
        &mut self,
        queue: &mut Virtqueue,
        need: usize,
        header_len: usize,
        spread: bool,
        mut bad: impl FnMut(),
    ) -> Filled {
        while self.room() < need || self.chains.is_empty() {
            if !spread && !self.chains.is_empty() {
                return Filled::Never;
            }
            if self.chains.len() >= MOST_BUFFERS || self.buffers.io_slices().len() >= MOST_SLICES {
                return Filled::Never;
            }
            let Some(chain) = queue.pop() else {
                let whole_ring = self.chains.len() >= usize::from(queue.setup().size);
                return if whole_ring { Filled::Never } else { Filled::Short };
            };
            let writer = chain.writer();
            let room = writer.remaining();
            let least = if self.chains.is_empty() { header_len } else { 1 };
            // DRV-NET-RX-02: nothing is written where there is something to read.
            if chain.fault().is_some() || chain.reader().remaining() > 0 || room < least {
                if !self.chains.is_empty() {
                    // Those before it could not be put back any more.
                    chain.put_back();
                    return Filled::Bad;
                }
                bad();
                chain.complete_bad_request(0);
                continue;
            }
            match self.buffers.hold_more_writable(&writer) {
                Ok(true) => self.chains.push((chain.into_ticket(), room)),
                Ok(false) | Err(_) => {
                    chain.put_back();
                    return Filled::Stale;
                }
            }
        }
        Filled::Enough
    }

    /// Adds the buffers behind their first `skip` bytes, as system calls want them. Drivers cut larger pieces of memory into
    /// buffers: those that follow each other become one again, which takes the system less.
    pub(super) fn io_slices(&self, skip: usize, slices: &mut Vec<RawIoSlice>) {
        let mut skip = skip;
        let mut last: Option<RawIoSlice> = None;
        for slice in self.buffers.io_slices() {
            let passed = skip.min(slice.len);
            skip -= passed;
            let slice = RawIoSlice { base: slice.base.wrapping_add(passed), len: slice.len - passed };
            match &mut last {
                Some(last) if last.base.wrapping_add(last.len) == slice.base => last.len += slice.len,
                _ if slice.len == 0 => {}
                _ => slices.extend(last.replace(slice)),
            }
        }
        slices.extend(last);
    }

    /// Writes `data` at `offset`. Nothing that lies behind the room there is.
    pub(super) fn write(&self, queue: &Virtqueue, offset: usize, data: &[u8]) {
        let mut writer = self.buffers.writer(queue.view());
        // All of these pieces are guest memory.
        if writer.skip(offset).is_ok() {
            let len = data.len().min(writer.remaining());
            let _ = writer.write(&data[..len]);
        }
    }

    /// Reads what a system call has put at `offset`, as much as `data` takes.
    pub(super) fn read(&self, offset: usize, data: &mut [u8]) {
        let mut reader = self.buffers.reader();
        if reader.skip(offset).is_ok() {
            let len = data.len().min(reader.remaining());
            let _ = reader.read(&mut data[..len]);
        }
    }

    /// Buffers that `len` bytes are spread over.
    pub(super) fn count(&self, len: usize) -> u16 {
        let mut left = len;
        let used = self.chains.iter().take_while(|(_, room)| {
            let needed = left > 0;
            left = left.saturating_sub(*room);
            needed
        });
        u16::try_from(used.count()).unwrap_or(u16::MAX)
    }

    /// Gives the driver `len` bytes, header included: all buffers but the last are full (NET-RX-03). The others are left in
    /// the ring. The driver sees all of them at once, when the queue is published (NET-RX-04).
    pub(super) fn complete(&mut self, queue: &mut Virtqueue, len: usize) {
        self.buffers.mark_written(queue.view(), len);
        let used = usize::from(self.count(len));
        self.put_back(queue, used);
        let mut left = len;
        for (ticket, room) in self.chains.drain(..) {
            let now = left.min(room);
            left -= now;
            // The ticket is of this queue; a chain has no more bytes than fit the length.
            let _ = queue.complete(ticket, u32::try_from(now).unwrap_or(0));
        }
        self.buffers.clear();
    }

    /// Leaves all buffers in the ring.
    #[inline]
    pub(super) fn give_up(&mut self, queue: &mut Virtqueue) {
        if !self.chains.is_empty() {
            self.put_back(queue, 0);
            self.buffers.clear();
        }
    }

    /// Gives all buffers back to the driver with nothing in them.
    pub(super) fn refuse(&mut self, queue: &mut Virtqueue) {
        for (ticket, _) in self.chains.drain(..) {
            // It is of this queue.
            let _ = queue.complete(ticket, 0);
        }
        self.buffers.clear();
    }

    /// Leaves those behind the first `keep` in the ring.
    fn put_back(&mut self, queue: &mut Virtqueue, keep: usize) {
        while self.chains.len() > keep {
            let Some((ticket, _)) = self.chains.pop() else { return };
            // It is of this queue, and nothing was taken after it.
            let _ = queue.put_back(ticket);
        }
    }
}
