//! The process of the device is killed in the middle of all: every write that the driver has seen acknowledged is in the
//! file. Of an image that collects what it has to write down, every write before a flush that was.
//!
//! The memory of driver and device is a file, too, so that it outlives them, rings and all.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use virtio_blk::{
    Block, BlockBackend, BlockQueue, Completion, FileBackend, FileOptions, Operation, OperationKind, UringBackend,
};
use virtio_core::testing::{Buffer, RingDriver, SplitDriver, TestMemory};
use virtio_core::{DeviceHost, Features, InlineRuntime, ThreadRuntime};
use vm_memory::{FileOffset, GuestAddress, GuestMemoryMmap};

use crate::image::{Image, left_out, times};
use crate::ports::Mmio;
use crate::rig::*;
use crate::talk::Random;

/// Tells the process that is to be killed what to do.
const VARIABLE: &str = "VIRTIO_BLK_CRASH";
/// How often each kind of disk is killed: more for those who have time.
const ROUNDS: &str = "VIRTIO_CRASH_ROUNDS";
const MEMORY: usize = 16 << 20;
/// What is written at once: one block.
const BLOCK: usize = 4096;
const BLOCKS: usize = 512;
/// Requests that the driver tries to have with the device.
const DEPTH: usize = 200;
/// Requests that the device has to have when it is killed.
const ENOUGH: u16 = 32;
/// Writes that [`Early`] owes: more than the driver may not yet have seen the answers of.
const LATE: usize = DEPTH + 64;

/// Where in memory the driver keeps account: below what the allocator gives away.
const READY: u64 = 0;
const DONE: u64 = 8;
const AVAILABLE: u64 = 16;
const USED: u64 = 24;
const TABLES: u64 = 32;

/// Storage that can be killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    File,
    Uring,
    Direct,
    /// A qcow2 image.
    #[cfg(feature = "imago")]
    Qcow2,
    /// One that acknowledges first, and writes later.
    Early,
}

impl Way {
    const ALL: &[Way] = &[
        Way::File,
        Way::Uring,
        Way::Direct,
        #[cfg(feature = "imago")]
        Way::Qcow2,
        Way::Early,
    ];

    fn is_image(self) -> bool {
        #[cfg(feature = "imago")]
        return self == Way::Qcow2;
        #[cfg(not(feature = "imago"))]
        false
    }

    /// A new disk of zeros.
    fn create(self) -> Image {
        if !self.is_image() {
            return Image::on_disk(&vec![0; BLOCK * BLOCKS]);
        }
        let image = Image::on_disk(&[]);
        let size = (BLOCK * BLOCKS).to_string();
        let made = Command::new("qemu-img").args(["create", "-q", "-f", "qcow2"]).arg(&image.0).arg(size).status();
        assert!(made.expect("qemu-img").success());
        image
    }

    /// What is on the disk, which is in order.
    fn content(self, image: &Image) -> Result<Vec<u8>, String> {
        if !self.is_image() {
            return Ok(image.content());
        }
        let checked = Command::new("qemu-img").args(["check", "-f", "qcow2"]).arg(&image.0).output().expect("qemu-img");
        // Clusters that nobody uses are no corruption.
        if !matches!(checked.status.code(), Some(0 | 3)) {
            let [said, wrong] = [&checked.stdout, &checked.stderr].map(|bytes| String::from_utf8_lossy(bytes));
            return Err(format!("{}: {said}{wrong}", checked.status));
        }
        let raw = Image::on_disk(&[]);
        let read =
            Command::new("qemu-img").args(["convert", "-f", "qcow2", "-O", "raw"]).args([&image.0, &raw.0]).status();
        assert!(read.expect("qemu-img").success());
        Ok(raw.content())
    }

    fn open(self, path: &Path) -> Option<Arc<dyn BlockBackend>> {
        Some(match self {
            Way::File => Arc::new(FileBackend::open(path).expect("the image")),
            Way::Uring => Arc::new(UringBackend::new(FileBackend::open(path).expect("the image"))),
            Way::Direct => Arc::new(UringBackend::new(FileOptions::new().direct(true).open(path).ok()?)),
            #[cfg(feature = "imago")]
            Way::Qcow2 => {
                Arc::new(virtio_blk::ImageBackend::open(path, virtio_blk::ImageFormat::Qcow2).expect("an image"))
            }
            Way::Early => Arc::new(Early(Arc::new(open(path)))),
        })
    }
}

fn open(path: &Path) -> File {
    OpenOptions::new().read(true).write(true).open(path).expect("a file")
}

struct Early(Arc<File>);

struct EarlyQueue {
    file: Arc<File>,
    late: Vec<(u64, Vec<u8>)>,
    finished: Vec<Completion>,
}

impl BlockBackend for Early {
    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn open_queue(&self, _: u16) -> io::Result<Box<dyn BlockQueue>> {
        Ok(Box::new(EarlyQueue { file: Arc::clone(&self.0), late: Vec::new(), finished: Vec::new() }))
    }
}

impl BlockQueue for EarlyQueue {
    fn submit(&mut self, operation: Box<Operation>) {
        if let OperationKind::Write { .. } = operation.kind() {
            let mut data = vec![0; operation.len() as usize];
            operation.reader().read(&mut data).expect("held memory");
            self.late.push((operation.offset(), data));
            if self.late.len() > LATE {
                let (offset, data) = self.late.remove(0);
                self.file.write_all_at(&data, offset).expect("a write");
            }
        }
        let result = Ok(operation.len());
        self.finished.push(Completion { operation, result });
    }

    fn completions(&mut self, most: usize, done: &mut dyn FnMut(Completion)) {
        let most = most.min(self.finished.len());
        self.finished.drain(..most).for_each(done);
    }
}

/// Guest memory in a file.
fn memory(path: &Path) -> TestMemory {
    let file = FileOffset::new(open(path), 0);
    let ranges = [(GuestAddress(0), MEMORY, Some(file))];
    TestMemory::over(&GuestMemoryMmap::from_ranges_with_files(ranges).expect("a mapped file"))
}

fn load(memory: &TestMemory, at: u64) -> u64 {
    u64::from_le_bytes(memory.bytes(at, 8).try_into().unwrap())
}

fn store(memory: &TestMemory, at: u64, value: u64) {
    memory.write(at, &value.to_le_bytes());
}

/// The last write to a block that was begun, and the last that was acknowledged.
fn entries(tables: u64, block: usize) -> [u64; 2] {
    let begun = tables + 16 * block as u64;
    [begun, begun + 8]
}

/// For each block, the last write that was acknowledged before a flush that was.
fn flushed(tables: u64) -> u64 {
    tables + 16 * BLOCKS as u64
}

/// What a sector has that was written by this write: none of it is like that of any other.
fn sector(sector: u64, write: u64) -> [u8; 512] {
    let mut bytes = [0; 512];
    if write != 0 {
        let mut random = Random(sector ^ write.rotate_left(32));
        bytes.chunks_mut(8).for_each(|word| word.copy_from_slice(&random.next().to_le_bytes()));
        bytes[..8].copy_from_slice(&sector.to_le_bytes());
        bytes[8..16].copy_from_slice(&write.to_le_bytes());
    }
    bytes
}

/// Device and driver, until they are killed.
fn be_killed(orders: &str) {
    let orders: Vec<_> = orders.split('|').collect();
    let [image, place, way, flush] = orders[..] else { panic!("{orders:?}") };
    let way = Way::ALL.iter().find(|it| format!("{it:?}") == way);
    let disk = way.and_then(|way| way.open(Path::new(image))).expect("a disk");
    let features = if flush == "true" { USUAL } else { USUAL - FLUSH_FEATURE };
    let block = Block::builder(disk).build().expect("a device");
    let (handle, memory) = (block.handle(), memory(Path::new(place)));
    let host = DeviceHost::builder(block, memory.ram().clone(), Arc::new(ThreadRuntime::new()));
    let port: Mmio = Mmio::connect(host);
    let rig = Rig { port, handle, memory, runtime: InlineRuntime::new() };
    let mut driver = rig.live(features | Features::from_bits(1 << 28));
    let tables = rig.memory.alloc(24 * BLOCKS as u64, 16);
    let (_, available, used) = driver.areas();
    for (at, value) in [(AVAILABLE, available), (USED, used), (TABLES, tables), (READY, 1)] {
        store(&rig.memory, at, value);
    }
    write_for_ever(&rig, &mut driver, tables, flush == "true");
}

fn write_for_ever(rig: &Rig<Mmio>, driver: &mut SplitDriver, tables: u64, flush: bool) {
    let memory = &rig.memory;
    // Header, table, status and data of each request.
    let mut free: Vec<[u64; 4]> = (0..DEPTH)
        .map(|_| [(16, 16), (64, 16), (1, 1), (BLOCK as u64, 4096)].map(|(len, align)| memory.alloc(len, align)))
        .collect();
    let mut flying: HashMap<u32, Flying> = HashMap::new();
    let (mut busy, mut random, mut write, mut done) = (vec![false; BLOCKS], Random(1), 0, 0);
    let mut acknowledged = vec![0u64; BLOCKS];
    let limit = Instant::now() + Duration::from_secs(60);
    while Instant::now() < limit {
        let mut added = 0;
        while let Some(place) = free.pop() {
            let [header_at, table, status, data] = place;
            let block = random.below(BLOCKS as u64) as usize;
            let what = if flush && random.is(2) {
                memory.write(header_at, &header(FLUSH, 0));
                driver.add_table(table, &[Buffer::readable(header_at, 16), Buffer::writable(status, 1)])
            } else if busy[block] {
                free.push(place);
                continue;
            } else {
                write += 1;
                let first = (block * BLOCK / 512) as u64;
                let bytes: Vec<_> = (first..first + 8).flat_map(|at| sector(at, write)).collect();
                memory.write(data, &bytes);
                memory.write(header_at, &header(OUT, first));
                store(memory, entries(tables, block)[0], write);
                let chain = [
                    Buffer::readable(header_at, 16),
                    Buffer::readable(data, BLOCK as u32),
                    Buffer::writable(status, 1),
                ];
                driver.add_table(table, &chain)
            };
            memory.write(status, &[UNTOUCHED]);
            let head = what.expect("room in the ring");
            let is_write = memory.bytes(header_at, 1)[0] == OUT as u8;
            busy[block] |= is_write;
            let what = if is_write { What::Write(block, write) } else { What::Flush(acknowledged.clone()) };
            flying.insert(head.into(), (place, what));
            added += 1;
            if added == 8 {
                break;
            }
        }
        driver.kick(|| rig.port.notify(0));
        for _ in 0..8 {
            let Some(used) = driver.used() else {
                std::thread::yield_now();
                break;
            };
            let (place, what) = flying.remove(&used.id).expect("a request");
            assert_eq!(memory.bytes(place[2], 1), [OK]);
            match what {
                What::Write(block, write) => {
                    store(memory, entries(tables, block)[1], write);
                    (acknowledged[block], busy[block]) = (write, false);
                }
                What::Flush(before) => {
                    let bytes: Vec<u8> = before.iter().flat_map(|write| write.to_le_bytes()).collect();
                    memory.write(flushed(tables), &bytes);
                }
            }
            free.push(place);
            done += 1;
            store(memory, DONE, done);
        }
    }
    panic!("nobody has killed it");
}

/// The place of a request, and what it is.
type Flying = ([u64; 4], What);

enum What {
    /// Of a block, with this number.
    Write(usize, u64),
    /// After these writes, of each block.
    Flush(Vec<u64>),
}

/// A process that ends with this.
struct Victim(Child);

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Requests that the device has, by the rings.
fn in_flight(memory: &TestMemory) -> u16 {
    let index = |area: u64| {
        let bytes = memory.bytes(load(memory, area) + 2, 2);
        u16::from_le_bytes([bytes[0], bytes[1]])
    };
    let used = index(USED);
    index(AVAILABLE).wrapping_sub(used)
}

/// One life and death: how many requests were in flight, how many had been acknowledged, and what is wrong with the file.
fn round(test: &str, way: Way, flush: bool, after: u64) -> (u16, u64, Result<(), String>) {
    let image = way.create();
    let place = Image::new(&[]);
    place.file().set_len(MEMORY as u64).expect("a sparse file");
    let orders = format!("{}|{}|{way:?}|{flush}", image.0.display(), place.0.display());
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", test]).env(VARIABLE, orders).stdin(Stdio::null()).stdout(Stdio::null());
    let mut victim = Victim(command.spawn().expect("a process"));
    let memory = memory(&place.0);
    let limit = Instant::now() + Duration::from_secs(60);
    while load(&memory, READY) == 0 || load(&memory, DONE) < after || in_flight(&memory) < ENOUGH + 8 {
        assert!(victim.0.try_wait().expect("a process").is_none(), "it has ended by itself");
        assert!(Instant::now() < limit, "the device does not get on");
        std::thread::yield_now();
    }
    victim.0.kill().expect("a process");
    victim.0.wait().expect("a process");
    let result = way.content(&image).and_then(|content| check(&memory, &content, flush && way.is_image()));
    (in_flight(&memory), load(&memory, DONE), result)
}

/// Whether the disk has what it has to; with `cached`, what was flushed.
fn check(memory: &TestMemory, content: &[u8], cached: bool) -> Result<(), String> {
    let tables = load(memory, TABLES);
    for (block, bytes) in content.chunks(BLOCK).enumerate() {
        let [begun, acknowledged] = entries(tables, block).map(|at| load(memory, at));
        let flushed = load(memory, flushed(tables) + 8 * block as u64);
        for (at, bytes) in bytes.chunks(512).enumerate() {
            let at = (block * BLOCK / 512 + at) as u64;
            // The last one may be there, or not, or in part; nothing else may.
            let found = u64::from_le_bytes(bytes[8..16].try_into().unwrap());
            let may_be = [acknowledged, begun].contains(&found) || (cached && (flushed..=begun).contains(&found));
            if !may_be || sector(at, found) != bytes {
                return Err(format!(
                    "sector {at} has write {found}, where {flushed} was flushed, {acknowledged} acknowledged and {begun} begun"
                ));
            }
        }
    }
    Ok(())
}

fn rounds(test: &str, way: Way, flush: bool) {
    if let Ok(orders) = std::env::var(VARIABLE) {
        return be_killed(&orders);
    }
    if way.is_image() && Command::new("qemu-img").arg("--version").output().is_err() {
        return left_out("there is no qemu-img");
    }
    let image = way.create();
    if way.open(&image.0).is_none() {
        return left_out("the file system has no direct I/O");
    }
    let rounds = times(ROUNDS, 5);
    let seed = u64::from(std::process::id());
    let mut random = Random(seed);
    let (mut good, mut tried) = (0, 0);
    while good < rounds {
        let after = 50 + random.below(if flush { 3000 } else { 300 });
        let (flying, done, result) = round(test, way, flush, after);
        println!("{way:?}, flush {flush}, seed {seed}: killed with {flying} requests in flight, {done} acknowledged");
        result.unwrap();
        // The device may have been quicker than the signal.
        good += u64::from(flying >= ENOUGH);
        tried += 1;
        assert!(tried < 10 * (rounds + 1), "too few requests are in flight");
    }
}

#[test]
fn a_file_has_what_was_acknowledged() {
    rounds("kill::a_file_has_what_was_acknowledged", Way::File, true);
}

#[test]
fn a_file_has_what_was_acknowledged_without_flush() {
    rounds("kill::a_file_has_what_was_acknowledged_without_flush", Way::File, false);
}

#[test]
fn a_file_has_what_was_acknowledged_by_rings() {
    rounds("kill::a_file_has_what_was_acknowledged_by_rings", Way::Uring, true);
}

#[test]
fn a_file_has_what_was_acknowledged_by_rings_without_flush() {
    rounds("kill::a_file_has_what_was_acknowledged_by_rings_without_flush", Way::Uring, false);
}

#[test]
fn a_file_has_what_was_acknowledged_by_direct_rings() {
    rounds("kill::a_file_has_what_was_acknowledged_by_direct_rings", Way::Direct, true);
}

#[test]
fn a_file_has_what_was_acknowledged_by_direct_rings_without_flush() {
    rounds("kill::a_file_has_what_was_acknowledged_by_direct_rings_without_flush", Way::Direct, false);
}

#[cfg(feature = "imago")]
#[test]
fn an_image_has_what_was_flushed() {
    rounds("kill::an_image_has_what_was_flushed", Way::Qcow2, true);
}

#[cfg(feature = "imago")]
#[test]
fn an_image_has_what_was_acknowledged_without_flush() {
    rounds("kill::an_image_has_what_was_acknowledged_without_flush", Way::Qcow2, false);
}

#[test]
fn storage_that_acknowledges_too_early_is_found_out() {
    let test = "kill::storage_that_acknowledges_too_early_is_found_out";
    if let Ok(orders) = std::env::var(VARIABLE) {
        return be_killed(&orders);
    }
    let (_, done, result) = round(test, Way::Early, true, 1000);
    assert!(done >= 1000 && result.is_err(), "{done} requests");
}
