//! Direct I/O of data that is not aligned: by way of memory that is.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::super::{Operation, OperationKind};
use super::disk::Direct;

/// The most bytes that are moved at once, and a multiple of every alignment.
const MOST: usize = 1 << 20;

/// Memory with an alignment.
struct Aligned {
    bytes: Vec<u8>,
    from: usize,
    len: usize,
}

impl Aligned {
    fn new(len: usize, alignment: usize) -> Aligned {
        let bytes = vec![0; len.saturating_add(alignment)];
        let from = bytes.as_ptr().align_offset(alignment);
        Aligned { bytes, from, len }
    }

    /// The first `len` bytes of it.
    fn get(&mut self, len: usize) -> &mut [u8] {
        let end = self.from.saturating_add(len.min(self.len));
        self.bytes.get_mut(self.from..end).unwrap_or_default()
    }
}

impl Direct {
    /// Whether nothing of an operation may go through the page cache: where order matters, all that is read, or written in
    /// whole blocks. Blocks are written in part only where any order will do.
    pub(super) fn keeps_order(&self, operation: &Operation) -> bool {
        let block = u64::from(self.offset);
        let whole = operation.offset().is_multiple_of(block) && operation.len().is_multiple_of(block);
        self.bounce && (whole || !matches!(operation.kind(), OperationKind::Write { .. }))
    }

    /// Moves all of it, in order, until the file takes or has no more. Returns how many bytes were moved.
    pub(super) fn transfer(&self, file: &File, operation: &Operation) -> io::Result<u64> {
        // Blocks and alignments are no longer than that.
        let block = (self.offset as usize).min(MOST);
        let longest = usize::try_from(operation.len()).unwrap_or(MOST).saturating_add(2 * block).min(MOST);
        let mut memory = Aligned::new(longest.next_multiple_of(block).min(MOST), self.memory as usize);
        match operation.kind() {
            OperationKind::Write { .. } => write(file, operation, &mut memory),
            _ => read(file, operation, &mut memory, block),
        }
    }
}

fn write(file: &File, operation: &Operation, memory: &mut Aligned) -> io::Result<u64> {
    let (mut reader, mut at) = (operation.reader(), operation.offset());
    while reader.remaining() > 0 {
        let piece = memory.get(reader.remaining());
        reader.read(piece).map_err(io::Error::other)?;
        file.write_all_at(piece, at)?;
        at = at.saturating_add(piece.len() as u64);
    }
    Ok(at.saturating_sub(operation.offset()))
}

/// Reads the blocks in which the data is.
fn read(file: &File, operation: &Operation, memory: &mut Aligned, block: usize) -> io::Result<u64> {
    let (mut writer, mut at) = (operation.writer(), operation.offset());
    while writer.remaining() > 0 {
        let before = usize::try_from(at % block as u64).unwrap_or(0);
        let wanted = before.saturating_add(writer.remaining()).next_multiple_of(block);
        let piece = memory.get(wanted);
        let got = match file.read_at(piece, at.saturating_sub(before as u64)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            result => result?,
        };
        let end = got.min(before.saturating_add(writer.remaining()));
        let Some(data) = piece.get(before..end).filter(|data| !data.is_empty()) else {
            break;
        };
        writer.write(data).map_err(io::Error::other)?;
        at = at.saturating_add(data.len() as u64);
    }
    Ok(at.saturating_sub(operation.offset()))
}
