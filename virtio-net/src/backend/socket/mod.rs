//! Networks that another process has, behind a Unix socket.
//!
//! | module | what |
//! |---|---|
//! | `stream` | a stream, each frame with its length before it |
//! | `datagram` | a frame in each datagram |
//! | `incoming`, `outgoing` | frames that are there in part, and frames that did not go yet |
//! | `link` | connecting, again and again, and who has the connection |

mod datagram;
mod error;
mod incoming;
mod link;
mod outgoing;
mod own_path;
mod stream;
#[cfg(test)]
mod tests;

pub use datagram::{UnixDgram, UnixDgramBuilder};
pub use error::SocketError;
pub use stream::UnixStream;

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use socket2::{SockAddr, Socket, Type};
use virtio_core::LogLimit;

use super::NetworkCounts;

/// What a backend and its queue have counted and said.
#[derive(Debug, Default)]
struct Account {
    malformed: AtomicU64,
    lost: AtomicU64,
    disconnects: AtomicU64,
    log: LogLimit,
}

impl Account {
    fn counts(&self) -> NetworkCounts {
        NetworkCounts {
            malformed: self.malformed.load(Relaxed),
            lost: self.lost.load(Relaxed),
            disconnects: self.disconnects.load(Relaxed),
            ..NetworkCounts::default()
        }
    }

    fn malformed(&self) {
        self.malformed.fetch_add(1, Relaxed);
    }

    /// A connection ended, and with it frames that had been taken.
    fn disconnected(&self, reason: &dyn std::fmt::Display, frames: usize) {
        self.disconnects.fetch_add(1, Relaxed);
        self.lost.fetch_add(frames as u64, Relaxed);
        self.log.log(log::Level::Info, format_args!("the network's socket is disconnected: {reason}"));
    }
}

/// The address of the socket at `path`.
fn address(path: &Path) -> Result<SockAddr, SocketError> {
    SockAddr::unix(path).map_err(|source| SocketError::Path { path: path.to_owned(), source })
}

/// A new socket that no call waits on.
fn new_socket(kind: Type) -> io::Result<Socket> {
    let socket = Socket::new(socket2::Domain::UNIX, kind, None)?;
    prepare(&socket)?;
    Ok(socket)
}

fn prepare(socket: &Socket) -> io::Result<()> {
    #[cfg(target_vendor = "apple")]
    socket.set_nosigpipe(true)?;
    socket.set_nonblocking(true)
}

/// A socket that is open already, if it is of this kind.
fn passed(file: OwnedFd, kind: Type) -> Result<Socket, SocketError> {
    let socket = Socket::from(file);
    let found = socket.r#type().map_err(|source| SocketError::NotASocket { source })?;
    let unix = socket.local_addr().is_ok_and(|address| address.domain() == socket2::Domain::UNIX);
    if !unix || found != kind {
        return Err(SocketError::Kind { wanted: if kind == Type::STREAM { "stream" } else { "datagram" } });
    }
    prepare(&socket).map_err(|source| SocketError::NotASocket { source })?;
    Ok(socket)
}
