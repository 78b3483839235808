//! The calls that need `unsafe`.
#![allow(unsafe_code)]

use kvm_bindings::kvm_userspace_memory_region;
use kvm_ioctls::{Error, VmFd};
use vm_memory::{GuestMemoryBackend, GuestMemoryRegion};

use crate::memory::GuestMemory;

/// Gives every region of `memory` to KVM.
///
/// The caller keeps a clone of `memory` as long as a CPU of the machine can run.
pub(super) fn map_memory(vm: &VmFd, memory: &GuestMemory) -> Result<(), Error> {
    for (slot, region) in (0u32..).zip(memory.iter()) {
        let mapping = kvm_userspace_memory_region {
            slot,
            flags: 0,
            guest_phys_addr: region.start_addr().0,
            memory_size: region.len(),
            userspace_addr: region.as_ptr() as u64,
        };
        // SAFETY: the host range is one whole region of `memory`: mapped with this length, used for
        // nothing but guest memory, in a slot of its own, and `Vm` keeps it mapped for as long as the
        // guest can run. What the guest does to it reaches Rust only through volatile accesses.
        unsafe { vm.set_user_memory_region(mapping) }?;
    }
    Ok(())
}
