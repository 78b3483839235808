//! The terminal: raw while the machine runs, keys to COM1, an escape key for the user.

use std::io::{IsTerminal, Read, Write, stdin};
use std::sync::Arc;

use vmm_sys_util::terminal::Terminal;

use super::serial::Com1;
use crate::error::Error;
use crate::stop::{Ending, Stop};

/// Ctrl-A announces a command to this program, as in other VMMs.
const ESCAPE: u8 = 0x01;
/// The command that ends the machine.
const QUIT: u8 = b'x';

/// A raw terminal on standard input, restored when dropped. Does nothing where standard input is none.
pub(crate) struct RawMode(bool);

impl RawMode {
    /// Keys go to the guest one by one from now on.
    pub(crate) fn enter() -> Self {
        let raw = stdin().is_terminal() && stdin().lock().set_raw_mode().is_ok();
        Self(raw)
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        if self.0
            && let Err(errno) = stdin().lock().set_canon_mode()
        {
            log::warn!("cannot restore the terminal: {errno}");
        }
    }
}

/// Passes standard input to the guest until it ends. The thread ends with the process.
pub(crate) fn pass_input<W: Write + Send + 'static>(com1: Arc<Com1<W>>, stop: Arc<Stop>) -> Result<(), Error> {
    let pass = move || {
        let mut keys = Keys::default();
        let mut buffer = [0; 64];
        // The end of the input, or an error, only means that no more keys come.
        while let Ok(length @ 1..) = stdin().lock().read(&mut buffer) {
            let typed = keys.filter(buffer.get(..length).unwrap_or_default());
            if keys.quit {
                stop.request(Ending::User);
                return;
            }
            com1.receive(&typed);
        }
    };
    std::thread::Builder::new()
        .name("console".to_owned())
        .spawn(pass)
        .map(drop)
        .map_err(Error::setup("the console's thread"))
}

/// Takes the commands out of what is typed: Ctrl-A x quits, Ctrl-A Ctrl-A types Ctrl-A.
#[derive(Default)]
pub(super) struct Keys {
    escaped: bool,
    /// The user asked for the end.
    pub(super) quit: bool,
}

impl Keys {
    /// What of `typed` is for the guest.
    pub(super) fn filter(&mut self, typed: &[u8]) -> Vec<u8> {
        let mut passed = Vec::with_capacity(typed.len());
        for key in typed {
            match (std::mem::take(&mut self.escaped), *key) {
                (false, ESCAPE) => self.escaped = true,
                (true, QUIT) => self.quit = true,
                (_, key) => passed.push(key),
            }
        }
        passed
    }
}
