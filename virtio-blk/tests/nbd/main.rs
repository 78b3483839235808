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

use virtio_blk::{Block, NbdBackend};
use virtio_core::testing::suite::Port;
use virtio_core::testing::{RingDriver, SplitDriver, TestMemory, Used};
use virtio_core::{DeviceHost, InlineRuntime, Runtime, SharedRuntime, ThreadRuntime};

use self::ports::Mmio;
use self::rig::{IN, OK, OUT, Pending, Rig, USUAL, pattern};
use self::servers::{Folder, have, nbdkit, qemu_nbd};

const LONG: Duration = Duration::from_secs(60);
const BLOCK: usize = 16 << 10;

fn rig(backend: Arc<NbdBackend>, queues: u16, runtime: Arc<dyn Runtime>) -> Rig<Mmio> {
    let block = Block::builder(backend).queues(queues).build().expect("a device");
    let (handle, memory) = (block.handle(), TestMemory::new(32 << 20));
    let host = DeviceHost::builder(block, memory.ram().clone(), runtime).reset_wait(LONG);
    Rig { port: Mmio::connect(host), handle, memory, runtime: InlineRuntime::new() }
}

fn patient(folder: &Folder) -> NbdBackend {
    NbdBackend::builder(&folder.uri()).timeout(LONG * 2).connect_timeout(LONG).reconnect(LONG).connect().unwrap()
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
        let backend = Arc::new(patient(&folder));
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
                continue;
            }
            let (image, folder) = (&image, &folder);
            server = thread::scope(|scope| {
                let restarted = scope.spawn(move || qemu_nbd(folder, image));
                load(&rig, &mut driver, 0, round);
                restarted.join().unwrap()
            });
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
        let image = folder.image(&pattern(4 << 20, 1));
        let control_socket = format!("pause-control={}", folder.path("control"));
        let _server = nbdkit(&folder, &["--filter=pause", "file", &image, &control_socket]);
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
