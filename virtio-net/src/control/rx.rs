//! Modes of receiving.

use super::{Call, Effect, Refusal, wire};
use crate::features::{CTRL_RX, CTRL_RX_EXTRA};
use crate::settings::RxModes;

pub(super) fn execute(call: &mut Call<'_>, modes: &mut RxModes) -> Result<Effect, Refusal> {
    // NET-CTRL-RX-01, NET-CTRL-RX-05
    let (feature, mode) = match call.command {
        wire::RX_PROMISC => (CTRL_RX, &mut modes.promisc),
        wire::RX_ALLMULTI => (CTRL_RX, &mut modes.allmulti),
        wire::RX_ALLUNI => (CTRL_RX_EXTRA, &mut modes.alluni),
        wire::RX_NOMULTI => (CTRL_RX_EXTRA, &mut modes.nomulti),
        wire::RX_NOUNI => (CTRL_RX_EXTRA, &mut modes.nouni),
        wire::RX_NOBCAST => (CTRL_RX_EXTRA, &mut modes.nobcast),
        _ => return Err(call.unknown()),
    };
    // DRV-NET-CTRL-02
    call.needs(feature)?;
    *mode = match call.data.u8()? {
        0 => false,
        1 => true,
        value => return Err(Refusal::Value { what: "neither on nor off", value: value.into() }),
    };
    Ok(Effect::Filter)
}
