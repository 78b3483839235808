//! A device whose disk is at a real NBD server, on threads: what wakes its tasks is what a runtime waits for.

#![cfg(all(feature = "nbd", unix))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

#[allow(dead_code)] // not all of it is needed here
#[path = "../device/ports.rs"]
mod ports;
#[allow(dead_code)]
#[path = "../device/rig.rs"]
mod rig;
#[allow(dead_code)]
mod servers;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use virtio_blk::backend::nbd::NbdBuilder;
use virtio_blk::{Block, BlockBuilder, NbdBackend};
use virtio_core::testing::suite::Port;
use virtio_core::testing::{RingDriver, SplitDriver, TestMemory, Used};
use virtio_core::{DeviceHost, InlineRuntime, Runtime, SharedRuntime, ThreadRuntime};

use self::ports::Mmio;
use self::rig::{FLUSH, IN, IOERR, OK, OUT, Pending, Rig, USUAL, pattern};
use self::servers::{Folder, Running, have, nbdkit, qemu_nbd};

const LONG: Duration = Duration::from_secs(60);
const BLOCK: usize = 16 << 10;

fn rig(backend: Arc<NbdBackend>, queues: u16, runtime: Arc<dyn Runtime>) -> Rig<Mmio> {
    device(Block::builder(backend).queues(queues), runtime)
}

fn device(block: BlockBuilder, runtime: Arc<dyn Runtime>) -> Rig<Mmio> {
    let block = block.build().expect("a device");
    let (handle, memory) = (block.handle(), TestMemory::new(32 << 20));
    let host = DeviceHost::builder(block, memory.ram().clone(), runtime).reset_wait(LONG);
    Rig { port: Mmio::connect(host), handle, memory, runtime: InlineRuntime::new() }
}

fn builder(folder: &Folder) -> NbdBuilder {
    NbdBackend::builder(&folder.uri()).timeout(LONG * 2).connect_timeout(LONG).reconnect(LONG)
}

fn patient(folder: &Folder) -> NbdBackend {
    builder(folder).connect().unwrap()
}

/// A device with one queue, on a thread, and its driver.
fn live(backend: NbdBackend) -> (Rig<Mmio>, SplitDriver) {
    let rig = rig(Arc::new(backend), 1, Arc::new(ThreadRuntime::new()));
    let driver = start(&rig);
    (rig, driver)
}

fn start(rig: &Rig<Mmio>) -> SplitDriver {
    assert!(rig.negotiate(USUAL));
    let driver = rig.enable(0, 256, USUAL);
    rig.go();
    driver
}

fn status(rig: &Rig<Mmio>, pending: &Pending) -> u8 {
    rig.memory.bytes(pending.status, 1)[0]
}

/// Makes requests of these types for these sectors, all at once, and waits for their answers. Reads and writes are of
/// 4096 bytes.
fn requests(rig: &Rig<Mmio>, driver: &mut SplitDriver, requests: &[(u32, u64)]) -> Vec<Pending> {
    let add = |driver: &mut SplitDriver, (kind, sector): (u32, u64)| match kind {
        OUT => rig.add(driver, kind, sector, &pattern(4096, sector as u8), 0),
        IN => rig.add(driver, kind, sector, &[], 4096),
        _ => rig.add(driver, kind, 0, &[], 0),
    };
    let pending = requests.iter().map(|request| add(driver, *request)).collect();
    driver.kick(|| rig.port.notify(0));
    for _ in requests {
        used(driver);
    }
    pending
}

/// The status of one request.
fn request(rig: &Rig<Mmio>, driver: &mut SplitDriver, kind: u32, sector: u64) -> u8 {
    requests(rig, driver, &[(kind, sector)]).iter().map(|pending| status(rig, pending)).sum()
}

/// Waits for one used buffer.
fn used(driver: &mut SplitDriver) -> Used {
    let limit = Instant::now() + LONG;
    loop {
        match driver.used() {
            Some(used) => return used,
            None if Instant::now() < limit => thread::yield_now(),
            None => panic!("no answer"),
        }
    }
}

/// Writes and reads blocks of its own, several at a time.
fn load(rig: &Rig<Mmio>, driver: &mut SplitDriver, queue: u16, round: u8) {
    let mut content = Vec::new();
    for kind in [OUT, IN] {
        let mut pending: Vec<(u16, Pending)> = Vec::new();
        for place in 0..4u16 {
            let data = pattern(BLOCK, round ^ (queue * 16 + place) as u8);
            let sector = u64::from(queue * 4 + place) * (BLOCK as u64 / 512);
            let (payload, answer) = if kind == OUT { (&data[..], 0) } else { (&[][..], BLOCK) };
            pending.push((place, rig.add(driver, kind, sector, payload, answer)));
            content.push(data);
        }
        driver.kick(|| rig.port.notify(queue));
        for _ in 0..4 {
            used(driver);
        }
        for (place, pending) in pending {
            assert_eq!(rig.memory.bytes(pending.status, 1), [OK]);
            if kind == IN {
                assert!(rig.memory.bytes(pending.data, BLOCK) == content[usize::from(place)]);
            }
        }
    }
}

fn survives_restarts(runtime: Arc<dyn Runtime>) {
    if have("qemu-nbd") {
        let folder = Folder::new();
        let image = folder.image(&pattern(4 << 20, 1));
        let mut server = qemu_nbd(&folder, &image);
        // What it has in a cache is in that of the host.
        let backend = Arc::new(builder(&folder).cache_survives(true).connect().unwrap());
        let rig = rig(Arc::clone(&backend), 1, runtime);
        assert!(rig.negotiate(USUAL));
        let mut driver = rig.enable(0, 64, USUAL);
        rig.go();
        for round in 0..10 {
            load(&rig, &mut driver, 0, round);
            // Also while nothing is in flight, and while something is.
            server.kill();
            if round % 2 == 0 {
                server = qemu_nbd(&folder, &image);
                assert_eq!(request(&rig, &mut driver, FLUSH, 0), OK);
                continue;
            }
            let (image, folder) = (&image, &folder);
            server = thread::scope(|scope| {
                let restarted = scope.spawn(move || qemu_nbd(folder, image));
                load(&rig, &mut driver, 0, round);
                restarted.join().unwrap()
            });
            assert_eq!(request(&rig, &mut driver, FLUSH, 0), OK);
        }
        assert!(backend.reconnects() >= 10);
        rig.port.set_status(0);
        assert_eq!(rig.port.status(), 0);
    }
}

#[test]
fn a_device_on_a_thread_survives_restarts_of_its_server() {
    survives_restarts(Arc::new(ThreadRuntime::new()));
}

#[test]
fn a_device_on_a_shared_thread_survives_restarts_of_its_server() {
    survives_restarts(Arc::new(SharedRuntime::new(1).unwrap()));
}

#[test]
fn queues_have_connections_of_their_own() {
    if have("nbdkit") {
        let folder = Folder::new();
        let image = folder.image(&pattern(4 << 20, 1));
        let _server = nbdkit(&folder, &["file", &image]);
        let rig = rig(Arc::new(patient(&folder)), 4, Arc::new(ThreadRuntime::new()));
        assert!(rig.negotiate(USUAL));
        let drivers: Vec<_> = (0..4).map(|queue| rig.enable(queue, 64, USUAL)).collect();
        rig.go();
        thread::scope(|scope| {
            for (queue, mut driver) in (0u16..).zip(drivers) {
                let rig = &rig;
                scope.spawn(move || (0..20).for_each(|round| load(rig, &mut driver, queue, round)));
            }
        });
    }
}

/// A server that can be told to pause.
fn pausable(folder: &Folder) -> Running {
    let image = folder.image(&pattern(4 << 20, 1));
    let control_socket = format!("pause-control={}", folder.path("control"));
    nbdkit(folder, &["--filter=pause", "file", &image, &control_socket])
}

/// Asks a server's pause filter for something.
fn control(folder: &Folder, word: u8) {
    let mut stream = UnixStream::connect(folder.path("control")).unwrap();
    stream.write_all(&[word]).unwrap();
    let mut answer = [0];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer[0], word.to_ascii_uppercase());
}

#[test]
fn a_reset_does_not_wait_for_a_server_that_hangs() {
    if have("nbdkit") {
        let folder = Folder::new();
        let _server = pausable(&folder);
        let rig = rig(Arc::new(patient(&folder)), 1, Arc::new(ThreadRuntime::new()));
        assert!(rig.negotiate(USUAL));
        let mut driver = rig.enable(0, 256, USUAL);
        rig.go();
        load(&rig, &mut driver, 0, 1);
        control(&folder, b'p');
        let pending: Vec<_> = (0..64).map(|place| rig.add(&mut driver, IN, place * 8, &[], 4096)).collect();
        driver.kick(|| rig.port.notify(0));
        rig.port.set_status(0);
        assert_eq!(rig.port.status(), 0);
        let before: Vec<_> = pending.iter().map(|pending| rig.memory.bytes(pending.data, 4096)).collect();
        control(&folder, b'r');
        // The next driver's requests come behind the replies to the last one's.
        assert!(rig.negotiate(USUAL));
        let mut driver = rig.enable(0, 256, USUAL);
        rig.go();
        load(&rig, &mut driver, 0, 2);
        for (pending, before) in pending.iter().zip(before) {
            assert!(rig.memory.bytes(pending.data, 4096) == before, "memory was written after a reset");
        }
    }
}

#[test]
fn blk_stable_01_flushes_fail_when_the_server_died_with_its_cache() {
    if have("nbdkit") {
        for survives in [false, true] {
            let folder = Folder::new();
            let old = pattern(4 << 20, 1);
            let image = folder.image(&old);
            let arguments = ["--filter=cache", "file", &image, "cache=writeback"];
            let mut server = nbdkit(&folder, &arguments);
            let mut restart = || {
                server.kill();
                server = nbdkit(&folder, &arguments);
            };
            let (rig, mut driver) = live(builder(&folder).cache_survives(survives).connect().unwrap());
            assert_eq!(request(&rig, &mut driver, OUT, 3), OK);
            assert_eq!(request(&rig, &mut driver, FLUSH, 0), OK);
            restart();
            assert_eq!(request(&rig, &mut driver, FLUSH, 0), OK);
            assert!(folder.disk()[1536..1536 + 4096] == pattern(4096, 3));
            // Far enough from that not to be written back with it.
            assert_eq!(request(&rig, &mut driver, OUT, 4096), OK);
            restart();
            // Who says that this server's cache survives is not told.
            let expected = if survives { OK } else { IOERR };
            assert_eq!(request(&rig, &mut driver, FLUSH, 0), expected);
            let read = requests(&rig, &mut driver, &[(IN, 4096)]);
            assert!(rig.memory.bytes(read[0].data, 4096) == old[2 << 20..(2 << 20) + 4096]);
            // Also with the next driver, and whatever is written.
            rig.port.set_status(0);
            let mut driver = start(&rig);
            assert_eq!(request(&rig, &mut driver, OUT, 8), OK);
            assert_eq!(request(&rig, &mut driver, FLUSH, 0), expected);
        }
    }
}

#[test]
fn requests_with_a_delay_are_in_flight_together() {
    if have("nbdkit") {
        let folder = Folder::new();
        let image = folder.image(&pattern(4 << 20, 1));
        let arguments = ["--threads=32", "--filter=delay", "file", &image, "rdelay=50ms"];
        let _server = nbdkit(&folder, &arguments);
        let (rig, mut driver) = live(patient(&folder));
        // Not beside each other, so that they are not merged.
        let reads: Vec<(u32, u64)> = (0..32).map(|place| (IN, place * 64)).collect();
        let mut timed = |together: usize| {
            let begin = Instant::now();
            for some in reads.chunks(together) {
                let pending = requests(&rig, &mut driver, some);
                assert!(pending.iter().all(|pending| status(&rig, pending) == OK));
            }
            begin.elapsed()
        };
        let (together, alone) = (timed(32), timed(1));
        assert!(alone >= 32 * Duration::from_millis(50));
        assert!(together * 3 < alone, "{together:?} together, {alone:?} one after the other");
    }
}

#[test]
fn an_error_of_the_server_is_that_of_the_requests_that_had_it() {
    if have("nbdkit") {
        let folder = Folder::new();
        let image = folder.image(&pattern(4 << 20, 1));
        let trigger = folder.path("errors");
        let trigger_setting = format!("error-pread-file={trigger}");
        let errors = ["error-pread=EIO", "error-pread-rate=100%", &trigger_setting];
        let _server = nbdkit(&folder, &[&["--filter=error", "file", &image], &errors[..]].concat());
        let (rig, mut driver) = live(patient(&folder));
        let mixed: Vec<(u32, u64)> = (0..32).map(|place| ([IN, OUT, OUT][place % 3], place as u64 * 64)).collect();
        for failing in [false, true, false] {
            if failing {
                std::fs::write(&trigger, []).unwrap();
            }
            for ((kind, sector), pending) in mixed.iter().zip(requests(&rig, &mut driver, &mixed)) {
                let expected = if failing && *kind == IN { IOERR } else { OK };
                assert_eq!(status(&rig, &pending), expected, "type {kind} at sector {sector}");
            }
            let _ = std::fs::remove_file(&trigger);
        }
        let written = mixed.iter().filter(|(kind, _)| *kind == OUT);
        for (_, sector) in written {
            let read = requests(&rig, &mut driver, &[(IN, *sector)]);
            assert!(rig.memory.bytes(read[0].data, 4096) == pattern(4096, *sector as u8));
        }
    }
}

#[test]
fn a_server_that_hangs_costs_what_it_has_for_too_long_and_nothing_else() {
    if have("nbdkit") {
        let folder = Folder::new();
        let _server = pausable(&folder);
        let backend = Arc::new(patient(&folder));
        let limit = Duration::from_millis(300);
        let rig = device(Block::builder(Arc::clone(&backend)).timeout(limit), Arc::new(ThreadRuntime::new()));
        let mut driver = start(&rig);
        for round in 0..2 {
            control(&folder, b'p');
            let begin = Instant::now();
            let reads: Vec<(u32, u64)> = (0..16).map(|place| (IN, place * 64)).collect();
            let pending = requests(&rig, &mut driver, &reads);
            assert!(begin.elapsed() >= limit);
            assert!(pending.iter().all(|pending| status(&rig, pending) == IOERR));
            control(&folder, b'r');
            // Answers that nobody waits for come first.
            let end = Instant::now() + LONG;
            for place in 0..16 {
                let sector = place * 64 + round;
                while request(&rig, &mut driver, OUT, sector) != OK {
                    assert!(Instant::now() < end, "the device does not go on");
                }
                assert!(folder.disk()[sector as usize * 512..][..4096] == pattern(4096, sector as u8));
            }
        }
        assert_eq!(backend.reconnects(), 0);
    }
}
