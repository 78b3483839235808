//! Commands of the control queue (virtio 1.4, section 5.1.6.5): what they mean, and nothing else. Whoever serves the queue
//! copies a command out of the driver's memory once, has it [executed](execute), tells those whom its [effect](Effect)
//! concerns, and then gives the [answer](Answer) back.
//!
//! Bytes behind those that a command needs are ignored: Linux sends one behind the key of RSS_CONFIG, and later versions of
//! the specification may add some. Where counts say how much there is, they have to be right.

mod coalescing;
mod data;
mod hash_tunnel;
mod mac;
mod mq;
mod offloads;
mod rx;
mod statistics;
mod vlan;
mod wire;

use virtio_core::Features;

use crate::settings::{Limits, Settings};
use crate::stats::Statistics;
use data::Data;
use wire::class;

/// Bytes of the longest command that is looked at. A table of MAC addresses is the longest: so many bytes are ten thousand
/// of them.
pub(crate) const MAX_COMMAND_LEN: usize = 65536;

/// What commands are judged by.
pub(crate) struct Context<'a> {
    /// What was negotiated.
    pub(crate) features: Features,
    pub(crate) limits: &'a Limits,
    /// Whether the driver has enabled the queue with that index.
    pub(crate) is_enabled: &'a dyn Fn(u16) -> bool,
    pub(crate) statistics: &'a dyn Statistics,
}

/// What has changed, and whom it concerns. The command is complete when they know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing.
    None,
    /// What is received: modes, the table of MAC addresses, VLANs.
    Filter,
    /// The device's address: the filter and the configuration space (NET-CTRL-MAC-03).
    Mac,
    /// The status bit ANNOUNCE is to be cleared in the configuration space (NET-CTRL-ANN-01).
    Announced,
    /// Pairs in use, steering, and what is hashed.
    Steering,
    /// What is hashed: tunnels.
    Hash,
    /// What the driver takes over of the work on frames that it receives.
    Offloads,
    /// Delays of interrupts. Who has held back one for longer than the new delay sends it now.
    Coalescing,
}

/// A command that was not executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// There is no room for the answer: not a byte can be written.
    #[error("there is no room for the answer")]
    NoAck,
    /// There is no room for what was asked for.
    #[error("there is room for {room} bytes of {need} that were asked for")]
    NoRoom { room: usize, need: usize },
    /// It ends before it should.
    #[error("the command ends {missing} bytes early")]
    Short { missing: usize },
    /// It is longer than it says, or than it may be.
    #[error("the command is {extra} bytes too long")]
    Long { extra: usize },
    /// There is no such command, or it needs a feature that was not negotiated.
    #[error("command {command} of class {class} is unknown")]
    Unknown { class: u8, command: u8 },
    /// It says what it may not.
    #[error("{what}: {value:#x}")]
    Value { what: &'static str, value: u64 },
    /// It names a queue that is not enabled.
    #[error("queue {queue} is not enabled")]
    Disabled { queue: u32 },
}

/// What is done with a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// What changed; or why nothing did.
    pub(crate) outcome: Result<Effect, Refusal>,
    /// What goes to the writable part of the buffer, from its beginning: the ack, and a result behind it. The used length is
    /// that many bytes, none if there is no room for an ack (DRV-NET-CTRL-16).
    pub(crate) bytes: Vec<u8>,
}

/// The byte of a command that failed: for whoever could not do what was to be done.
pub(crate) const ERR: u8 = wire::ERR;

/// Executes a command. `writable` is how many bytes there are for the answer. Unless the outcome is an effect, the settings
/// are as they were.
pub(crate) fn execute(command: &[u8], writable: usize, settings: &mut Settings, cx: &Context<'_>) -> Answer {
    // DRV-NET-CTRL-16
    let Some(room) = writable.checked_sub(wire::ACK_LEN) else {
        return Answer { outcome: Err(Refusal::NoAck), bytes: Vec::new() };
    };
    let mut bytes = vec![wire::OK];
    let outcome = dispatch(command, room, &mut bytes, settings, cx);
    if outcome.is_err() {
        bytes = vec![wire::ERR];
    }
    Answer { outcome, bytes }
}

/// A command on its way through its class.
struct Call<'a> {
    class: u8,
    command: u8,
    data: Data<'a>,
    /// Bytes that there are for a result.
    room: usize,
    /// The answer, to which results are appended.
    answer: &'a mut Vec<u8>,
    cx: &'a Context<'a>,
}

impl Call<'_> {
    /// The driver may not send it, or there is none such.
    fn unknown(&self) -> Refusal {
        Refusal::Unknown { class: self.class, command: self.command }
    }

    /// It can be sent only with `feature`.
    fn needs(&self, feature: Features) -> Result<(), Refusal> {
        if self.cx.features.contains(feature) { Ok(()) } else { Err(self.unknown()) }
    }

    fn room_for(&self, need: usize) -> Result<(), Refusal> {
        if need <= self.room { Ok(()) } else { Err(Refusal::NoRoom { room: self.room, need }) }
    }

    /// The queue, one of a pair that there is, is enabled.
    fn enabled(&self, queue: u32) -> Result<u16, Refusal> {
        let there = u16::try_from(queue).ok().filter(|_| queue < self.cx.limits.control_queue(self.cx.features));
        there.filter(|index| (self.cx.is_enabled)(*index)).ok_or(Refusal::Disabled { queue })
    }
}

// NET-CTRL-01
fn dispatch(
    command: &[u8],
    room: usize,
    answer: &mut Vec<u8>,
    settings: &mut Settings,
    cx: &Context<'_>,
) -> Result<Effect, Refusal> {
    if let Some(extra) = command.len().checked_sub(MAX_COMMAND_LEN + 1) {
        return Err(Refusal::Long { extra: extra + 1 });
    }
    let mut data = Data::new(command);
    let [class, command] = data.array()?;
    let mut call = Call { class, command, data, room, answer, cx };
    match class {
        class::RX => rx::execute(&mut call, &mut settings.rx),
        class::MAC => mac::execute(&mut call, settings),
        class::VLAN => vlan::execute(&mut call, &mut settings.vlans),
        class::ANNOUNCE => announce(&call),
        class::MQ => mq::execute(&mut call, settings),
        class::GUEST_OFFLOADS => offloads::execute(&mut call, &mut settings.offloads),
        class::NOTF_COAL => coalescing::execute(&mut call, &mut settings.coalescing),
        class::HASH_TUNNEL => hash_tunnel::execute(&mut call, &mut settings.tunnels),
        class::STATS => statistics::execute(&mut call),
        // DRV-NET-CTRL-12: there are no contexts of receive-side scaling besides the one.
        _ => Err(call.unknown()),
    }
}

fn announce(call: &Call<'_>) -> Result<Effect, Refusal> {
    match call.command {
        wire::ANNOUNCE_ACK => {
            call.needs(crate::features::GUEST_ANNOUNCE)?;
            Ok(Effect::Announced)
        }
        _ => Err(call.unknown()),
    }
}

#[cfg(test)]
mod tests;
