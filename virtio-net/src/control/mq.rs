//! Pairs of queues in use, and which of them receives a frame.

use super::{Call, Effect, Refusal, wire};
use crate::features::{HASH_REPORT, MQ, RSS};
use crate::settings::{Hash, Settings, Steering};

/// Bytes before the length of the key where there is no table.
const HASH_CONFIG_RESERVED_LEN: usize = 8;
/// A pair's number that has this bit is none.
const PAIR_RESERVED: u16 = 1 << 15;

/// The last command defines how frames are steered.
pub(super) fn execute(call: &mut Call<'_>, settings: &mut Settings) -> Result<Effect, Refusal> {
    match call.command {
        wire::MQ_VQ_PAIRS_SET => {
            call.needs(MQ)?;
            settings.pairs = pairs(call)?;
            settings.steering = Steering::Automatic;
        }
        // NET-HASH-01, NET-HASH-02
        wire::MQ_RSS_CONFIG => {
            // DRV-NET-CTRL-08
            call.needs(RSS)?;
            let rss = rss(call)?;
            settings.pairs = rss.pairs;
            settings.steering = rss.steering;
            settings.hash = rss.hash;
        }
        // NET-HASH-03, NET-HASH-04
        wire::MQ_HASH_CONFIG => {
            call.needs(HASH_REPORT)?;
            let types = call.data.u32()?;
            // Linux leaves a number of queues in what is reserved.
            call.data.bytes(HASH_CONFIG_RESERVED_LEN)?;
            settings.hash = hash(call, types)?;
            settings.steering = Steering::Automatic;
        }
        _ => return Err(call.unknown()),
    }
    Ok(Effect::Steering)
}

fn pairs(call: &mut Call<'_>) -> Result<u16, Refusal> {
    let pairs = transmit_pairs(call)?;
    for pair in 0..pairs {
        call.enabled(2 * u32::from(pair))?;
    }
    Ok(pairs)
}

/// A number of pairs, whose transmit queues are there.
fn transmit_pairs(call: &mut Call<'_>) -> Result<u16, Refusal> {
    let pairs = call.data.u16()?;
    // DRV-NET-CTRL-05
    if pairs == 0 || pairs > call.cx.limits.pairs(call.cx.features) {
        return Err(Refusal::Value { what: "the number of pairs", value: pairs.into() });
    }
    // DRV-NET-CTRL-06
    for pair in 0..pairs {
        call.enabled(2 * u32::from(pair) + 1)?;
    }
    Ok(pairs)
}

struct Rss {
    pairs: u16,
    steering: Steering,
    hash: Hash,
}

fn rss(call: &mut Call<'_>) -> Result<Rss, Refusal> {
    let types = call.data.u32()?;
    // DRV-NET-CTRL-10: one more than the mask, which may be 65536.
    let len = usize::from(call.data.u16()?) + 1;
    if !len.is_power_of_two() || len > usize::from(call.cx.limits.rss_table) {
        return Err(Refusal::Value { what: "the length of the table", value: len as u64 });
    }
    let unclassified = receive_pair(call)?;
    let table = (0..len).map(|_| receive_pair(call)).collect::<Result<Vec<u16>, Refusal>>()?;
    let transmit = transmit_pairs(call)?;
    let hash = hash(call, types)?;
    // A pair is in use if either of its queues is.
    let receive = table.iter().copied().chain([unclassified]).max().map_or(0, |last| last.saturating_add(1));
    Ok(Rss { pairs: transmit.max(receive), steering: Steering::Rss { table, unclassified }, hash })
}

/// A pair whose receive queue is there.
fn receive_pair(call: &mut Call<'_>) -> Result<u16, Refusal> {
    let pair = call.data.u16()?;
    // DRV-NET-CTRL-09
    if pair & PAIR_RESERVED != 0 {
        return Err(Refusal::Value { what: "a receive queue", value: pair.into() });
    }
    call.enabled(2 * u32::from(pair))?;
    Ok(pair)
}

/// The key's length, and the key.
fn hash(call: &mut Call<'_>, types: u32) -> Result<Hash, Refusal> {
    let len = call.data.u8()?;
    // DRV-NET-CTRL-11
    if types & !call.cx.limits.hash_types != 0 {
        return Err(Refusal::Value { what: "types of hashes", value: types.into() });
    }
    if len > call.cx.limits.hash_key || (len == 0 && types != 0) {
        return Err(Refusal::Value { what: "the length of the key", value: len.into() });
    }
    Ok(Hash { types, key: call.data.bytes(len.into())?.to_vec() })
}
