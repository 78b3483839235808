//! A disk that an NBD server has.
//!
//! | module | what |
//! |---|---|
//! | `uri` | where the server is |
//! | `protocol` | what is said, without sockets |
//! | `stream` | sockets |
//! | `connection` | requests in flight on a socket |
//! | `link` | connecting, again and again |
//! | `cache` | what is lost with the server |
//! | `job`, `jobs` | operations, and the requests that they are cut into |
//! | `queue` | all of that for a queue of the device |

mod cache;
mod connection;
mod error;
mod job;
mod jobs;
mod link;
mod protocol;
mod queue;
mod stream;
#[cfg(test)]
mod tests;
mod uri;

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use log::Level;
use socket2::SockAddr;
use virtio_core::LogLimit;

use self::cache::Cache;
use self::connection::{Broken, Connection};
pub use self::error::{NbdError, UriError};
use self::protocol::Export;
pub use self::protocol::ProtocolError;
#[doc(hidden)]
pub use self::protocol::fuzz;
use self::queue::NbdQueue;
use self::uri::{Place, Uri};
use super::{BlockBackend, BlockQueue, Capabilities, RangeLimits, Topology};

/// What a driver may discard or zero with one request. What takes longer than a time-out cannot be done at all.
const RANGE_MAX: u64 = 1 << 30;

/// A disk that an NBD server has, on this machine or another one.
///
/// Operations of a queue are in flight together; those that are larger than the server likes are cut. Where a connection
/// breaks, or a request has no answer in time, a new connection is made, and on it all is asked for again that was not
/// answered. Requests fail only when the server stays away, and flushes when something may be lost:
///
/// - What the server has in a cache when it dies, and was not flushed, is lost, and whoever answers in its place does not
///   tell. So when a connection ends while anything that the server acknowledged (writes, zeroes or discards, on any
///   connection of any queue) is not flushed, every later flush fails, until a new backend is made: a driver must not take
///   for stable what may be gone. This is logged once. Reads and writes go on. So do durable writes, which promise
///   stable storage for themselves alone, and are done again in full where their own flush was not answered. Where the
///   server's cache outlives it, say so: [`cache_survives`](NbdBuilder::cache_survives).
/// - It does not matter why a connection ends: also because of a time-out, or because a write is cancelled that is half
///   sent. A server that lives on may have lost nothing, but nobody can tell.
/// - With several connections or queues, a server's death is known once the first connection is found broken that had
///   been there. A flush that is answered earlier, on a connection that was made later, may succeed though data is gone.
/// - A server that still works on a request when its connection is given up may do it after those that follow on the next
///   one. So the [time-out](NbdBuilder::timeout) has to be longer than the server takes for anything.
/// - A write that was cancelled, by a reset, may be done or not. Later writes to the same place wait for its answer, or
///   for the end of its connection.
/// - Without FLUSH of the server, all that was written counts as stable. Without FUA, a durable write is followed by a
///   flush.
/// - A disk whose server wants larger blocks than 512 bytes has that as its block size. Reads of parts of blocks work
///   nevertheless; writes of them fail.
/// - The host's name is looked up once.
///
/// ```no_run
/// use std::time::Duration;
/// use virtio_blk::{Block, NbdBackend};
///
/// let disk = NbdBackend::builder("nbd://storage.example/guest-1").reconnect(Duration::from_secs(300)).connect()?;
/// let block = Block::builder(disk).build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Send and Sync. [`connect`](Self::connect) blocks, nothing else does. The queues use the network on the thread that
/// serves them, without waiting for it.
pub struct NbdBackend {
    shared: Arc<Shared>,
}

/// How an [`NbdBackend`] is to be.
///
/// Send and Sync. Only [`connect`](Self::connect) blocks.
#[derive(Clone, Debug)]
#[must_use]
pub struct NbdBuilder {
    uri: String,
    settings: Settings,
}

#[derive(Clone, Debug)]
struct Settings {
    timeout: Duration,
    connect_timeout: Duration,
    reconnect: Duration,
    read_only: bool,
    connections: u16,
    cache_survives: bool,
}

/// What a backend and its queues have in common.
#[derive(Debug)]
struct Shared {
    place: Place,
    addresses: Vec<SockAddr>,
    name: Vec<u8>,
    /// As the first connection found it.
    export: Export,
    size: AtomicU64,
    settings: Settings,
    /// Connections that no queue has now.
    spare: Mutex<Vec<Connection>>,
    cache: Arc<Cache>,
    reconnects: AtomicU64,
    log: LogLimit,
}

impl NbdBackend {
    /// Connects to an export, with the usual settings: see [`builder`](Self::builder).
    ///
    /// # Errors
    /// [`NbdError`].
    pub fn connect(uri: &str) -> Result<NbdBackend, NbdError> {
        NbdBackend::builder(uri).connect()
    }

    /// An export at `nbd://HOST[:PORT][/EXPORT]`, or `nbd+unix:///[EXPORT]?socket=PATH`. Bytes that mean something in a
    /// URI are written as `%` and two hexadecimal digits.
    pub fn builder(uri: &str) -> NbdBuilder {
        let settings = Settings {
            timeout: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(10),
            reconnect: Duration::from_secs(60),
            read_only: false,
            connections: 1,
            cache_survives: false,
        };
        NbdBuilder { uri: uri.to_owned(), settings }
    }

    /// How often a connection broke that had been there.
    pub fn reconnects(&self) -> u64 {
        self.shared.reconnects.load(Ordering::Relaxed)
    }
}

impl NbdBuilder {
    /// How long the server may take for one request, 60 s if not said otherwise. Then the connection is given up, and the
    /// request is sent again on a new one. Longer than the server ever takes.
    pub fn timeout(mut self, limit: Duration) -> NbdBuilder {
        self.settings.timeout = limit;
        self
    }

    /// How long it may take to connect, with the handshake: 10 s if not said otherwise.
    pub fn connect_timeout(mut self, limit: Duration) -> NbdBuilder {
        self.settings.connect_timeout = limit;
        self
    }

    /// How long a request waits for a server that is gone, or that goes whenever it is asked, until it fails: 60 s if
    /// not said otherwise. The server is looked for also after that.
    pub fn reconnect(mut self, limit: Duration) -> NbdBuilder {
        self.settings.reconnect = limit;
        self
    }

    /// Whether the disk can only be read, also where the server would let it be written.
    pub fn read_only(mut self, read_only: bool) -> NbdBuilder {
        self.settings.read_only = read_only;
        self
    }

    /// Connections of each queue: 1 if not said otherwise. There is only one where the server does not let several
    /// clients see the same (multi-conn).
    pub fn connections(mut self, count: u16) -> NbdBuilder {
        self.settings.connections = count;
        self
    }

    /// Whether what the server has acknowledged and not flushed is still there after a connection broke: no if not said
    /// otherwise, and then flushes fail after that, see [`NbdBackend`]. Yes is for a server whose cache outlives it, and
    /// whose host stays up: `qemu-nbd` or nbdkit's `file` on a host's page cache. Said of any other server, it
    /// has flushes succeed though data is gone.
    pub fn cache_survives(mut self, survives: bool) -> NbdBuilder {
        self.settings.cache_survives = survives;
        self
    }

    /// Connects, to find out what the disk is like. The connection is the first queue's.
    ///
    /// # Errors
    /// [`NbdError`], after at most the time to connect, and what the system takes to look up the host's name.
    pub fn connect(self) -> Result<NbdBackend, NbdError> {
        let NbdBuilder { uri, settings } = self;
        let Uri { place, export: name } = match Uri::parse(&uri) {
            Ok(parsed) => parsed,
            Err(source) => return Err(NbdError::Uri { uri, source }),
        };
        let addresses = stream::resolve(&place)?;
        let (stream, export) = stream::first_connection(&place, &addresses, &name, settings.connect_timeout)?;
        let first = Connection::new(stream, export.structured);
        let cache = Arc::new(Cache::new(settings.cache_survives || !export.flush()));
        let shared = Shared {
            place,
            addresses,
            name,
            export,
            size: AtomicU64::new(export.size),
            settings,
            spare: Mutex::new(vec![first]),
            cache,
            reconnects: AtomicU64::new(0),
            log: LogLimit::default(),
        };
        Ok(NbdBackend { shared: Arc::new(shared) })
    }
}

impl Shared {
    fn read_only(&self) -> bool {
        self.settings.read_only || self.export.read_only()
    }

    /// Connections of each queue.
    fn connections(&self) -> u16 {
        if self.export.multi_conn() { self.settings.connections.max(1) } else { 1 }
    }

    fn spare(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_spare(&self) -> Option<Connection> {
        self.spare().pop()
    }

    fn give_spare(&self, connection: Connection) {
        let mut spare = self.spare();
        if spare.len() < usize::from(self.connections()) {
            spare.push(connection);
        }
    }

    /// Looks at what a later connection found.
    fn accept(&self, export: &Export) -> Result<(), Broken> {
        // The driver may know a size that it had only later.
        let mut known = self.export;
        known.size = self.size.load(Ordering::SeqCst);
        if let Some(what) = known.lost_in(export) {
            return Err(Broken::Changed(what));
        }
        self.size.store(export.size, Ordering::SeqCst);
        Ok(())
    }

    fn connected(&self) {
        self.log.log(Level::Info, format_args!("connected to the NBD server at {}", self.place));
    }

    fn lost(&self, broken: &Broken, requests: usize) {
        self.reconnects.fetch_add(1, Ordering::Relaxed);
        let place = &self.place;
        let line = format_args!("a connection to the NBD server at {place} broke with {requests} requests: {broken}");
        self.log.log(Level::Warn, line);
        self.disconnected();
    }

    /// A connection has ended, for whatever reason, and no other one was made in its place yet.
    fn disconnected(&self) {
        if self.cache.disconnected() {
            // Once, and not to be held back.
            log::error!(
                "a connection to the NBD server at {} ended with writes that were not flushed, which may be lost: \
                 flushes fail from now on",
                self.place
            );
        }
    }

    fn failed(&self, broken: &Broken) {
        self.log.log(Level::Debug, format_args!("no connection to the NBD server at {}: {broken}", self.place));
    }
}

impl BlockBackend for NbdBackend {
    fn size(&self) -> io::Result<u64> {
        let size = self.shared.size.load(Ordering::SeqCst);
        Ok(size - size % u64::from(self.shared.export.blocks.min))
    }

    fn capabilities(&self) -> Capabilities {
        let Export { blocks, .. } = self.shared.export;
        let block_size = blocks.min.max(512);
        // Powers of two, the larger one first.
        let preferred = blocks.preferred.clamp(block_size, block_size.max(1 << 16));
        let exponent = (preferred / block_size).ilog2();
        let topology = Topology {
            physical_block_exp: exponent as u8, // up to 7
            min_io_size: 1 << exponent,
            ..Topology::default()
        };
        let range = Some(RangeLimits { max_len: RANGE_MAX, alignment: preferred });
        Capabilities {
            block_size,
            read_only: self.shared.read_only(),
            topology: Some(topology),
            discard: range.filter(|_| self.shared.export.trim()),
            write_zeroes: range.filter(|_| self.shared.export.write_zeroes()),
            zeroes_may_unmap: self.shared.export.write_zeroes(),
            // Without that, a flush on the connection of one queue says nothing of writes on that of another.
            max_queues: if self.shared.export.multi_conn() { u16::MAX } else { 1 },
            merge: true,
            ..Capabilities::default()
        }
    }

    fn open_queue(&self, depth: u16) -> io::Result<Box<dyn BlockQueue>> {
        Ok(Box::new(NbdQueue::new(Arc::clone(&self.shared), depth)))
    }
}

impl fmt::Debug for NbdBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shared { place, name, export, .. } = &*self.shared;
        write!(f, "NbdBackend({place}, {:?}, {} bytes)", String::from_utf8_lossy(name), export.size)
    }
}
