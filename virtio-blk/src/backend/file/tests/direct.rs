use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use super::super::super::bench::perform;
use super::super::super::sys;
use super::super::super::{BlockBackend, Operation, OperationKind};
use super::super::disk::{Direct, Disk};
use super::super::{FileBackend, FileOptions, OpenError};
use super::{Image, Rig, folders, pattern};

/// Opens an image for direct I/O, unless its file system has none, which has to be said then.
fn direct(image: &Image) -> Option<FileBackend> {
    match FileOptions::new().direct(true).open(&image.0) {
        Ok(backend) => Some(backend),
        Err(error) => {
            assert!(matches!(&error, OpenError::Direct { path } if *path == image.0), "{error}");
            assert!(error.to_string().contains("O_DIRECT") && error.to_string().contains("ext4"), "{error}");
            None
        }
    }
}

/// A number that looks like chance.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

#[test]
fn the_file_is_open_directly_and_not() {
    for folder in folders() {
        let image = Image::under(&folder, &pattern(65536, 1));
        let Some(backend) = direct(&image) else {
            continue;
        };
        let flags = |file| sys::open_flags(file).unwrap() & libc::O_DIRECT;
        assert_eq!(flags(backend.disk().file()), libc::O_DIRECT);
        assert_eq!(flags(backend.disk().buffered()), 0);
        let plain = FileOptions::new().lock(false).open(&image.0).expect("an image");
        assert_eq!((flags(plain.disk().file()), flags(plain.disk().buffered())), (0, 0));
    }
}

#[test]
fn what_is_not_aligned_is_done_as_well() {
    for folder in folders() {
        let image = Image::under(&folder, &pattern(65536, 1));
        let Some(backend) = direct(&image) else {
            continue;
        };
        let mut rig = Rig::new(&backend);
        let (at, mut expected) = (rig.bench.memory.alloc(65536, 4096), image.content());
        // Where in the file, and pieces of memory: by address and length.
        let cases: &[(u64, &[(u64, u32)])] = &[
            (0, &[(0, 4096)]),
            (4096, &[(4096, 8192)]),
            (512, &[(0, 512)]),
            (512, &[(1, 512)]),
            (4096, &[(3, 4096)]),
            (4096, &[(0, 100), (200, 3996)]),
            (8192, &[(0, 4096), (4097, 4096)]),
            (61440 + 512, &[(0, 3584)]),
            (65536 - 512, &[(510, 512)]),
        ];
        for (round, (offset, pieces)) in cases.iter().enumerate() {
            let pieces: Vec<_> = pieces.iter().map(|(address, len)| (at + address, *len)).collect();
            let len: usize = pieces.iter().map(|(_, len)| *len as usize).sum();
            let data = pattern(len, 100 + round as u8);
            let mut rest = &data[..];
            for (address, len) in &pieces {
                let (piece, others) = rest.split_at(*len as usize);
                rig.bench.memory.write(*address, piece);
                rest = others;
            }
            let kind = OperationKind::Write { durable: round % 2 == 0 };
            let write = rig.bench.operation(0, kind, *offset, &pieces);
            assert_eq!(perform(&mut *rig.queue, write).unwrap(), len as u64);
            expected[*offset as usize..*offset as usize + len].copy_from_slice(&data);
            assert!(image.content() == expected, "round {round}");

            for (address, len) in &pieces {
                rig.bench.memory.write(*address, &vec![0; *len as usize]);
            }
            let read = rig.bench.operation(0, OperationKind::Read, *offset, &pieces);
            assert_eq!(perform(&mut *rig.queue, read).unwrap(), len as u64);
            let got: Vec<u8> =
                pieces.iter().flat_map(|(address, len)| rig.bench.memory.bytes(*address, *len as usize)).collect();
            assert!(got == data, "round {round}");
        }
        assert_eq!(rig.range(OperationKind::Flush, 0, 0).unwrap(), 0);
    }
}

#[test]
fn both_ways_show_the_same_disk() {
    const SIZE: u64 = 256 << 10;
    for folder in folders() {
        let image = Image::under(&folder, &pattern(SIZE as usize, 9));
        let Some(backend) = direct(&image) else {
            continue;
        };
        let mut rig = Rig::new(&backend);
        let (at, mut expected) = (rig.bench.memory.alloc(40 << 10, 4096), image.content());
        let (mut state, mut ways) = (42, [0; 2]);
        for round in 0..1500u32 {
            let unit = if next(&mut state).is_multiple_of(2) { 4096 } else { 512 };
            let len = (1 + next(&mut state) % 8) * unit;
            let offset = next(&mut state) % ((SIZE - len) / unit + 1) * unit;
            let address = at + if next(&mut state).is_multiple_of(4) { 1 + next(&mut state) % 511 } else { 0 };
            let range = offset as usize..(offset + len) as usize;
            let operation = match next(&mut state) % 8 {
                0..3 => {
                    let data = pattern(len as usize, round as u8);
                    rig.bench.memory.write(address, &data);
                    expected[range.clone()].copy_from_slice(&data);
                    let kind = OperationKind::Write { durable: false };
                    rig.bench.operation(0, kind, offset, &[(address, len as u32)])
                }
                3 => {
                    expected[range.clone()].fill(0);
                    let kind = OperationKind::WriteZeroes { unmap: round % 2 == 0, durable: false };
                    rig.bench.range(0, kind, offset, len)
                }
                _ => rig.bench.operation(0, OperationKind::Read, offset, &[(address, len as u32)]),
            };
            ways[usize::from(backend.disk().takes_direct(&operation))] += 1;
            let read = operation.kind() == OperationKind::Read;
            assert_eq!(perform(&mut *rig.queue, operation).unwrap(), len);
            if read {
                assert!(rig.bench.memory.bytes(address, len as usize) == expected[range], "round {round}");
            }
        }
        assert!(image.content() == expected);
        assert!(ways[1] > 100, "only {} of 1500 were taken directly", ways[1]);
    }
}

#[test]
fn alignment_is_that_of_offset_addresses_and_lengths() {
    let image = Image::new(&pattern(65536, 1));
    let plain = FileBackend::open(&image.0).expect("an image");
    let mut rig = Rig::new(&plain);
    let at = rig.bench.memory.alloc(65536, 4096);
    let mut read = |offset, pieces: &[(u64, u32)]| {
        let pieces: Vec<_> = pieces.iter().map(|(address, len)| (at + address, *len)).collect();
        rig.bench.operation(0, OperationKind::Read, offset, &pieces)
    };
    let aligned = [read(0, &[(0, 4096)]), read(8192, &[(4096, 4096), (16384, 8192)])];
    let odd = [read(4096, &[(1, 4096)]), read(4096, &[(0, 100), (200, 3996)]), read(0, &[(0, 4096), (8191, 4096)])];
    assert!(aligned.iter().chain(&odd).all(|operation| plain.disk().takes_direct(operation)));
    drop((rig, plain));
    if let Some(backend) = direct(&image) {
        let takes = |operation: &Operation| backend.disk().takes_direct(operation);
        assert!(aligned.iter().all(|operation| takes(operation)));
        assert!(!odd.iter().any(|operation| takes(operation)));
        let disk = backend.disk();
        let way = |operation: &Operation| disk.way(operation.io_slices(), operation.offset()).as_raw_fd();
        assert!(aligned.iter().all(|operation| way(operation) == disk.file().as_raw_fd()));
        assert!(odd.iter().all(|operation| way(operation) == disk.buffered().as_raw_fd()));
    }
}

#[test]
fn storage_that_is_stricter_than_it_says_is_used_the_other_way() {
    let image = Image::new(&pattern(65536, 1));
    if direct(&image).is_none() {
        return;
    }
    let file = std::fs::OpenOptions::new().read(true).write(true).custom_flags(libc::O_DIRECT).open(&image.0);
    // Takes everything, it says.
    let anything = Direct { buffered: image.file(), memory: 1, offset: 1, bounce: false };
    let disk = Disk::new(file.expect("the image"), false, true).with_direct(anything);
    let mut rig = Rig::new(&FileBackend::from_file(image.file()).expect("an image"));
    let at = rig.bench.memory.alloc(8192, 4096);
    for (offset, address, len) in [(4096, at + 1, 4096), (512, at, 512), (0, at + 3, 1536)] {
        let data = pattern(len, 9);
        rig.bench.memory.write(address, &data);
        let kind = OperationKind::Write { durable: true };
        let write = rig.bench.operation(0, kind, offset, &[(address, len as u32)]);
        assert_eq!(disk.perform(&write).expect("a write"), len as u64);
        assert!(image.content()[offset as usize..offset as usize + len] == data);
        rig.bench.memory.write(address, &vec![0; len]);
        let read = rig.bench.operation(0, OperationKind::Read, offset, &[(address, len as u32)]);
        assert_eq!(disk.perform(&read).expect("a read"), len as u64);
        assert!(rig.bench.memory.bytes(address, len) == data);
    }
}

#[test]
fn a_disk_may_end_inside_of_a_block() {
    for folder in folders() {
        let image = Image::under(&folder, &pattern(9 * 512, 1));
        let Some(backend) = direct(&image) else {
            continue;
        };
        assert_eq!(backend.size().unwrap(), 9 * 512);
        let mut rig = Rig::new(&backend);
        for (offset, len) in [(0, 9 * 512), (4096, 512), (8 * 512, 512)] {
            let (result, data) = rig.read(offset, len);
            assert_eq!(result.unwrap(), u64::from(len));
            assert!(data == image.content()[offset as usize..(offset as u32 + len) as usize]);
        }
        assert_eq!(rig.write(4096, &pattern(512, 3)).unwrap(), 512);
        assert_eq!(image.content()[4096..], pattern(512, 3));
        // Aligned, and longer than what there is.
        assert_eq!(rig.read(4096, 4096).0.unwrap(), 512);
        assert_eq!(rig.write(4096, &[0; 4096]).unwrap(), 0);
        assert_eq!(image.content().len(), 9 * 512);
    }
}

#[test]
fn an_open_file_is_taken_directly_or_made_so() {
    let image = Image::new(&pattern(65536, 1));
    let open = |flags| {
        std::fs::OpenOptions::new().read(true).write(true).custom_flags(flags).open(&image.0).expect("the image")
    };
    if direct(&image).is_none() {
        return;
    }
    let given = FileBackend::from_file(open(libc::O_DIRECT)).expect("an image");
    let made = FileOptions::new().direct(true).lock(false).from_file(open(0)).expect("an image");
    for backend in [given, made] {
        let flags = |file| sys::open_flags(file).unwrap() & libc::O_DIRECT;
        assert_eq!(flags(backend.disk().file()), libc::O_DIRECT);
        assert_eq!(flags(backend.disk().buffered()), 0);
        let mut rig = Rig::new(&backend);
        assert_eq!(rig.write(512, &pattern(1024, 5)).unwrap(), 1024);
        assert_eq!(rig.write(4096, &pattern(4096, 6)).unwrap(), 4096);
        assert_eq!(image.content()[512..1536], pattern(1024, 5));
        assert_eq!(image.content()[4096..8192], pattern(4096, 6));
        open(0).write_all_at(&pattern(65536, 1), 0).expect("the image");
    }
    let read_only = FileOptions::new().direct(true).read_only(true).open(&image.0).expect("an image");
    assert!(read_only.capabilities().read_only);
    assert!(Rig::new(&read_only).read(0, 4096).1 == image.content()[..4096]);
}

#[test]
fn a_file_system_without_direct_io_is_named() {
    // What the kernel shows of itself is in regular files, and was never on a disk.
    let status = Path::new("/proc/self/status");
    if !status.exists() {
        return super::left_out("there is no /proc");
    }
    let error = FileOptions::new().direct(true).read_only(true).lock(false).open(status).expect_err("no disk");
    assert!(matches!(&error, OpenError::Direct { path } if path == status), "{error}");
    assert!(error.to_string().contains("O_DIRECT"), "{error}");
}

#[test]
fn where_order_matters_data_that_is_not_aligned_is_copied() {
    const SIZE: usize = 4 << 20;
    for folder in folders() {
        let image = Image::under(&folder, &pattern(SIZE, 1));
        let Some(backend) = direct(&image) else {
            continue;
        };
        let file = std::fs::OpenOptions::new().read(true).write(true).custom_flags(libc::O_DIRECT).open(&image.0);
        // What goes through the page cache is seen in another file.
        let other = Image::new(&[0; 65536]);
        let direct = Direct { buffered: other.file(), memory: 4096, offset: 4096, bounce: true };
        let disk = Disk::new(file.expect("the image"), false, true).with_direct(direct);
        let mut rig = Rig::new(&backend);
        let (at, mut expected) = (rig.bench.memory.alloc(SIZE as u64, 4096), image.content());
        // Where in the file, and pieces of memory: by address and length.
        let cases: &[(u64, &[(u64, u32)])] = &[
            (0, &[(0, 4096)]),
            (4096, &[(1, 4096)]),
            (8192, &[(0, 100), (200, 3996), (5000, 4096)]),
            (65536, &[(0, 1 << 20), ((1 << 20) + 3, 1 << 20), (3 << 20, 4096)]),
        ];
        for (round, (offset, pieces)) in cases.iter().enumerate() {
            let pieces: Vec<_> = pieces.iter().map(|(address, len)| (at + address, *len)).collect();
            let len: usize = pieces.iter().map(|(_, len)| *len as usize).sum();
            let data = pattern(len, 70 + round as u8);
            let mut rest = &data[..];
            for (address, len) in &pieces {
                let (piece, others) = rest.split_at(*len as usize);
                rig.bench.memory.write(*address, piece);
                rest = others;
            }
            let write = rig.bench.operation(0, OperationKind::Write { durable: false }, *offset, &pieces);
            assert_eq!(disk.perform(&write).expect("a write"), len as u64);
            expected[*offset as usize..*offset as usize + len].copy_from_slice(&data);
            assert!(image.content() == expected, "round {round}");
            // Reads need not even be whole blocks.
            for (offset, len) in [(*offset, len), (offset + 512, len - 1024), (offset + 3584, 512)] {
                rig.bench.memory.write(at + 1, &vec![0; len]);
                let read = rig.bench.operation(0, OperationKind::Read, offset, &[(at + 1, len as u32)]);
                assert_eq!(disk.perform(&read).expect("a read"), len as u64);
                assert!(rig.bench.memory.bytes(at + 1, len) == expected[offset as usize..offset as usize + len]);
            }
        }
        // The end of the file.
        let read = rig.bench.operation(0, OperationKind::Read, SIZE as u64 - 512, &[(at + 1, 4096)]);
        assert_eq!(disk.perform(&read).expect("a read"), 512);
        assert!(other.content() == [0; 65536], "nothing went through the page cache");
        // Only parts of blocks do, for which no order matters.
        let write = rig.bench.operation(0, OperationKind::Write { durable: false }, 512, &[(at, 512)]);
        assert_eq!(disk.perform(&write).expect("a write"), 512);
        assert!(image.content() == expected && other.content()[..512] == [0; 512]);
        assert!(other.content()[512..1024] == rig.bench.memory.bytes(at, 512));
    }
}
