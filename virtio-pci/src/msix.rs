//! The MSI-X table: which vector sends what, and which are masked.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::access;
use crate::layout::{MSIX_ENTRY, MsixLayout};
use crate::vector::{MessageVector, MessageVectors};

/// Bit of the message control register: MSI-X is in use.
pub(crate) const ENABLE: u16 = 1 << 15;
/// Bit of the message control register: all vectors are masked.
pub(crate) const FUNCTION_MASK: u16 = 1 << 14;
/// Bit of an entry's vector control: the vector is masked.
const ENTRY_MASK: u32 = 1;
/// The vector register's value for "none" (virtio 1.4, section 4.1.5.1.2).
pub(crate) const NO_VECTOR: u16 = 0xffff;

/// The table and its vectors; a function without MSI-X has none.
///
/// The mutex is for the driver's writes only. Signalling a vector does not take it: whether a signal is sent or pends is
/// the vector's affair, which is told of each change of its mask.
pub(crate) struct Msix {
    table: Mutex<Table>,
    vectors: Box<[Arc<dyn MessageVector>]>,
    enabled: Arc<AtomicBool>,
    route_failures: AtomicU64,
    pub(crate) layout: MsixLayout,
}

struct Table {
    entries: Vec<Entry>,
    control: u16,
}

/// An entry as the driver sees it, and how far its vector follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) address: u64,
    pub(crate) data: u32,
    pub(crate) masked: bool,
    /// What the vector was told to send.
    routed: Option<(u64, u32)>,
    /// Whether the vector is unmasked.
    live: bool,
}

impl Entry {
    /// PCI: all entries start masked.
    pub(crate) const RESET: Entry = Entry { address: 0, data: 0, masked: true, routed: None, live: false };

    fn register(&self, index: u64) -> u32 {
        match index {
            0 => self.address as u32,
            1 => (self.address >> 32) as u32,
            2 => self.data,
            _ => u32::from(self.masked),
        }
    }

    fn set_register(&mut self, index: u64, value: u32) {
        match index {
            // Messages are dwords: the lowest bits of the address are not there.
            0 => self.address = self.address & !0xffff_ffff | u64::from(value & !3),
            1 => self.address = self.address & 0xffff_ffff | u64::from(value) << 32,
            2 => self.data = value,
            _ => self.masked = value & ENTRY_MASK != 0,
        }
    }
}

impl Msix {
    pub(crate) fn new(count: u16, factory: Option<&dyn MessageVectors>) -> io::Result<Msix> {
        let vectors: io::Result<Box<[_]>> = match factory {
            Some(factory) => (0..count).map(|index| factory.vector(index)).collect(),
            None => Ok(Box::default()),
        };
        let vectors = vectors?;
        Ok(Msix {
            table: Mutex::new(Table { entries: vec![Entry::RESET; vectors.len()], control: 0 }),
            vectors,
            enabled: Arc::default(),
            route_failures: AtomicU64::new(0),
            layout: MsixLayout::new(count),
        })
    }

    /// How many vectors there are.
    pub(crate) fn count(&self) -> u16 {
        u16::try_from(self.vectors.len()).unwrap_or(0)
    }

    /// Whether interrupts are messages: what the message control register says, for those who do not read it.
    pub(crate) fn enabled(&self) -> &Arc<AtomicBool> {
        &self.enabled
    }

    pub(crate) fn is_enabled(&self) -> bool {
        self.enabled.load(Ordering::SeqCst)
    }

    pub(crate) fn vector(&self, index: u16) -> Option<&Arc<dyn MessageVector>> {
        self.vectors.get(usize::from(index))
    }

    /// How often a vector could not be routed.
    pub(crate) fn route_failures(&self) -> u64 {
        self.route_failures.load(Ordering::Relaxed)
    }

    /// The driver writes the message control register.
    pub(crate) fn set_control(&self, control: u16) {
        let mut table = self.table();
        table.control = control;
        // Before the vectors open: what is signalled from now on goes to a vector, and pends there until it is open.
        self.enabled.store(control & ENABLE != 0, Ordering::SeqCst);
        let Table { entries, control } = &mut *table;
        for (entry, vector) in entries.iter_mut().zip(&self.vectors) {
            self.follow(*control, entry, &**vector);
        }
    }

    /// The driver reads the MSI-X BAR.
    pub(crate) fn read(&self, offset: u64, data: &mut [u8]) {
        let len = data.len();
        if self.layout.table.within(offset).is_some() {
            let table = self.table();
            for_registers(offset, len, |at, entry, register| {
                let value = table.entries.get(entry).map_or(0, |entry| entry.register(register));
                access::read(at, 4, value, offset, data);
            });
        } else if let Some(within) = self.layout.pending.within(offset) {
            for (bit, out) in (within..).zip(data) {
                *out = self.pending_byte(8 * bit);
            }
        }
    }

    /// The pending bits of eight vectors.
    fn pending_byte(&self, first: u64) -> u8 {
        let first = usize::try_from(first).unwrap_or(usize::MAX);
        let pending = |bit: usize| self.vectors.get(first + bit).is_some_and(|vector| vector.is_pending());
        (0..8).filter(|bit| pending(*bit)).fold(0, |byte, bit| byte | 1 << bit)
    }

    /// The driver writes the MSI-X BAR. The pending bits are not its to write.
    pub(crate) fn write(&self, offset: u64, data: &[u8]) {
        if self.layout.table.within(offset).is_none() {
            return;
        }
        let mut table = self.table();
        let Table { entries, control } = &mut *table;
        // DRV-PCI-16: any width; entries behind the last are nobody's.
        for_registers(offset, data.len(), |at, index, register| {
            if let Some(entry) = entries.get_mut(index) {
                entry.set_register(register, access::merge(at, 4, entry.register(register), offset, data));
            }
        });
        // All registers first: one access that sets an address never sends to half of it.
        let first = usize::try_from(offset / u64::from(MSIX_ENTRY)).unwrap_or(usize::MAX);
        let touched = data.len().div_ceil(4) / 4 + 2;
        for (entry, vector) in entries.iter_mut().zip(&self.vectors).skip(first).take(touched) {
            self.follow(*control, entry, &**vector);
        }
    }

    /// Has a vector follow its entry.
    fn follow(&self, control: u16, entry: &mut Entry, vector: &dyn MessageVector) {
        if control & (ENABLE | FUNCTION_MASK) != ENABLE || entry.masked {
            if std::mem::take(&mut entry.live) {
                vector.mask();
            }
            return;
        }
        let route = (entry.address, entry.data);
        if entry.routed != Some(route) {
            if let Err(error) = vector.route(entry.address, entry.data) {
                // At debug level: a driver can cause one at each write.
                log::debug!("no route for message {:#x}/{:#x}: {error}", entry.address, entry.data);
                self.route_failures.fetch_add(1, Ordering::Relaxed);
                entry.routed = None;
                if std::mem::take(&mut entry.live) {
                    vector.mask();
                }
                return;
            }
            entry.routed = Some(route);
        }
        // The route first: what pends fires at once.
        if !entry.live {
            entry.live = true;
            vector.unmask();
        }
    }

    /// The device was reset: nothing of what pends is wanted any more.
    pub(crate) fn clear(&self) {
        self.vectors.iter().for_each(|vector| vector.clear());
    }

    /// What the driver can see: the entries, and which vectors pend.
    pub(crate) fn entries(&self) -> Vec<(Entry, bool)> {
        let table = self.table();
        table.entries.iter().zip(&self.vectors).map(|(entry, vector)| (*entry, vector.is_pending())).collect()
    }

    /// Replaces the table, masking all vectors, and what pends. The message control register has to follow.
    pub(crate) fn replace(&self, contents: impl Iterator<Item = (u64, u32, bool, bool)>) {
        let mut table = self.table();
        table.control = 0;
        self.enabled.store(false, Ordering::SeqCst);
        let Table { entries, control } = &mut *table;
        for ((entry, vector), (address, data, masked, pending)) in entries.iter_mut().zip(&self.vectors).zip(contents) {
            self.follow(*control, entry, &**vector);
            (entry.address, entry.data, entry.masked) = (address & !3, data, masked);
            vector.clear();
            if pending {
                vector.signal();
            }
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Calls `each` for the registers that an access touches: with the register's offset, its entry, and its place there.
fn for_registers(offset: u64, len: usize, mut each: impl FnMut(u64, usize, u64)) {
    let end = offset.saturating_add(len as u64);
    let mut at = offset & !3;
    while at < end {
        let entry = usize::try_from(at / u64::from(MSIX_ENTRY)).unwrap_or(usize::MAX);
        each(at, entry, at % u64::from(MSIX_ENTRY) / 4);
        at += 4;
    }
}
