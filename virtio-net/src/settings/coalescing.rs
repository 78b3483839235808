//! How long interrupts may be held back.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How long the interrupt of a queue may be held back: until either is reached; not at all if one is zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Delay {
    pub(crate) max_packets: u32,
    pub(crate) max_usecs: u32,
}

/// The delays of all queues. All are zero at the beginning (NET-COAL-09).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Coalescing {
    /// Of receive queues that have none of their own.
    pub(crate) rx: Delay,
    /// Of transmit queues that have none of their own.
    pub(crate) tx: Delay,
    /// Of their own, by the queue's index.
    pub(crate) queues: BTreeMap<u16, Delay>,
}

impl Coalescing {
    /// The delay of a queue.
    pub(crate) fn of(&self, queue: u16) -> Delay {
        let all = if is_receive(queue) { self.rx } else { self.tx };
        self.queues.get(&queue).copied().unwrap_or(all)
    }

    /// Sets that of all receive queues: the last command counts, whichever it was.
    pub(crate) fn set_rx(&mut self, delay: Delay) {
        self.queues.retain(|queue, _| !is_receive(*queue));
        self.rx = delay;
    }

    /// Sets that of all transmit queues.
    pub(crate) fn set_tx(&mut self, delay: Delay) {
        self.queues.retain(|queue, _| is_receive(*queue));
        self.tx = delay;
    }

    /// A queue was stopped: when it is enabled again, what was set for it alone is forgotten (NET-COAL-05, NET-COAL-06).
    pub(crate) fn forget(&mut self, queue: u16) {
        self.queues.remove(&queue);
    }
}

fn is_receive(queue: u16) -> bool {
    queue & 1 == 0
}
