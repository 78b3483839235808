//! How much a device may do in a second: `KEY=VALUE:...`.

use std::collections::HashMap;
use std::str::FromStr;

use super::{options, size};

/// How much of something there may be in a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit {
    /// In the long run.
    pub(crate) per_second: u64,
    /// At once, after a pause.
    pub(crate) burst: u64,
}

/// The limits of a disk, or of a network device in one direction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rate {
    /// On requests, or frames.
    pub(crate) requests: Option<Limit>,
    /// On bytes.
    pub(crate) bytes: Option<Limit>,
    /// Those with the same name share the limits.
    pub(crate) group: Option<String>,
}

const KEYS: &str = "requests=N[+BURST], bytes=SIZE[+BURST] and group=NAME";

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut rate = Rate::default();
        options::each_of(Some(text), ':', |key, value| {
            match (key, value) {
                ("requests", value) => rate.requests = Some(limit(key, value, "1000 or 1000+5000")?),
                ("bytes", value) => rate.bytes = Some(limit(key, value, "20M or 20M+100M")?),
                ("group", "") => return Err("group is empty".to_owned()),
                ("group", value) => rate.group = Some(value.to_owned()),
                (key, value) => return Err(options::unknown(key, value, KEYS)),
            }
            Ok(())
        })
        .map_err(|reason| format!("rate: {reason}"))?;
        Ok(rate)
    }
}

/// So much in a second, and behind a plus sign what there may be at once; as much as in a second where it is not said.
fn limit(key: &str, value: &str, example: &str) -> Result<Limit, String> {
    let number = |text| size::parse(text).ok().filter(|number| *number > 0);
    let (per_second, burst) = value.split_once('+').unwrap_or((value, value));
    match (number(per_second), number(burst)) {
        (Some(per_second), Some(burst)) => Ok(Limit { per_second, burst }),
        _ => Err(format!("{key}={value}: numbers above 0 are needed, such as {example}")),
    }
}

/// The limits of each group, by name, of all `rates` of an option; `what` is what has one.
///
/// One of a group says what they are, the others may leave it out or say the same.
pub(super) fn groups<'r>(
    option: &str,
    what: &str,
    rates: impl Iterator<Item = &'r Rate>,
) -> Result<HashMap<&'r str, Rate>, String> {
    let mut groups: HashMap<&str, Option<Rate>> = HashMap::new();
    for rate in rates {
        let Some(group) = rate.group.as_deref() else {
            continue;
        };
        let known = groups.entry(group).or_default();
        let says = rate.requests.is_some() || rate.bytes.is_some();
        if says && known.as_ref().is_some_and(|known| known != rate) {
            return Err(format!("{option}: two {what}s give the group {group} different rates"));
        }
        if says {
            *known = Some(rate.clone());
        }
    }
    let whole = |(group, rate): (_, Option<Rate>)| match rate {
        Some(rate) => Ok((group, rate)),
        None => Err(format!("{option}: no {what} of the group {group} says requests=N or bytes=SIZE")),
    };
    groups.into_iter().map(whole).collect()
}
