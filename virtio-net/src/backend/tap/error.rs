//! Why an interface cannot be a network.

use std::io;
use std::path::PathBuf;

/// An interface of the host cannot be a network. The messages say what to do. Send and Sync.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TapError {
    /// No interface can have this name.
    #[error("{name:?} is no name of an interface: 1 to 15 bytes, without spaces, `/` and `:`, are")]
    Name {
        /// The name.
        name: String,
    },
    /// The file that is opened cannot be.
    #[error("{} cannot be opened: {source}{}", path.display(), hint(path, source))]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The interface may not be used, or not be made, by this user.
    #[error(
        "no permission to use the interface {name}: have root make it for you, \
         with `ip tuntap add {name} mode tap user $USER`"
    )]
    Permission {
        /// Its name.
        name: String,
    },
    /// Somebody else has it.
    #[error("the interface {name} is in use: stop who uses it, or make another one")]
    Busy {
        /// Its name.
        name: String,
    },
    /// There is an interface of this name, and it is another kind of interface, or has one queue where several are wanted.
    #[error(
        "the interface {name} is no tap with {pairs} pairs of queues: make one with `ip tuntap add {name} mode tap{}`",
        if *pairs > 1 { " multi_queue" } else { "" }
    )]
    Kind {
        /// Its name.
        name: String,
        /// Pairs that were wanted.
        pairs: u16,
    },
    /// Pairs of queues are wanted that no interface has.
    #[error("{pairs} pairs of queues cannot be had: 1 to 256 can")]
    Pairs {
        /// How many.
        pairs: usize,
    },
    /// An open file is no queue of a tap.
    #[error(
        "open file {index} is no queue of a tap: open /dev/net/tun, or /dev/tapN, and attach it with TUNSETIFF first"
    )]
    NotATap {
        /// Which of the files.
        index: usize,
        /// What the system said, if it was that.
        source: Option<io::Error>,
    },
    /// An open file is one of a tap without headers before frames.
    #[error("open file {index}, of the interface {name}, has no header before each frame: attach it with IFF_VNET_HDR")]
    NoHeader {
        /// Which of the files.
        index: usize,
        /// The interface.
        name: String,
    },
    /// Open files are of several interfaces.
    #[error(
        "open file {index} is one of the interface {name}, and the first one is not: each network needs one interface"
    )]
    Mixed {
        /// Which of the files.
        index: usize,
        /// Its interface.
        name: String,
    },
    /// Something that is needed cannot be set.
    #[error("{what} of the interface {name} cannot be set: {source}")]
    Setting {
        /// The interface.
        name: String,
        /// What.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// What there is to do about a file that cannot be opened.
fn hint(path: &std::path::Path, error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => ": change its permissions, or have its owner pass it as an open file",
        io::ErrorKind::NotFound if path.starts_with("/dev/net") => ": load the module `tun`, or make the file",
        io::ErrorKind::NotFound => ": it has the number of the interface, which `ip link` shows",
        _ => "",
    }
}
