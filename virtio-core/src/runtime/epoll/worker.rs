//! What one thread does.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use super::contain;
use super::inbox::Inbox;
use super::poll::{Patience, Poll, Watched};
use crate::task::{Next, Ready, Source, TaskRunner};

/// The tasks of one thread, run in rounds: each looks for what is ready, and runs each task that is once.
pub(super) struct Worker {
    inbox: Arc<Inbox>,
    /// Tasks may still come.
    open: bool,
    poll: Poll,
    /// The tasks at their numbers.
    slots: Vec<Option<Slot>>,
    /// Numbers that are free.
    free: Vec<usize>,
    /// Those to be run in the round that begins.
    ready: Vec<usize>,
    /// Those that said they have more to do, in the order in which they were run.
    again: Vec<usize>,
    /// When to run which task; one entry for each at most.
    deadlines: BTreeSet<(Instant, usize)>,
}

struct Slot {
    runner: TaskRunner,
    watched: Watched,
    /// What it is to be run for.
    ready: Ready,
    /// It stands in one of the two lists.
    listed: bool,
    deadline: Option<Instant>,
}

/// Instead of a task's number: something has come.
const INBOX: usize = usize::MAX;

impl Worker {
    pub(super) fn new(inbox: Arc<Inbox>, mut poll: Poll) -> io::Result<Worker> {
        poll.wake_by(INBOX, Source::Event(inbox.arrived.clone()))?;
        Ok(Worker {
            inbox,
            open: true,
            poll,
            slots: Vec::new(),
            free: Vec::new(),
            ready: Vec::new(),
            again: Vec::new(),
            deadlines: BTreeSet::new(),
        })
    }

    /// Runs tasks until none is left and none can come.
    pub(super) fn serve(mut self) {
        while self.open || self.inbox.tasks() > 0 {
            if let Err(error) = self.round(self.patience()) {
                return self.fail(&error);
            }
        }
    }

    /// How long nothing needs to be done if nothing comes.
    pub(super) fn patience(&self) -> Patience {
        match self.deadlines.first() {
            _ if !self.again.is_empty() => Patience::None,
            Some((time, _)) => Patience::Until(*time),
            None => Patience::Forever,
        }
    }

    /// Waits until a task is ready, and runs each that is once. False if none was.
    pub(super) fn round(&mut self, patience: Patience) -> io::Result<bool> {
        self.look(patience)?;
        Ok(self.run_listed())
    }

    /// Lists the tasks that there is something for.
    fn look(&mut self, patience: Patience) -> io::Result<()> {
        let Worker { poll, slots, ready, .. } = self;
        let mut arrived = false;
        poll.wait(patience, |number, place| match slots.get_mut(number) {
            Some(Some(slot)) => {
                slot.list(number, ready);
                slot.ready = slot.ready.and(place);
            }
            _ => arrived = true,
        })?;
        if arrived {
            self.take_in();
        }
        self.take_due();
        Ok(())
    }

    /// Runs the tasks that are listed. False if none is.
    fn run_listed(&mut self) -> bool {
        // Those that came by an event go first: else one that has more to do would be run twice before them.
        let mut round = std::mem::take(&mut self.ready);
        round.append(&mut self.again);
        let any = !round.is_empty();
        for number in round.drain(..) {
            self.run(number);
        }
        self.ready = round;
        any
    }

    /// Lists the tasks whose time has come.
    fn take_due(&mut self) {
        if self.deadlines.is_empty() {
            return;
        }
        let now = Instant::now();
        while let Some((time, number)) = self.deadlines.first().copied()
            && time <= now
        {
            self.deadlines.pop_first();
            if let Some(slot) = &mut self.slots[number] {
                slot.deadline = None;
                slot.list(number, &mut self.ready);
            }
        }
    }

    /// Takes over new tasks, and lists them.
    fn take_in(&mut self) {
        let (runners, open) = self.inbox.take();
        self.open = open;
        for runner in runners {
            let number = self.free.pop().unwrap_or_else(|| {
                self.slots.push(None);
                self.slots.len() - 1
            });
            let woken = self.poll.wake_by(number, Source::Event(runner.wake().clone()));
            // It was woken when it was made.
            let ready = Ready::NONE.woken();
            let mut slot = Slot { runner, watched: Watched::default(), ready, listed: false, deadline: None };
            match woken.and_then(|()| self.poll.register(number, &mut slot.watched, &slot.runner)) {
                Ok(()) => {
                    slot.list(number, &mut self.ready);
                    self.slots[number] = Some(slot);
                }
                Err(error) => self.lose(number, slot, &error),
            }
        }
    }

    /// Runs a task that was listed, once.
    fn run(&mut self, number: usize) {
        let Some(mut slot) = self.slots[number].take() else {
            return;
        };
        slot.listed = false;
        let next = contain::step(&mut slot.runner, std::mem::take(&mut slot.ready));
        if next == Next::Done {
            return self.end(number, slot);
        }
        if let Err(error) = self.poll.register(number, &mut slot.watched, &slot.runner) {
            return self.lose(number, slot, &error);
        }
        if next == Next::Again {
            slot.list(number, &mut self.again);
        }
        let deadline = if let Next::WaitUntil(time) = next { Some(time) } else { None };
        self.set_deadline(number, &mut slot, deadline);
        self.slots[number] = Some(slot);
    }

    fn set_deadline(&mut self, number: usize, slot: &mut Slot, deadline: Option<Instant>) {
        if slot.deadline == deadline {
            return;
        }
        if let Some(time) = slot.deadline {
            self.deadlines.remove(&(time, number));
        }
        self.deadlines.extend(deadline.map(|time| (time, number)));
        slot.deadline = deadline;
    }

    /// A task whose sources cannot be waited for.
    fn lose(&mut self, number: usize, slot: Slot, error: &io::Error) {
        log::error!("a queue task's sources cannot be waited for: {error}");
        self.end(number, slot);
    }

    /// Waiting has failed: no task can be served any more.
    pub(super) fn fail(&mut self, error: &io::Error) {
        log::error!("the event loop of {} queue tasks failed: {error}", self.inbox.tasks());
        self.end_all();
    }

    /// Takes no task any more. Those that are left are lost: their devices ask for a reset.
    fn end_all(&mut self) {
        self.inbox.close();
        for number in 0..self.slots.len() {
            if let Some(slot) = self.slots[number].take() {
                self.end(number, slot);
            }
        }
        for runner in self.inbox.take().0 {
            self.inbox.ended();
            contain::end(runner);
        }
    }

    /// Drops a task. Before its end is known its place is free.
    fn end(&mut self, number: usize, mut slot: Slot) {
        self.set_deadline(number, &mut slot, None);
        self.poll.forget(number, slot.watched, &slot.runner);
        self.free.push(number);
        self.inbox.ended();
        contain::end(slot.runner);
    }
}

impl Slot {
    /// Lists the task to be run, once.
    fn list(&mut self, number: usize, list: &mut Vec<usize>) {
        if !std::mem::replace(&mut self.listed, true) {
            list.push(number);
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.end_all();
    }
}
