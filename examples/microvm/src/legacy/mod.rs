//! The few devices of a PC that Linux cannot do without, or boots faster with.
//!
//! | File | Idea |
//! |---|---|
//! | `serial.rs` | COM1 on standard output |
//! | `console.rs` | the terminal: raw while the machine runs, keys to COM1, an escape key |
//! | `keyboard.rs` | the keyboard controller's reset line |
//! | `power.rs` | ACPI's sleep and reset registers |

pub(crate) mod console;
pub(crate) mod keyboard;
pub(crate) mod power;
pub(crate) mod serial;

#[cfg(test)]
mod tests;
