//! Linux's calls for zoned block devices. Everything is in sectors of 512 bytes.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use super::checked;
use super::linux::again;

/// The most zones in one report.
pub(in crate::backend) const MOST_REPORTED: usize = 256;

/// The flag of a report whose zones have a capacity.
const HAS_CAPACITY: u32 = 1;

/// One zone, as the system describes it: nothing of it has been checked.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(in crate::backend) struct ReportedZone {
    pub(in crate::backend) start: u64,
    pub(in crate::backend) len: u64,
    pub(in crate::backend) write_pointer: u64,
    pub(in crate::backend) kind: u8,
    pub(in crate::backend) condition: u8,
    pub(in crate::backend) non_sequential: u8,
    pub(in crate::backend) reset: u8,
    pub(in crate::backend) reserved: [u8; 4],
    pub(in crate::backend) capacity: u64,
    pub(in crate::backend) reserved_more: [u8; 24],
}

/// The head of a report, which is all that its request's number knows of it.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
struct ReportHead {
    first: u64,
    zones: u32,
    flags: u32,
}

#[repr(C)]
struct Report {
    head: ReportHead,
    zones: [ReportedZone; MOST_REPORTED],
}

/// A range of sectors.
#[repr(C)]
struct SectorRange {
    first: u64,
    count: u64,
}

// As the system has them.
const _: () = {
    assert!(size_of::<ReportedZone>() == 64 && std::mem::offset_of!(ReportedZone, capacity) == 32);
    assert!(size_of::<ReportHead>() == 16 && std::mem::offset_of!(Report, zones) == 16);
    assert!(size_of::<SectorRange>() == 16);
};

/// The group of requests of block devices.
const GROUP: u32 = 0x12;
const REPORT: libc::Ioctl = libc::_IOWR::<ReportHead>(GROUP, 130);
const ZONE_SECTORS: libc::Ioctl = libc::_IOR::<u32>(GROUP, 132);
const ZONE_COUNT: libc::Ioctl = libc::_IOR::<u32>(GROUP, 133);

/// What is done to zones: its number in the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::backend) enum ZoneCommand {
    Reset = 131,
    Open = 134,
    Close = 135,
    Finish = 136,
}

/// Sectors in each zone; zero for a block device without zones.
pub(in crate::backend) fn zone_sectors(file: &File) -> io::Result<u32> {
    number(file, ZONE_SECTORS)
}

/// How many zones there are.
pub(in crate::backend) fn zone_count(file: &File) -> io::Result<u32> {
    number(file, ZONE_COUNT)
}

fn number(file: &File, request: libc::Ioctl) -> io::Result<u32> {
    let mut answer = 0_u32;
    // SAFETY: both requests write 32 bits to where the argument points, which lives during the call.
    checked(unsafe { libc::ioctl(file.as_raw_fd(), request, &raw mut answer) })?;
    Ok(answer)
}

/// Describes zones from the one that holds the sector on, at most `most` of them, and at most `MOST_REPORTED`.
pub(in crate::backend) fn report_zones(file: &File, sector: u64, most: u32) -> io::Result<Vec<ReportedZone>> {
    let most = (MOST_REPORTED as u32).min(most);
    let mut report = Box::new(Report {
        head: ReportHead { first: sector, zones: most, flags: 0 },
        zones: [ReportedZone::default(); MOST_REPORTED],
    });
    // SAFETY: the request reads the head of a report where the argument points, and writes it and behind it as many zones
    // as the head says, for which there is room. All of it lives during the call, and is numbers only.
    again(|| checked(unsafe { libc::ioctl(file.as_raw_fd(), REPORT, &raw mut *report) }))?;
    let count = report.head.zones.min(most) as usize;
    let mut zones = report.zones.get(..count).unwrap_or_default().to_vec();
    if report.head.flags & HAS_CAPACITY == 0 {
        // An older system: all of a zone can be written.
        zones.iter_mut().for_each(|zone| zone.capacity = zone.len);
    }
    Ok(zones)
}

/// Does something to all zones in a range, which has to be whole zones. A reset of the whole device leaves those alone
/// that cannot be reset.
pub(in crate::backend) fn manage_zones(file: &File, command: ZoneCommand, first: u64, count: u64) -> io::Result<()> {
    let range = SectorRange { first, count };
    let request = libc::_IOW::<SectorRange>(GROUP, command as u32);
    // SAFETY: all of these read two numbers of 64 bits from where the argument points, which live during the call; a range
    // that is wrong is refused.
    again(|| checked(unsafe { libc::ioctl(file.as_raw_fd(), request, &raw const range) }))
}
