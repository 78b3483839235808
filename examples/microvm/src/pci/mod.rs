//! A PCI bus: what a function on it has to offer, and how accesses find their way to it.
//!
//! | File | Idea |
//! |---|---|
//! | `function.rs` | what the bus needs of a function, and the thin line to it |
//! | `bus.rs` | the 32 slots: routing by slot number and by where the BARs are |
//! | `ecam.rs` | configuration space as memory |
//! | `ports.rs` | configuration space through two ports, which early boot uses |
//! | `windows.rs` | the address ranges that BARs are in |
//! | `virtio.rs` | a virtio function on it |
//! | `bridge.rs` | the host bridge, function 0 of slot 0 |

pub(crate) mod bridge;
pub(crate) mod bus;
pub(crate) mod ecam;
pub(crate) mod function;
pub(crate) mod ports;
pub(crate) mod virtio;
pub(crate) mod windows;

#[cfg(test)]
mod tests;

use crate::layout::INTX_GSIS;

/// The interrupt that pin A of a slot is wired to.
pub(crate) fn intx_gsi(slot: u8) -> u32 {
    INTX_GSIS.start + u32::from(slot) % (INTX_GSIS.end - INTX_GSIS.start)
}
