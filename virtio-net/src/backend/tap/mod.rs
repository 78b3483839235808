//! A network interface of the host: a tap, or a macvtap.
//!
//! | module | what |
//! |---|---|
//! | `builder` | which interface, and what it can do |
//! | `offloads` | offloads, as the kernel knows them |
//! | `shared` | what the driver wants, set on all queues |
//! | `link` | whether the interface is there and up |
//! | `queue` | frames |

mod builder;
mod error;
mod link;
mod offloads;
mod queue;
mod shared;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

pub use builder::TapBuilder;
pub use error::TapError;

use self::queue::TapQueue;
use self::shared::Shared;
use super::{Capabilities, Configuration, NetBackend, NetQueue, NetworkCounts};

/// Bytes of the header before each frame, and of that with the fields of tunnels.
const HEADER_LEN: libc::c_int = 12;
const TUNNEL_HEADER_LEN: libc::c_int = 24;

/// A network interface of the host that the device is the other end of: a tap, or a macvtap.
///
/// Frames go between the driver's memory and the kernel in one system call each, with their offloads. The interface itself
/// is the host's to set up: its address, its bridge; and its MTU, and whether it is up, unless the [builder](TapBuilder) is told
/// to. The driver sees its link go down with the interface,
/// and come up again.
///
/// An interface that is deleted is a link that is down. When there is one of the same name again, and this user may use it,
/// it takes its place; not so a macvtap.
///
/// What is set on the interface, offloads, the length of the header and its byte order, is as it was found after the last
/// use, but for offloads: there are none then. Open files that were passed do not block from now on.
///
/// ```no_run
/// use virtio_net::Tap;
///
/// // Made before, as root: ip tuntap add vm0 mode tap multi_queue user $USER
/// let network = Tap::by_name("vm0").pairs(2).open()?;
/// # Ok::<(), virtio_net::TapError>(())
/// ```
///
/// Send and Sync. Calls block for as long as system calls on interfaces take.
pub struct Tap {
    shared: Arc<Shared>,
}

impl Tap {
    /// The interface of this name, with one pair: see [`by_name`](Self::by_name).
    ///
    /// # Errors
    /// [`TapError`].
    pub fn open(name: impl Into<String>) -> Result<Tap, TapError> {
        Tap::by_name(name).open()
    }

    /// The tap of this name. If there is none, and this process may, it is made, and is there for as long as this is.
    pub fn by_name(name: impl Into<String>) -> TapBuilder {
        TapBuilder::name(name.into())
    }

    /// The macvtap, or ipvtap, that `path` is the file of: `/dev/tapN`, where N is the number of the interface.
    pub fn by_path(path: impl Into<PathBuf>) -> TapBuilder {
        TapBuilder::macvtap(path.into())
    }

    /// Open files, each one pair of queues of the same interface: taps, attached with `IFF_TAP`, `IFF_NO_PI` and
    /// `IFF_VNET_HDR`, or macvtaps.
    pub fn by_files(files: Vec<OwnedFd>) -> TapBuilder {
        TapBuilder::files(files)
    }

    /// The interface's name, as it was last seen.
    pub fn name(&self) -> String {
        self.shared.name().to_string()
    }

    /// Frames that were dropped because they were longer than there was room for, or too short to be one.
    pub fn malformed(&self) -> u64 {
        self.shared.malformed.load(Relaxed)
    }
}

impl NetBackend for Tap {
    fn capabilities(&self) -> Capabilities {
        self.shared.capabilities
    }

    fn configure(&self, configuration: &Configuration) -> io::Result<()> {
        self.shared.configure(configuration)
    }

    fn open_queue(&self, pair: u16) -> io::Result<Box<dyn NetQueue>> {
        Ok(Box::new(TapQueue::new(Arc::clone(&self.shared), pair)?))
    }

    fn counts(&self) -> NetworkCounts {
        NetworkCounts {
            overflows: self.shared.link.overflows(),
            unclaimed: self.shared.unclaimed.load(Relaxed),
            malformed: self.malformed(),
            ..NetworkCounts::default()
        }
    }
}

impl fmt::Debug for Tap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tap").field("name", &self.shared.name()).finish_non_exhaustive()
    }
}
