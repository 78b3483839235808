//! The device's address, and the table of those that are received besides.

use super::data::Data;
use super::{Call, Effect, Refusal, wire};
use crate::MacAddress;
use crate::features::{CTRL_MAC_ADDR, CTRL_RX};
use crate::settings::{MAX_ADDRESSES, MacTable, Settings};

const ADDRESS_LEN: usize = 6;

pub(super) fn execute(call: &mut Call<'_>, settings: &mut Settings) -> Result<Effect, Refusal> {
    // DRV-NET-CTRL-03
    match call.command {
        wire::MAC_TABLE_SET => {
            call.needs(CTRL_RX)?;
            let (unicast, all_unicast) = addresses(&mut call.data)?;
            let (multicast, all_multicast) = addresses(&mut call.data)?;
            // DRV-NET-CTRL-04
            call.data.end()?;
            settings.macs = MacTable { unicast, multicast, all_unicast, all_multicast };
            Ok(Effect::Filter)
        }
        wire::MAC_ADDR_SET => {
            call.needs(CTRL_MAC_ADDR)?;
            let mac = MacAddress(call.data.array()?);
            if !mac.is_usable() {
                let [a, b, c, d, e, f] = mac.0;
                let value = u64::from_be_bytes([0, 0, a, b, c, d, e, f]);
                return Err(Refusal::Value { what: "no address for an interface", value });
            }
            settings.mac = mac;
            Ok(Effect::Mac)
        }
        _ => Err(call.unknown()),
    }
}

/// The addresses of a kind; none, and true, if they are too many.
fn addresses(data: &mut Data<'_>) -> Result<(Vec<MacAddress>, bool), Refusal> {
    let count = data.u32()?;
    // DRV-NET-CTRL-04: what there is of bytes bounds the count.
    let len = usize::try_from(count).ok().and_then(|count| count.checked_mul(ADDRESS_LEN));
    let bytes = data.bytes(len.unwrap_or(usize::MAX))?;
    let (addresses, _) = bytes.as_chunks::<ADDRESS_LEN>();
    if addresses.len() > MAX_ADDRESSES {
        return Ok((Vec::new(), true));
    }
    Ok((addresses.iter().map(|address| MacAddress(*address)).collect(), false))
}
