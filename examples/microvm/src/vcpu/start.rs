//! Registers, descriptor and page tables of the first CPU.
//!
//! The 64-bit boot protocol wants 64-bit mode, flat segments with fixed selectors, an identity mapping
//! of what the kernel touches first, interrupts off, and the zero page in RSI.

use kvm_bindings::{kvm_regs, kvm_segment};
use kvm_ioctls::VcpuFd;
use vm_memory::{Bytes, GuestAddress};

use crate::error::Error;
use crate::layout::{BOOT_STACK, GDT, PAGE_TABLES, ZERO_PAGE};
use crate::memory::GuestMemory;

/// Selectors of the boot protocol (`__BOOT_CS`, `__BOOT_DS`).
const CODE_SELECTOR: u16 = 0x10;
const DATA_SELECTOR: u16 = 0x18;
/// Flat 4 GiB segments: 64-bit code, and data.
const GDT_ENTRIES: [u64; 4] = [0, 0, 0x00af_9b00_0000_ffff, 0x00cf_9300_0000_ffff];

/// Control bits.
const CR0_PROTECTED: u64 = 1 << 0;
const CR0_EXTENSION_TYPE: u64 = 1 << 4;
const CR0_PAGING: u64 = 1 << 31;
const CR4_PHYSICAL_EXTENSION: u64 = 1 << 5;
const EFER_LONG_MODE_ENABLE: u64 = 1 << 8;
const EFER_LONG_MODE_ACTIVE: u64 = 1 << 10;
/// The bit of RFLAGS that is always set.
const RFLAGS_FIXED: u64 = 1 << 1;

/// Page table bits.
const PRESENT_WRITABLE: u64 = 0b11;
const LARGE: u64 = 1 << 7;
const LARGE_PAGE: u64 = 2 << 20;
const ENTRIES: u64 = 512;
const TABLE: u64 = 4096;

/// Writes the descriptor table and page tables that map the first GiB to itself.
pub(crate) fn write_tables(memory: &GuestMemory) -> Result<(), Error> {
    let put = |at: u64, value: u64| {
        memory.write_obj(value.to_le(), GuestAddress(at)).map_err(Error::memory("the boot tables"))
    };
    for (at, entry) in (GDT..).step_by(8).zip(GDT_ENTRIES) {
        put(at, entry)?;
    }
    let directory_pointers = PAGE_TABLES + TABLE;
    let directory = directory_pointers + TABLE;
    put(PAGE_TABLES, directory_pointers | PRESENT_WRITABLE)?;
    put(directory_pointers, directory | PRESENT_WRITABLE)?;
    for index in 0..ENTRIES {
        put(directory + index * 8, (index * LARGE_PAGE) | PRESENT_WRITABLE | LARGE)?;
    }
    Ok(())
}

fn segment(selector: u16, code: bool) -> kvm_segment {
    kvm_segment {
        base: 0,
        limit: 0xffff_ffff,
        selector,
        // Accessed, and readable code or writable data.
        type_: if code { 0xb } else { 0x3 },
        present: 1,
        s: 1,
        l: code.into(),
        db: (!code).into(),
        g: 1,
        ..Default::default()
    }
}

/// Lets the CPU begin at `entry` in 64-bit mode.
pub(crate) fn set_registers(cpu: &VcpuFd, entry: u64) -> Result<(), Error> {
    let mut special = cpu.get_sregs().map_err(Error::kvm("show the registers of a CPU"))?;
    let data = segment(DATA_SELECTOR, false);
    special.cs = segment(CODE_SELECTOR, true);
    special.ds = data;
    special.es = data;
    special.fs = data;
    special.gs = data;
    special.ss = data;
    special.gdt.base = GDT;
    special.gdt.limit = (size_of_val(&GDT_ENTRIES) - 1) as u16;
    special.cr3 = PAGE_TABLES;
    special.cr4 |= CR4_PHYSICAL_EXTENSION;
    special.cr0 |= CR0_PROTECTED | CR0_EXTENSION_TYPE | CR0_PAGING;
    special.efer |= EFER_LONG_MODE_ENABLE | EFER_LONG_MODE_ACTIVE;
    cpu.set_sregs(&special).map_err(Error::kvm("set the registers of a CPU"))?;

    let general = kvm_regs {
        rflags: RFLAGS_FIXED,
        rip: entry,
        rsp: BOOT_STACK,
        rbp: BOOT_STACK,
        rsi: ZERO_PAGE,
        ..Default::default()
    };
    cpu.set_regs(&general).map_err(Error::kvm("set the registers of a CPU"))
}
