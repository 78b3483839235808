//! Which frames a driver gets (virtio 1.4, sections 5.1.6.5.1 to 5.1.6.5.3).

use std::fmt;

use crate::MacAddress;

#[cfg(test)]
mod tests;

/// VLANs that there are.
const VLANS: u16 = 4096;
/// Addresses of a class that are told apart. Where a driver names more, it gets the whole class.
pub(crate) const MAX_ADDRESSES: usize = 64;

/// Modes of receiving.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct RxModes {
    pub(crate) promisc: bool,
    pub(crate) allmulti: bool,
    pub(crate) alluni: bool,
    pub(crate) nomulti: bool,
    pub(crate) nouni: bool,
    pub(crate) nobcast: bool,
}

/// Addresses that a driver listens to beside its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct MacTable {
    pub(crate) unicast: Vec<MacAddress>,
    pub(crate) multicast: Vec<MacAddress>,
    /// There were too many for the list.
    pub(crate) all_unicast: bool,
    /// There were too many for the list.
    pub(crate) all_multicast: bool,
}

/// A set of VLANs.
#[derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(into = "Vec<u16>", try_from = "Vec<u16>")]
pub(crate) struct VlanTable(Box<[u64; VLANS as usize / 64]>);

/// There is no such VLAN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is no VLAN: there are 4096")]
pub(crate) struct NoSuchVlan(pub(crate) u16);

impl Default for VlanTable {
    /// None.
    fn default() -> VlanTable {
        VlanTable(Box::new([0; VLANS as usize / 64]))
    }
}

impl VlanTable {
    /// Adds `vlan`, or removes it.
    ///
    /// # Errors
    /// Where there is no such VLAN; nothing has changed.
    pub(crate) fn set(&mut self, vlan: u16, listed: bool) -> Result<(), NoSuchVlan> {
        let word = self.0.get_mut(usize::from(vlan / 64)).ok_or(NoSuchVlan(vlan))?;
        let bit = 1 << (vlan % 64);
        *word = if listed { *word | bit } else { *word & !bit };
        Ok(())
    }

    #[inline]
    pub(crate) fn contains(&self, vlan: u16) -> bool {
        self.0.get(usize::from(vlan / 64)).is_some_and(|word| word & 1 << (vlan % 64) != 0)
    }

    fn vlans(&self) -> impl Iterator<Item = u16> {
        (0..VLANS).filter(|vlan| self.contains(*vlan))
    }
}

impl From<VlanTable> for Vec<u16> {
    fn from(table: VlanTable) -> Vec<u16> {
        table.vlans().collect()
    }
}

impl TryFrom<Vec<u16>> for VlanTable {
    type Error = NoSuchVlan;
    fn try_from(vlans: Vec<u16>) -> Result<VlanTable, NoSuchVlan> {
        let mut table = VlanTable::default();
        vlans.into_iter().try_for_each(|vlan| table.set(vlan, true))?;
        Ok(table)
    }
}

impl fmt::Debug for VlanTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.vlans()).finish()
    }
}

/// What a frame is held back by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Its VLAN is not in the table.
    Vlan,
    /// It is a broadcast, and those are suppressed.
    NoBroadcast,
    /// It is for a group, and those are suppressed.
    NoMulticast,
    /// It is for one, and those are suppressed.
    NoUnicast,
    /// It is for a group that is not in the table.
    Multicast,
    /// It is for another interface.
    Unicast,
}

/// Decides which frames a driver gets. Made anew whenever what it is made of changes.
#[derive(Clone, Debug)]
pub(crate) struct Filter {
    mac: Option<MacAddress>,
    modes: RxModes,
    /// In order.
    unicast: Vec<MacAddress>,
    /// In order.
    multicast: Vec<MacAddress>,
    vlans: Option<VlanTable>,
}

impl Filter {
    /// `mac` is what the device takes for the driver's address: none where the driver has chosen one without saying so.
    /// `modes` are there with CTRL_RX, `vlans` with CTRL_VLAN.
    pub(crate) fn new(
        mac: Option<MacAddress>,
        modes: Option<RxModes>,
        table: &MacTable,
        vlans: Option<&VlanTable>,
    ) -> Filter {
        // A driver without CTRL_RX cannot name groups, nor say that it is promiscuous: it filters for itself.
        let mut modes = modes.unwrap_or(RxModes { allmulti: true, alluni: true, ..RxModes::default() });
        modes.allmulti |= table.all_multicast || table.multicast.len() > MAX_ADDRESSES;
        modes.alluni |= table.all_unicast || table.unicast.len() > MAX_ADDRESSES || mac.is_none();
        let sorted = |addresses: &[MacAddress]| {
            let mut sorted = addresses.to_vec();
            sorted.truncate(MAX_ADDRESSES);
            sorted.sort_unstable();
            sorted
        };
        Filter {
            mac,
            modes,
            unicast: sorted(&table.unicast),
            multicast: sorted(&table.multicast),
            vlans: vlans.cloned(),
        }
    }

    /// Whether the driver gets a frame to `destination`, with the tag `vlan` if it has one.
    ///
    /// # Errors
    /// What it is held back by.
    #[inline]
    pub(crate) fn admits(&self, destination: MacAddress, vlan: Option<u16>) -> Result<(), Refusal> {
        // NET-CTRL-RX-02, NET-CTRL-RX-03
        if self.modes.promisc {
            return Ok(());
        }
        // NET-CTRL-VLAN-01 to NET-CTRL-VLAN-04
        if let (Some(vlan), Some(vlans)) = (vlan, &self.vlans)
            && !vlans.contains(vlan)
        {
            return Err(Refusal::Vlan);
        }
        let RxModes { promisc: _, allmulti, alluni, nomulti, nouni, nobcast } = self.modes;
        if !destination.is_multicast() {
            return match () {
                // NET-CTRL-RX-10, NET-CTRL-RX-11
                _ if nouni => Err(Refusal::NoUnicast),
                // NET-CTRL-RX-06
                _ if alluni || self.mac == Some(destination) => Ok(()),
                _ if self.unicast.binary_search(&destination).is_ok() => Ok(()),
                // NET-CTRL-MAC-04
                _ => Err(Refusal::Unicast),
            };
        }
        match () {
            // NET-CTRL-RX-09, NET-CTRL-RX-12, NET-CTRL-RX-13
            _ if destination.is_broadcast() => {
                if nobcast {
                    Err(Refusal::NoBroadcast)
                } else {
                    Ok(())
                }
            }
            // NET-CTRL-RX-07, NET-CTRL-RX-08
            _ if nomulti => Err(Refusal::NoMulticast),
            // NET-CTRL-RX-04
            _ if allmulti || self.multicast.binary_search(&destination).is_ok() => Ok(()),
            _ => Err(Refusal::Multicast),
        }
    }
}
