//! Linux's calls for ranges of files, for block devices, for direct I/O and for locks.

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;

use super::checked;

pub(in crate::backend) use libc::O_DIRECT;

/// Storage is given back, and reads as zeros; the size stays.
pub(in crate::backend) const PUNCH: libc::c_int = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
/// Storage is kept, and reads as zeros; the size stays.
pub(in crate::backend) const ZERO: libc::c_int = libc::FALLOC_FL_ZERO_RANGE | libc::FALLOC_FL_KEEP_SIZE;

/// The requests of block devices follow each other in one group: this is the one with number 104 in it.
const BLOCK_104: libc::Ioctl = libc::BLKSSZGET;
/// What is asked of a block device: its number in that group.
#[derive(Clone, Copy, Debug)]
pub(in crate::backend) enum BlockNumber {
    LogicalSize = 104,
    SmallestIo = 120,
    BestIo = 121,
    AlignmentOffset = 122,
    PhysicalSize = 123,
}

/// What a block device does with a range: its number in that group.
#[derive(Clone, Copy, Debug)]
pub(in crate::backend) enum BlockRange {
    Discard = 119,
    SecureErase = 125,
}

fn block_request(number: libc::Ioctl) -> libc::Ioctl {
    BLOCK_104 + (number - 104)
}

/// Changes what a range of the file is backed by.
pub(in crate::backend) fn fallocate(file: &File, mode: libc::c_int, offset: u64, len: u64) -> io::Result<()> {
    let too_large = |_| io::Error::from(io::ErrorKind::FileTooLarge);
    let (offset, len) = (offset.try_into().map_err(too_large)?, len.try_into().map_err(too_large)?);
    // SAFETY: takes numbers only, and works on a file that is open during the call.
    again(|| checked(unsafe { libc::fallocate64(file.as_raw_fd(), mode, offset, len) }))
}

/// Asks a block device.
pub(in crate::backend) fn block_number(file: &File, number: BlockNumber) -> io::Result<u32> {
    let mut answer: libc::c_uint = 0;
    // SAFETY: all of these write one `unsigned int` or `int` to where the argument points, which lives during the call.
    checked(unsafe { libc::ioctl(file.as_raw_fd(), block_request(number as libc::Ioctl), &raw mut answer) })?;
    Ok(answer)
}

/// Has a block device do something with a range.
pub(in crate::backend) fn block_range(file: &File, what: BlockRange, offset: u64, len: u64) -> io::Result<()> {
    let mut range: [u64; 2] = [offset, len];
    let request = block_request(what as libc::Ioctl);
    // SAFETY: both read two numbers of 64 bits, start and length, from where the argument points, which live during the
    // call; a start or length that is wrong is refused.
    again(|| checked(unsafe { libc::ioctl(file.as_raw_fd(), request, range.as_mut_ptr()) }))
}

/// What a file wants of direct I/O: the alignment of memory, and that of offsets and lengths. Zeros where it takes
/// none; `None` where the system does not say.
pub(in crate::backend) fn direct_alignment(file: &File) -> io::Result<Option<(u32, u32)>> {
    let mut answer = MaybeUninit::<libc::statx>::zeroed();
    let (flags, mask) = (libc::AT_EMPTY_PATH, libc::STATX_DIOALIGN);
    // SAFETY: the path is an empty string that ends with a zero, and the answer has room for what the call writes.
    checked(unsafe { libc::statx(file.as_raw_fd(), c"".as_ptr(), flags, mask, answer.as_mut_ptr()) })?;
    // SAFETY: numbers only, so that the zeros that it began with are a value, as is what the call wrote.
    let answer = unsafe { answer.assume_init() };
    let said = answer.stx_mask & libc::STATX_DIOALIGN != 0;
    Ok(said.then_some((answer.stx_dio_mem_align, answer.stx_dio_offset_align)))
}

/// One byte of a file, for locks that belong to the open file, not to the process.
fn byte(kind: libc::c_int, byte: u8) -> libc::flock64 {
    // SAFETY: numbers only, for which zero is a value.
    let mut lock: libc::flock64 = unsafe { MaybeUninit::zeroed().assume_init() };
    lock.l_type = kind as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    lock.l_start = byte.into();
    lock.l_len = 1;
    lock
}

/// Takes a shared lock on one byte, for as long as this open file is open.
pub(in crate::backend) fn lock_byte(file: &File, at: u8) -> io::Result<()> {
    let lock = byte(libc::F_RDLCK, at);
    // SAFETY: reads a lock's description from where the argument points, which lives during the call. Does not wait.
    again(|| checked(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) }))
}

/// Gives it back.
pub(in crate::backend) fn unlock_byte(file: &File, at: u8) -> io::Result<()> {
    let lock = byte(libc::F_UNLCK, at);
    // SAFETY: as for taking it.
    again(|| checked(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) }))
}

/// Whether another open file holds any lock on that byte.
pub(in crate::backend) fn byte_is_locked(file: &File, at: u8) -> io::Result<bool> {
    let mut lock = byte(libc::F_WRLCK, at);
    // SAFETY: reads and writes a lock's description where the argument points, which lives during the call.
    again(|| checked(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_GETLK, &raw mut lock) }))?;
    Ok(i32::from(lock.l_type) != libc::F_UNLCK)
}

/// Repeats a call that a signal ended.
pub(super) fn again(mut call: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
