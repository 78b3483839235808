//! Whether the interface is there and up.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use super::super::sys::{self, Inquiry, Monitor, Name};

/// Bytes of the table of all interfaces, at most.
const MOST_STATISTICS: usize = 1 << 20;

/// What a link is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum State {
    Up = 0,
    Down = 1,
    /// There is no interface.
    Gone = 2,
}

impl State {
    fn of(number: u8) -> State {
        match number {
            0 => State::Up,
            1 => State::Down,
            _ => State::Gone,
        }
    }
}

/// The interface, as this process sees it.
#[derive(Debug)]
pub(super) struct Link {
    macvtap: bool,
    state: AtomicU8,
    inquiry: Option<Inquiry>,
    monitor: Option<Arc<Monitor>>,
    /// The file of the kernel that counts what was lost, and what had been lost before.
    statistics: Option<(File, Name, u64)>,
}

impl Link {
    /// For the interface that `file` is a queue of.
    pub(super) fn new(macvtap: bool, file: &File, name: &Name) -> Link {
        // The interface may be in another network namespace than this thread, where its name means another one or none.
        let inquiry = Inquiry::new().ok().filter(
            |inquiry| matches!((inquiry.mac(name), sys::mac_of_queue(file)), (Ok(seen), Ok(own)) if seen == own),
        );
        let monitor = inquiry.as_ref().and_then(|_| Monitor::new().ok()).map(Arc::new);
        let statistics = inquiry.as_ref().and_then(|_| File::open("/proc/thread-self/net/dev").ok());
        let statistics = statistics.and_then(|file| {
            let before = lost(&file, name, macvtap).ok()?;
            Some((file, *name, before))
        });
        let state = AtomicU8::new(State::Down as u8);
        Link { macvtap, state, inquiry, monitor, statistics }
    }

    /// As it was last seen.
    #[inline]
    pub(super) fn state(&self) -> State {
        State::of(self.state.load(Ordering::Acquire))
    }

    /// Says what it was before.
    pub(super) fn set(&self, state: State) -> State {
        State::of(self.state.swap(state as u8, Ordering::AcqRel))
    }

    /// Asks the system, about the interface that `file` is an enabled queue of.
    pub(super) fn look(&self, file: &File) -> State {
        let Ok((name, _)) = sys::attached(file) else {
            return State::Gone;
        };
        let up = match &self.inquiry {
            Some(inquiry) => inquiry.flags(&name).is_ok_and(|flags| {
                // Of a macvtap, the interface below counts too.
                let needed = if self.macvtap { libc::IFF_UP | libc::IFF_RUNNING } else { libc::IFF_UP };
                flags & needed == needed
            }),
            None => match sys::ready(file) {
                Ok(ready) if ready.broken => return State::Gone,
                Ok(ready) => ready.writable,
                Err(_) => false,
            },
        };
        if up { State::Up } else { State::Down }
    }

    /// Whether there is an interface of this name.
    pub(super) fn exists(&self, name: &Name) -> bool {
        self.inquiry.as_ref().is_some_and(|inquiry| inquiry.flags(name).is_ok())
    }

    pub(super) fn inquiry(&self) -> Option<&Inquiry> {
        self.inquiry.as_ref()
    }

    /// What hears of changes, if something does.
    pub(super) fn monitor(&self) -> Option<&Arc<Monitor>> {
        self.monitor.as_ref()
    }

    /// Frames that were lost because nobody read them in time, since this was opened.
    pub(super) fn overflows(&self) -> u64 {
        self.statistics.as_ref().map_or(0, |(file, name, before)| {
            lost(file, name, self.macvtap).map_or(0, |lost| lost.saturating_sub(*before))
        })
    }
}

/// What the interface has lost of frames for us: what a tap cannot send, and a macvtap cannot receive.
fn lost(file: &File, name: &Name, macvtap: bool) -> io::Result<u64> {
    let mut table = vec![0; 4096];
    let mut len = 0;
    loop {
        let room = table.get_mut(len..).unwrap_or_default();
        match file.read_at(room, len as u64)? {
            0 => break,
            read => len += read,
        }
        if len == table.len() {
            if len >= MOST_STATISTICS {
                break;
            }
            table.resize(len * 2, 0);
        }
    }
    count(table.get(..len).unwrap_or_default(), name, if macvtap { 3 } else { 11 })
        .ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// The number in column `column` of the interface's line: 8 for what it received, 8 for what it sent.
fn count(table: &[u8], name: &Name, column: usize) -> Option<u64> {
    let table = String::from_utf8_lossy(table);
    let name = name.to_string();
    let line = table.lines().find_map(|line| line.trim_start().strip_prefix(name.as_str())?.strip_prefix(':'))?;
    line.split_whitespace().nth(column)?.parse().ok()
}
