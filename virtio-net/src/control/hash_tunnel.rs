//! Tunnels that hashes look into.

use super::{Call, Effect, Refusal, wire};
use crate::features::HASH_TUNNEL;

pub(super) fn execute(call: &mut Call<'_>, tunnels: &mut u32) -> Result<Effect, Refusal> {
    if call.command != wire::HASH_TUNNEL_SET {
        return Err(call.unknown());
    }
    // DRV-NET-CTRL-01
    call.needs(HASH_TUNNEL)?;
    let types = call.data.u32()?;
    // NET-HASH-08
    if types & !call.cx.limits.tunnel_types != 0 {
        return Err(Refusal::Value { what: "types of tunnels", value: types.into() });
    }
    // NET-HASH-09: none switch it off.
    *tunnels = types;
    Ok(Effect::Hash)
}
