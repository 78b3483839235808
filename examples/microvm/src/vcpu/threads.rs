//! The threads of the CPUs, and how they are stopped.

use std::thread::JoinHandle;
use std::time::Duration;

use vmm_sys_util::signal::{Killable, SIGRTMIN, register_signal_handler};

use super::Vcpu;
use crate::error::Error;

/// How long a CPU has to notice that it was kicked before it is kicked again.
const KICK_AGAIN: Duration = Duration::from_millis(2);

/// All running CPUs. Dropping this without [`Threads::join`] leaves them running.
pub(crate) struct Threads(Vec<JoinHandle<()>>);

/// Starts every CPU on a thread of its own.
pub(crate) fn start(cpus: Vec<Vcpu>) -> Result<Threads, Error> {
    register_signal_handler(SIGRTMIN(), on_kick).map_err(|errno| Error::setup("a signal handler")(errno.into()))?;
    let mut threads = Threads(Vec::new());
    for cpu in cpus {
        let stop = cpu.stop.clone();
        let started = std::thread::Builder::new().name(format!("cpu{}", cpu.id)).spawn(move || cpu.run());
        match started {
            Ok(thread) => threads.0.push(thread),
            Err(error) => {
                stop.request(crate::stop::Ending::User);
                threads.join();
                return Err(Error::setup("the thread of a CPU")(error));
            }
        }
    }
    Ok(threads)
}

impl Threads {
    /// Waits for all CPUs. The end of the machine must have been requested.
    pub(crate) fn join(self) {
        for thread in self.0 {
            // A signal that comes just before the CPU is entered is lost: kick until it is out.
            while !thread.is_finished() {
                if let Err(errno) = thread.kill(SIGRTMIN()) {
                    log::warn!("cannot interrupt a CPU: {errno}");
                }
                std::thread::sleep(KICK_AGAIN);
            }
            if thread.join().is_err() {
                log::error!("the thread of a CPU panicked");
            }
        }
    }
}

/// Its only effect is that `KVM_RUN` returns.
extern "C" fn on_kick(_: libc::c_int, _: *mut libc::siginfo_t, _: *mut libc::c_void) {}
