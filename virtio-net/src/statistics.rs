//! What a driver that asks for statistics is told: see [`stats`](crate::stats). Where the device has been restored, that is
//! what its driver was told before, and what has been counted since: no number goes back.

use std::collections::BTreeMap;
use std::sync::{MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::counters::{Counters, NetCounts};
use crate::settings::Limits;
use crate::shared::Shared;
use crate::stats::{ControlStats, ReceiveStats, Statistics, TransmitStats};

/// Numbers of all queues: what a driver has been told, or what has to be added to what a device has counted for that.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Told {
    /// Of the queues of pairs, where they are not all zero.
    pairs: BTreeMap<u16, (ReceiveStats, TransmitStats)>,
    control: ControlStats,
}

impl Told {
    /// Whether a device can have said that.
    ///
    /// # Errors
    /// What cannot have been.
    pub(crate) fn validate(&self, limits: &Limits) -> Result<(), &'static str> {
        let there = self.pairs.keys().all(|pair| *pair < limits.max_pairs);
        if there { Ok(()) } else { Err("statistics of queues that are not there") }
    }

    fn pair(&self, pair: u16) -> (ReceiveStats, TransmitStats) {
        self.pairs.get(&pair).copied().unwrap_or_default()
    }
}

impl Shared {
    /// What the task of a pair, or behind those of all pairs the control queue's, has counted.
    fn counts(&self, place: usize) -> NetCounts {
        let mut counts = NetCounts::default();
        self.counters.get(place).into_iter().for_each(|counters: &Counters| counters.add_to(&mut counts));
        counts
    }

    fn base(&self) -> MutexGuard<'_, Told> {
        self.base.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a driver would be told now.
    pub(crate) fn told(&self) -> Told {
        let told = |pair| (pair, (self.receive(pair), self.transmit(pair)));
        let pairs = (0..self.limits.max_pairs).map(told).filter(|(_, told)| *told != Default::default());
        Told { pairs: pairs.collect(), control: self.control() }
    }

    /// Has drivers be told what goes on from that.
    pub(crate) fn go_on_from(&self, told: &Told) {
        let base = |pair| {
            let (receive, transmit) = told.pair(pair);
            let receive = receive.zip(&self.received(pair), u64::wrapping_sub);
            (pair, (receive, transmit.zip(&self.transmitted(pair), u64::wrapping_sub)))
        };
        let pairs = (0..self.limits.max_pairs).map(base).filter(|(_, base)| *base != Default::default());
        let control = told.control.zip(&self.controlled(), u64::wrapping_sub);
        *self.base() = Told { pairs: pairs.collect(), control };
    }

    /// What has been counted of a receive queue.
    fn received(&self, pair: u16) -> ReceiveStats {
        let counts = self.counts(pair.into());
        let queue = self.queue_counts(2 * pair);
        let overruns = counts.rx_no_fit.wrapping_add(counts.rx_steering_full);
        let others = [
            counts.rx_bad_header,
            counts.rx_short,
            counts.rx_oversize,
            counts.rx_link_down,
            counts.rx_no_queue,
            counts.rx_abandoned,
        ];
        ReceiveStats {
            rx_notifications: queue.doorbells,
            rx_packets: counts.rx_frames,
            rx_bytes: counts.rx_bytes,
            rx_interrupts: queue.interrupts,
            rx_drops: others.into_iter().fold(overruns, u64::wrapping_add),
            rx_drop_overruns: overruns,
            rx_csum_valid: counts.rx_csum_valid,
            rx_needs_csum: counts.rx_csum_frames,
            rx_csum_none: 0,
            rx_csum_bad: 0,
            rx_gso_packets: counts.rx_gso_frames,
            rx_gso_bytes: counts.rx_gso_bytes,
            rx_gso_packets_coalesced: 0,
            rx_gso_bytes_coalesced: 0,
            rx_packets_allowance_exceeded: 0,
            rx_bytes_allowance_exceeded: 0,
        }
    }

    /// What has been counted of a transmit queue.
    fn transmitted(&self, pair: u16) -> TransmitStats {
        let counts = self.counts(pair.into());
        let queue = self.queue_counts(2 * pair + 1);
        let malformed = [counts.tx_bad_header, counts.tx_bad_length, counts.tx_bad_buffer];
        let malformed = malformed.into_iter().fold(0, u64::wrapping_add);
        let others = [counts.tx_failed, counts.tx_link_down, counts.tx_inactive];
        TransmitStats {
            tx_notifications: queue.doorbells,
            tx_packets: counts.tx_frames,
            tx_bytes: counts.tx_bytes,
            tx_interrupts: queue.interrupts,
            tx_drops: others.into_iter().fold(malformed, u64::wrapping_add),
            tx_drop_malformed: malformed,
            tx_csum_none: counts.tx_frames.wrapping_sub(counts.tx_csum_frames),
            tx_needs_csum: counts.tx_csum_frames,
            tx_gso_packets: counts.tx_gso_frames,
            tx_gso_bytes: counts.tx_gso_bytes,
            // The network cuts them, or hands them on whole: nobody tells.
            tx_gso_segments: 0,
            tx_gso_segments_bytes: 0,
            tx_gso_packets_noseg: counts.tx_gso_frames,
            tx_gso_bytes_noseg: counts.tx_gso_bytes,
            tx_packets_allowance_exceeded: 0,
            tx_bytes_allowance_exceeded: 0,
        }
    }

    /// What has been counted of the control queue.
    fn controlled(&self) -> ControlStats {
        let counts = self.counts(self.mailboxes.len());
        ControlStats { command_num: counts.commands.wrapping_add(counts.commands_refused), ok_num: counts.commands }
    }
}

impl Statistics for Shared {
    fn receive(&self, pair: u16) -> ReceiveStats {
        self.received(pair).zip(&self.base().pair(pair).0, u64::wrapping_add)
    }

    fn transmit(&self, pair: u16) -> TransmitStats {
        self.transmitted(pair).zip(&self.base().pair(pair).1, u64::wrapping_add)
    }

    fn control(&self) -> ControlStats {
        self.controlled().zip(&self.base().control, u64::wrapping_add)
    }
}
