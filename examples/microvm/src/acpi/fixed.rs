//! The tables with a fixed shape.

use acpi_tables::fadt::{FADT, FADTBuilder, Flags, PmProfile};
use acpi_tables::gas::{AccessSize, AddressSpace, GAS};
use acpi_tables::madt::{EnabledStatus, IoApic, LocalInterruptController, MADT, ProcessorLocalApic};
use acpi_tables::mcfg::MCFG;

use super::{OEM, OEM_REVISION, OEM_TABLE};
use crate::layout::{ECAM, IO_APIC, LOCAL_APIC, POWER_PORTS};
use crate::legacy::power;

/// What a PC may have and this machine has not (`IAPC_BOOT_ARCH`): VGA, a CMOS clock.
const NO_VGA: u16 = 1 << 2;
const NO_CMOS_CLOCK: u16 = 1 << 5;

fn port(offset: u16) -> GAS {
    GAS::new(AddressSpace::SystemIo, 8, 0, AccessSize::ByteAccess, (POWER_PORTS + offset).into())
}

/// Power-off and reset registers, and where the DSDT is.
pub(super) fn fadt(dsdt: u64) -> FADT {
    let mut table = FADTBuilder::new(OEM, OEM_TABLE, OEM_REVISION)
        .dsdt_64(dsdt)
        .preferred_pm_profile(PmProfile::EnterpriseServer)
        .flag(Flags::HwReducedAcpi)
        .flag(Flags::ResetRegSup)
        .flag(Flags::Headless)
        .flag(Flags::Wbinvd)
        .flag(Flags::PwrButton)
        .flag(Flags::SlpButton);
    table.sleep_control_reg = port(power::SLEEP_CONTROL);
    table.sleep_status_reg = port(power::SLEEP_STATUS);
    table.reset_reg = port(power::RESET);
    table.reset_value = power::RESET_VALUE;
    table.iapc_boot_arch = (NO_VGA | NO_CMOS_CLOCK).into();
    table.finalize()
}

/// The interrupt controllers and with them the CPUs.
pub(super) fn madt(cpus: u8) -> MADT {
    let mut table = MADT::new(OEM, OEM_TABLE, OEM_REVISION, LocalInterruptController::Address(LOCAL_APIC));
    for cpu in 0..cpus {
        table.add_structure(ProcessorLocalApic::new(cpu, cpu, EnabledStatus::Enabled));
    }
    table.add_structure(IoApic::new(0, IO_APIC, 0));
    table
}

/// Where configuration space of PCI bus 0 is.
pub(super) fn mcfg() -> MCFG {
    let mut table = MCFG::new(OEM, OEM_TABLE, OEM_REVISION);
    table.add_ecam(ECAM, 0, 0, 0);
    table
}
