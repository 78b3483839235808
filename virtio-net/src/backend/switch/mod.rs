//! An Ethernet switch in this process.
//!
//! A frame goes through it in the thread of the task that sends it: [`queue`] copies it, learns its source and looks its
//! destination up in [`table`], and puts the copy into the inbox of one of the pairs of a [`port`]. The task on the
//! other side takes frames out of its inbox in batches. Nothing is locked but one inbox at a time, for as long as a frame
//! is put in or a batch is taken out; what is plugged in is looked at without a lock for as long as it does not change.

mod port;
mod queue;
mod table;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use super::frames::{MAX_PAIRS, check_pair};
use super::{Capabilities, Configuration, NetBackend, NetQueue, NetworkCounts};
use crate::Offloads;
use port::Port;
use queue::SwitchQueue;
use table::Addresses;

/// An Ethernet switch in this process, which joins devices.
///
/// It learns which addresses are behind which port, up to 1024 of them, and forgets those from which nothing came for five
/// minutes. A frame for an address that it does not know, or for a group, goes to all ports but the one that it came from.
/// Frames keep their order, and the work that is left to do with them. Tags of VLANs are not looked at.
///
/// Each pair of queues of a port has room for 512 frames or 4 MiB that were not taken yet; what comes then is lost, and
/// [counted](NetBackend::counts) there, as is what comes for a device that is not running.
///
/// Any port can send with any address, and so have the frames for it delivered to itself, as on any such switch: devices whose
/// drivers may not hear each other belong on different switches.
///
/// ```
/// use virtio_net::{NetBackend, Switch};
/// let switch = Switch::new();
/// let (one, other) = (switch.port(), switch.port_with_pairs(4));
/// assert_eq!((one.capabilities().pairs, other.capabilities().pairs), (1, 4));
/// assert_eq!(switch.ports(), 2);
/// drop(one);
/// assert_eq!(switch.ports(), 1);
/// ```
///
/// Cheap to clone; all clones are the same switch. Send and Sync. No call waits.
#[derive(Clone)]
pub struct Switch(Arc<Shared>);

impl Switch {
    /// A switch that nothing is plugged into.
    pub fn new() -> Switch {
        Switch(Arc::new(Shared {
            addresses: Addresses::new(),
            ports: RwLock::new(Arc::from([])),
            version: AtomicU64::new(0),
            made: Instant::now(),
        }))
    }

    /// Plugs in a device with one pair of queues.
    pub fn port(&self) -> SwitchPort {
        self.port_with_pairs(1)
    }

    /// Plugs in a device with up to so many pairs of queues, of which there can be 1 to 32768.
    pub fn port_with_pairs(&self, pairs: u16) -> SwitchPort {
        let pairs = pairs.clamp(1, MAX_PAIRS);
        let port = self.0.change(|ports| {
            let slot = ports.iter().position(Option::is_none).unwrap_or(ports.len());
            let port = Arc::new(Port::new(slot, pairs));
            match ports.get_mut(slot) {
                Some(free) => *free = Some(Arc::clone(&port)),
                None => ports.push(Some(Arc::clone(&port))),
            }
            port
        });
        SwitchPort(Arc::new(Plug { switch: Arc::clone(&self.0), port }))
    }

    /// How many devices are plugged in.
    pub fn ports(&self) -> usize {
        self.0.ports().iter().flatten().count()
    }
}

impl Default for Switch {
    fn default() -> Switch {
        Switch::new()
    }
}

impl fmt::Debug for Switch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Switch({} ports)", self.ports())
    }
}

/// The ports by their slots, of which those that have been unplugged are free.
type Ports = Arc<[Option<Arc<Port>>]>;

struct Shared {
    addresses: Addresses,
    ports: RwLock<Ports>,
    /// Moves when `ports` changes.
    version: AtomicU64,
    made: Instant,
}

impl Shared {
    fn ports(&self) -> Ports {
        Arc::clone(&self.ports.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn change<T>(&self, change: impl FnOnce(&mut Vec<Option<Arc<Port>>>) -> T) -> T {
        let mut ports = self.ports.write().unwrap_or_else(PoisonError::into_inner);
        let mut changed = ports.to_vec();
        let result = change(&mut changed);
        *ports = changed.into();
        // After the list, so that whoever sees the version finds this list or a later one.
        self.version.fetch_add(1, Ordering::Release);
        result
    }

    /// Brings what a queue knows of the ports up to date.
    fn refresh(&self, ports: &mut Ports, version: &mut u64) {
        let current = self.version.load(Ordering::Acquire);
        if current != *version {
            (*ports, *version) = (self.ports(), current);
        }
    }

    /// Seconds since the switch was made.
    fn now(&self) -> u32 {
        u32::try_from(self.made.elapsed().as_secs()).unwrap_or(u32::MAX)
    }
}

/// A port of a [`Switch`]: the network of one device.
///
/// It stays plugged in until it and the queues that were opened on it have been dropped.
///
/// Send and Sync. No call waits.
pub struct SwitchPort(Arc<Plug>);

/// A port in its switch: held by the backend and by its queues, so that nobody sends for a port that is out already.
struct Plug {
    switch: Arc<Shared>,
    port: Arc<Port>,
}

impl Drop for Plug {
    fn drop(&mut self) {
        // The addresses go first: the slot may belong to somebody else as soon as it is free.
        if let Some(id) = self.port.id() {
            self.switch.addresses.forget(id);
        }
        self.switch.change(|ports| {
            if let Some(slot) = ports.get_mut(self.port.slot()) {
                *slot = None;
            }
            while matches!(ports.last(), Some(None)) {
                ports.pop();
            }
        });
    }
}

impl NetBackend for SwitchPort {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            pairs: self.0.port.pairs(),
            transmit: Offloads::ALL,
            receive: Offloads::ALL,
            steers: true,
            ..Capabilities::default()
        }
    }

    fn configure(&self, configuration: &Configuration) -> io::Result<()> {
        self.0.port.use_pairs(configuration.pairs);
        Ok(())
    }

    fn open_queue(&self, pair: u16) -> io::Result<Box<dyn NetQueue>> {
        check_pair(pair, self.0.port.pairs())?;
        Ok(Box::new(SwitchQueue::open(&self.0, pair)?))
    }

    fn counts(&self) -> NetworkCounts {
        self.0.port.counts()
    }
}

impl fmt::Debug for SwitchPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SwitchPort({} of {:?})", self.0.port.slot(), Switch(Arc::clone(&self.0.switch)))
    }
}
