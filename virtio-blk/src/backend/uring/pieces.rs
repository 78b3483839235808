//! Which pieces of memory one request takes.

use virtio_core::memory::RawIoSlice;

/// The most pieces that one request takes.
const MOST: usize = 1024;

/// The next pieces to be moved.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pieces<'a> {
    /// All were.
    None,
    /// One, or the rest of one.
    One(RawIoSlice),
    /// Several whole ones. The array is the operation's own.
    Many(&'a [RawIoSlice]),
}

/// What is behind the first `done` bytes, as much as one request takes. The rest of a piece that was moved in part goes
/// by itself, so that no array has to be made.
pub(super) fn behind(mut pieces: &[RawIoSlice], mut done: u64) -> Pieces<'_> {
    while let Some((first, rest)) = pieces.split_first() {
        match usize::try_from(done) {
            Ok(skip) if skip < first.len => {
                if skip == 0 && !rest.is_empty() {
                    return Pieces::Many(pieces.get(..MOST).unwrap_or(pieces));
                }
                return Pieces::One(RawIoSlice { base: first.base.wrapping_add(skip), len: first.len - skip });
            }
            _ => done = done.saturating_sub(first.len as u64),
        }
        pieces = rest;
    }
    Pieces::None
}

/// Cuts a range of memory into pieces of at most `most` bytes.
pub(super) fn split(range: RawIoSlice, most: usize) -> impl Iterator<Item = libc::iovec> {
    (0..range.len).step_by(most.max(1)).map(move |at| libc::iovec {
        iov_base: range.base.wrapping_add(at).cast(),
        iov_len: (range.len - at).min(most),
    })
}
