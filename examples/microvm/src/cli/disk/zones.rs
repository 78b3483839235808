//! Zones: those of the storage, or such as are to be emulated: `MODEL:KEY=VALUE:...`.

use std::path::PathBuf;
use std::str::FromStr;

use super::super::options;
use super::disk_size;

/// Whose zones they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Zoned {
    /// Those of the block device that the storage is.
    Host,
    /// Emulated ones.
    Emulated(Zones),
}

/// How the guest has to treat the zones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Model {
    /// Sequential zones take writes at their write pointer only.
    HostManaged,
    /// Sequential zones take writes anywhere.
    HostAware,
}

/// Zones over a disk that has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Zones {
    /// How they have to be treated.
    pub(crate) model: Model,
    /// Bytes of each.
    pub(crate) zone: u64,
    /// Zones at the disk's start that are written anywhere.
    pub(crate) conventional: u32,
    /// The most that can be open; 0 for no limit.
    pub(crate) max_open: u32,
    /// The most that can be active; 0 for no limit.
    pub(crate) max_active: u32,
    /// Where their states are kept when the machine ends; nowhere if not said.
    pub(crate) state: Option<PathBuf>,
}

/// What Linux takes, and not too many of on a small disk.
const ZONE: u64 = 64 << 20;

impl FromStr for Zoned {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "host" { Ok(Zoned::Host) } else { text.parse().map(Zoned::Emulated) }
    }
}

const KEYS: &str = "zone=SIZE, conventional=N, max-open=N, max-active=N and state=FILE";

impl FromStr for Zones {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (model, rest) = text.split_once(':').map_or((text, None), |(model, rest)| (model, Some(rest)));
        let model = match model {
            "host-managed" => Model::HostManaged,
            "host-aware" => Model::HostAware,
            _ => {
                return Err(format!(
                    "zoned={model}: there are host-managed and host-aware, with {KEYS} behind colons, and host alone"
                ));
            }
        };
        let mut zones = Zones { model, zone: ZONE, conventional: 0, max_open: 0, max_active: 0, state: None };
        options::each_of(rest, ':', |key, value| {
            match (key, value) {
                ("zone", value) => zones.zone = zone(value)?,
                ("conventional", value) => zones.conventional = count(key, value)?,
                ("max-open", value) => zones.max_open = count(key, value)?,
                ("max-active", value) => zones.max_active = count(key, value)?,
                ("state", "") => return Err("state is empty".to_owned()),
                ("state", value) => zones.state = Some(value.into()),
                (key, value) => return Err(options::unknown(key, value, KEYS)),
            }
            Ok(())
        })
        .map_err(|reason| format!("zoned: {reason}"))?;
        if zones.max_active != 0 && zones.max_open > zones.max_active {
            let Zones { max_open, max_active, .. } = zones;
            return Err(format!(
                "zoned: max-open={max_open} is more than max-active={max_active}: open zones are active"
            ));
        }
        Ok(zones)
    }
}

/// Linux takes powers of two only.
fn zone(value: &str) -> Result<u64, String> {
    let zone = disk_size("zone", value)?;
    if !zone.is_power_of_two() {
        return Err(format!("zone={value}: a power of two is needed"));
    }
    Ok(zone)
}

fn count(key: &str, value: &str) -> Result<u32, String> {
    value.parse().map_err(|_| format!("{key}={value}: a number of zones is needed"))
}
