//! A record of what goes through another network.

mod file;
mod queue;
#[cfg(test)]
mod tests;

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use super::{Capabilities, Configuration, NetBackend, NetQueue, NetworkCounts};
use file::Capture;
use queue::PcapQueue;

/// A network whose frames are recorded in a file that Wireshark and tcpdump read: pcap, with nanoseconds.
///
/// Recorded is what the network took of what was sent, and what it delivered: before the device has dropped, cut or completed
/// anything. So frames can be longer than the network's MTU, and have checksums that are not complete.
///
/// Frames are in the file when a batch has been sent, when there is nothing more to receive, and when the pair is closed. A file
/// that cannot be written, as on a full disk, does not disturb the network:
/// the record ends, and what is missing in it is [counted](Self::missing).
///
/// ```
/// use std::sync::Arc;
/// use virtio_net::{Loopback, NetBackend, Pcap};
/// # let directory = std::env::temp_dir().join(format!("virtio-net-pcap-{}", std::process::id()));
/// # std::fs::create_dir_all(&directory)?;
/// let recorded = Arc::new(Pcap::create(Loopback::new(), directory.join("frames.pcap"))?);
/// // A device takes the one, and who made it looks at the other.
/// let network: Arc<dyn NetBackend> = recorded.clone();
/// assert_eq!((recorded.recorded(), recorded.missing()), (0, 0));
/// # std::fs::remove_dir_all(&directory)?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// Send and Sync. Calls wait for the other pairs that write, and for the file: one that makes its writers wait, as a pipe
/// does whose reader is slow, holds up the network.
pub struct Pcap<B> {
    inner: B,
    capture: Arc<Capture>,
}

impl<B: NetBackend> Pcap<B> {
    /// Bytes of a frame that are recorded where nothing else is said: all.
    pub const WHOLE: u32 = 1 << 18;

    /// Records whole frames in a new file, or instead of what is in it.
    ///
    /// # Errors
    /// Those of the file.
    pub fn create(inner: B, path: impl AsRef<Path>) -> io::Result<Pcap<B>> {
        Pcap::to(inner, File::create(path)?, Pcap::<B>::WHOLE)
    }

    /// Records the first `snaplen` bytes of each frame. What is written is collected to large pieces.
    ///
    /// # Errors
    /// Those of writing the file's header.
    pub fn to(inner: B, writer: impl Write + Send + 'static, snaplen: u32) -> io::Result<Pcap<B>> {
        Ok(Pcap { inner, capture: Arc::new(Capture::new(Box::new(writer), snaplen)?) })
    }

    /// Frames that were recorded.
    pub fn recorded(&self) -> u64 {
        self.capture.recorded()
    }

    /// Frames that were not, because the file could not be written. Some of those that were recorded before may not have
    /// reached it either.
    pub fn missing(&self) -> u64 {
        self.capture.missing()
    }

    /// The network itself.
    pub fn inner(&self) -> &B {
        &self.inner
    }
}

impl<B: NetBackend> NetBackend for Pcap<B> {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn configure(&self, configuration: &Configuration) -> io::Result<()> {
        self.inner.configure(configuration)
    }

    fn open_queue(&self, pair: u16) -> io::Result<Box<dyn NetQueue>> {
        let queue = self.inner.open_queue(pair)?;
        Ok(Box::new(PcapQueue::new(queue, Arc::clone(&self.capture))))
    }

    fn counts(&self) -> NetworkCounts {
        let mut counts = self.inner.counts();
        counts.unrecorded = counts.unrecorded.wrapping_add(self.missing());
        counts
    }
}

impl<B: fmt::Debug> fmt::Debug for Pcap<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pcap({:?}, {} frames)", self.inner, self.capture.recorded())
    }
}
