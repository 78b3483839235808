//! The capability list (virtio 1.4, section 4.1.4).

use crate::header::{CAPABILITIES, Image};
use crate::layout::{MSIX_BAR, MsixLayout, NOTIFY_MULTIPLIER, Region, STRUCTURES_BAR, Structures};
use crate::msix::{ENABLE, FUNCTION_MASK};

const ID_MSIX: u8 = 0x11;
const ID_VENDOR: u8 = 0x09;
const COMMON_CFG: u8 = 1;
const NOTIFY_CFG: u8 = 2;
const ISR_CFG: u8 = 3;
const DEVICE_CFG: u8 = 4;
const PCI_CFG: u8 = 5;

/// The first place behind the header.
const FIRST: u16 = 0x40;

/// Places in the configuration space where a write does something.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Places {
    /// MSI-X message control; none without MSI-X.
    pub(crate) msix_control: Option<u16>,
    /// The PCI_CFG capability.
    pub(crate) window: Window,
}

/// The PCI configuration access capability: a window into the virtio structures that needs no BAR to be placed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Window {
    at: u16,
}

impl Window {
    /// Where the bytes are that are read from, or written to, the target.
    pub(crate) fn data(self) -> u16 {
        self.at + 16
    }

    /// What the driver has pointed the window at: offset and length. None unless it is an aligned register of 1, 2 or 4
    /// bytes in one of the structures (DRV-PCI-13, DRV-PCI-14), which the window itself is not.
    pub(crate) fn target(self, image: &Image, structures: &Structures) -> Option<(u32, usize)> {
        let (bar, offset, len) = (image.u8(self.at + 4), image.u32(self.at + 8), image.u32(self.at + 12));
        let aligned = matches!(len, 1 | 2 | 4) && offset.is_multiple_of(len);
        let possible = bar == STRUCTURES_BAR && aligned && structures.covers(offset, len);
        possible.then(|| usize::try_from(len).ok().map(|len| (offset, len))).flatten()
    }
}

/// Puts the list into the configuration space.
pub(crate) fn install(image: &mut Image, structures: &Structures, msix: Option<(u16, MsixLayout)>) -> Places {
    let mut list = List { image, link: CAPABILITIES, next: FIRST };
    // PCI-COMMON-02, PCI-NOTIFY-01, PCI-ISR-01, PCI-CFGACC-01: one of each.
    list.add(&virtio(COMMON_CFG, structures.common, &[]));
    list.add(&virtio(NOTIFY_CFG, structures.notify, &NOTIFY_MULTIPLIER.to_le_bytes()));
    list.add(&virtio(ISR_CFG, structures.isr, &[]));
    // PCI-DEVCFG-01: for devices that have a configuration only.
    if structures.device.len > 0 {
        list.add(&virtio(DEVICE_CFG, structures.device, &[]));
    }
    let window = list.add(&virtio(PCI_CFG, Region { offset: 0, len: 0 }, &[0; 4]));
    let msix_control = msix.map(|(vectors, layout)| {
        let mut body = vec![ID_MSIX, 0];
        body.extend((vectors - 1).to_le_bytes()); // PCI-MSIX-02
        for region in [layout.table, layout.pending] {
            body.extend((region.offset | u32::from(MSIX_BAR)).to_le_bytes());
        }
        list.add(&body) + 2
    });
    image.allow(window + 4, &[0xff]);
    image.allow(window + 8, &[0xff; 12]);
    if let Some(control) = msix_control {
        image.allow(control, &(ENABLE | FUNCTION_MASK).to_le_bytes());
    }
    Places { msix_control, window: Window { at: window } }
}

/// A vendor capability that tells where a structure is. PCI-CAP-03: its length counts what is appended.
fn virtio(kind: u8, region: Region, appended: &[u8]) -> Vec<u8> {
    let len = 16 + appended.len() as u8;
    let mut body = vec![ID_VENDOR, 0, len, kind, STRUCTURES_BAR, 0, 0, 0];
    body.extend(region.offset.to_le_bytes());
    body.extend(region.len.to_le_bytes());
    body.extend(appended);
    body
}

struct List<'a> {
    image: &'a mut Image,
    /// The byte that is to point at the next capability.
    link: u16,
    next: u16,
}

impl List<'_> {
    /// Adds a capability; its place.
    fn add(&mut self, body: &[u8]) -> u16 {
        let at = self.next;
        self.image.set(self.link, &[at as u8]);
        self.image.set(at, body);
        self.link = at + 1;
        self.next = at + (body.len() as u16).next_multiple_of(4);
        at
    }
}
