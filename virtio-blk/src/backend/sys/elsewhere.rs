//! What other systems than Linux have in place of its calls: nothing.

use std::fs::File;
use std::io;

/// No flag: direct I/O is refused before a file is opened.
pub(in crate::backend) const O_DIRECT: libc::c_int = 0;
pub(in crate::backend) const PUNCH: libc::c_int = 1;
pub(in crate::backend) const ZERO: libc::c_int = 2;

#[derive(Clone, Copy, Debug)]
pub(in crate::backend) enum BlockNumber {
    LogicalSize,
    SmallestIo,
    BestIo,
    AlignmentOffset,
    PhysicalSize,
}

#[derive(Clone, Copy, Debug)]
pub(in crate::backend) enum BlockRange {
    Discard,
    SecureErase,
}

fn none<T>() -> io::Result<T> {
    Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP))
}

pub(in crate::backend) fn fallocate(_file: &File, _mode: libc::c_int, _offset: u64, _len: u64) -> io::Result<()> {
    none()
}

pub(in crate::backend) fn block_number(_file: &File, _number: BlockNumber) -> io::Result<u32> {
    none()
}

pub(in crate::backend) fn block_range(_file: &File, _what: BlockRange, _offset: u64, _len: u64) -> io::Result<()> {
    none()
}

pub(in crate::backend) fn zone_sectors(_file: &File) -> io::Result<u32> {
    none()
}

pub(in crate::backend) fn direct_alignment(_file: &File) -> io::Result<Option<(u32, u32)>> {
    Ok(Some((0, 0)))
}

pub(in crate::backend) fn lock_byte(_file: &File, _at: u8) -> io::Result<()> {
    none()
}

pub(in crate::backend) fn unlock_byte(_file: &File, _at: u8) -> io::Result<()> {
    none()
}

pub(in crate::backend) fn byte_is_locked(_file: &File, _at: u8) -> io::Result<bool> {
    none()
}
