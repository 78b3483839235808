//! How the machine ends: whoever has a reason says so once, the main thread waits for it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use vmm_sys_util::eventfd::EventFd;
use vmm_sys_util::signal::register_signal_handler;

use crate::error::Error;

/// Why the machine ended.
#[derive(Debug)]
pub(crate) enum Ending {
    /// The guest switched itself off.
    PowerOff,
    /// The guest asked for a reset; this machine does not start again by itself.
    Reset,
    /// The user ended it (a signal, or the escape key of the console).
    User,
    /// It cannot go on.
    Failed(Error),
}

/// The one place where the end of the machine is asked for.
pub(crate) struct Stop {
    event: EventFd,
    requested: AtomicBool,
    ending: Mutex<Option<Ending>>,
}

impl Stop {
    /// A machine that is to go on.
    pub(crate) fn new() -> Result<Self, Error> {
        Ok(Self {
            event: EventFd::new(0).map_err(Error::setup("an eventfd"))?,
            requested: AtomicBool::new(false),
            ending: Mutex::new(None),
        })
    }

    /// Asks for the end. The first reason counts.
    pub(crate) fn request(&self, ending: Ending) {
        self.ending.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(ending);
        self.requested.store(true, Ordering::Release);
        // The counter cannot overflow by these few writes.
        let _ = self.event.write(1);
    }

    /// Whether the end has been asked for.
    pub(crate) fn requested(&self) -> bool {
        self.requested.load(Ordering::Acquire)
    }

    /// Blocks until somebody asks for the end.
    pub(crate) fn wait(&self) -> Ending {
        while let Err(error) = self.event.read() {
            if error.kind() != std::io::ErrorKind::Interrupted {
                log::error!("waiting for the end of the machine: {error}");
                break;
            }
        }
        self.requested.store(true, Ordering::Release);
        // A signal handler can only write the eventfd: no reason given means the user.
        self.ending.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or(Ending::User)
    }

    /// Lets SIGINT, SIGTERM and SIGHUP end the machine.
    pub(crate) fn on_signals(&self) -> Result<(), Error> {
        let event = self.event.try_clone().map_err(Error::setup("an eventfd"))?;
        // A second machine in the same process would keep the first one's event; there is none.
        let _ = SIGNALLED.set(event);
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
            register_signal_handler(signal, on_signal)
                .map_err(|errno| Error::setup("a signal handler")(errno.into()))?;
        }
        Ok(())
    }
}

static SIGNALLED: OnceLock<EventFd> = OnceLock::new();

/// Only an atomic load and a `write`: both may be done in a signal handler.
extern "C" fn on_signal(_: libc::c_int, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
    if let Some(event) = SIGNALLED.get() {
        let _ = event.write(1);
    }
}
