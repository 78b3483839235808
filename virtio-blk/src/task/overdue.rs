//! Operations that take the storage too long.

use std::time::{Duration, Instant};

use log::Level;

use super::Work;
use crate::backend::BlockQueue;

impl Work {
    /// From now on the operation is the storage's.
    #[inline]
    pub(super) fn watch(&mut self, tag: u16) {
        if let Some(timeout) = self.shared.options.timeout {
            self.watch_for(tag, timeout);
        }
    }

    fn watch_for(&mut self, tag: u16, timeout: Duration) {
        let now = Instant::now();
        if let Some(slot) = self.slots.get(tag) {
            (slot.since, slot.overdue) = (Some(now), false);
        }
        self.next_look = self.next_look.or(Some(now + timeout));
    }

    /// Has the backend give up what has taken too long.
    pub(super) fn look_for_overdue(&mut self, engine: &mut dyn BlockQueue) {
        let (Some(timeout), Some(look)) = (self.shared.options.timeout, self.next_look) else {
            return;
        };
        let now = Instant::now();
        if now < look {
            return;
        }
        let (mut oldest, mut overdue) = (None, 0);
        for (tag, slot) in self.slots.taken() {
            let Some(since) = slot.since.filter(|_| !slot.overdue) else {
                continue;
            };
            if now.saturating_duration_since(since) < timeout {
                oldest = oldest.map_or(Some(since), |oldest: Instant| Some(oldest.min(since)));
                continue;
            }
            slot.overdue = true;
            overdue += 1;
            engine.cancel_one(tag);
        }
        self.next_look = oldest.map(|oldest| oldest + timeout);
        if overdue > 0 {
            self.count(|counters| counters.overdue.add(overdue));
            let line = format_args!("{overdue} operations of queue {} have taken longer than {timeout:?}", self.place);
            self.shared.log.log(Level::Warn, line);
        }
    }
}
