//! A source of bytes that does what a test says.

use std::io::{self, ErrorKind, Read};
use std::sync::{Arc, Mutex, MutexGuard};

/// Gives 1, 2, ... 250, 1, ...: never a zero. Clones are the same source.
#[derive(Clone)]
pub(crate) struct Script(Arc<Mutex<State>>);

pub(crate) struct State {
    given: usize,
    /// Bytes that are left.
    pub(crate) left: usize,
    /// Bytes in one read at most.
    pub(crate) most: usize,
    /// What it says when none are left; it ends where there is nothing to say.
    pub(crate) says: Option<ErrorKind>,
}

impl Script {
    pub(crate) fn endless() -> Script {
        Script::of(usize::MAX, Some(ErrorKind::Other))
    }

    pub(crate) fn of(left: usize, says: Option<ErrorKind>) -> Script {
        Script(Arc::new(Mutex::new(State { given: 0, left, most: usize::MAX, says })))
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub(crate) fn given(&self) -> usize {
        self.state().given
    }
}

/// The bytes from place `from` on.
pub(crate) fn bytes(from: usize, len: usize) -> Vec<u8> {
    (from..from + len).map(byte).collect()
}

fn byte(place: usize) -> u8 {
    (place % 250) as u8 + 1
}

impl Read for Script {
    fn read(&mut self, data: &mut [u8]) -> io::Result<usize> {
        let mut state = self.state();
        let len = data.len().min(state.left).min(state.most);
        for (place, data) in (state.given..).zip(&mut data[..len]) {
            *data = byte(place);
        }
        (state.given, state.left) = (state.given + len, state.left - len);
        match state.says {
            Some(kind) if len == 0 => Err(kind.into()),
            _ => Ok(len),
        }
    }
}
