//! Why a socket is no network.

use std::io;
use std::path::PathBuf;

/// A Unix socket cannot be a network. The messages say what to do. Send and Sync.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SocketError {
    /// No socket can be at this path.
    #[error("no socket can be at {}: {source}", path.display())]
    Path {
        /// The path.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// There is nobody at this path.
    #[error("nobody takes a connection at {}: {source}: start the network there first, such as passt", path.display())]
    Connect {
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The socket's own path cannot be had.
    #[error("no socket can be made at {}: {source}: remove what is there, or name another path", path.display())]
    Bind {
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// An open file is no socket.
    #[error("the open file is no socket: {source}")]
    NotASocket {
        /// What the system said.
        source: io::Error,
    },
    /// An open file is a socket of another kind.
    #[error("the open file is no Unix {wanted} socket")]
    Kind {
        /// What it should be.
        wanted: &'static str,
    },
}
