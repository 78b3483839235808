//! Resets while hundreds of requests are with real storage: nothing is written to the driver's memory afterwards.

use std::fs;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use virtio_blk::{Block, BlockBackend, BlockQueue, Completion, Operation};
use virtio_core::testing::{Buffer, RingDriver, SplitDriver, TestMemory};
use virtio_core::{DeviceHost, Features, InlineRuntime, Runtime, ThreadRuntime};

use crate::image::{Image, Way, left_out, times};
use crate::ports::{Mmio, Pci};
use crate::rig::*;
use crate::talk::Random;

/// How many resets each test does: more for those who have time.
const ROUNDS: &str = "VIRTIO_RESET_ROUNDS";
const QUEUES: u16 = 4;
const SIZE: u16 = 256;
const LEN: u32 = 8192;
const FEATURES: Features = Features::from_bits(1 << 32 | 1 << 28 | 1 << 29 | 1 << 12 | 1 << 9);
/// What the driver has the device write to the disk.
const WRITTEN: u8 = 0x5c;
/// What the driver has in its memory when it uses it for something else.
const OTHER: u8 = 0xa5;

/// Where the data of one driver is, and what else the device may write.
struct Places {
    drivers: Vec<SplitDriver>,
    /// Header, indirect table and room, for each request.
    requests: Vec<(u64, u64, u64)>,
}

impl Places {
    fn new<P: Split>(rig: &Rig<P>) -> Places {
        let drivers = (0..QUEUES).map(|queue| rig.enable(queue, SIZE, FEATURES)).collect();
        let memory = &rig.memory;
        let request = |_| (memory.alloc(16, 16), memory.alloc(64, 16), memory.alloc(u64::from(LEN) + 1, 4096));
        Places { drivers, requests: (0..QUEUES * SIZE).map(request).collect() }
    }

    fn fill<P: Split>(&mut self, rig: &Rig<P>, kind: u32, random: &mut Random, sectors: u64) {
        for (n, (header_at, table, data)) in self.requests.iter().enumerate() {
            let sector = random.below((sectors - 32) / 8) * 8;
            rig.memory.write(*header_at, &header(kind, sector));
            if kind == OUT {
                rig.memory.write(*data, &[WRITTEN; LEN as usize]);
            }
            rig.memory.write(data + u64::from(LEN), &[UNTOUCHED]);
            let driver = &mut self.drivers[n % usize::from(QUEUES)];
            let chain = [
                Buffer::readable(*header_at, 16),
                Buffer { address: *data, len: LEN, writable: kind == IN },
                Buffer::writable(data + u64::from(LEN), 1),
            ];
            driver.add_table(*table, &chain).expect("room in the ring");
        }
    }

    fn kick<P: Split>(&mut self, rig: &Rig<P>) {
        for (queue, driver) in (0..).zip(&mut self.drivers) {
            driver.kick(|| rig.port.notify(queue));
        }
    }

    /// Requests that the device has not given back.
    fn in_flight(&self) -> usize {
        let back: u32 = self.drivers.iter().map(|driver| u32::from(driver.used_index())).sum();
        self.requests.len() - back as usize
    }

    /// Rings, data and statuses: all that the device could have written, and has read.
    fn areas(&self) -> Vec<(u64, usize)> {
        let rings = self.drivers.iter().map(|driver| (driver.areas().2, 6 + 8 * usize::from(SIZE)));
        rings.chain(self.requests.iter().map(|(_, _, data)| (*data, LEN as usize + 1))).collect()
    }
}

#[track_caller]
fn poll_until<P: Split>(rig: &Rig<P>, mut so: impl FnMut() -> bool) {
    let limit = Instant::now() + Duration::from_secs(60);
    while !so() {
        rig.runtime.poll();
        assert!(Instant::now() < limit, "it does not come about");
        std::thread::yield_now();
    }
}

/// Whether a thread of this program has that name.
fn has_thread(name: &str) -> bool {
    let threads = fs::read_dir("/proc/self/task").expect("threads").flatten();
    threads.flat_map(|thread| fs::read_to_string(thread.path().join("comm"))).any(|comm| comm.trim().starts_with(name))
}

/// The driver lets go of the device in the middle of all, and uses its memory for something else.
fn rounds<P: Split>(kind: u32, threads: Option<&str>, unbind: bool) {
    let content = pattern(32 << 20, 7);
    let image = Image::on_disk(&content);
    let sectors = content.len() as u64 / 512;
    let mut random = Random(threads.map_or(1, |name| name.len() as u64) + u64::from(unbind));
    let mut in_flight = Vec::new();
    let all = times(ROUNDS, 20);
    let mut many = 0;
    // The storage may have been quicker than the driver; on a busy machine it is more often.
    for round in 0..10 * all {
        if round >= all && many >= all / 2 {
            break;
        }
        let Some(disk) = Way::Uring.open(&image, true) else {
            return left_out("the file system has no direct I/O");
        };
        let block = Block::builder(disk).queues(QUEUES).queue_size(SIZE).merge(false).build().expect("a device");
        let (handle, memory, inline) = (block.handle(), TestMemory::new(32 << 20), InlineRuntime::new());
        let runtime: Arc<dyn Runtime> = match threads {
            Some(name) => Arc::new(ThreadRuntime::named(name)),
            None => Arc::new(inline.clone()),
        };
        let host = DeviceHost::builder(block, memory.ram().clone(), runtime)
            .reset_wait(Duration::from_millis(1))
            .reset_limit(Duration::from_secs(60));
        let rig = Rig { port: P::connect(host), handle, memory, runtime: inline };
        assert!(rig.negotiate(FEATURES));
        let mut places = Places::new(&rig);
        rig.go();
        places.fill(&rig, kind, &mut random, sectors);
        places.kick(&rig);
        rig.runtime.poll();
        // Some rounds at once, some when a part has come back.
        let part = random.below(200) as usize;
        if round % 2 == 1 {
            poll_until(&rig, || places.in_flight() + part <= places.requests.len());
        }
        in_flight.push(places.in_flight());
        many += u64::from(places.in_flight() >= 200);
        rig.port.set_status(0);
        poll_until(&rig, || rig.port.status() == 0);
        let areas = places.areas();
        for (at, len) in &areas {
            rig.memory.write(*at, &vec![OTHER; *len]);
        }
        let untouched = |memory: &TestMemory| {
            for (at, len) in &areas {
                assert!(
                    memory.bytes(*at, *len).iter().all(|byte| *byte == OTHER),
                    "written after the reset, at {at:#x}"
                );
            }
        };
        untouched(&rig.memory);
        // A driver that is unbound leaves the device alone from then on.
        if !unbind {
            // The same storage does something else meanwhile.
            assert!(rig.negotiate(FEATURES));
            let mut places = Places::new(&rig);
            rig.go();
            places.fill(&rig, IN, &mut random, sectors);
            places.kick(&rig);
            poll_until(&rig, || places.in_flight() == 0);
            assert!(places.requests.iter().all(|request| rig.memory.bytes(request.2 + u64::from(LEN), 1) == [OK]));
            untouched(&rig.memory);
        }
        let Rig { port, memory, handle, .. } = rig;
        drop((port, handle));
        if let Some(name) = threads {
            let limit = Instant::now() + Duration::from_secs(60);
            while has_thread(name) {
                assert!(Instant::now() < limit, "a thread of a queue does not end");
                std::thread::yield_now();
            }
        }
        untouched(&memory);
        // Each sector is as it was, or as it was to be written before the reset.
        let now = image.content();
        let mut sectors = now.chunks(512).zip(content.chunks(512));
        assert!(sectors.all(|(now, before)| now == before || now == [WRITTEN; 512]), "written after the reset");
    }
    assert_eq!(kind == OUT, image.content() != content, "whether anything was written");
    println!("requests in flight at each reset: {in_flight:?}");
    assert!(many >= all / 2, "hundreds at once, mostly: {in_flight:?}");
}

// spec: BASIC-RESET-01
#[test]
fn basic_reset_02_nothing_is_written_after_a_reset() {
    rounds::<Mmio>(IN, None, false);
}

#[test]
fn basic_reset_02_nothing_is_written_after_a_reset_over_pci() {
    rounds::<Pci>(IN, None, false);
}

#[test]
fn basic_reset_02_nothing_is_written_after_a_reset_of_threads() {
    rounds::<Mmio>(IN, Some("blk-reset"), false);
}

#[test]
fn basic_reset_02_nothing_is_written_after_the_driver_has_gone() {
    rounds::<Pci>(IN, Some("blk-unbind"), true);
}

#[test]
fn basic_reset_02_nothing_is_read_for_writes_after_a_reset() {
    rounds::<Mmio>(OUT, None, false);
}

#[test]
fn basic_reset_02_nothing_is_read_for_writes_after_a_reset_of_threads() {
    rounds::<Mmio>(OUT, Some("blk-rewrite"), false);
}

/// Lets go some time after it was told to, which nobody but its deadline says.
#[derive(Default)]
#[allow(clippy::vec_box)] // an operation stays in its box
struct LetsGoLater {
    taken: Vec<Box<Operation>>,
    until: Option<Instant>,
}

impl BlockQueue for LetsGoLater {
    fn submit(&mut self, operation: Box<Operation>) {
        self.taken.push(operation);
    }

    fn deadline(&self) -> Option<Instant> {
        self.until
    }

    fn completions(&mut self, most: usize, done: &mut dyn FnMut(Completion)) {
        if self.until.is_some_and(|time| Instant::now() >= time) {
            let cancelled = || Err(io::Error::from_raw_os_error(libc::ECANCELED).into());
            let most = most.min(self.taken.len());
            self.taken.drain(..most).for_each(|operation| done(Completion { operation, result: cancelled() }));
        }
    }

    fn cancel(&mut self) {
        self.until.get_or_insert_with(|| Instant::now() + Duration::from_millis(5));
    }
}

struct Later;

impl BlockBackend for Later {
    fn size(&self) -> io::Result<u64> {
        Ok(1 << 20)
    }

    fn open_queue(&self, _: u16) -> io::Result<Box<dyn BlockQueue>> {
        Ok(Box::new(LetsGoLater::default()))
    }
}

#[test]
fn basic_reset_02_a_reset_comes_back_to_storage_that_lets_go_later() {
    let block = Block::builder(Arc::new(Later)).queues(QUEUES).queue_size(SIZE).build().expect("a device");
    let (handle, memory, inline) = (block.handle(), TestMemory::new(32 << 20), InlineRuntime::new());
    let host = DeviceHost::builder(block, memory.ram().clone(), Arc::new(ThreadRuntime::new()))
        .reset_wait(Duration::from_millis(1))
        .reset_limit(Duration::from_secs(60));
    let rig: Rig<Mmio> = Rig { port: Mmio::connect(host), handle, memory, runtime: inline };
    assert!(rig.negotiate(FEATURES));
    let mut places = Places::new(&rig);
    rig.go();
    places.fill(&rig, IN, &mut Random(1), 2048);
    places.kick(&rig);
    rig.port.set_status(0);
    poll_until(&rig, || rig.port.status() == 0);
}
