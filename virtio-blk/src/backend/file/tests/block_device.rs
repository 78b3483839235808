//! Loop devices stand for the block devices of a host. They need root.

use std::path::PathBuf;
use std::process::Command;

use super::super::super::{BlockBackend, OperationError, OperationKind, OperationResult};
use super::super::{FileBackend, FileOptions, OpenError};
use super::{Image, Rig, pattern};

struct Loop {
    path: PathBuf,
    image: Image,
}

impl Loop {
    fn new(size: usize, sector: u32) -> Loop {
        let image = Image::new(&pattern(size, 1));
        let sector = sector.to_string();
        let made = Command::new("losetup").args(["--find", "--show", "--sector-size", &sector]).arg(&image.0).output();
        let made = made.expect("losetup");
        assert!(made.status.success(), "losetup: {}", String::from_utf8_lossy(&made.stderr));
        Loop { path: PathBuf::from(String::from_utf8_lossy(&made.stdout).trim()), image }
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("--detach").arg(&self.path).status();
    }
}

#[test]
#[ignore = "needs root and loop devices"]
fn a_block_device_is_a_disk() {
    for sector in [512, 4096] {
        for direct in [false, true] {
            let device = Loop::new(1 << 20, sector);
            let backend = FileOptions::new().direct(direct).open(&device.path).expect("a disk");
            assert_eq!(backend.size().expect("a size"), 1 << 20);
            let can = backend.capabilities();
            assert_eq!((can.block_size, can.read_only), (sector, false));
            assert_eq!(can.topology.expect("a topology").physical_block_exp, 0);
            assert!(can.discard.is_some() && can.write_zeroes.is_some() && can.zeroes_may_unmap);
            assert_eq!(can.secure_erase, None);
            assert_eq!(backend.lifetime().expect("an answer"), None);
            let mut rig = Rig::new(&backend);
            let mut expected = pattern(1 << 20, 1);
            assert!(matches!(FileBackend::open(&device.path), Err(OpenError::Locked { writer: true, .. })));

            // Aligned to the device's blocks, and not.
            for (round, (offset, len)) in
                [(4096, 8192), (65536, 512), (65536 + 512, 3584), (131_072 + 1536, 20480)].into_iter().enumerate()
            {
                let data = pattern(len, 50 + round as u8);
                assert_eq!(rig.write(offset, &data).expect("a write"), len as u64);
                expected[offset as usize..offset as usize + len].copy_from_slice(&data);
                for (kind, at) in [
                    (OperationKind::WriteZeroes { unmap: true, durable: false }, offset + (256 << 10)),
                    (OperationKind::WriteZeroes { unmap: false, durable: true }, offset + (512 << 10)),
                ] {
                    assert_eq!(rig.range(kind, at, len as u64).expect("zeroes"), len as u64);
                    expected[at as usize..at as usize + len].fill(0);
                }
            }
            let (result, data) = rig.read(0, 1 << 20);
            assert_eq!(result.expect("a read"), 1 << 20);
            assert!(data == expected, "sectors of {sector}, direct {direct}");

            assert_eq!(rig.range(OperationKind::Discard, 768 << 10, 128 << 10).expect("a discard"), 128 << 10);
            // A hint that does not fit the device's blocks is none.
            assert_eq!(rig.range(OperationKind::Discard, 512, 512).expect("a discard"), 512);
            assert_eq!(rig.range(OperationKind::Flush, 0, 0).expect("a flush"), 0);
            let (_, data) = rig.read(0, 768 << 10);
            assert!(data[4096..] == expected[4096..768 << 10]);
            // The end of the device.
            for kind in [OperationKind::Discard, OperationKind::WriteZeroes { unmap: true, durable: false }] {
                assert_eq!(rig.range(kind, (1 << 20) - 4096, 8192).expect("an answer"), 0);
            }
            assert_eq!(rig.read((1 << 20) - 4096, 8192).0.expect("an answer"), 4096);
            let at_the_end: OperationResult = rig.write(1 << 20, &[1; 4096]);
            assert!(!matches!(at_the_end, Ok(4096)));
            drop((rig, backend));
            assert!(device.image.content()[4096..768 << 10] == expected[4096..768 << 10]);
        }
    }
}

#[test]
#[ignore = "needs root and loop devices"]
fn a_block_device_that_cannot_erase_says_so() {
    let device = Loop::new(1 << 20, 512);
    let backend = FileOptions::new().secure_erase(true).open(&device.path).expect("a disk");
    assert!(backend.capabilities().secure_erase.is_some());
    let mut rig = Rig::new(&backend);
    let erased = rig.range(OperationKind::SecureErase, 0, 65536);
    assert!(matches!(erased, Err(OperationError::Unsupported)), "{erased:?}");
    assert!(rig.read(0, 65536).1 == pattern(1 << 20, 1)[..65536]);
    assert_eq!(rig.range(OperationKind::SecureErase, 1 << 20, 512).expect("an answer"), 0);
    drop((rig, backend));
    let can = FileBackend::open_read_only(&device.path).expect("a disk").capabilities();
    assert_eq!((can.read_only, can.discard, can.secure_erase), (true, None, None));
}
