//! Automatic receive steering, for networks that do not steer (virtio 1.4, section 5.1.6.5.6).

use std::sync::atomic::{AtomicU16, Ordering::Relaxed};

/// Flows are told apart by so many of their numbers.
const PLACES: usize = 4096;

/// Which pair has sent what belongs to a flow. What is forgotten, or taken for another flow, goes to a pair that is as good as
/// any.
pub(crate) struct Flows(Box<[AtomicU16]>);

impl Flows {
    pub(crate) fn new() -> Flows {
        Flows((0..PLACES).map(|_| AtomicU16::new(0)).collect())
    }

    fn place(&self, flow: u32) -> Option<&AtomicU16> {
        self.0.get(flow as usize % PLACES)
    }

    /// The pair has sent a frame of this flow.
    pub(crate) fn note(&self, flow: u32, pair: u16) {
        let Some(place) = self.place(flow) else { return };
        let mark = pair.wrapping_add(1);
        // The same line is read by all.
        if place.load(Relaxed) != mark {
            place.store(mark, Relaxed);
        }
    }

    /// Which of so many pairs a flow belongs to. NET-MQ-05: always the same, until it is sent by another.
    pub(crate) fn pair(&self, flow: u32, pairs: u16) -> u16 {
        let noted = self.place(flow).map_or(0, |place| place.load(Relaxed)).checked_sub(1);
        // The remainder is less than the divisor.
        noted.filter(|pair| *pair < pairs).unwrap_or((flow % u32::from(pairs.max(1))) as u16)
    }

    /// The device is reset.
    pub(crate) fn forget(&self) {
        self.0.iter().for_each(|place| place.store(0, Relaxed));
    }
}
