//! The device configuration space (virtio 1.4, section 2.5): bytes that the transport reads without asking the device.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// A device's configuration: little-endian bytes, published by the device and read by the driver.
///
/// Cheap to clone; all clones are the same space. Send and Sync; no call blocks longer than a short mutex.
#[derive(Clone)]
pub struct ConfigSpace(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    listener: Mutex<Option<Weak<dyn ConfigListener>>>,
}

struct State {
    bytes: Vec<u8>,
    generation: u32,
    /// Whether the driver has read since the generation moved, or the device was reset.
    read: bool,
}

/// Puts a field's bytes, little-endian ones, where it is in a configuration; nothing where that has no such place.
pub fn put_field(bytes: &mut [u8], field: Range<usize>, value: &[u8]) {
    if let Some(place) = bytes.get_mut(field).filter(|place| place.len() == value.len()) {
        place.copy_from_slice(value);
    }
}

/// Hears of changes that the device made.
pub(crate) trait ConfigListener: Send + Sync {
    /// `seen`: the driver has read what has changed now.
    fn config_changed(&self, seen: bool);
}

impl ConfigSpace {
    /// A space that holds `bytes`; its length stays.
    pub fn new(bytes: Vec<u8>) -> ConfigSpace {
        let state = State { bytes, generation: 0, read: false };
        ConfigSpace(Arc::new(Inner { state: Mutex::new(state), listener: Mutex::new(None) }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.state().bytes.len()
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads as the driver does, at any offset and width; what lies behind the end reads zero.
    pub fn read(&self, offset: u64, data: &mut [u8]) {
        data.fill(0);
        let mut state = self.state();
        state.read = true;
        let rest = usize::try_from(offset).ok().and_then(|offset| state.bytes.get(offset..));
        if let Some(rest) = rest {
            let len = rest.len().min(data.len());
            data[..len].copy_from_slice(&rest[..len]);
        }
    }

    /// The configuration's generation (BASIC-CFG-03): moves with a change if the driver has read since it last moved,
    /// so that even a transport that shows only a few bits of it never shows the same value across a change.
    pub fn generation(&self) -> u32 {
        self.state().generation
    }

    /// Changes the bytes, all at once for the driver, and has it interrupted if they are different then.
    pub fn update(&self, change: impl FnOnce(&mut [u8])) {
        let Some(seen) = self.change(change) else {
            return;
        };
        let listener = self.0.listener.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // Called without a lock: the listener interrupts the driver, who may read at once.
        if let Some(listener) = listener.and_then(|listener| listener.upgrade()) {
            listener.config_changed(seen);
        }
    }

    /// Changes the bytes without an interrupt, for what the driver itself brought about by a write, its choice of
    /// features or a reset.
    pub fn store(&self, change: impl FnOnce(&mut [u8])) {
        self.change(change);
    }

    /// Changes the bytes. If they are different then, says whether the driver has read them before.
    fn change(&self, change: impl FnOnce(&mut [u8])) -> Option<bool> {
        let mut state = self.state();
        let before = state.bytes.clone();
        change(&mut state.bytes);
        if state.bytes == before {
            return None;
        }
        let seen = std::mem::take(&mut state.read);
        if seen {
            state.generation = state.generation.wrapping_add(1);
        }
        Some(seen)
    }

    /// The bytes, without counting as a read of the driver's.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.state().bytes.clone()
    }

    /// Goes on for a driver that saw `bytes` in this generation elsewhere. Says whether it sees others now.
    pub(crate) fn go_on(&self, generation: u32, bytes: &[u8]) -> bool {
        let mut state = self.state();
        let differs = state.bytes != bytes;
        state.generation = generation.wrapping_add(differs.into());
        state.read = true;
        differs
    }

    /// The driver that has read has been reset.
    pub(crate) fn forget_reads(&self) {
        self.state().read = false;
    }

    /// Has `listener` told of what `update` changes.
    pub(crate) fn listen(&self, listener: Weak<dyn ConfigListener>) {
        *self.0.listener.lock().unwrap_or_else(PoisonError::into_inner) = Some(listener);
    }
}

impl fmt::Debug for ConfigSpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        write!(f, "ConfigSpace({} bytes, generation {})", state.bytes.len(), state.generation)
    }
}
