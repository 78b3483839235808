//! What `--net` takes.
//!
//! | File | Idea |
//! |---|---|
//! | `network.rs` | which network it is on |

mod network;

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::str::FromStr;

use virtio_core::Features;
use virtio_net::MacAddress;

use super::options;
use super::rate::{self, Rate};
use super::transport::Transport;

pub(crate) use network::Network;

/// Each takes a thread, two interrupts and two doorbells.
const MAX_PAIRS: u16 = 64;
/// Sizes that a network device's queue can have.
const QUEUE_SIZES: std::ops::RangeInclusive<u16> = 4..=32768;
/// Least length of packets, which is that of the specification.
const MIN_MTU: u16 = 68;

const NETWORKS: &str = "tap=NAME, fd=N, passt=PATH, gvproxy=PATH, dgram=PATH, switch=NAME, loopback or null";
const KEYS: &str = "tap=NAME, fd=N[:N...], passt=PATH, gvproxy=PATH, dgram=PATH, switch=NAME, loopback, null, \
    mac=ADDRESS, transport=pci|mmio, queues=N, queue-size=N, mtu=N, rss, hash-report, packed, in-order, \
    notification-data, rx-rate=LIMITS, tx-rate=LIMITS and pcap=FILE";

/// One network device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Net {
    /// What it is on.
    pub(crate) network: Network,
    /// Its address; one that nobody else is likely to have where it is not said.
    pub(crate) mac: Option<MacAddress>,
    /// How the guest reaches it.
    pub(crate) transport: Transport,
    /// Features of its queues to offer besides the usual ones.
    pub(crate) features: Features,
    /// How many pairs of queues it has.
    pub(crate) queues: u16,
    /// Descriptors in each queue; as many as the device thinks best where it is not said.
    pub(crate) queue_size: Option<u16>,
    /// Bytes of the longest packet; what the network says, if it says that, where it is not said.
    pub(crate) mtu: Option<u16>,
    /// Whether the guest may steer frames to its queues.
    pub(crate) rss: bool,
    /// Whether the guest may be told hashes of frames.
    pub(crate) hash_report: bool,
    /// How much the guest may receive in a second.
    pub(crate) rx_rate: Option<Rate>,
    /// How much the guest may send in a second.
    pub(crate) tx_rate: Option<Rate>,
    /// Where the traffic is recorded.
    pub(crate) pcap: Option<PathBuf>,
}

impl Net {
    /// A device of which nothing but its network is said.
    fn on(network: Network) -> Self {
        Self {
            network,
            mac: None,
            transport: Transport::default(),
            features: Features::NONE,
            queues: 1,
            queue_size: None,
            mtu: None,
            rss: false,
            hash_report: false,
            rx_rate: None,
            tx_rate: None,
            pcap: None,
        }
    }
}

impl FromStr for Net {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut network = None;
        let mut pairs = None;
        // Its network is known at the end.
        let mut net = Net::on(Network::Null);
        options::each(text, |key, value| {
            if let Some(this) = Network::take(key, value)? {
                return match network.replace(this) {
                    None => Ok(()),
                    Some(_) => Err(format!("{key}: the device is on one network: {NETWORKS}")),
                };
            }
            match (key, value) {
                ("mac", value) => net.mac = Some(mac(value)?),
                ("transport", value) => net.transport = Transport::parse(value)?,
                ("queues", value) => pairs = Some(queues(value)?),
                ("queue-size", value) => net.queue_size = Some(queue_size(value)?),
                ("mtu", value) => net.mtu = Some(mtu(value)?),
                ("rss", "") => net.rss = true,
                ("hash-report", "") => net.hash_report = true,
                ("rx-rate", value) => net.rx_rate = Some(value.parse()?),
                ("tx-rate", value) => net.tx_rate = Some(value.parse()?),
                ("packed", "") => net.features |= Features::RING_PACKED,
                ("in-order", "") => net.features |= Features::IN_ORDER,
                ("notification-data", "") => net.features |= Features::NOTIFICATION_DATA,
                ("pcap", "") => return Err("pcap is empty".to_owned()),
                ("pcap", value) => net.pcap = Some(value.into()),
                (key, value) => return Err(options::unknown(key, value, KEYS)),
            }
            Ok(())
        })?;
        net.network = network.ok_or_else(|| format!("the network is missing: {NETWORKS}"))?;
        net.queues = usable_pairs(&net.network, pairs)?;
        if net.rss && net.queues == 1 {
            return Err("rss is for several pairs of queues: queues=N".to_owned());
        }
        Ok(net)
    }
}

/// The number of pairs, which descriptors say by themselves, and which sockets have one of.
fn usable_pairs(network: &Network, said: Option<u16>) -> Result<u16, String> {
    match (network, said) {
        (Network::Fd { fds }, said) => {
            let there_are = fds.len();
            let pairs = u16::try_from(there_are).ok().filter(|pairs| *pairs <= MAX_PAIRS);
            let pairs = pairs.ok_or_else(|| format!("fd: at most {MAX_PAIRS} are possible"))?;
            match said {
                Some(said) if said != pairs => {
                    Err(format!("queues={said} takes as many descriptors, such as fd=3:4, and there are {there_are}"))
                }
                _ => Ok(pairs),
            }
        }
        (Network::Passt { .. } | Network::Gvproxy { .. } | Network::Dgram { .. }, Some(2..)) => {
            Err("queues: a socket is for one pair of queues".to_owned())
        }
        (_, said) => Ok(said.unwrap_or(1)),
    }
}

/// The limits of each group of devices, by name. Both directions of a device can be in one.
pub(crate) fn groups(nets: &[Net]) -> Result<HashMap<&str, Rate>, String> {
    rate::groups("--net", "device", nets.iter().flat_map(|net| net.rx_rate.iter().chain(&net.tx_rate)))
}

/// Refuses two devices that would be in each other's way.
pub(crate) fn distinct(nets: &[Net]) -> Result<(), String> {
    let mut seen = HashSet::new();
    for net in nets {
        let own = match &net.network {
            Network::Tap { name } => vec![format!("tap={name}")],
            Network::Fd { fds } => fds.iter().map(|fd| format!("fd={fd}")).collect(),
            Network::Passt { path } => vec![format!("passt={}", path.display())],
            Network::Gvproxy { path } => vec![format!("gvproxy={}", path.display())],
            Network::Dgram { path } => vec![format!("dgram={}", path.display())],
            Network::Switch { .. } | Network::Loopback | Network::Null => Vec::new(),
        };
        let pcap = net.pcap.iter().map(|path| format!("pcap={}", path.display()));
        let mac = net.mac.iter().map(|mac| format!("mac={mac}"));
        for key in own.into_iter().chain(pcap).chain(mac) {
            if !seen.insert(key.clone()) {
                return Err(format!("--net: two devices have {key}"));
            }
        }
    }
    Ok(())
}

fn mac(value: &str) -> Result<MacAddress, String> {
    let mac: MacAddress = value.parse().map_err(|_| {
        format!("mac={value}: six bytes in hexadecimal with colons between them are needed, such as 52:54:00:12:34:56")
    })?;
    if !mac.is_usable() {
        return Err(format!("mac={value}: no device can have this address (zero, or that of a group)"));
    }
    Ok(mac)
}

fn queues(value: &str) -> Result<u16, String> {
    let queues = value.parse().ok().filter(|count| (1..=MAX_PAIRS).contains(count));
    queues.ok_or_else(|| format!("queues={value}: a number of pairs from 1 to {MAX_PAIRS} is needed"))
}

fn queue_size(value: &str) -> Result<u16, String> {
    let size = value.parse().ok().filter(|size: &u16| QUEUE_SIZES.contains(size) && size.is_power_of_two());
    let (least, most) = (QUEUE_SIZES.start(), QUEUE_SIZES.end());
    size.ok_or_else(|| format!("queue-size={value}: a power of two from {least} to {most} is needed"))
}

fn mtu(value: &str) -> Result<u16, String> {
    let mtu = value.parse().ok().filter(|mtu| *mtu >= MIN_MTU);
    mtu.ok_or_else(|| format!("mtu={value}: a number from {MIN_MTU} to {} is needed", u16::MAX))
}
