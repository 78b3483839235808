//! Requests, as the kernel wants them.

use std::io;

use io_uring::opcode;
use io_uring::squeue::Entry as Sqe;
use io_uring::types::{Fixed, FsyncFlags};
use virtio_core::memory::{PinnedPages, RawIoSlice};

use super::super::pieces::{self, Pieces};
use crate::backend::{Operation, OperationKind};

// The kernel's vectors are passed as what they are here.
const _: () = {
    assert!(size_of::<RawIoSlice>() == size_of::<libc::iovec>());
    assert!(align_of::<RawIoSlice>() == align_of::<libc::iovec>());
    assert!(std::mem::offset_of!(RawIoSlice, len) == std::mem::offset_of!(libc::iovec, iov_len));
};

/// Which of the ring's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(in super::super) enum Target {
    /// The one that operations usually go to.
    Main = 0,
    /// The one for what direct I/O cannot take.
    Buffered = 1,
}

/// What the kernel is to do with an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Request {
    /// Move what is behind the first `done` bytes, as much as one request can.
    Transfer { target: Target, done: u64 },
    /// Write out what the file has taken.
    Sync,
    /// `fallocate` on the operation's range.
    Allocate { mode: libc::c_int },
}

/// Guest memory that is registered with the ring.
pub(super) struct Pages {
    pub(super) pinned: PinnedPages,
    /// Address, length and index of each buffer, by address.
    pub(super) buffers: Vec<(usize, usize, u16)>,
    /// Requests in flight that use them.
    pub(super) used: u32,
}

impl Request {
    /// As the kernel wants it, and whether it uses a registered buffer.
    pub(super) fn entry(self, operation: &Operation, pages: Option<&Pages>) -> io::Result<(Sqe, bool)> {
        let main = Fixed(Target::Main as u32);
        match self {
            Request::Transfer { target, done } => transfer(operation, Fixed(target as u32), done, pages),
            Request::Sync => Ok((opcode::Fsync::new(main).flags(FsyncFlags::DATASYNC).build(), false)),
            Request::Allocate { mode } => {
                let allocate = opcode::Fallocate::new(main, operation.len()).offset(operation.offset()).mode(mode);
                Ok((allocate.build(), false))
            }
        }
    }
}

fn transfer(operation: &Operation, file: Fixed, done: u64, pages: Option<&Pages>) -> io::Result<(Sqe, bool)> {
    let read = match operation.kind() {
        OperationKind::Read => true,
        OperationKind::Write { .. } => false,
        _ => return Err(io::ErrorKind::InvalidInput.into()),
    };
    // The kernel takes an offset of -1 for the file's own position, and no other negative one.
    let offset = operation.offset().checked_add(done).filter(|offset| i64::try_from(*offset).is_ok());
    let offset = offset.ok_or(io::ErrorKind::FileTooLarge)?;
    let sqe = match pieces::behind(operation.io_slices(), done) {
        Pieces::None => return Err(io::ErrorKind::InvalidInput.into()),
        Pieces::One(piece) => {
            // A piece is no longer than a `u32` counts.
            let len = u32::try_from(piece.len).unwrap_or(u32::MAX);
            if let Some(index) = pages.and_then(|pages| pages.buffer(piece)) {
                let sqe = match read {
                    true => opcode::ReadFixed::new(file, piece.base, len, index).offset(offset).build(),
                    false => opcode::WriteFixed::new(file, piece.base, len, index).offset(offset).build(),
                };
                return Ok((sqe, true));
            }
            match read {
                true => opcode::Read::new(file, piece.base, len).offset(offset).build(),
                false => opcode::Write::new(file, piece.base, len).offset(offset).build(),
            }
        }
        Pieces::Many(pieces) => {
            let (vectors, count) = (pieces.as_ptr().cast(), u32::try_from(pieces.len()).unwrap_or(0));
            match read {
                true => opcode::Readv::new(file, vectors, count).offset(offset).build(),
                false => opcode::Writev::new(file, vectors, count).offset(offset).build(),
            }
        }
    };
    Ok((sqe, false))
}

impl Pages {
    /// The registered buffer that has all of `piece`.
    fn buffer(&self, piece: RawIoSlice) -> Option<u16> {
        let at = piece.base.addr();
        let behind = self.buffers.partition_point(|(start, ..)| *start <= at);
        let (start, len, index) = *self.buffers.get(behind.checked_sub(1)?)?;
        let room = len.checked_sub(at.checked_sub(start)?)?;
        (piece.len <= room).then_some(index)
    }
}
