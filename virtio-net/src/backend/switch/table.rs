//! Which addresses are behind which port.

use std::num::NonZeroU16;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use crate::MacAddress;

/// Sets of entries; an address has its place in one of them.
const SETS: usize = 256;
/// Entries in a set.
const WAYS: usize = 4;
/// Seconds after which an address is forgotten from which nothing comes.
const AGE: u32 = 300;

/// Addresses that have been learned: as many as there is room for, in words that are read and written by any thread without
/// a lock.
///
/// Two threads that learn at the same time may keep only one of two addresses, or one of them twice; the next frame from it
/// sets that right. What is stale is never a port that has gone: those are forgotten when nobody can learn them any more.
pub(super) struct Addresses(Box<[Set]>);

/// On a cache line of its own.
#[derive(Default)]
#[repr(align(64))]
struct Set {
    /// An address and, in the low 16 bits, a port; zero where there is none.
    entries: [AtomicU64; WAYS],
    /// When something last came from it, in seconds.
    seen: [AtomicU32; WAYS],
}

impl Addresses {
    pub(super) fn new() -> Addresses {
        Addresses((0..SETS).map(|_| Set::default()).collect())
    }

    /// Something came from this address by this port.
    #[inline]
    pub(super) fn learn(&self, address: MacAddress, port: NonZeroU16, now: u32) {
        let (key, Some(set)) = (key(address), self.set(address)) else { return };
        let ways = || set.entries.iter().zip(&set.seen);
        let known = ways().find(|(entry, _)| entry.load(Relaxed) & !PORT == key);
        // Otherwise where there is none, or instead of what has been silent for longest.
        let place = known.or_else(|| ways().min_by_key(|(entry, seen)| (entry.load(Relaxed) != 0, seen.load(Relaxed))));
        let Some((entry, seen)) = place else { return };
        // Lines that others read are written only where something is new.
        let value = key | u64::from(port.get());
        if entry.load(Relaxed) != value {
            entry.store(value, Relaxed);
        }
        if seen.load(Relaxed) != now {
            seen.store(now, Relaxed);
        }
    }

    /// The port that this address is behind.
    #[inline]
    pub(super) fn find(&self, address: MacAddress, now: u32) -> Option<NonZeroU16> {
        let (key, set) = (key(address), self.set(address)?);
        let entries = set.entries.iter().zip(&set.seen).map(|(entry, seen)| (entry.load(Relaxed), seen));
        let (entry, seen) = entries.into_iter().find(|(entry, _)| *entry != 0 && entry & !PORT == key)?;
        if is_old(seen, now) { None } else { NonZeroU16::new((entry & PORT) as u16) }
    }

    /// Nothing is behind this port any more.
    pub(super) fn forget(&self, port: NonZeroU16) {
        for entry in self.0.iter().flat_map(|set| &set.entries) {
            let value = entry.load(Relaxed);
            if value & PORT == u64::from(port.get()) {
                // Where it has become somebody else's meanwhile, it stays.
                let _ = entry.compare_exchange(value, 0, Relaxed, Relaxed);
            }
        }
    }

    fn set(&self, address: MacAddress) -> Option<&Set> {
        // The bits of a product that all bits of the address count in.
        let place = (key(address) >> 16).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56;
        self.0.get(place as usize % SETS)
    }
}

/// The bits of an entry that are the port.
const PORT: u64 = 0xffff;

fn key(MacAddress([a, b, c, d, e, f]): MacAddress) -> u64 {
    u64::from_be_bytes([a, b, c, d, e, f, 0, 0])
}

fn is_old(seen: &AtomicU32, now: u32) -> bool {
    now.saturating_sub(seen.load(Relaxed)) > AGE
}
