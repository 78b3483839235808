//! A frame in each datagram.

mod queue;

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use socket2::{SockAddr, Socket, Type};

pub(super) use self::queue::DatagramQueue;
use super::super::frames::check_pair;
use super::super::sys;
use super::super::{Capabilities, NetBackend, NetQueue, NetworkCounts};
use super::error::SocketError;
use super::link::Spare;
use super::outgoing::Outgoing;
use super::own_path::{Made, OwnPath};
use super::{Account, address, new_socket, passed};

/// Bytes that may wait in the socket, each way: systems where that is less than a frame need to be told.
const SEND_BUFFER: usize = 1 << 20;
const RECEIVE_BUFFER: usize = 4 << 20;

/// A network that another process has, behind a Unix datagram socket: a frame in each datagram. QEMU has it as
/// `-netdev dgram`, and gvproxy speaks it with machines of vfkit.
///
/// Several frames go, and come, in one system call. There are no offloads. Whether the process is there shows when something
/// is sent: then the link is down, and a new connection is made as soon as there is one to be had; not so with
/// [an open socket](Self::from_socket).
///
/// ```no_run
/// use virtio_net::UnixDgram;
///
/// // Started before: gvproxy -listen-vfkit unixgram:///tmp/gvproxy.socket
/// let network = UnixDgram::builder("/tmp/gvproxy.socket").greeting(b"VFKT").connect()?;
/// # Ok::<(), virtio_net::SocketError>(())
/// ```
///
/// Send and Sync. No call waits.
pub struct UnixDgram {
    pub(super) shared: Arc<Shared>,
}

/// How a [`UnixDgram`] is to be.
///
/// Send and Sync. No call waits.
#[derive(Clone, Debug)]
#[must_use]
pub struct UnixDgramBuilder {
    peer: PathBuf,
    own: Option<PathBuf>,
    greeting: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct Shared {
    socket: Arc<Socket>,
    /// Where to connect to again.
    address: Option<SockAddr>,
    greeting: Vec<u8>,
    /// What the queue that was had left, if it had a connection.
    spare: Spare<Outgoing>,
    account: Account,
    _own: Option<Made>,
}

impl UnixDgramBuilder {
    /// Where the socket of our own is to be, which the other side sends to. If not said otherwise, it is in a folder for
    /// temporary files that other users cannot enter. It is removed at the end.
    pub fn own_path(mut self, path: impl Into<PathBuf>) -> UnixDgramBuilder {
        self.own = Some(path.into());
        self
    }

    /// What the other side wants to be sent before frames: `VFKT` for gvproxy; nothing, if not said otherwise.
    pub fn greeting(mut self, bytes: &[u8]) -> UnixDgramBuilder {
        self.greeting = bytes.to_vec();
        self
    }

    /// Connects.
    ///
    /// # Errors
    /// [`SocketError`].
    pub fn connect(self) -> Result<UnixDgram, SocketError> {
        let path = self.peer.clone();
        let network = self.connect_later()?;
        network.shared.connect().map_err(|source| SocketError::Connect { path, source })?;
        network.shared.spare.put(Some(Outgoing::default()));
        Ok(network)
    }

    /// Connects when there is somebody to connect to: until then the link is down.
    ///
    /// # Errors
    /// [`SocketError`], but for [`Connect`](SocketError::Connect).
    pub fn connect_later(self) -> Result<UnixDgram, SocketError> {
        let peer = address(&self.peer)?;
        let own = match self.own {
            Some(path) => OwnPath::at(path),
            None => OwnPath::anywhere()?,
        };
        let own_address = address(own.path())?;
        let made = new_socket(Type::DGRAM).and_then(|socket| {
            set_buffers(&socket);
            socket.bind(&own_address)?;
            Ok(socket)
        });
        let socket = made.map_err(|source| SocketError::Bind { path: own.path().to_owned(), source })?;
        Ok(UnixDgram::new(socket, Some(peer), self.greeting, Some(own.made())))
    }
}

impl UnixDgram {
    /// Connects to the socket at `path`.
    ///
    /// # Errors
    /// [`SocketError`].
    pub fn connect(path: impl AsRef<Path>) -> Result<UnixDgram, SocketError> {
        UnixDgram::builder(path).connect()
    }

    /// The network behind the socket at `path`.
    pub fn builder(path: impl AsRef<Path>) -> UnixDgramBuilder {
        UnixDgramBuilder { peer: path.as_ref().to_owned(), own: None, greeting: Vec::new() }
    }

    /// Takes a Unix datagram socket that is connected already. It does not block from now on.
    ///
    /// # Errors
    /// [`SocketError`].
    pub fn from_socket(socket: impl Into<OwnedFd>) -> Result<UnixDgram, SocketError> {
        let socket = passed(socket.into(), Type::DGRAM)?;
        set_buffers(&socket);
        let network = UnixDgram::new(socket, None, Vec::new(), None);
        network.shared.spare.put(Some(Outgoing::default()));
        Ok(network)
    }

    fn new(socket: Socket, address: Option<SockAddr>, greeting: Vec<u8>, own: Option<Made>) -> UnixDgram {
        let (socket, spare, account) = (Arc::new(socket), Spare::new(None), Account::default());
        UnixDgram { shared: Arc::new(Shared { socket, address, greeting, spare, account, _own: own }) }
    }

    /// Datagrams that were dropped because they are too short or too long to be a frame.
    pub fn malformed(&self) -> u64 {
        self.shared.account.malformed.load(Relaxed)
    }

    /// Frames that had been taken to be sent when a connection ended, or that the other side did not take.
    pub fn lost(&self) -> u64 {
        self.shared.account.lost.load(Relaxed)
    }

    /// How often a connection ended.
    pub fn disconnects(&self) -> u64 {
        self.shared.account.disconnects.load(Relaxed)
    }
}

/// They may be limited, and are what they are then.
fn set_buffers(socket: &Socket) {
    let _ = socket.set_send_buffer_size(SEND_BUFFER);
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
}

impl Shared {
    fn connect(&self) -> io::Result<()> {
        let address = self.address.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        self.socket.connect(address)?;
        if !self.greeting.is_empty() {
            sys::send_datagrams(&self.socket, &self.greeting, [self.greeting.len()].into_iter())?;
        }
        Ok(())
    }
}

impl NetBackend for UnixDgram {
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    fn open_queue(&self, pair: u16) -> io::Result<Box<dyn NetQueue>> {
        check_pair(pair, 1)?;
        Ok(Box::new(DatagramQueue::new(Arc::clone(&self.shared))))
    }

    fn counts(&self) -> NetworkCounts {
        self.shared.account.counts()
    }
}

impl fmt::Debug for UnixDgram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnixDgram").field("address", &self.shared.address).finish_non_exhaustive()
    }
}
