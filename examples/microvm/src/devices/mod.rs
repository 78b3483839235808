//! The virtio devices of the machine.
//!
//! | File | Idea |
//! |---|---|
//! | `board.rs` | what the machine offers to a device: a place on MMIO or PCI, interrupts, doorbells |
//! | `attach.rs` | from a `--disk` to a device in such a place |
//! | `control.rs` | what can be done to devices while the machine runs |

pub(crate) mod attach;
pub(crate) mod board;
pub(crate) mod control;
