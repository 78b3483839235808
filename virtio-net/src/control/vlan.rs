//! VLANs that are received.

use super::{Call, Effect, Refusal, wire};
use crate::features::CTRL_VLAN;
use crate::settings::VlanTable;

pub(super) fn execute(call: &mut Call<'_>, vlans: &mut VlanTable) -> Result<Effect, Refusal> {
    let value = match call.command {
        wire::VLAN_ADD => true,
        wire::VLAN_DEL => false,
        _ => return Err(call.unknown()),
    };
    call.needs(CTRL_VLAN)?;
    let id = call.data.u16()?;
    if id >= VlanTable::IDS {
        return Err(Refusal::Value { what: "no VLAN", value: id.into() });
    }
    vlans.set(id, value);
    Ok(Effect::Filter)
}
