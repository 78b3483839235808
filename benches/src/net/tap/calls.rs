//! How often the kernel is called.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use virtio_core::Sources;
use virtio_net::backend::{Capabilities, Configuration, Interest, Packet, Received, Room, SendError};
use virtio_net::{NetBackend, NetQueue, NetworkCounts};

/// What one side has done.
#[derive(Default)]
pub(super) struct Calls {
    /// System calls for frames.
    calls: AtomicU64,
    /// Bytes of the frames.
    bytes: AtomicU64,
}

impl Calls {
    /// Counts a call that moved a frame of so many bytes, or none.
    #[inline]
    pub(super) fn count(&self, bytes: usize) {
        // One thread at a time.
        self.calls.store(self.calls.load(Relaxed) + 1, Relaxed);
        self.bytes.store(self.bytes.load(Relaxed) + bytes as u64, Relaxed);
    }

    /// System calls per MiB that was moved.
    pub(super) fn per_mib(&self) -> f64 {
        self.calls.load(Relaxed) as f64 / (self.bytes.load(Relaxed) as f64 / f64::from(1 << 20))
    }
}

/// A network whose calls are counted. It makes one system call each time that it sends or receives.
pub(super) struct Counted<B> {
    pub(super) backend: B,
    pub(super) calls: Arc<Calls>,
}

struct CountedQueue {
    queue: Box<dyn NetQueue>,
    calls: Arc<Calls>,
}

impl<B: NetBackend> NetBackend for Counted<B> {
    fn capabilities(&self) -> Capabilities {
        self.backend.capabilities()
    }

    fn configure(&self, configuration: &Configuration) -> io::Result<()> {
        self.backend.configure(configuration)
    }

    fn open_queue(&self, pair: u16) -> io::Result<Box<dyn NetQueue>> {
        let queue = self.backend.open_queue(pair)?;
        Ok(Box::new(CountedQueue { queue, calls: Arc::clone(&self.calls) }))
    }

    fn counts(&self) -> NetworkCounts {
        self.backend.counts()
    }
}

impl NetQueue for CountedQueue {
    fn send(&mut self, packet: &mut Packet<'_>) -> Result<(), SendError> {
        self.calls.count(packet.len());
        self.queue.send(packet)
    }

    fn flush(&mut self) {
        self.queue.flush();
    }

    fn receive<'a>(&'a mut self, room: &mut Room<'_>) -> io::Result<Received<'a>> {
        let received = self.queue.receive(room);
        self.calls.count(if let Ok(Received::Filled { len, .. }) = &received { *len } else { 0 });
        received
    }

    fn sources(&self, interest: Interest, sources: &mut Sources) {
        self.queue.sources(interest, sources);
    }

    fn sources_version(&self) -> u64 {
        self.queue.sources_version()
    }

    fn deadline(&self) -> Option<Instant> {
        self.queue.deadline()
    }

    fn is_connected(&self) -> bool {
        self.queue.is_connected()
    }
}
