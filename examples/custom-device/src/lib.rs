//! A virtio entropy device (virtio 1.4, section 5.4), as somebody outside of this workspace would write it: on
//! virtio-core's public interface, without unsafe code.
//!
//! ```no_run
//! # use std::sync::Arc;
//! # use custom_device::Entropy;
//! # use virtio_core::{DeviceHost, GuestRam, HostBuilder, ThreadRuntime};
//! # fn host(memory: GuestRam) -> std::io::Result<HostBuilder> {
//! let device = Entropy::open()?; // or Entropy::new(any_reader)
//! # Ok(
//! DeviceHost::builder(device, memory, Arc::new(ThreadRuntime::new()))
//! # )
//! # }
//! ```
//!
//! # What a driver gets
//!
//! | chain | answer |
//! |---|---|
//! | with room for random bytes | at least one, at most 64 KiB, from the start of the writable part |
//! | with room, while the source has nothing | none yet: it stays in the ring, and the source is asked again later |
//! | without room, or with a buffer that is not guest memory | length 0 |
//!
//! A source that fails or ends is no reason for NEEDS_RESET: a reset would not mend it, and a length of 0 would break
//! the device's promise of at least one byte. What a driver has put before the room, for the device to read, is ignored.
#![forbid(unsafe_code)]

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use log::Level;
use virtio_core::{
    ActivateError, Activation, Chain, DeviceType, LogLimit, Next, QueueTask, TaskContext, VirtioDevice, Virtqueue,
};

/// Bytes for one chain, however much room it has.
const CHAIN_BYTES: usize = 64 << 10;
/// Bytes in one run of the task, give or take a chain.
const RUN_BYTES: usize = 256 << 10;
/// Bytes that the source is asked for at once.
const STEP: usize = 4 << 10;
/// How long a source that had nothing is left alone, unless the driver rings.
const RETRY: Duration = Duration::from_millis(100);

/// The device, to be given to a [`DeviceHost`](virtio_core::DeviceHost).
pub struct Entropy(Arc<Shared>);

/// What stays when a task goes and another comes.
struct Shared {
    /// Never contended: there is one task at a time.
    source: Mutex<Box<dyn Read + Send>>,
    log: LogLimit,
}

impl Entropy {
    /// A device on /dev/urandom.
    ///
    /// # Errors
    /// What opening it gives.
    pub fn open() -> io::Result<Entropy> {
        File::open("/dev/urandom").map(Entropy::new)
    }

    /// A device whose random bytes come from `source`.
    ///
    /// A source that blocks holds up its runtime's thread, and a reset. One that does not says so by `WouldBlock`.
    pub fn new(source: impl Read + Send + 'static) -> Entropy {
        Entropy(Arc::new(Shared { source: Mutex::new(Box::new(source)), log: LogLimit::default() }))
    }
}

impl VirtioDevice for Entropy {
    fn device_type(&self) -> DeviceType {
        DeviceType::ENTROPY
    }

    fn queue_sizes(&self) -> &[u16] {
        &[64]
    }

    fn activate(&mut self, activation: Activation) -> Result<Vec<Box<dyn QueueTask>>, ActivateError> {
        activation.task_per_queue(|queue| Task { queue, shared: Arc::clone(&self.0) })
    }

    fn reset(&mut self) {}
}

/// Serves the one queue.
struct Task {
    queue: Virtqueue,
    shared: Arc<Shared>,
}

impl QueueTask for Task {
    fn queues(&mut self) -> &mut [Virtqueue] {
        std::slice::from_mut(&mut self.queue)
    }

    fn run(&mut self, _cx: &mut TaskContext) -> Next {
        let Task { queue, shared } = self;
        let mut source = shared.source.lock().unwrap_or_else(PoisonError::into_inner);
        let mut moved = 0;
        while moved < RUN_BYTES {
            let Some(chain) = queue.pop() else { return Next::Wait };
            if chain.writer().remaining() == 0 || chain.fault().is_some() {
                chain.complete_bad_request(0);
                continue;
            }
            match fill(&chain, &mut **source) {
                Ok(len) => {
                    moved += len;
                    chain.complete(len as u32); // at most CHAIN_BYTES
                }
                Err(error) => {
                    shared.log.log(Level::Warn, format_args!("the entropy source gave nothing: {error}"));
                    chain.put_back();
                    return Next::WaitUntil(Instant::now() + RETRY);
                }
            }
        }
        Next::Again
    }
}

/// Fills the start of a chain that has room, up to where the source gives less than it was asked for. An error where that
/// is at the start.
fn fill(chain: &Chain<'_>, source: &mut dyn Read) -> io::Result<usize> {
    let mut writer = chain.writer();
    let room = writer.remaining().min(CHAIN_BYTES);
    let (mut bytes, mut done) = ([0; STEP], 0);
    while done < room {
        let wanted = STEP.min(room - done);
        let got = match read(source, &mut bytes[..wanted]) {
            Err(error) if done == 0 => return Err(error),
            got => got.unwrap_or(0).min(wanted),
        };
        // The chain has no fault and has room, so this does not fail.
        writer.write(&bytes[..got]).map_err(io::Error::other)?;
        done += got;
        if got < wanted {
            break;
        }
    }
    Ok(done)
}

/// One byte at least, or why not.
fn read(source: &mut dyn Read, bytes: &mut [u8]) -> io::Result<usize> {
    loop {
        match source.read(bytes) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            got => return got,
        }
    }
}
