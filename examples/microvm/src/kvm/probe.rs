//! Whether KVM can run 64-bit code: runs three instructions in a machine of their own.
//!
//! Some KVMs (in containers and virtual machines without nested virtualisation) offer everything, but run
//! a guest's kernel by interpreting its instructions. A Linux takes forever there, or ends at the first
//! instruction that the interpreter does not know; so does this program, but at once and with a message.

use kvm_ioctls::{Kvm, VcpuExit};
use vm_memory::{Bytes, GuestAddress};

use super::sys;
use crate::error::Error;
use crate::memory;
use crate::vcpu::start;

/// Enough for the boot tables and the program.
const MEMORY: u64 = 64 << 10;
/// Where the program is.
const PROGRAM: u64 = 0xd000;
/// The port that it writes to when it got through.
const PORT: u8 = 0x80;
/// Every 64-bit processor has the first instruction, interpreters of KVM do not.
const CODE: [u8; 7] = [
    0x66, 0x0f, 0xef, 0xc0, // pxor xmm0, xmm0
    0xe6, PORT, // out PORT, al
    0xf4, // hlt
];
/// Lets a program use that instruction.
const CR4_SSE: u64 = 1 << 9;

/// Fails unless 64-bit code runs.
pub(super) fn run(kvm: &Kvm) -> Result<(), Error> {
    let memory = memory::map(MEMORY)?;
    start::write_tables(&memory)?;
    memory.write_slice(&CODE, GuestAddress(PROGRAM)).map_err(Error::memory("a test program"))?;
    let vm = kvm.create_vm().map_err(Error::kvm("make a virtual machine"))?;
    sys::map_memory(&vm, &memory).map_err(Error::kvm("map the guest's memory"))?;
    let mut cpu = vm.create_vcpu(0).map_err(Error::kvm("make a CPU"))?;
    start::set_registers(&cpu, PROGRAM)?;
    let mut special = cpu.get_sregs().map_err(Error::kvm("show the registers of a CPU"))?;
    special.cr4 |= CR4_SSE;
    cpu.set_sregs(&special).map_err(Error::kvm("set the registers of a CPU"))?;
    match cpu.run() {
        Ok(VcpuExit::IoOut(port, _)) if port == u16::from(PORT) => Ok(()),
        Ok(exit) => Err(Error::KvmCannotRun(format!("a test program ended with {exit:?}"))),
        Err(errno) => Err(Error::KvmCannotRun(format!("a test program could not be started: {errno}"))),
    }
}
