//! Which frames a driver gets (virtio 1.4, sections 5.1.6.5.1 to 5.1.6.5.3).

#[cfg(test)]
mod tests;

use crate::MacAddress;
use crate::settings::{MAX_ADDRESSES, MacTable, RxModes, VlanTable};

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
