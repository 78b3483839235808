//! The device on disks that are served by io_uring, on threads of the runtime.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

#[allow(dead_code)]
#[path = "device/ports.rs"]
mod ports;

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ports::Mmio;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
use virtio_blk::{Block, FileBackend, UringBackend};
use virtio_core::testing::suite::Port;
use virtio_core::testing::{Buffer, RingDriver, SplitDriver, TestMemory};
use virtio_core::{DeviceHost, Features, Runtime, SharedRuntime, ThreadRuntime};

const FEATURES: Features = Features::from_bits(1 << 32 | 1 << 28 | 1 << 29 | 1 << 9);
/// Tells the process that has no io_uring that it is the one.
const VARIABLE: &str = "VIRTIO_BLK_TEST_NO_URING";
const IN: u32 = 0;
const OUT: u32 = 1;

struct Image(PathBuf);

impl Drop for Image {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn image(name: &str, content: &[u8]) -> Image {
    let path = std::env::temp_dir().join(format!("virtio-blk-{name}-{}.img", std::process::id()));
    std::fs::write(&path, content).unwrap();
    Image(path)
}

struct Device {
    port: Mmio,
    memory: TestMemory,
    driver: SplitDriver,
}

fn device(backend: Arc<UringBackend>, runtime: Arc<dyn Runtime>, memory: TestMemory) -> Device {
    let block = Block::builder(backend).build().unwrap();
    let port = Mmio::<true>::connect(DeviceHost::builder(block, memory.ram().clone(), runtime));
    let driver = start(&port, &memory);
    Device { port, memory, driver }
}

fn start(port: &Mmio, memory: &TestMemory) -> SplitDriver {
    port.set_status(3);
    (0..4).for_each(|word| port.accept(word, FEATURES.word(word)));
    port.set_status(11);
    let driver = SplitDriver::new(memory, 128, FEATURES);
    port.set_queue(0, 128, driver.areas());
    port.enable(0);
    port.set_status(15);
    driver
}

impl Device {
    /// Adds a request; its head, and where its status will be.
    fn add(&mut self, kind: u32, sector: u64, data: u64, len: u32) -> (u16, u64) {
        let mut header = [0; 16];
        header[..4].copy_from_slice(&kind.to_le_bytes());
        header[8..].copy_from_slice(&sector.to_le_bytes());
        let header = Buffer::readable(self.memory.place(&header), 16);
        let status = self.memory.place(&[0xee]);
        let data = Buffer { address: data, len, writable: kind == IN };
        let head = self.driver.add(&[header, data, Buffer::writable(status, 1)]).unwrap();
        (head, status)
    }

    fn kick(&mut self) {
        self.driver.kick(|| self.port.notify(0));
    }

    /// Waits until all requests have come back with success.
    fn finish(&mut self, mut requests: HashMap<u16, u64>) {
        let limit = Instant::now() + Duration::from_secs(60);
        while !requests.is_empty() {
            assert!(Instant::now() < limit, "{} requests have not come back", requests.len());
            match self.driver.used() {
                Some(used) => {
                    let status = requests.remove(&(used.id as u16)).expect("a request");
                    assert_eq!(self.memory.bytes(status, 1), [0]);
                }
                None => std::thread::yield_now(),
            }
        }
    }

    /// Writes a pattern in many requests, and reads it back.
    fn round_trip(&mut self, seed: u8) {
        for kind in [OUT, IN] {
            let places: Vec<_> = (0..32).map(|_| self.memory.alloc(4096, 4096)).collect();
            for (number, place) in (0u8..).zip(&places) {
                let fill = if kind == OUT { number.wrapping_mul(7) ^ seed } else { 0xaa };
                self.memory.write(*place, &[fill; 4096]);
            }
            let added = (0u64..).zip(&places).map(|(number, place)| self.add(kind, number * 8, *place, 4096));
            let requests = added.collect();
            self.kick();
            self.finish(requests);
            for (number, place) in (0u8..).zip(&places) {
                assert_eq!(self.memory.bytes(*place, 4096), [number.wrapping_mul(7) ^ seed; 4096]);
            }
        }
    }
}

fn runtimes() -> [Arc<dyn Runtime>; 2] {
    [Arc::new(ThreadRuntime::default()), Arc::new(SharedRuntime::new(1).unwrap())]
}

#[test]
fn requests_are_served_on_threads_of_the_runtime() {
    let image = image("uring-threads", &[0; 1 << 20]);
    for runtime in runtimes() {
        let backend = Arc::new(UringBackend::new(FileBackend::open(&image.0).unwrap()));
        let mut device = device(backend.clone(), runtime, TestMemory::new(64 << 20));
        for seed in 0..20 {
            device.round_trip(seed);
        }
        device.port.set_status(0);
        // The kernel may take longer for a ring than a reset holds the driver.
        let limit = Instant::now() + Duration::from_secs(60);
        while device.port.status() != 0 {
            assert!(Instant::now() < limit, "the reset does not end");
            std::thread::yield_now();
        }
        device.driver = start(&device.port, &device.memory);
        device.round_trip(99);
        assert!(backend.is_uring());
        drop(device);
        // A device that is gone does not keep the image.
        drop(backend);
        drop(FileBackend::open(&image.0).unwrap());
    }
}

#[test]
fn memory_that_is_registered_may_change_under_a_live_device() {
    let image = image("uring-memory", &[0; 1 << 20]);
    for runtime in runtimes() {
        let memory = TestMemory::new(64 << 20);
        let ram = memory.ram().clone();
        let backend = UringBackend::builder(FileBackend::open(&image.0).unwrap()).fixed_buffers(ram.clone()).build();
        let backend = Arc::new(backend);
        let mut device = device(backend.clone(), runtime, memory);
        device.round_trip(1);
        assert!(ram.discards_inhibited());
        let more = TestMemory::with_regions(&[(0, 64 << 20), (1 << 32, 1 << 20)]);
        device.memory.adopt(&more);
        let barrier = ram.replace_with(more.ram());
        assert!(barrier.wait(Duration::from_secs(60)));
        device.round_trip(2);
        device.port.set_status(0);
        let limit = Instant::now() + Duration::from_secs(60);
        while device.port.status() != 0 {
            assert!(Instant::now() < limit, "the reset does not end");
            std::thread::yield_now();
        }
        drop(device);
        let limit = Instant::now() + Duration::from_secs(60);
        while ram.discards_inhibited() {
            assert!(Instant::now() < limit);
            std::thread::yield_now();
        }
        assert!(backend.is_uring());
    }
}

/// Forbids io_uring to the calling thread, and those that it starts.
fn forbid() {
    let rules = [(libc::SYS_io_uring_setup, Vec::new())].into_iter().collect();
    let arch = std::env::consts::ARCH.try_into().unwrap();
    let errno = SeccompAction::Errno(libc::EPERM as u32);
    let program: BpfProgram = SeccompFilter::new(rules, SeccompAction::Allow, errno, arch).unwrap().try_into().unwrap();
    seccompiler::apply_filter(&program).unwrap();
}

#[test]
fn a_device_works_where_io_uring_is_forbidden() {
    const NAME: &str = "a_device_works_where_io_uring_is_forbidden";
    if std::env::var_os(VARIABLE).is_some() {
        forbid();
        let image = image("uring-forbidden", &[0; 1 << 20]);
        for (runtime, seed) in runtimes().into_iter().zip([3, 5]) {
            let backend = Arc::new(UringBackend::new(FileBackend::open(&image.0).unwrap()));
            let mut device = device(backend.clone(), runtime, TestMemory::new(64 << 20));
            device.round_trip(seed);
            assert_eq!((backend.is_uring(), backend.fallbacks()), (false, 1));
            device.port.set_status(0);
            let content = std::fs::read(&image.0).unwrap();
            let blocks = (0u8..).zip(content.chunks(4096)).take(32);
            assert!(blocks.into_iter().all(|(number, block)| block == [number.wrapping_mul(7) ^ seed; 4096]));
        }
        return;
    }
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture", NAME])
        .env(VARIABLE, "yes")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let [said, failed] = [&child.stdout, &child.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    assert!(child.status.success() && said.contains("1 passed"), "{said}{failed}");
}
