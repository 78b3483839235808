//! KVM: what this program needs of it, and the machine's file descriptor.
//!
//! | File | Idea |
//! |---|---|
//! | `probe.rs` | whether KVM can run 64-bit code at all |
//! | `doorbell.rs` | writes that become eventfds inside the kernel |
//! | `sys.rs` | the calls that need `unsafe` |

pub(crate) mod doorbell;
mod probe;
mod sys;

use std::sync::Arc;

use kvm_bindings::{CpuId, KVM_MAX_CPUID_ENTRIES, KVM_PIT_SPEAKER_DUMMY, kvm_pit_config};
use kvm_ioctls::{Cap, Kvm, VmFd};

use crate::error::Error;
use crate::layout;
use crate::memory::GuestMemory;

/// Extensions this program is built on.
const NEEDED: [(Cap, &str); 7] = [
    (Cap::UserMemory, "user memory"),
    (Cap::Irqchip, "an interrupt controller in the kernel"),
    (Cap::Pit2, "a timer in the kernel"),
    (Cap::Irqfd, "irqfd"),
    (Cap::Ioeventfd, "ioeventfd"),
    (Cap::IrqRouting, "interrupt routing"),
    (Cap::SignalMsi, "message-signalled interrupts"),
];
/// Leaf and EDX bit that say that the processor has 64-bit mode.
const EXTENDED_FEATURES: u32 = 0x8000_0001;
const LONG_MODE: u32 = 1 << 29;

/// The host's KVM, known to be usable.
pub(crate) struct Host {
    kvm: Kvm,
    /// The CPU features that KVM can give.
    pub(crate) cpuid: CpuId,
}

impl Host {
    /// Opens `/dev/kvm` and checks what it can do.
    pub(crate) fn open() -> Result<Self, Error> {
        let kvm = Kvm::new().map_err(|errno| match errno.errno() {
            libc::ENOENT | libc::ENODEV | libc::ENXIO => Error::NoKvm,
            libc::EACCES | libc::EPERM => Error::KvmPermission,
            _ => Error::OpenKvm(errno),
        })?;
        for (extension, name) in NEEDED {
            if !kvm.check_extension(extension) {
                return Err(Error::MissingCapability(name));
            }
        }
        let cpuid =
            kvm.get_supported_cpuid(KVM_MAX_CPUID_ENTRIES).map_err(Error::kvm("say which CPU features it has"))?;
        let long_mode =
            cpuid.as_slice().iter().any(|leaf| leaf.function == EXTENDED_FEATURES && leaf.edx & LONG_MODE != 0);
        if !long_mode {
            return Err(Error::KvmCannotRun("its CPUs have no 64-bit mode".into()));
        }
        probe::run(&kvm)?;
        Ok(Self { kvm, cpuid })
    }

    /// Most CPUs of one machine.
    pub(crate) fn max_cpus(&self) -> usize {
        self.kvm.get_max_vcpus()
    }

    /// Whether a CPU's timer can be armed by writing a deadline, which takes the fewest exits.
    pub(crate) fn has_deadline_timer(&self) -> bool {
        self.kvm.check_extension(Cap::TscDeadlineTimer)
    }

    /// Makes a machine with `memory`, interrupt controllers and timer, and no CPU yet.
    pub(crate) fn create_vm(&self, memory: &GuestMemory) -> Result<Vm, Error> {
        let fd = self.kvm.create_vm().map_err(Error::kvm("make a virtual machine"))?;
        fd.set_identity_map_address(layout::IDENTITY_MAP).map_err(Error::kvm("place the identity map"))?;
        fd.set_tss_address(layout::TASK_STATE).map_err(Error::kvm("place the task state"))?;
        fd.create_irq_chip().map_err(Error::kvm("make the interrupt controllers"))?;
        fd.create_pit2(kvm_pit_config { flags: KVM_PIT_SPEAKER_DUMMY, ..Default::default() })
            .map_err(Error::kvm("make the timer"))?;
        sys::map_memory(&fd, memory).map_err(Error::kvm("map the guest's memory"))?;
        Ok(Vm { fd: Arc::new(fd), _memory: memory.clone() })
    }
}

/// A virtual machine. It keeps its memory mapped.
pub(crate) struct Vm {
    // Dropped before the memory that KVM uses through it.
    pub(crate) fd: Arc<VmFd>,
    _memory: GuestMemory,
}
