//! Local APIC and model-specific registers, which every CPU needs.

use kvm_bindings::{Msrs, kvm_msr_entry};
use kvm_ioctls::VcpuFd;

use crate::error::Error;

/// Fast string instructions are on, as after any firmware.
const MISC_ENABLE: u32 = 0x1a0;
const FAST_STRINGS: u64 = 1;
/// Memory is write-back unless the page tables say otherwise.
const MTRR_DEFAULT_TYPE: u32 = 0x2ff;
const MTRR_ENABLED_WRITE_BACK: u64 = (1 << 11) | 6;

/// Registers of the local vector table, and delivery modes in it.
const APIC_LINT0: usize = 0x350;
const APIC_LINT1: usize = 0x360;
const DELIVERY: u32 = 0x700;
const DELIVERY_NMI: u32 = 0x400;
const DELIVERY_EXTERNAL: u32 = 0x700;

/// Sets what firmware would have set.
pub(super) fn set_msrs(cpu: &VcpuFd) -> Result<(), Error> {
    let entry = |index, data| kvm_msr_entry { index, data, ..Default::default() };
    let msrs =
        Msrs::from_entries(&[entry(MTRR_DEFAULT_TYPE, MTRR_ENABLED_WRITE_BACK), entry(MISC_ENABLE, FAST_STRINGS)])
            .map_err(|_| Error::MissingCapability("model-specific registers"))?;
    // KVM stops at the first register that this kind of CPU lacks, which is fine: it has no such switch.
    let set = cpu.set_msrs(&msrs).map_err(Error::kvm("set model-specific registers"))?;
    log::debug!("{set} of {} model-specific registers set", msrs.as_slice().len());
    Ok(())
}

/// Connects the pins of the local APIC as on every PC: external interrupts and NMI.
pub(super) fn set_apic(cpu: &VcpuFd) -> Result<(), Error> {
    let mut apic = cpu.get_lapic().map_err(Error::kvm("show the local APIC"))?;
    for (register, mode) in [(APIC_LINT0, DELIVERY_EXTERNAL), (APIC_LINT1, DELIVERY_NMI)] {
        let Some(bytes) = apic.regs.get_mut(register..register + 4) else {
            continue;
        };
        let mut value = 0;
        for byte in bytes.iter().rev() {
            value = (value << 8) | u32::from(*byte as u8);
        }
        value = (value & !DELIVERY) | mode;
        for (byte, new) in bytes.iter_mut().zip(value.to_le_bytes()) {
            *byte = new as _;
        }
    }
    cpu.set_lapic(&apic).map_err(Error::kvm("set the local APIC"))
}
