//! Interrupts as devices see them.
//!
//! | File | Idea |
//! |---|---|
//! | `line.rs` | wires: an edge-triggered one per MMIO device, level-triggered shared ones for PCI INTx |
//! | `routes.rs` | the one table that says which interrupt number means which pin or message |
//! | `msi.rs` | a message-signalled interrupt: an eventfd that KVM turns into the message |

pub(crate) mod line;
pub(crate) mod msi;
pub(crate) mod routes;

#[cfg(test)]
mod tests;
