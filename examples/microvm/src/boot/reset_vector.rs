//! All the firmware there is: seven bytes where a PC's firmware begins.
//!
//! Linux on hardware-reduced ACPI expects to reset the machine through EFI. Where there is none it goes back to
//! real mode and jumps to the firmware, passing ACPI's reset register and the keyboard controller by.

use vm_memory::{Bytes, GuestAddress};

use crate::error::Error;
use crate::layout::RESET_VECTOR;
use crate::memory::GuestMemory;

/// Resets the machine through the keyboard controller.
const CODE: [u8; 7] = [
    0xb0, 0xfe, // mov al, 0xfe
    0xe6, 0x64, // out 0x64, al
    0xf4, // hlt
    0xeb, 0xfd, // jmp to the hlt
];

/// Writes the code.
pub(crate) fn write(memory: &GuestMemory) -> Result<(), Error> {
    memory.write_slice(&CODE, GuestAddress(RESET_VECTOR)).map_err(Error::memory("the reset vector"))
}
