//! The 32 slots of bus 0: routing by slot number and by where the BARs are.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::function::{BarPlacement, PciFunction};
use crate::kvm::doorbell::Doorbells;

/// Slots of a bus.
pub(crate) const SLOTS: u8 = 32;
/// What a function that is not there reads as.
const NOTHING_THERE: u8 = 0xff;

/// The doorbells of one function, which move with the BAR that they are in.
pub(crate) struct BarDoorbells {
    /// The BAR.
    pub(crate) bar: u8,
    /// The doorbells, with offsets in the BAR.
    pub(crate) doorbells: Doorbells,
}

struct Slot {
    number: u8,
    function: Arc<dyn PciFunction>,
    doorbells: Mutex<Option<BarDoorbells>>,
}

/// Bus 0.
#[derive(Default)]
pub(crate) struct PciBus {
    slots: Vec<Slot>,
    /// Where every BAR is, with the index of its slot. Read at each access, written when a driver moves BARs.
    map: RwLock<Vec<(BarPlacement, usize)>>,
}

impl PciBus {
    /// The number that the next function gets.
    pub(crate) fn next_slot(&self) -> Option<u8> {
        u8::try_from(self.slots.len()).ok().filter(|slot| *slot < SLOTS)
    }

    /// Puts a function into the next slot. `None` if the bus is full.
    pub(crate) fn add(&mut self, function: Arc<dyn PciFunction>, doorbells: Option<BarDoorbells>) -> Option<u8> {
        let number = self.next_slot()?;
        self.slots.push(Slot { number, function, doorbells: Mutex::new(doorbells) });
        self.update_map();
        Some(number)
    }

    /// Reads configuration space of the function in slot `slot`.
    pub(crate) fn read_config(&self, slot: u8, function: u8, offset: u16, data: &mut [u8]) {
        data.fill(NOTHING_THERE);
        if let Some(slot) = self.slot(slot, function) {
            slot.function.read_config(offset, data);
        }
    }

    /// Writes configuration space of the function in slot `slot`.
    pub(crate) fn write_config(&self, slot: u8, function: u8, offset: u16, data: &[u8]) {
        if let Some(slot) = self.slot(slot, function) {
            slot.function.write_config(offset, data);
            self.update_map();
        }
    }

    /// Reads the BAR that is at `address`.
    pub(crate) fn read(&self, address: u64, data: &mut [u8]) {
        data.fill(NOTHING_THERE);
        if let Some((function, bar, offset)) = self.find(address, data.len()) {
            function.read_bar(bar, offset, data);
        }
    }

    /// Writes the BAR that is at `address`.
    pub(crate) fn write(&self, address: u64, data: &[u8]) {
        if let Some((function, bar, offset)) = self.find(address, data.len()) {
            function.write_bar(bar, offset, data);
        }
    }

    fn slot(&self, number: u8, function: u8) -> Option<&Slot> {
        self.slots.iter().find(|slot| slot.number == number && function == 0)
    }

    /// The function is cloned out of the map: its access may block, and may move BARs itself.
    fn find(&self, address: u64, length: usize) -> Option<(Arc<dyn PciFunction>, u8, u64)> {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        map.iter().find_map(|(placement, index)| {
            let offset = placement.offset_of(address, length)?;
            let slot = self.slots.get(*index)?;
            Some((slot.function.clone(), placement.bar, offset))
        })
    }

    fn update_map(&self) {
        let mut map = self.map.write().unwrap_or_else(PoisonError::into_inner);
        let mut new = Vec::with_capacity(map.len());
        for (index, slot) in self.slots.iter().enumerate() {
            let bars = slot.function.bars();
            slot.move_doorbells(&bars);
            new.extend(bars.into_iter().map(|bar| (bar, index)));
        }
        *map = new;
    }
}

impl Slot {
    fn move_doorbells(&self, bars: &[BarPlacement]) {
        let mut doorbells = self.doorbells.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(BarDoorbells { bar, doorbells }) = doorbells.as_mut() else {
            return;
        };
        let base = bars.iter().find(|placement| placement.bar == *bar).map(|placement| placement.base);
        // Without them the writes still reach the function, only more slowly.
        if let Err(error) = doorbells.place(base) {
            log::warn!("PCI slot {}: {error}", self.number);
        }
    }
}
