//! Memory that starts where a cache line does.

use std::ops::{Deref, DerefMut, Range};

/// Bytes of a cache line.
pub(crate) const LINE: usize = 64;

/// Bytes from the start of a cache line on: processors copy faster to there than to most other places.
#[derive(Default)]
pub(crate) struct Lines {
    memory: Box<[u8]>,
    used: Range<usize>,
}

impl Lines {
    /// So many zeros.
    pub(crate) fn new(len: usize) -> Lines {
        let memory: Box<[u8]> = vec![0; len + LINE].into();
        let start = memory.as_ptr().align_offset(LINE).min(LINE);
        Lines { memory, used: start..start + len }
    }
}

impl Deref for Lines {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.memory.get(self.used.clone()).unwrap_or_default()
    }
}

impl DerefMut for Lines {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        self.memory.get_mut(self.used.clone()).unwrap_or_default()
    }
}
