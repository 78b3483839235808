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
use virtio_core::device::ActivateError;
use virtio_core::{
    Activation, Chain, ConfigSpace, DeviceType, Events, Features, LogLimit, Next, QueueSetup, QueueTask, Sources,
    TaskContext, VirtioDevice, Virtqueue,
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

    fn features(&self) -> Features {
        Features::NONE
    }

    fn queue_sizes(&self) -> &[u16] {
        &[64]
    }

    fn config(&self) -> ConfigSpace {
        ConfigSpace::new(Vec::new())
    }

    fn activate(&mut self, activation: Activation) -> Result<Vec<Box<dyn QueueTask>>, ActivateError> {
        let task = |setup: QueueSetup| {
            let number = setup.index;
            let queue = Virtqueue::new(setup).map_err(|fault| ActivateError::Queue { queue: number, fault })?;
            Ok(Box::new(Task { queue, shared: Arc::clone(&self.0) }) as Box<dyn QueueTask>)
        };
        activation.queues.into_iter().map(task).collect()
    }

    fn reset(&mut self) {}
}

/// Serves the one queue.
struct Task {
    queue: Virtqueue,
    shared: Arc<Shared>,
}

impl Task {
    /// Answers chains, to be published by the caller. Nothing where no chain is left.
    fn serve(&mut self) -> Option<Next> {
        let Task { queue, shared } = self;
        let mut source = shared.source.lock().unwrap_or_else(PoisonError::into_inner);
        let mut moved = 0;
        while moved < RUN_BYTES {
            let chain = queue.pop()?;
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
                    // Not armed: the chain that was put back would have the task run again at once.
                    return Some(Next::WaitUntil(Instant::now() + RETRY));
                }
            }
        }
        Some(Next::Again)
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

impl QueueTask for Task {
    fn sources(&self, sources: &mut Sources) {
        sources.queue(&self.queue);
    }

    fn run(&mut self, _events: Events, _cx: &mut TaskContext) -> Next {
        self.queue.disarm();
        let next = self.serve();
        self.queue.publish();
        match next {
            Some(next) => next,
            None if self.queue.arm() => Next::Again,
            None => Next::Wait,
        }
    }

    fn queues(&mut self, each: &mut dyn FnMut(&mut Virtqueue)) {
        each(&mut self.queue);
    }
}
