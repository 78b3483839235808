//! Where everything lies in the guest's physical address space and among its ports and interrupts.
//!
//! ```text
//! 0x0000_0000  RAM, up to 3 GiB
//! 0xC000_0000  PCI window for 32-bit BARs
//! 0xD000_0000  virtio-mmio register windows, one page each
//! 0xE000_0000  ECAM of PCI bus 0
//! 0xFEC0_0000  I/O APIC          (in the kernel)
//! 0xFEE0_0000  local APICs       (in the kernel)
//! 0x1_0000_0000  RAM beyond 3 GiB, then the PCI window for 64-bit BARs
//! ```

/// End of the RAM below 4 GiB, start of the hole for devices.
pub(crate) const LOW_RAM_END: u64 = 0xC000_0000;
/// Where RAM goes on.
pub(crate) const HIGH_RAM_START: u64 = 0x1_0000_0000;

/// Boot GDT of the first CPU.
pub(crate) const GDT: u64 = 0x500;
/// The boot parameters ("zero page").
pub(crate) const ZERO_PAGE: u64 = 0x7000;
/// First stack of the boot CPU (grows down).
pub(crate) const BOOT_STACK: u64 = 0x8ff0;
/// Root of the boot page tables; the next two pages follow it.
pub(crate) const PAGE_TABLES: u64 = 0x9000;
/// The kernel's command line.
pub(crate) const COMMAND_LINE: u64 = 0x2_0000;
/// End of the conventional memory.
pub(crate) const CONVENTIONAL_END: u64 = 0x9_fc00;
/// ACPI tables, in the area where firmware would keep them.
pub(crate) const ACPI_TABLES: u64 = 0xE_0000;
/// Where a CPU in real mode begins, and a guest goes to in order to reset the machine. Ends the tables' area.
pub(crate) const RESET_VECTOR: u64 = 0xF_FFF0;
/// End of what firmware would keep, and where a bzImage is loaded.
pub(crate) const HIGH_MEMORY: u64 = 0x10_0000;

/// Window for 32-bit PCI BARs.
pub(crate) const PCI_WINDOW_32: std::ops::Range<u64> = 0xC000_0000..0xD000_0000;
/// Size of the window for 64-bit PCI BARs, which lies behind the RAM.
pub(crate) const PCI_WINDOW_64_SIZE: u64 = 16 << 30;
/// Configuration space of PCI bus 0 (the only bus).
pub(crate) const ECAM: u64 = 0xE000_0000;
/// 32 devices of 8 functions of 4 KiB.
pub(crate) const ECAM_SIZE: u64 = 1 << 20;

/// The first virtio-mmio register window.
pub(crate) const MMIO_DEVICES: u64 = 0xD000_0000;
/// Distance between and size of the windows.
pub(crate) const MMIO_DEVICE_SIZE: u64 = 0x1000;

/// I/O APIC, at KVM's fixed place.
pub(crate) const IO_APIC: u32 = 0xFEC0_0000;
/// Local APICs, at KVM's fixed place.
pub(crate) const LOCAL_APIC: u32 = 0xFEE0_0000;
/// Page that KVM on Intel needs for real mode without unrestricted guests.
pub(crate) const IDENTITY_MAP: u64 = 0xFFFB_C000;
/// Three pages that KVM on Intel needs for the same reason.
pub(crate) const TASK_STATE: usize = 0xFFFB_D000;

/// Ports of the keyboard controller.
pub(crate) const I8042_PORTS: u16 = 0x60;
/// Ports of COM1.
pub(crate) const SERIAL_PORTS: u16 = 0x3f8;
/// The legacy access to PCI configuration space (address, data).
pub(crate) const PCI_CONFIG_PORTS: u16 = 0xcf8;
/// Sleep control, sleep status and reset registers of ACPI.
pub(crate) const POWER_PORTS: u16 = 0x600;

/// Interrupt of COM1.
pub(crate) const SERIAL_GSI: u32 = 4;
/// Interrupts of the virtio-mmio devices.
pub(crate) const MMIO_GSIS: std::ops::Range<u32> = 5..16;
/// Interrupts of the PCI INTx lines.
pub(crate) const INTX_GSIS: std::ops::Range<u32> = 16..24;
/// Interrupts that reach the I/O APIC; message-signalled ones are numbered from here.
pub(crate) const IO_APIC_PINS: u32 = 24;

/// The window for 64-bit BARs in a machine whose RAM ends at `ram_end`.
pub(crate) fn pci_window_64(ram_end: u64) -> std::ops::Range<u64> {
    let start = ram_end.max(HIGH_RAM_START).next_multiple_of(1 << 32);
    start..start.saturating_add(PCI_WINDOW_64_SIZE)
}
