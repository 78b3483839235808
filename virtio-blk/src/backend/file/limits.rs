//! What a disk in a file is like and can do.

use std::sync::atomic::Ordering::Relaxed;

use super::super::sys::{self, BlockNumber};
use super::super::{Capabilities, RangeLimits, Topology};
use super::disk::Disk;
use super::ranges::{DISCARD_MOST, ZERO_MOST};
use super::sysfs::Sysfs;
use crate::wire::SECTOR;

/// What file systems give back storage in.
const FILE_BLOCK: u32 = 4096;

/// Looks at the disk, which has `size` bytes, and what the system says of it if it is a block device.
pub(super) fn capabilities(disk: &Disk, size: u64, sysfs: Option<&Sysfs>, secure_erase: bool) -> Capabilities {
    let mut can = if disk.is_regular() { file(disk, size) } else { block_device(disk, sysfs) };
    can.merge = true;
    if disk.is_read_only() {
        can.read_only = true;
        (can.discard, can.write_zeroes, can.secure_erase, can.zeroes_may_unmap) = (None, None, None, false);
    } else if !secure_erase {
        can.secure_erase = None;
    }
    can
}

/// The blocks of an image stay those of 512 bytes, also where direct I/O works in longer ones: a partition table in it
/// counts in them. The driver hears of the longer ones as physical blocks.
fn file(disk: &Disk, size: u64) -> Capabilities {
    let topology = disk.direct().map(|direct| topology(512, direct.offset, direct.offset, 0, 0));
    if !disk.is_read_only() && !punches(disk, size) {
        disk.support.punch.store(false, Relaxed);
    }
    let punches = disk.support.punch.load(Relaxed);
    let limits = |max_len| RangeLimits { max_len, alignment: FILE_BLOCK };
    Capabilities {
        topology,
        discard: punches.then(|| limits(DISCARD_MOST)),
        write_zeroes: Some(limits(ZERO_MOST)),
        // BLK-OP-10
        zeroes_may_unmap: punches,
        ..Capabilities::default()
    }
}

/// Whether the file system gives back storage of a range: tried behind the end of the file, where there is nothing.
fn punches(disk: &Disk, size: u64) -> bool {
    let Some(behind) = size.checked_next_multiple_of(u64::from(FILE_BLOCK)) else {
        return false;
    };
    match sys::fallocate(disk.buffered(), sys::PUNCH, behind, u64::from(FILE_BLOCK)) {
        Ok(()) => true,
        // Another error says nothing about ranges of the disk: the file may be as long as any can be.
        Err(error) => !matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::ENOSYS)),
    }
}

fn block_device(disk: &Disk, sysfs: Option<&Sysfs>) -> Capabilities {
    let ask = |number| sys::block_number(disk.buffered(), number).ok();
    let fits = |size: &u32| size.is_power_of_two() && (512..=65536).contains(size);
    let block_size = ask(BlockNumber::LogicalSize).filter(fits).unwrap_or(512);
    let topology = topology(
        block_size,
        ask(BlockNumber::PhysicalSize).unwrap_or(block_size),
        ask(BlockNumber::SmallestIo).unwrap_or(0),
        ask(BlockNumber::BestIo).unwrap_or(0),
        // Negative where the device's blocks do not match those of what it is made of.
        ask(BlockNumber::AlignmentOffset).filter(|offset| i32::try_from(*offset).is_ok()).unwrap_or(0),
    );
    let queue = |name| sysfs.and_then(|sysfs| sysfs.queue(name)).unwrap_or(0);
    let whole = |bytes: &u64| *bytes != 0 && bytes.is_multiple_of(SECTOR);
    let granularity = u32::try_from(queue("discard_granularity")).ok().filter(|bytes| whole(&u64::from(*bytes)));
    let limits = |max_len, alignment| RangeLimits { max_len, alignment };
    Capabilities {
        block_size,
        topology: Some(topology),
        // The system cuts what is longer than the device takes at once.
        discard: (queue("discard_max_bytes") != 0).then(|| limits(DISCARD_MOST, granularity.unwrap_or(block_size))),
        write_zeroes: Some(limits(ZERO_MOST, block_size)),
        // BLK-OP-10
        zeroes_may_unmap: queue("write_zeroes_max_bytes") != 0,
        secure_erase: Some(limits(DISCARD_MOST, granularity.unwrap_or(block_size))),
        ..Capabilities::default()
    }
}

/// All in bytes; what makes no sense is left out.
pub(super) fn topology(block: u32, physical: u32, smallest: u32, best: u32, offset: u32) -> Topology {
    let blocks = |bytes: u32| bytes.checked_div(block).unwrap_or(0);
    let exp = match blocks(physical) {
        ratio if ratio.is_power_of_two() => ratio.trailing_zeros(),
        _ => 0,
    };
    Topology {
        physical_block_exp: u8::try_from(exp).unwrap_or(0),
        alignment_offset: u8::try_from(blocks(offset)).unwrap_or(0),
        min_io_size: u16::try_from(blocks(smallest)).unwrap_or(0),
        opt_io_size: blocks(best),
    }
}
