//! From files to a guest memory that the first CPU can start in.
//!
//! | File | Idea |
//! |---|---|
//! | `kernel.rs` | puts the kernel and the initrd into memory, finds the 64-bit entry |
//! | `params.rs` | the boot parameters ("zero page") and the command line |
//! | `e820.rs` | the memory map that the kernel is told |
//! | `reset_vector.rs` | all the firmware there is |

pub(crate) mod e820;
pub(crate) mod kernel;
pub(crate) mod params;
pub(crate) mod reset_vector;

#[cfg(test)]
pub(crate) mod tests;
