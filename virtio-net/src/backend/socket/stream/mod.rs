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
use super::super::{Capabilities, NetBackend, NetQueue};
use super::error::SocketError;
use super::link::Spare;
use super::{Account, address, new_socket, only_pair, passed};

/// A network that another process has, behind a Unix stream socket: each frame with its length before it, in 4 bytes, the
/// highest one first. QEMU has it as `-netdev stream`, and passt speaks it.
///
/// Several frames go, and come, in one system call. There are no offloads. When the process goes, the link is down, what is
/// sent meanwhile is lost, and a new connection is made as soon as there is one to be had; not so with
/// [an open socket](Self::from_socket).
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
    /// Where to connect to again.
    address: Option<SockAddr>,
    /// The connection that no queue has now.
    spare: Spare<Connection>,
    account: Account,
}

impl UnixStream {
    fn new(address: Option<SockAddr>, socket: Option<Socket>) -> UnixStream {
        let spare = Spare::new(socket.map(Connection::new));
        UnixStream { shared: Arc::new(Shared { address, spare, account: Account::default() }) }
    }

    /// Connects to the socket at `path`.
    ///
    /// # Errors
    /// [`SocketError`].
    pub fn connect(path: impl AsRef<Path>) -> Result<UnixStream, SocketError> {
        let address = address(path.as_ref())?;
        let socket = connect(&address);
        let socket = socket.map_err(|source| SocketError::Connect { path: path.as_ref().to_owned(), source })?;
        Ok(UnixStream::new(Some(address), Some(socket)))
    }

    /// Connects to the socket at `path` when there is one: until then the link is down.
    ///
    /// # Errors
    /// [`SocketError::Path`].
    pub fn connect_later(path: impl AsRef<Path>) -> Result<UnixStream, SocketError> {
        Ok(UnixStream::new(Some(address(path.as_ref())?), None))
    }

    /// Takes a Unix stream socket that is connected already. It does not block from now on.
    ///
    /// # Errors
    /// [`SocketError`].
    pub fn from_socket(socket: impl Into<OwnedFd>) -> Result<UnixStream, SocketError> {
        Ok(UnixStream::new(None, Some(passed(socket.into(), Type::STREAM)?)))
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

impl NetBackend for UnixStream {
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    fn open_queue(&self, pair: u16) -> io::Result<Box<dyn NetQueue>> {
        only_pair(pair)?;
        Ok(Box::new(StreamQueue::new(Arc::clone(&self.shared))))
    }
}

impl fmt::Debug for UnixStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnixStream").field("address", &self.shared.address).finish_non_exhaustive()
    }
}
