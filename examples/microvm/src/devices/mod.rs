//! The virtio devices of the machine.
//!
//! | File | Idea |
//! |---|---|
//! | `board.rs` | what the machine offers to a device: a place on MMIO or PCI, interrupts, doorbells |
//! | `attach.rs` | a device into such a place |
//! | `disk/` | from a `--disk` to a block device |
//! | `net/` | from a `--net` to a network device |
//! | `rate.rs` | limits on what either of them does in a second |
//! | `rng.rs` | from a `--rng` to an entropy device |
//! | `control.rs` | what can be done to devices while the machine runs |

mod attach;
pub(crate) mod board;
pub(crate) mod control;
pub(crate) mod disk;
pub(crate) mod net;
mod rate;
pub(crate) mod rng;
