//! What can be done with a device.

use std::time::{Duration, Instant};

use virtio_core::Features;
use virtio_core::testing::RingDriver;

use super::{Sent, Stage};

/// For what has to end.
const LIMIT: Duration = Duration::from_secs(4);

/// A device that is tried. A kind of device says what is special of it, and has the rest.
pub(crate) trait Subject: Sized {
    type Driver: RingDriver;
    type Sent: Sent;

    fn stage(&mut self) -> &mut Stage<Self::Driver, Self::Sent>;

    /// Looks at what came back, and whatever else the device has done.
    fn look(&mut self);

    /// Whether nothing is with the device that has to come back.
    fn is_idle(&mut self) -> bool;

    /// Puts another device in the place of a paused one.
    fn replace(&mut self);

    /// Does what lets the device end what it was asked, once.
    fn heal(&mut self) {}

    /// Does what a device has to be helped with while it ends what it was asked.
    fn help(&mut self) {}

    /// Has what is in flight end, which a reset waits for.
    fn finish(&mut self) {}

    /// A queue is about to be reset.
    fn before_queue_reset(&mut self) {}

    /// A queue is off.
    fn forget(&mut self, _lane: usize) {}

    /// Does something, lets the device work, and looks at what it has done to memory and what it has answered.
    fn work(&mut self, act: impl FnOnce(&mut Self)) {
        self.stage().remember();
        act(self);
        self.stage().runtime.poll();
        self.stage().compare();
        self.look();
        let stage = self.stage();
        assert!(stage.hostile || stage.wild || !stage.is_broken(), "the device wants a reset");
    }

    /// Shows what was added to a queue.
    fn kick(&mut self, lane: usize) {
        if let Some(lane) = self.stage().lane(lane) {
            lane.driver.show();
        }
        self.work(|subject| subject.stage().host.notify(lane as u16));
    }

    /// Makes what breaks a ring available.
    fn break_ring(&mut self, lane: usize) {
        // With less room it would write over what it has shown.
        if let Some(lane) = self.stage().lane(lane).filter(|lane| lane.driver.free() >= 2) {
            lane.driver.break_ring();
            self.stage().hostile = true;
        }
        self.kick(lane);
    }

    /// Writes anywhere in what the driver has used of memory.
    fn poke(&mut self, address: u16, bytes: [u8; 4]) {
        let stage = self.stage();
        let address = u64::from(address) % stage.top();
        stage.memory.write(address, &bytes);
        (stage.wild, stage.hostile) = (true, true);
        self.work(|_| {});
    }

    /// Puts memory in the place of itself.
    fn replace_memory(&mut self) {
        self.work(|subject| {
            let ram = subject.stage().memory.ram();
            ram.replace_with(ram).on_complete(|| {});
        });
    }

    /// Resets the device. What was known of it is to be looked at before it [comes to rest](Self::at_rest).
    fn stop(&mut self) {
        let until = Instant::now() + LIMIT;
        self.work(|subject| subject.stage().host.write_status(0));
        while self.stage().host.status() != 0 {
            assert!(Instant::now() < until, "a reset does not end");
            self.finish();
            self.work(|subject| subject.stage().host.write_status(0));
        }
    }

    /// Nothing is written from now on.
    fn at_rest(&mut self) {
        let stage = self.stage();
        (stage.hostile, stage.wild, stage.paused) = (false, false, false);
        stage.lanes.clear();
        stage.lifecycle.resets += 1;
        self.work(|_| {});
    }

    /// Resets one queue, and starts it again when that has ended.
    fn reset_queue(&mut self, lane: usize) {
        let stage = self.stage();
        let may = stage.negotiated.contains(Features::RING_RESET) && !stage.wild && !stage.paused && !stage.is_broken();
        if !may || stage.lane(lane).is_none() {
            return;
        }
        self.before_queue_reset();
        let index = lane as u16;
        self.work(|subject| subject.stage().host.reset_queue(index));
        let until = Instant::now() + LIMIT;
        while self.stage().host.queue(index).is_some_and(|queue| queue.is_resetting()) {
            assert!(Instant::now() < until, "a queue's reset does not end");
            self.finish();
            self.work(|_| {});
        }
        self.stage().lanes[lane] = None;
        self.forget(lane);
        self.work(|_| {});
        let stage = self.stage();
        if stage.is_broken() {
            return;
        }
        stage.lanes[lane] = Some(stage.enable(index));
        stage.lifecycle.queue_resets += 1;
        self.work(|subject| subject.stage().host.notify(index));
    }

    fn pause(&mut self) -> bool {
        if !self.stage().paused {
            let mut paused = false;
            self.work(|subject| paused = subject.stage().host.pause(Duration::ZERO).is_ok());
            let stage = self.stage();
            stage.paused = paused;
            stage.lifecycle.paused += u64::from(paused);
        }
        self.stage().paused
    }

    fn unpause(&mut self) {
        self.stage().paused = false;
        self.work(|subject| subject.stage().host.resume());
    }

    /// Saves the device, and goes on with another one.
    fn migrate(&mut self) {
        // What a driver has changed in its rings may keep another device from taking them over.
        if self.stage().wild || self.stage().is_broken() || !self.pause() {
            return;
        }
        let state = self.stage().host.save().expect("a paused device can be saved");
        self.replace();
        self.work(|subject| subject.stage().host.restore(&state).expect("what was saved can be restored"));
        self.stage().lifecycle.moved += 1;
        self.unpause();
    }

    /// Lets everything end that has to.
    fn rest(&mut self) {
        self.heal();
        if self.stage().paused {
            self.unpause();
        }
        (0..self.stage().lanes.len()).for_each(|lane| self.kick(lane));
        let until = Instant::now() + LIMIT;
        while !self.is_idle() && !self.stage().wild && !self.stage().is_broken() {
            assert!(Instant::now() < until, "not everything was answered: {:?}", self.stage().out());
            self.help();
            self.work(|_| {});
        }
    }
}
