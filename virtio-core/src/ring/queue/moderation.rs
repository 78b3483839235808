//! Fewer interrupts than the driver asks for, a little later.

use std::time::{Duration, Instant};

use super::Virtqueue;

/// When a queue interrupts the driver at the latest, if that wants to be interrupted: what network devices call the
/// coalescing of notifications (virtio 1.4, section 5.1.6.5.10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moderation {
    /// When so many used buffers have been shown without an interrupt; in a packed ring a buffer counts as many as it has
    /// descriptors.
    pub most: u32,
    /// When so long has passed since the first of them was shown.
    pub delay: Duration,
}

/// A queue that holds interrupts back.
#[derive(Debug)]
pub(super) struct Moderated {
    pub(super) moderation: Moderation,
    /// When what is not decided on began to be shown.
    since: Option<Instant>,
}

impl Virtqueue {
    /// Holds interrupts back from now on, or no more. What the driver sees of its buffers is not held back.
    ///
    /// A task whose queue does that is to be run at the time that [`interrupt_due`](Self::interrupt_due) says.
    pub fn moderate(&mut self, moderation: Option<Moderation>) {
        if moderation == self.moderation() {
            return;
        }
        self.interrupt_if_wanted();
        self.moderated = moderation.map(|moderation| Box::new(Moderated { moderation, since: None }));
    }

    /// How interrupts are held back, if they are.
    pub fn moderation(&self) -> Option<Moderation> {
        self.moderated.as_ref().map(|moderated| moderated.moderation)
    }

    /// When an interrupt that is held back is due, if there may be one. It is given by the end of each run of the queue's task
    /// from then on, and by [`publish`](Self::publish).
    pub fn interrupt_due(&self) -> Option<Instant> {
        let Moderated { moderation, since } = self.moderated.as_deref()?;
        since.map(|since| since.checked_add(moderation.delay).unwrap_or(since))
    }

    /// [`publish`](Self::publish), of a queue that holds interrupts back.
    #[cold]
    pub(super) fn publish_moderated(&mut self) {
        let staged = self.ring.has_staged();
        if staged {
            if self.ring.undecided() > self.setup.size {
                self.interrupt_if_wanted();
            }
            self.show_staged(|ring| ring.show());
        }
        let undecided = self.ring.undecided();
        let stopped = self.stopped;
        let Some(Moderated { moderation, since }) = self.moderated.as_deref_mut() else { return };
        if undecided == 0 {
            return;
        }
        let due = stopped || u32::from(undecided) >= moderation.most || {
            let now = Instant::now();
            now.saturating_duration_since(*since.get_or_insert(now)) >= moderation.delay
        };
        if due {
            self.interrupt_if_wanted();
        }
    }

    /// Decides on what was shown and not decided on.
    fn interrupt_if_wanted(&mut self) {
        if let Some(moderated) = &mut self.moderated {
            moderated.since = None;
        }
        if self.fault.is_none() && self.gone.is_none() && self.ring.undecided() > 0 {
            let interrupt = self.ring.decide();
            self.interrupt(interrupt);
        }
    }
}
