//! What the device has counted, of each queue.

use super::{Call, Effect, Refusal, wire};
use crate::features::DEVICE_STATS;
use crate::stats::{ControlStats, ReceiveStats, TransmitStats, kind, kinds};

pub(super) fn execute(call: &mut Call<'_>) -> Result<Effect, Refusal> {
    call.needs(DEVICE_STATS)?;
    match call.command {
        // NET-STATS-01
        wire::STATS_QUERY => {
            call.room_for(wire::STATS_CAPABILITIES_LEN)?;
            call.answer.extend(kinds(call.cx.features).to_le_bytes());
        }
        wire::STATS_GET => {
            let requests = requests(call)?;
            // DRV-NET-CTRL-15, NET-STATS-06: no more than there is room for.
            let _full = requests.iter().try_for_each(|request| request.reply(call));
        }
        _ => return Err(call.unknown()),
    }
    Ok(Effect::None)
}

struct Request {
    queue: u16,
    /// Kinds: a bit for each, all of them of queues as this one is.
    kinds: u64,
}

/// All requests, if all are good (NET-STATS-03).
fn requests(call: &mut Call<'_>) -> Result<Vec<Request>, Refusal> {
    let mut requests = Vec::new();
    let control = call.cx.limits.control_queue(call.cx.features);
    while call.data.remaining() != 0 {
        let queue = call.data.u16()?;
        call.data.array::<6>()?;
        let asked = call.data.u64()?;
        // NET-STATS-02
        let of_queue = match u32::from(queue) {
            index if index > control => return Err(Refusal::Value { what: "a queue", value: index.into() }),
            index if index == control => 1 << kind::CVQ,
            index if index & 1 == 0 => kind::RX,
            _ => kind::TX,
        };
        if asked & !(of_queue & kinds(call.cx.features)) != 0 {
            return Err(Refusal::Value { what: "kinds of statistics", value: asked });
        }
        requests.push(Request { queue, kinds: asked });
    }
    Ok(requests)
}

enum Numbers {
    Receive(ReceiveStats),
    Transmit(TransmitStats),
    Control(ControlStats),
}

/// The next reply does not fit in.
struct Full;

impl Request {
    fn numbers(&self, call: &Call<'_>) -> Numbers {
        let pair = self.queue / 2;
        if u32::from(self.queue) == call.cx.limits.control_queue(call.cx.features) {
            let ControlStats { command_num, ok_num } = call.cx.statistics.control();
            // The command itself is one of them, and goes well.
            Numbers::Control(ControlStats { command_num: command_num.wrapping_add(1), ok_num: ok_num.wrapping_add(1) })
        } else if self.queue & 1 == 0 {
            Numbers::Receive(call.cx.statistics.receive(pair))
        } else {
            Numbers::Transmit(call.cx.statistics.transmit(pair))
        }
    }

    /// Appends a reply of each kind.
    fn reply(&self, call: &mut Call<'_>) -> Result<(), Full> {
        let numbers = self.numbers(call);
        for kind in (0..u64::BITS as u8).filter(|kind| self.kinds >> kind & 1 != 0) {
            let values = match &numbers {
                Numbers::Receive(stats) => stats.of_kind(kind),
                Numbers::Transmit(stats) => stats.of_kind(kind),
                Numbers::Control(stats) => stats.of_kind(kind),
            };
            let size = wire::STATS_REPLY_HEADER_LEN + values.len() * size_of::<u64>();
            let filled = call.answer.len().saturating_sub(wire::ACK_LEN);
            if size > call.room.saturating_sub(filled) {
                return Err(Full);
            }
            // NET-STATS-04, NET-STATS-05
            let [queue_low, queue_high] = self.queue.to_le_bytes();
            let [size_low, size_high] = (size as u16).to_le_bytes();
            call.answer.extend([kind, 0, queue_low, queue_high, 0, 0, size_low, size_high]);
            call.answer.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        }
        Ok(())
    }
}
