//! Saving a network device and taking it over elsewhere: what the driver has set, and what it was told of its queues. Frames on
//! their way are lost, as they may be on any network.

use serde::{Deserialize, Serialize};
use virtio_core::Features;
use virtio_core::device::{DeviceState, StateError};

use crate::MacAddress;
use crate::features;
use crate::settings::Settings;
use crate::shared::Shared;
use crate::statistics::Told;

/// The version that [`save`] writes.
const VERSION: u32 = 1;
/// Bytes of the longest state that is looked at: tables of the longest are far from it.
const MOST_BYTES: usize = 1 << 20;
/// The same of each pair: its statistics, and how long its interrupts are held back.
const MOST_BYTES_OF_PAIR: usize = 4 << 10;

#[derive(Serialize, Deserialize)]
struct Saved {
    /// What the driver knows the device by, besides what it has set.
    mac: MacAddress,
    mtu: Option<u16>,
    max_pairs: u16,
    settings: Settings,
    /// The driver was asked to announce itself.
    announcing: bool,
    /// What the driver is told when it asks for statistics.
    #[serde(default)]
    statistics: Told,
}

pub(crate) fn save(shared: &Shared) -> DeviceState {
    let saved = Saved {
        mac: shared.mac,
        mtu: shared.mtu,
        max_pairs: shared.limits.max_pairs,
        settings: shared.settings(),
        announcing: shared.is_announcing(),
        statistics: shared.told(),
    };
    // Plain numbers and lists of them: nothing in it can fail to be written.
    DeviceState { version: VERSION, data: serde_json::to_vec(&saved).unwrap_or_default() }
}

pub(crate) fn restore(shared: &Shared, state: &DeviceState, accepted: Features) -> Result<(), StateError> {
    let DeviceState { version, data } = state;
    if *version != VERSION {
        return Err(StateError::Version { version: *version });
    }
    let most = MOST_BYTES + MOST_BYTES_OF_PAIR * usize::from(shared.limits.max_pairs);
    if data.len() > most {
        return Err(StateError::Corrupt { what: "the length of the network device's state" });
    }
    let Ok(Saved { mac, mtu, max_pairs, settings, announcing, statistics }) = serde_json::from_slice(data) else {
        return Err(StateError::Corrupt { what: "the network device's state" });
    };
    if (mac, mtu, max_pairs) != (shared.mac, shared.mtu, shared.limits.max_pairs) {
        return Err(StateError::Mismatch { what: "the network device has another address, MTU or number of pairs" });
    }
    settings.validate(&shared.limits, accepted).map_err(|what| StateError::Corrupt { what })?;
    if announcing && !accepted.contains(features::GUEST_ANNOUNCE) {
        return Err(StateError::Corrupt { what: "an announcement that the driver knows nothing of" });
    }
    statistics.validate(&shared.limits).map_err(|what| StateError::Corrupt { what })?;
    shared.restore(settings, announcing);
    shared.go_on_from(&statistics);
    Ok(())
}
