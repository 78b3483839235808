//! How long interrupts may be held back.

use super::data::Data;
use super::{Call, Effect, Refusal, wire};
use crate::features::{NOTF_COAL, VQ_NOTF_COAL};
use crate::settings::{Coalescing, Delay};

/// Any delay can be set (NET-COAL-02, NET-COAL-03): the device may send interrupts earlier.
pub(super) fn execute(call: &mut Call<'_>, coalescing: &mut Coalescing) -> Result<Effect, Refusal> {
    // DRV-NET-CTRL-14
    match call.command {
        wire::NOTF_COAL_TX_SET => {
            call.needs(NOTF_COAL)?;
            coalescing.set_tx(delay(&mut call.data)?);
        }
        wire::NOTF_COAL_RX_SET => {
            call.needs(NOTF_COAL)?;
            coalescing.set_rx(delay(&mut call.data)?);
        }
        wire::NOTF_COAL_VQ_SET => {
            call.needs(VQ_NOTF_COAL)?;
            // NET-COAL-04
            let queue = call.data.u16()?;
            let queue = call.enabled(queue.into())?;
            // NET-COAL-01: reserved
            call.data.u16()?;
            coalescing.queues.insert(queue, delay(&mut call.data)?);
        }
        wire::NOTF_COAL_VQ_GET => {
            call.needs(VQ_NOTF_COAL)?;
            // What is reserved behind the index may be missing. The result is behind the ack, as that of statistics is.
            let queue = call.data.u16()?;
            let queue = call.enabled(queue.into())?;
            call.room_for(wire::NOTF_COAL_LEN)?;
            let Delay { max_packets, max_usecs } = coalescing.of(queue);
            call.answer.extend(max_packets.to_le_bytes());
            call.answer.extend(max_usecs.to_le_bytes());
            return Ok(Effect::None);
        }
        _ => return Err(call.unknown()),
    }
    Ok(Effect::Coalescing)
}

fn delay(data: &mut Data<'_>) -> Result<Delay, Refusal> {
    Ok(Delay { max_packets: data.u32()?, max_usecs: data.u32()? })
}
