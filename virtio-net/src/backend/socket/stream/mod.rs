//! Frames in a stream.

mod connection;
mod queue;

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use socket2::{SockAddr, Socket, Type};

use self::connection::Connection;
pub(super) use self::queue::StreamQueue;
use super::super::frames::check_pair;
use super::super::{Capabilities, NetBackend, NetQueue, NetworkCounts};
use super::error::SocketError;
use super::link::Spare;
use super::own_path::{Made, OwnPath};
use super::{Account, address, new_socket, passed, prepare};

/// A network that another process has, behind a Unix stream socket: each frame with its length before it, in 4 bytes, the
/// highest one first. QEMU has it as `-netdev stream`, and passt speaks it.
///
/// Several frames go, and come, in one system call. There are no offloads. When the process goes, the link is down, what is
/// sent meanwhile is lost, and a new connection is made as soon as there is one to be had; not so with
/// [an open socket](Self::from_socket). Where the device [listens](Self::listen), it is the process that connects.
///
/// ```no_run
/// use virtio_net::UnixStream;
///
/// // Started before, as any user: passt --socket /tmp/passt.socket
/// let network = UnixStream::connect("/tmp/passt.socket")?;
/// # Ok::<(), virtio_net::SocketError>(())
/// ```
///
/// Send and Sync. No call waits.
pub struct UnixStream {
    pub(super) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(super) struct Shared {
    way: Way,
    /// The connection that no queue has now.
    spare: Spare<Connection>,
    account: Account,
}

/// Where connections come from.
#[derive(Debug)]
enum Way {
    /// There is no other than the first.
    Passed,
    Connect(SockAddr),
    Listen(Listener),
}

/// Connections to this are made by others.
#[derive(Debug)]
struct Listener {
    socket: Arc<Socket>,
    _path: Made,
}

/// Connections that may wait for the one there is to end.
const BACKLOG: i32 = 1;

impl UnixStream {
    fn new(way: Way, socket: Option<Socket>) -> UnixStream {
        let spare = Spare::new(socket.map(Connection::new));
        UnixStream { shared: Arc::new(Shared { way, spare, account: Account::default() }) }
    }

    /// Connects to the socket at `path`.
    ///
    /// # Errors
    /// [`SocketError`].
    pub fn connect(path: impl AsRef<Path>) -> Result<UnixStream, SocketError> {
        let address = address(path.as_ref())?;
        let socket = connect(&address);
        let socket = socket.map_err(|source| SocketError::Connect { path: path.as_ref().to_owned(), source })?;
        Ok(UnixStream::new(Way::Connect(address), Some(socket)))
    }

    /// Connects to the socket at `path` when there is one: until then the link is down.
    ///
    /// # Errors
    /// [`SocketError::Path`].
    pub fn connect_later(path: impl AsRef<Path>) -> Result<UnixStream, SocketError> {
        Ok(UnixStream::new(Way::Connect(address(path.as_ref())?), None))
    }

    /// Makes a socket at `path`, which the process connects to: until then the link is down. One connection is served at a
    /// time; when it ends, the next one is taken. Who may connect is who may write to the socket, by the rights of the folder
    /// and this process's umask. The socket is removed at the end.
    ///
    /// # Errors
    /// [`SocketError::Path`], and [`SocketError::Bind`] if something is there already.
    pub fn listen(path: impl AsRef<Path>) -> Result<UnixStream, SocketError> {
        let path = path.as_ref();
        let address = address(path)?;
        let made = new_socket(Type::STREAM).and_then(|socket| socket.bind(&address).map(|()| socket));
        let failed = |source| SocketError::Bind { path: path.to_owned(), source };
        let socket = made.map_err(failed)?;
        let made = OwnPath::at(path.to_owned()).made();
        socket.listen(BACKLOG).map_err(failed)?;
        Ok(UnixStream::new(Way::Listen(Listener { socket: Arc::new(socket), _path: made }), None))
    }

    /// Takes a Unix stream socket that is connected already. It does not block from now on.
    ///
    /// # Errors
    /// [`SocketError`].
    pub fn from_socket(socket: impl Into<OwnedFd>) -> Result<UnixStream, SocketError> {
        Ok(UnixStream::new(Way::Passed, Some(passed(socket.into(), Type::STREAM)?)))
    }

    /// Frames that were dropped for their length. Where it is none that a frame can have, the connection ended, too.
    pub fn malformed(&self) -> u64 {
        self.shared.account.malformed.load(Relaxed)
    }

    /// Frames that had been taken to be sent when a connection ended.
    pub fn lost(&self) -> u64 {
        self.shared.account.lost.load(Relaxed)
    }

    /// How often a connection ended.
    pub fn disconnects(&self) -> u64 {
        self.shared.account.disconnects.load(Relaxed)
    }
}

fn connect(address: &SockAddr) -> io::Result<Socket> {
    let socket = new_socket(Type::STREAM)?;
    socket.connect(address)?;
    Ok(socket)
}

impl Listener {
    /// A connection, if somebody has made one.
    fn accept(&self) -> io::Result<Option<Socket>> {
        match self.socket.accept() {
            Ok((socket, _)) => prepare(&socket).map(|()| Some(socket)),
            Err(error) => match error.kind() {
                // Or whoever it was has gone again.
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => Ok(None),
                _ => Err(error),
            },
        }
    }
}

impl Shared {
    /// A new connection, where there is one to be had.
    fn connect(&self) -> io::Result<Option<Socket>> {
        match &self.way {
            Way::Passed => Ok(None),
            Way::Connect(address) => connect(address).map(Some),
            Way::Listen(listener) => listener.accept(),
        }
    }
}

impl NetBackend for UnixStream {
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    fn open_queue(&self, pair: u16) -> io::Result<Box<dyn NetQueue>> {
        check_pair(pair, 1)?;
        Ok(Box::new(StreamQueue::new(Arc::clone(&self.shared))))
    }

    fn counts(&self) -> NetworkCounts {
        self.shared.account.counts()
    }
}

impl fmt::Debug for UnixStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnixStream").field("way", &self.shared.way).finish_non_exhaustive()
    }
}
