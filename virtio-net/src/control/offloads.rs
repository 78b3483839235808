//! Work on received frames that the driver takes over.

use super::{Call, Effect, Refusal, wire};
use crate::Offloads;
use crate::features::{CTRL_GUEST_OFFLOADS, GUEST_HDRLEN};

/// The bit of GUEST_HDRLEN, which is no offload. Linux counts it among them, if it was negotiated.
const HDRLEN: u64 = 1 << 59;

pub(super) fn execute(call: &mut Call<'_>, offloads: &mut Offloads) -> Result<Effect, Refusal> {
    if call.command != wire::GUEST_OFFLOADS_SET {
        return Err(call.unknown());
    }
    call.needs(CTRL_GUEST_OFFLOADS)?;
    let bits = call.data.u64()?;
    let features = call.cx.features;
    let (set, unknown) = Offloads::of_command(bits);
    let unknown = if features.contains(GUEST_HDRLEN) { unknown & !HDRLEN } else { unknown };
    // DRV-NET-CTRL-13
    if unknown != 0 || !crate::features::receive_offloads(features).contains(set) {
        return Err(Refusal::Value { what: "offloads", value: bits });
    }
    // NET-CTRL-OFFL-01
    *offloads = set;
    Ok(Effect::Offloads)
}
