//! What to do when KVM hands an access, or its end, to this program.

use std::ops::ControlFlow;

use kvm_ioctls::{Error as Errno, VcpuExit};
use vm_device::bus::{MmioAddress, PioAddress};
use vm_device::device_manager::{IoManager, MmioManager, PioManager};

use super::Vcpu;
use crate::error::Error;
use crate::stop::Ending;

/// What an open bus reads as.
const NOTHING_THERE: u8 = 0xff;

impl Vcpu {
    /// Runs the CPU until the machine is to end.
    pub(super) fn run(mut self) {
        let stop = self.stop.clone();
        while !stop.requested() {
            let outcome = match self.fd.run() {
                Ok(exit) => handle(&self.io, exit),
                Err(errno) => retry(errno),
            };
            if let ControlFlow::Break(reason) = outcome {
                stop.request(Ending::Failed(self.explain(reason)));
            }
        }
        log::debug!("CPU {} ended at {:#x}", self.id, self.instruction());
    }

    /// Where the CPU is.
    fn instruction(&self) -> u64 {
        self.fd.get_regs().map_or(0, |regs| regs.rip)
    }

    fn explain(&self, reason: Reason) -> Error {
        let cpu = self.id;
        let rip = self.instruction();
        match reason {
            Reason::TripleFault => Error::TripleFault { cpu },
            Reason::Kvm(reason) => Error::CpuStopped { cpu, rip, reason },
        }
    }
}

/// Why a CPU cannot go on.
enum Reason {
    TripleFault,
    Kvm(String),
}

/// Signals only interrupt, and a CPU that has just been started up wants to be entered again.
fn retry(errno: Errno) -> ControlFlow<Reason> {
    match errno.errno() {
        libc::EINTR | libc::EAGAIN => ControlFlow::Continue(()),
        _ => ControlFlow::Break(Reason::Kvm(errno.to_string())),
    }
}

fn handle(io: &IoManager, exit: VcpuExit<'_>) -> ControlFlow<Reason> {
    match exit {
        VcpuExit::IoOut(port, data) => {
            if io.pio_write(PioAddress(port), data).is_err() {
                log::trace!("nothing at port {port:#x} took {data:x?}");
            }
        }
        VcpuExit::IoIn(port, data) => {
            data.fill(NOTHING_THERE);
            if io.pio_read(PioAddress(port), data).is_err() {
                log::trace!("nothing at port {port:#x} to read");
            }
        }
        VcpuExit::MmioWrite(address, data) => {
            if io.mmio_write(MmioAddress(address), data).is_err() {
                log::trace!("nothing at {address:#x} took {data:x?}");
            }
        }
        VcpuExit::MmioRead(address, data) => {
            data.fill(NOTHING_THERE);
            if io.mmio_read(MmioAddress(address), data).is_err() {
                log::trace!("nothing at {address:#x} to read");
            }
        }
        VcpuExit::Intr | VcpuExit::IrqWindowOpen | VcpuExit::Hlt => {}
        VcpuExit::Shutdown => return ControlFlow::Break(Reason::TripleFault),
        VcpuExit::FailEntry(reason, _) => {
            return ControlFlow::Break(Reason::Kvm(format!(
                "the processor refused to enter the guest (reason {reason:#x})"
            )));
        }
        VcpuExit::InternalError => {
            return ControlFlow::Break(Reason::Kvm("KVM could not emulate an instruction".to_owned()));
        }
        other => return ControlFlow::Break(Reason::Kvm(format!("unexpected exit {other:?}"))),
    }
    ControlFlow::Continue(())
}
