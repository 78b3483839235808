//! The memory map that the kernel is told.

use crate::layout;
use crate::memory;

/// What a range is for, with the numbers of the boot protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Kind {
    /// Free for the kernel.
    Ram = 1,
    /// To be left alone.
    Reserved = 2,
}

/// One range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    /// First address.
    pub(crate) start: u64,
    /// First address behind it.
    pub(crate) end: u64,
    /// What it is for.
    pub(crate) kind: Kind,
}

/// The map of a machine with `size` bytes of RAM, sorted, without overlaps.
pub(crate) fn map(size: u64) -> Vec<Range> {
    let range = |start, end, kind| Range { start, end, kind };
    let mut map = vec![
        range(0, layout::CONVENTIONAL_END, Kind::Ram),
        range(layout::ACPI_TABLES, layout::HIGH_MEMORY, Kind::Reserved),
    ];
    for (start, length) in memory::regions(size) {
        let end = start.saturating_add(length);
        let start = start.max(layout::HIGH_MEMORY);
        if start < end {
            map.push(range(start, end, Kind::Ram));
        }
    }
    // Linux uses ECAM only where firmware has reserved it.
    map.push(range(layout::ECAM, layout::ECAM.saturating_add(layout::ECAM_SIZE), Kind::Reserved));
    map.sort_by_key(|range| range.start);
    map
}
