//! The work of the control queue.

use std::sync::Arc;

use log::Level;
use virtio_core::{Chain, GuestBuffers, Next, QueueTask, Quiesce, Source, Sources, TaskContext, Ticket, Virtqueue};

use super::WAKE;
use crate::control::{self, Context, MAX_COMMAND_LEN};
use crate::shared::{Executed, Shared};

/// Serves the control queue, one command at a time.
pub(crate) struct ControlTask {
    shared: Arc<Shared>,
    /// The control queue.
    queue: Virtqueue,
    /// The device's queues that the driver enabled.
    enabled: Vec<u16>,
    command: Vec<u8>,
    pending: Option<Pending>,
}

/// A command that is done, but for others to know of it.
struct Pending {
    ticket: Ticket,
    buffers: GuestBuffers,
    answer: Vec<u8>,
    /// The plan that all have to go by.
    version: u64,
}

impl ControlTask {
    pub(crate) fn new(shared: Arc<Shared>, queue: Virtqueue, enabled: Vec<u16>) -> ControlTask {
        ControlTask { shared, queue, enabled, command: Vec::new(), pending: None }
    }

    /// Gives back the command that others had to know of, if they do now. Whether none is left.
    fn finish(&mut self) -> bool {
        let Some(Pending { version, .. }) = self.pending else { return true };
        if !self.shared.is_adopted(version) {
            return false;
        }
        if let Some(Pending { ticket, buffers, answer, .. }) = self.pending.take() {
            let written = buffers.writer(self.queue.view()).write(&answer).is_ok();
            // The ticket is of this queue.
            let _ = self.queue.complete(ticket, if written { used(&answer) } else { 0 });
        }
        true
    }

    /// Serves one command; whether there was one.
    fn serve(&mut self) -> bool {
        let ControlTask { shared, queue, enabled, command, pending } = self;
        let Some(chain) = queue.pop() else { return false };
        read(&chain, command);
        let room = chain.writer().remaining();
        let Executed { answer, refusal, version } = shared.command(|features, settings| {
            let is_enabled = |index: u16| enabled.contains(&index);
            let cx = Context { features, limits: &shared.limits, is_enabled: &is_enabled, statistics: &**shared };
            control::execute(command, room, settings, &cx)
        });
        if let Some(why) = refusal {
            shared.log.log(Level::Debug, format_args!("a control command failed: {why}"));
            let len = write(&chain, &answer);
            chain.complete_bad_request(len);
            return true;
        }
        let Some(version) = version else {
            let len = write(&chain, &answer);
            chain.complete(len);
            return true;
        };
        let mut buffers = GuestBuffers::new();
        // A part of them may not be memory; then there is no answer.
        let _ = buffers.hold_writable(&chain.writer());
        *pending = Some(Pending { ticket: chain.into_ticket(), buffers, answer, version });
        true
    }
}

/// Copies a command out of the driver's memory, once. Of one that is too long, as much as shows that; of one that is not all
/// memory, nothing.
fn read(chain: &Chain<'_>, command: &mut Vec<u8>) {
    let mut reader = chain.reader();
    command.clear();
    command.resize(reader.remaining().min(MAX_COMMAND_LEN + 1), 0);
    if reader.read(command).is_err() {
        command.clear();
    }
}

/// Writes an answer; the used length.
fn write(chain: &Chain<'_>, answer: &[u8]) -> u32 {
    if chain.writer().write(answer).is_ok() { used(answer) } else { 0 }
}

fn used(answer: &[u8]) -> u32 {
    u32::try_from(answer.len()).unwrap_or(0)
}

impl QueueTask for ControlTask {
    fn queues(&mut self) -> &mut [Virtqueue] {
        std::slice::from_mut(&mut self.queue)
    }

    fn sources(&self, sources: &mut Sources) {
        sources.add(Source::Event(self.shared.control_wake.clone()), WAKE);
    }

    fn run(&mut self, _cx: &mut TaskContext) -> Next {
        while self.finish() {
            if !self.serve() {
                break;
            }
            self.queue.publish();
        }
        Next::Wait
    }

    /// What others have to know of they learn soon, or have come to rest themselves.
    fn quiesce(&mut self, _queue: u16, how: Quiesce) -> Next {
        if how == Quiesce::Cancel
            && let Some(Pending { ticket, .. }) = self.pending.take()
        {
            let _ = self.queue.complete(ticket, 0);
        }
        if self.finish() { Next::Done } else { Next::Wait }
    }
}

/// Queues that the device does not have with the features that were negotiated, and the driver has enabled all the same:
/// nothing happens in them.
pub(crate) struct IdleTask(pub(crate) Vec<Virtqueue>);

impl QueueTask for IdleTask {
    fn queues(&mut self) -> &mut [Virtqueue] {
        &mut self.0
    }

    fn run(&mut self, _cx: &mut TaskContext) -> Next {
        Next::Wait
    }
}
