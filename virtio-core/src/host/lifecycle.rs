//! From status zero to status zero.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use log::Level;

use super::status::{DRIVER_OK, FAILED, FEATURES_OK, NEEDS_RESET, PLAIN};
use super::{Control, DeviceHost, PauseError, Phase, QueueActivity, QueueConfig, QueueRegisters, Task};
use crate::deadline::Deadline;
use crate::device::{ActivateError, Activation, FeatureRefusal};
use crate::event::Event;
use crate::features::Features;
use crate::ring::{QueuePosition, Virtqueue};
use crate::task::{Command, Outcome, QueueTask, TaskControl, TaskRunner};

/// How long to sleep between two looks at a task that runs in its callers.
const SLICE: Duration = Duration::from_millis(1);

impl DeviceHost {
    /// The device status field. While a reset goes on it stays other than zero.
    pub fn status(&self) -> u8 {
        if self.shared.resetting.load(Ordering::SeqCst) {
            self.runtime.assist();
            // Whoever holds the lock is ending the reset or waiting for it.
            if let Some(mut control) = self.try_control() {
                self.poll_reset(&mut control);
            }
        }
        self.shared.status()
    }

    /// The driver writes the device status field.
    ///
    /// Zero resets the device: intake stops, what is in flight is given up, and normally all is done when this
    /// returns. Other values set bits; a bit that cannot be set stays clear. Bits are never cleared by leaving them
    /// out (DRV-STATUS-02), and NEEDS_RESET is the device's alone (DRV-STATUS-04).
    pub fn write_status(&self, value: u8) {
        let mut control = self.control();
        if !self.settled(&mut control) {
            return;
        }
        if value == 0 {
            self.begin_reset(&mut control);
            return;
        }
        self.shared.status.fetch_or(value & PLAIN, Ordering::SeqCst);
        let newly = |bit| value & bit != 0 && self.shared.status() & bit == 0;
        if newly(FEATURES_OK)
            && let Err(refusal) = self.negotiate(&mut control)
        {
            self.shared.log(Level::Debug, format_args!("features refused: {refusal}"));
            self.shared.counters.features_refused.fetch_add(1, Ordering::Relaxed);
        }
        // DRV-STATUS-01, DRV-INIT-03: never live without an agreement on features.
        if newly(DRIVER_OK) && self.shared.status() & (FEATURES_OK | NEEDS_RESET) == FEATURES_OK {
            self.go_live(&mut control);
        }
    }

    /// The driver chooses features: word `word` of its choice. Ignored once the choice was accepted (BASIC-FEAT-06).
    pub fn write_features(&self, word: u32, value: u32) {
        let mut control = self.control();
        if self.settled(&mut control) && self.shared.status() & FEATURES_OK == 0 {
            control.accepted = control.accepted.with_word(word, value);
        }
    }

    /// BASIC-FEAT-03
    pub(super) fn negotiate(&self, control: &mut Control) -> Result<(), FeatureRefusal> {
        check_features(self.offered, control.accepted)?;
        control.device.negotiate(control.accepted)?;
        self.shared.status.fetch_or(FEATURES_OK, Ordering::SeqCst);
        Ok(())
    }

    fn go_live(&self, control: &mut Control) {
        // BASIC-STATUS-02: the bit first, so that no interrupt comes while it is clear.
        self.shared.status.fetch_or(DRIVER_OK, Ordering::SeqCst);
        match self.start_tasks(control, &[], false) {
            Ok(tasks) => control.phase = Phase::Live(tasks),
            Err(error) => {
                self.shared.log(Level::Error, format_args!("cannot start: {error}"));
                self.shared.needs_reset();
            }
        }
        // A change that the driver could not be told of before.
        self.shared.send_config_change();
    }

    /// Has the device make its tasks, and hands them to the runtime.
    pub(super) fn start_tasks(
        &self,
        control: &mut Control,
        positions: &[(u16, QueuePosition)],
        paused: bool,
    ) -> Result<Vec<Task>, ActivateError> {
        let mut queues = Vec::new();
        for (index, registers) in (0..).zip(&control.queues) {
            // What the driver has written since it reset a queue counts when it enables it.
            let config = match *registers {
                QueueRegisters { awaits_enable: true, .. } => QueueConfig::after_reset(self.queue_max_size(index)),
                QueueRegisters { activity: QueueActivity::Off, .. } => continue,
                QueueRegisters { config, .. } => config,
            };
            let setup = self.setup(control, index, config);
            let mut setup = setup.map_err(|fault| ActivateError::Queue { queue: index, fault })?;
            setup.awaits_enable = registers.awaits_enable;
            setup.position = positions.iter().find(|(queue, _)| *queue == index).map(|(_, position)| *position);
            queues.push(setup);
        }
        let numbers: Vec<u16> = queues.iter().map(|setup| setup.index).collect();
        let mut tasks = control.device.activate(Activation::new(control.accepted, queues))?;
        check_served(&numbers, &mut tasks)?;
        let mut running = Vec::new();
        for task in tasks {
            if let Err(error) = self.start_task(task, paused, &mut running) {
                // Those that run already end with the reset that the device asks for.
                control.phase = Phase::Live(running);
                return Err(ActivateError::Device(Box::new(error)));
            }
        }
        Ok(running)
    }

    /// Hands one task to the runtime, and keeps the host's end of it with those in `running`.
    fn start_task(&self, mut task: Box<dyn QueueTask>, paused: bool, running: &mut Vec<Task>) -> io::Result<()> {
        let control = Arc::new(TaskControl::new(Event::new()?));
        running.push(Task { control: control.clone(), queues: task.queues().iter().map(Virtqueue::index).collect() });
        let shared = Arc::clone(&self.shared);
        let on_lost = move || shared.needs_reset();
        self.runtime.spawn(TaskRunner::new(task, control, on_lost, paused))
    }

    pub(super) fn begin_reset(&self, control: &mut Control) {
        let tasks = match std::mem::replace(&mut control.phase, Phase::Idle) {
            Phase::Idle => Vec::new(),
            Phase::Live(tasks) | Phase::Paused(tasks, _) | Phase::Resetting(tasks) => tasks,
        };
        for task in &tasks {
            task.control.request(Command::Stop);
        }
        control.phase = Phase::Resetting(tasks);
        self.shared.resetting.store(true, Ordering::SeqCst);
        if !self.wait_reset(control, self.reset_wait) {
            self.shared.counters.slow_resets.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits for a reset that has begun; says whether there is none any more.
    fn wait_reset(&self, control: &mut Control, limit: Duration) -> bool {
        let deadline = Deadline::after(limit);
        if let Phase::Resetting(tasks) = &control.phase {
            for task in tasks {
                self.wait_for(&task.control, deadline);
            }
        }
        self.poll_reset(control)
    }

    /// Waits for a task's answer; tasks that run in their callers run meanwhile.
    pub(super) fn wait_for(&self, task: &TaskControl, deadline: Deadline) -> Option<Outcome> {
        self.wait_until(deadline, |slice| task.wait(slice))
    }

    /// Waits for what `wait` waits for, in slices.
    pub(super) fn wait_until<T>(&self, deadline: Deadline, wait: impl Fn(Duration) -> Option<T>) -> Option<T> {
        loop {
            self.runtime.assist();
            let left = deadline.left();
            let found = wait(left.unwrap_or_default().min(SLICE));
            if found.is_some() || left.is_none() {
                return found;
            }
        }
    }

    /// The gate of every control write: one that comes while a reset goes on waits for its end. False where that does not
    /// come: the write is to be dropped.
    pub(super) fn settled(&self, control: &mut Control) -> bool {
        if self.poll_reset(control) || self.wait_reset(control, self.reset_limit) {
            return true;
        }
        self.shared.counters.failed_resets.fetch_add(1, Ordering::Relaxed);
        self.shared.status.fetch_or(FAILED, Ordering::SeqCst);
        false
    }

    /// The same gate for a transport's own registers: to be called before a write to each that
    /// [`TransportHooks::reset`](crate::TransportHooks::reset) sets back, such as a selector or a vector. Otherwise the
    /// end of a slow reset would undo what the driver wrote after it had asked for that. False where the write is to be
    /// dropped.
    pub fn settle(&self) -> bool {
        !self.shared.resetting.load(Ordering::SeqCst) || self.settled(&mut self.control())
    }

    /// Completes a reset whose tasks are gone; says whether none goes on.
    pub(super) fn poll_reset(&self, control: &mut Control) -> bool {
        if let Phase::Resetting(tasks) = &control.phase {
            if tasks.iter().any(|task| task.control.outcome() != Some(Outcome::Gone)) {
                return false;
            }
            self.complete_reset(control);
        }
        true
    }

    /// Everything back to what it was when the device was made. Nothing of it runs any more.
    fn complete_reset(&self, control: &mut Control) {
        let Control { device, accepted, queues, phase } = control;
        device.reset();
        self.config.forget_reads();
        *accepted = Features::NONE;
        for (registers, handles) in queues.iter_mut().zip(&self.queues) {
            *registers = QueueRegisters::after_reset(handles.max_size);
            handles.doorbell.take();
        }
        *phase = Phase::Idle;
        let _telling = self.shared.telling();
        self.shared.config_pending.store(false, Ordering::SeqCst);
        self.shared.hooks.reset();
        // BASIC-RESET-01 BASIC-RESET-02: last, for it says that nothing is touched any more.
        self.shared.status.store(0, Ordering::SeqCst);
        self.shared.resetting.store(false, Ordering::SeqCst);
    }

    /// Finishes what is in flight and rests, within `limit`; says where each queue stands. A device that is not live
    /// is at rest already.
    ///
    /// # Errors
    /// [`PauseError`]. After `InFlight` the device goes on.
    pub fn pause(&self, limit: Duration) -> Result<Vec<(u16, QueuePosition)>, PauseError> {
        let mut control = self.control();
        if !self.poll_reset(&mut control) {
            return Err(PauseError::Resetting);
        }
        let tasks = match &control.phase {
            Phase::Live(tasks) => tasks,
            Phase::Paused(_, positions) => return Ok(positions.clone()),
            Phase::Idle => return Ok(Vec::new()),
            Phase::Resetting(_) => return Err(PauseError::Resetting),
        };
        for task in tasks {
            task.control.request(Command::Pause);
        }
        let deadline = Deadline::after(limit);
        let mut positions = Vec::new();
        for task in tasks {
            let error = match self.wait_for(&task.control, deadline) {
                Some(Outcome::Paused(queues)) => {
                    positions.extend(queues);
                    continue;
                }
                Some(Outcome::Gone) => PauseError::PositionUnknown,
                _ => PauseError::InFlight,
            };
            for task in tasks {
                task.control.request(Command::Resume);
            }
            return Err(error);
        }
        for index in 0..self.queue_count() {
            self.poll_queue_stop(&mut control, index);
        }
        let enabled = |index| control.queues.get(usize::from(index)).is_some_and(QueueRegisters::is_enabled);
        positions.retain(|(queue, _)| enabled(*queue));
        positions.sort_by_key(|(queue, _)| *queue);
        if let Phase::Live(tasks) = std::mem::replace(&mut control.phase, Phase::Idle) {
            control.phase = Phase::Paused(tasks, positions.clone());
        }
        Ok(positions)
    }

    /// Goes on after a pause. Every queue is looked at again, so that no doorbell is lost.
    pub fn resume(&self) {
        let mut control = self.control();
        match std::mem::replace(&mut control.phase, Phase::Idle) {
            Phase::Paused(tasks, _) => {
                for task in &tasks {
                    task.control.request(Command::Resume);
                }
                control.phase = Phase::Live(tasks);
                // After a restore there may be something to tell.
                self.shared.send_config_change();
            }
            other => control.phase = other,
        }
    }
}

impl Drop for DeviceHost {
    fn drop(&mut self) {
        let mut control = self.control();
        self.begin_reset(&mut control);
        // What cannot be cancelled keeps the memory that it uses mapped by itself.
        if !self.wait_reset(&mut control, self.reset_limit) {
            log::error!("{}: something in flight outlives the device", self.name());
        }
    }
}

/// Each queue is the one of a task: else a reset of it would not wait for what serves it.
fn check_served(queues: &[u16], tasks: &mut [Box<dyn QueueTask>]) -> Result<(), ActivateError> {
    let served: Vec<u16> = tasks.iter_mut().flat_map(|task| task.queues().iter().map(Virtqueue::index)).collect();
    let odd = |queue: &&u16| served.iter().filter(|other| other == queue).count() != 1;
    match queues.iter().find(odd) {
        Some(queue) => Err(ActivateError::NotServed { queue: *queue }),
        None => Ok(()),
    }
}

/// The rules that hold for every device.
fn check_features(offered: Features, accepted: Features) -> Result<(), FeatureRefusal> {
    let stray = accepted - offered;
    if !stray.is_empty() {
        return Err(FeatureRefusal::NotOffered(stray));
    }
    // FEAT-RSVD-02
    if !accepted.contains(Features::VERSION_1) {
        return Err(FeatureRefusal::Missing(Features::VERSION_1));
    }
    Ok(())
}
