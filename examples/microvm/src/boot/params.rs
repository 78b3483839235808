//! The boot parameters ("zero page") and the command line.

use linux_loader::configurator::linux::LinuxBootConfigurator;
use linux_loader::configurator::{BootConfigurator, BootParams};
use linux_loader::loader::bootparam::{boot_e820_entry, boot_params};
use vm_memory::{Bytes, GuestAddress};

use super::e820;
use super::kernel::{Initrd, Kernel};
use crate::error::Error;
use crate::layout::{ACPI_TABLES, COMMAND_LINE, ZERO_PAGE};
use crate::memory::GuestMemory;

/// A boot loader without a number of its own.
const LOADER_UNDEFINED: u8 = 0xff;

/// Fills the zero page for `kernel`.
pub(crate) fn zero_page(kernel: &Kernel, initrd: Option<Initrd>, memory_size: u64) -> boot_params {
    let mut params = boot_params {
        hdr: kernel.header,
        // The RSDP is the first of the ACPI tables.
        acpi_rsdp_addr: ACPI_TABLES,
        ..Default::default()
    };
    params.hdr.type_of_loader = LOADER_UNDEFINED;
    params.hdr.cmd_line_ptr = COMMAND_LINE as u32;
    if let Some(initrd) = initrd {
        params.hdr.ramdisk_image = initrd.address;
        params.hdr.ramdisk_size = initrd.size;
    }
    let mut entries = 0;
    let map = e820::map(memory_size);
    // There are 128 places for these few entries.
    let mut table = params.e820_table;
    for (place, range) in table.iter_mut().zip(&map) {
        *place = boot_e820_entry { addr: range.start, size: range.end - range.start, r#type: range.kind as u32 };
        entries += 1;
    }
    params.e820_table = table;
    params.e820_entries = entries;
    params
}

/// Writes the zero page and the command line.
pub(crate) fn write(
    memory: &GuestMemory,
    memory_size: u64,
    kernel: &Kernel,
    initrd: Option<Initrd>,
    command_line: &str,
) -> Result<(), Error> {
    let most = kernel.command_line_max();
    if command_line.len() > most {
        return Err(Error::CommandLine { length: command_line.len(), most });
    }
    let mut bytes = command_line.as_bytes().to_vec();
    bytes.push(0);
    memory.write_slice(&bytes, GuestAddress(COMMAND_LINE)).map_err(Error::memory("the command line"))?;

    let params = zero_page(kernel, initrd, memory_size);
    let params = BootParams::new(&params, GuestAddress(ZERO_PAGE));
    LinuxBootConfigurator::write_bootparams(&params, memory)
        .map_err(|_| Error::DoesNotFit { what: "the boot parameters" })
}
