//! A virtio function on the bus.

use virtio_pci::VirtioPci;

use super::function::{BarPlacement, PciFunction};

/// Puts the transport's function where the bus expects one.
pub(crate) struct VirtioFunction(pub(crate) VirtioPci);

impl PciFunction for VirtioFunction {
    fn read_config(&self, offset: u16, data: &mut [u8]) {
        self.0.read_config(offset, data);
    }

    fn write_config(&self, offset: u16, data: &[u8]) {
        // The bus asks for the BARs after each write.
        self.0.write_config(offset, data);
    }

    fn read_bar(&self, bar: u8, offset: u64, data: &mut [u8]) {
        self.0.read_bar(bar, offset, data);
    }

    fn write_bar(&self, bar: u8, offset: u64, data: &[u8]) {
        self.0.write_bar(bar, offset, data);
    }

    fn bars(&self) -> Vec<BarPlacement> {
        let places = self.0.bars().into_iter().filter(|place| place.enabled);
        places.map(|place| BarPlacement { bar: place.bar, base: place.address, size: place.size }).collect()
    }
}
