//! Tests of the memory map, of the boot parameters and of where an initrd goes.

use std::io::Write;

use linux_loader::loader::bootparam::setup_header;
use vmm_sys_util::tempfile::TempFile;

use super::e820::{Kind, map};
use super::kernel::{Initrd, load, place_initrd};
use crate::error::Error;
use crate::layout::{ACPI_TABLES, COMMAND_LINE, ECAM, HIGH_MEMORY, HIGH_RAM_START, LOW_RAM_END};
use crate::memory;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

#[test]
fn the_map_is_sorted_and_without_overlaps() {
    for size in [32 * MIB, 3 * GIB - 4096, 3 * GIB, 3 * GIB + 4096, 64 * GIB] {
        let map = map(size);
        for range in &map {
            assert!(range.start < range.end, "{range:x?}");
        }
        for pair in map.windows(2) {
            assert!(pair[0].end <= pair[1].start, "{pair:x?}");
        }
    }
}

#[test]
fn the_map_covers_all_memory_but_the_legacy_area() {
    for size in [32 * MIB, 3 * GIB, 5 * GIB] {
        let ram: u64 =
            map(size).iter().filter(|range| range.kind == Kind::Ram).map(|range| range.end - range.start).sum();
        assert_eq!(ram, size - HIGH_MEMORY + 0x9_fc00);
    }
}

#[test]
fn tables_and_ecam_are_reserved() {
    let map = map(256 * MIB);
    for address in [ACPI_TABLES, HIGH_MEMORY - 1, ECAM] {
        let range = map.iter().find(|range| (range.start..range.end).contains(&address));
        assert_eq!(range.map(|range| range.kind), Some(Kind::Reserved));
    }
}

#[test]
fn memory_leaves_the_hole_free() {
    assert_eq!(memory::regions(3 * GIB), [(0, LOW_RAM_END)]);
    assert_eq!(memory::regions(4 * GIB), [(0, LOW_RAM_END), (HIGH_RAM_START, GIB)]);
    assert_eq!(memory::end(256 * MIB), 256 * MIB);
    assert_eq!(memory::end(4 * GIB), HIGH_RAM_START + GIB);
}

#[test]
fn an_initrd_goes_as_high_as_the_kernel_reaches() {
    let header = setup_header { initrd_addr_max: 0x7fff_ffff, ..Default::default() };
    let place = |memory, size| place_initrd(&header, 32 * MIB, memory, size);
    let at = |address| Some(Initrd { address, size: 5000 });
    assert_eq!(place(64 * MIB, 5000), at(0x3ff_e000));
    assert_eq!(place(8 * GIB, 5000), at(0x7fff_e000));
    assert_eq!(place(32 * MIB, 5000), None);
    assert_eq!(place(64 * MIB, 33 * MIB), None);
    assert_eq!(place(64 * MIB, 1 << 40), None);
}

#[test]
fn a_file_that_is_no_kernel_is_refused() {
    let memory = memory::map(32 * MIB).unwrap();
    let file = TempFile::new().unwrap();
    file.as_file().write_all(&[0x55; 4096]).unwrap();
    assert!(matches!(load(&memory, file.as_path()), Err(Error::NotAKernel { .. })));
    let missing = std::path::Path::new("/there/is/no/such/kernel");
    let Err(error) = load(&memory, missing) else {
        panic!("loaded");
    };
    assert_eq!(error.exit_code(), 2);
    assert!(error.to_string().contains("/there/is/no/such/kernel"));
}

#[test]
fn the_zero_page_points_at_everything() {
    let kernel = tiny_kernel();
    let memory = memory::map(32 * MIB).unwrap();
    let kernel = load(&memory, kernel.as_path()).unwrap();
    let initrd = Initrd { address: 0x180_0000, size: 77 };
    let params = super::params::zero_page(&kernel, Some(initrd), 32 * MIB);
    let (header, entries) = (params.hdr, params.e820_entries);
    assert_eq!(kernel.entry, HIGH_MEMORY + 0x200);
    assert_eq!({ header.cmd_line_ptr }, COMMAND_LINE as u32);
    assert_eq!(({ header.ramdisk_image }, { header.ramdisk_size }), (0x180_0000, 77));
    assert_eq!({ params.acpi_rsdp_addr }, ACPI_TABLES);
    assert_eq!(usize::from(entries), map(32 * MIB).len());
}

/// The least that the loader takes for a 64-bit bzImage.
pub(crate) fn tiny_kernel() -> TempFile {
    let mut image = vec![0; 4096];
    image[0x1f1] = 1;
    image[0x202..0x206].copy_from_slice(b"HdrS");
    image[0x206..0x208].copy_from_slice(&0x020fu16.to_le_bytes());
    image[0x211] = 1;
    image[0x214..0x218].copy_from_slice(&0x10_0000u32.to_le_bytes());
    image[0x236] = 1;
    let file = TempFile::new().unwrap();
    file.as_file().write_all(&image).unwrap();
    file
}
