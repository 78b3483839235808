//! A balloon beside a disk that has guest memory registered with the kernel.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};

use virtio_blk::{Block, FileBackend, UringBackend};
use virtio_core::testing::{Buffer, RingDriver, TestMemory};
use vm_memory::{FileOffset, GuestAddress, GuestMemoryMmap};

use crate::image::Image;
use crate::ports::Mmio;
use crate::rig::*;
use crate::sys::punch;
use crate::talk::{live, reset};

const PAGE: u64 = 4096;
/// Small, so that it may be locked.
const MEMORY: usize = 2 << 20;

/// Gives a page of guest memory back, unless somebody relies on it; whether it did.
fn balloon(memory: &TestMemory, file: &File, page: u64) -> bool {
    memory.ram().discard(|| punch(file, page, PAGE).expect("the page goes")).is_some()
}

/// A disk that registers guest memory, that memory, and its file.
fn disk() -> (Rig<Mmio>, File, Image) {
    let shm = Path::new("/dev/shm");
    let place = if shm.is_dir() { Image::under(shm, &[]) } else { Image::new(&[]) };
    let file = place.file();
    file.set_len(MEMORY as u64).expect("a sparse file");
    let mapped = FileOffset::new(place.file(), 0);
    let mmap =
        GuestMemoryMmap::from_ranges_with_files([(GuestAddress(0), MEMORY, Some(mapped))]).expect("a mapped file");
    let memory = TestMemory::over(&mmap);
    let image = Image::new(&pattern(1 << 20, 3));
    let disk = UringBackend::builder(FileBackend::open(&image.0).expect("an image"));
    let disk = disk.fixed_buffers(memory.ram().clone()).build();
    let block = Block::builder(disk).merge(false).build().expect("a device");
    let rig = Rig::<Mmio>::with(block, memory, |host| host.reset_limit(std::time::Duration::from_secs(20)));
    (rig, file, image)
}

#[test]
fn a_balloon_gives_nothing_back_while_memory_is_registered() {
    let (rig, file, image) = disk();
    let page = rig.memory.alloc(PAGE, PAGE);

    for round in 1..4u8 {
        // Nobody relies on the memory yet, and what is discarded is read into again.
        rig.memory.write(page, &[round; PAGE as usize]);
        assert!(balloon(&rig.memory, &file, page), "before the device lives");
        assert_eq!(rig.memory.bytes(page, 1), [0]);

        let mut talk = live(&rig, USUAL);
        assert!(rig.memory.ram().discards_inhibited(), "from its begin on; is RLIMIT_MEMLOCK below 4 MiB?");
        for n in 0..16u64 {
            talk.ask(&rig, IN, n * 8, &[], PAGE as usize);
            talk.ask(&rig, OUT, 1024 + n * 8, &pattern(PAGE as usize, n as u8 ^ round), 0);
            // The page that the kernel has is the page that the driver sees.
            assert!(!balloon(&rig.memory, &file, page));
        }
        let answers = talk.answers(&rig);
        for (n, pair) in answers.chunks(2).enumerate() {
            assert_eq!((pair[0].status, pair[1].status), (OK, OK));
            assert!(pair[0].data == image.content()[n * PAGE as usize..][..PAGE as usize]);
            let mut written = vec![0; PAGE as usize];
            image.file().read_exact_at(&mut written, 1024 * 512 + n as u64 * PAGE).expect("the image");
            assert!(written == pattern(PAGE as usize, n as u8 ^ round));
        }
        assert!(rig.memory.ram().discards_inhibited(), "until it ends");
        reset(&rig);
        assert!(!rig.memory.ram().discards_inhibited(), "the reset lets go of it");
    }
}

/// Says that a test has ended, be it by a failure.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

#[test]
fn a_balloon_on_another_thread_never_comes_between() {
    let (rig, file, image) = disk();
    let page = rig.memory.alloc(PAGE, PAGE);
    let header_at = rig.memory.alloc(16, 16);
    let status = rig.memory.alloc(1, 1);
    let content = image.content();
    let (end, given) = (AtomicBool::new(false), AtomicU32::new(0));
    std::thread::scope(|scope| {
        let _end = Ends(&end);
        scope.spawn(|| {
            while !end.load(SeqCst) {
                given.fetch_add(balloon(&rig.memory, &file, page).into(), SeqCst);
            }
        });
        for round in 0..100u64 {
            let before = given.load(SeqCst);
            assert!(rig.negotiate(USUAL));
            let mut driver = rig.enable(0, 16, USUAL);
            rig.go();
            rig.runtime.poll();
            assert!(rig.memory.ram().discards_inhibited());
            rig.memory.write(header_at, &header(IN, round * 8));
            let chain =
                [Buffer::readable(header_at, 16), Buffer::writable(page, PAGE as u32), Buffer::writable(status, 1)];
            driver.add(&chain).expect("room in the ring");
            driver.kick(|| rig.port.notify(0));
            while driver.used().is_none() {
                rig.runtime.poll();
            }
            // The page that the kernel had is the page that the driver sees.
            assert!(rig.memory.bytes(page, PAGE as usize) == content[(round * PAGE) as usize..][..PAGE as usize]);
            reset(&rig);
            while given.load(SeqCst) == before {
                std::thread::yield_now();
            }
        }
    });
}
