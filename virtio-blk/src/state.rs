//! Saving a block device and taking it over elsewhere.
//!
//! What a driver could notice is the configuration space and the disk's name; data on the disk moves by other means.

use virtio_core::device::{DeviceState, StateError};

use crate::shared::Shared;
use crate::wire::{CONFIG_LEN, ID_LEN, SECTOR, field};

/// The version that [`save`] writes.
const VERSION: u32 = 1;

pub(crate) fn save(shared: &Shared) -> DeviceState {
    let mut data = config(shared).to_vec();
    data.extend_from_slice(&shared.id);
    DeviceState { version: VERSION, data }
}

/// `may_choose`: the driver negotiated the right to choose the cache mode.
pub(crate) fn restore(shared: &Shared, state: &DeviceState, may_choose: bool) -> Result<(), StateError> {
    let DeviceState { version, data } = state;
    if *version != VERSION {
        return Err(StateError::Version { version: *version });
    }
    let Some((saved, id)) = data.split_first_chunk::<CONFIG_LEN>().filter(|(_, id)| id.len() == ID_LEN) else {
        return Err(StateError::Corrupt { what: "the length of the block device's state" });
    };
    if id != shared.id {
        return Err(StateError::Mismatch { what: "the disk's serial number is another" });
    }
    let own = config(shared);
    if fixed(saved) != fixed(&own) {
        return Err(StateError::Mismatch { what: "the block device's limits are others" });
    }
    let writeback = match saved[field::WRITEBACK.start] {
        0 => false,
        1 => true,
        _ => return Err(StateError::Corrupt { what: "the cache mode" }),
    };
    if !may_choose && writeback != shared.writeback() {
        return Err(StateError::Corrupt { what: "a cache mode that the driver cannot have chosen" });
    }
    let sectors = saved.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    // The driver was promised that much; what there is more it hears of when somebody says so.
    let size = shared.backend.size().unwrap_or(0);
    if sectors > size / SECTOR {
        return Err(StateError::Mismatch { what: "the disk is smaller than it was" });
    }
    shared.set_writeback(writeback);
    shared.restore_capacity(sectors);
    Ok(())
}

fn config(shared: &Shared) -> [u8; CONFIG_LEN] {
    let mut bytes = [0; CONFIG_LEN];
    // Not the driver's reading, which `ConfigSpace::read` would be taken for.
    shared.config.store(|config| {
        for (to, from) in bytes.iter_mut().zip(config.iter()) {
            *to = *from;
        }
    });
    bytes
}

/// The part of the configuration that changes only with what the driver negotiated, which is the same.
fn fixed(config: &[u8; CONFIG_LEN]) -> [u8; CONFIG_LEN] {
    let mut fixed = *config;
    fixed[field::CAPACITY].fill(0);
    fixed[field::WRITEBACK].fill(0);
    // Whatever the new storage does: the driver is told when somebody asks it.
    fixed[field::WRITE_ZEROES_MAY_UNMAP].fill(0);
    fixed
}
