//! The CPUs: how each is set up, and the loop that each one's thread runs.
//!
//! | File | Idea |
//! |---|---|
//! | `cpuid.rs` | what a CPU says about itself: features of the host, identity and topology of its own |
//! | `start.rs` | registers, descriptor and page tables of the first CPU: 64-bit mode from the first instruction |
//! | `local.rs` | local APIC and model-specific registers, which every CPU needs |
//! | `exit.rs` | what to do when KVM hands an access to this program |
//! | `threads.rs` | the threads, and how they are stopped |

mod cpuid;
mod exit;
mod local;
pub(crate) mod start;
pub(crate) mod threads;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use kvm_ioctls::VcpuFd;
use vm_device::device_manager::IoManager;

use crate::error::Error;
use crate::kvm::{Host, Vm};
use crate::memory::GuestMemory;
use crate::stop::Stop;

/// One CPU, not running yet.
pub(crate) struct Vcpu {
    id: u8,
    fd: VcpuFd,
    io: Arc<IoManager>,
    stop: Arc<Stop>,
}

impl Vcpu {
    /// Makes CPU `id` of `count`. It waits for the first one's start-up message.
    pub(crate) fn new(
        host: &Host,
        vm: &Vm,
        id: u8,
        count: u8,
        io: Arc<IoManager>,
        stop: Arc<Stop>,
    ) -> Result<Self, Error> {
        let fd = vm.fd.create_vcpu(id.into()).map_err(Error::kvm("make a CPU"))?;
        let cpuid = cpuid::for_cpu(&host.cpuid, id, count, host.has_deadline_timer())?;
        fd.set_cpuid2(&cpuid).map_err(Error::kvm("set the features of a CPU"))?;
        local::set_msrs(&fd)?;
        local::set_apic(&fd)?;
        Ok(Self { id, fd, io, stop })
    }

    /// Lets this CPU begin at `entry`, in 64-bit mode, instead of waiting.
    pub(crate) fn start_at(&self, memory: &GuestMemory, entry: u64) -> Result<(), Error> {
        start::write_tables(memory)?;
        start::set_registers(&self.fd, entry)
    }
}
