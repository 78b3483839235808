//! What was seen of one chain while it was there, to be checked when it is gone.

use virtio_core::{Buffer, Chain, ChainFault, MemoryError};

use crate::memory::{Memory, Version};
use crate::walk::Walked;

/// An address at which no shape has memory.
const NOWHERE: u64 = 1 << 60;

#[derive(Debug)]
/// A chain's buffers, and what became of reading and writing them.
pub(crate) struct Seen {
    pub(crate) fault: Option<ChainFault>,
    /// As the chain told them.
    told: Vec<Buffer>,
    /// The same, but for what goes on behind the end of the address space: that is `NOWHERE`.
    buffers: Vec<Buffer>,
    /// What was read from the front.
    read: (Vec<u8>, Result<(), MemoryError>),
    /// What was written from the front.
    write: (Vec<u8>, Result<(), MemoryError>),
}

impl Seen {
    /// Reads and writes up to so many bytes.
    pub(crate) fn new(chain: &Chain<'_>, read: u16, write: u16) -> Seen {
        let buffers: Vec<_> = chain.buffers().collect();
        let (mut reader, mut writer) = (chain.reader(), chain.writer());
        let [readable, writable] = [false, true].map(|writable| sum(&buffers, writable));
        assert_eq!([reader.remaining() as u64, writer.remaining() as u64], [readable, writable]);
        let mut data = vec![0; readable.min(read.into()) as usize];
        let result = reader.read(&mut data);
        if result.is_ok() {
            assert_eq!(reader.remaining() as u64, readable - data.len() as u64);
        }
        let pattern: Vec<_> = (1..=255).cycle().take(writable.min(write.into()) as usize).collect();
        let written = writer.write(&pattern);
        let passed = if written.is_ok() { pattern.len() as u64 } else { 0 };
        assert_eq!(writer.remaining() as u64, writable - passed);
        Seen { fault: chain.fault(), told: buffers.clone(), buffers, read: (data, result), write: (pattern, written) }
    }

    /// Bytes that are for the device to write.
    pub(crate) fn room(&self) -> u64 {
        sum(&self.buffers, true)
    }

    /// Bytes of all buffers.
    pub(crate) fn bytes(&self) -> u64 {
        self.room() + sum(&self.buffers, false)
    }

    /// The buffers as the chain told them.
    pub(crate) fn told(&self) -> &[Buffer] {
        &self.told
    }

    /// The buffers that are for the device to write.
    pub(crate) fn writable(&self) -> Vec<Buffer> {
        self.buffers.iter().copied().filter(|buffer| buffer.writable).collect()
    }

    fn readable(&self) -> Vec<Buffer> {
        self.buffers.iter().copied().filter(|buffer| !buffer.writable).collect()
    }

    /// Checks that the buffers are those that were walked, cut at will.
    fn place(&mut self, walked: &Walked) {
        for writable in [false, true] {
            let mut pieces = self.buffers.iter_mut().filter(|piece| piece.writable == writable);
            for whole in walked.part(writable) {
                let mut offset = 0;
                while offset < whole.len {
                    let Some(piece) = pieces.next() else { panic!("{:?} for {walked:?}", self.told) };
                    // Behind the end of the address space there is nothing; it is told so.
                    let address = whole.address.saturating_add(offset.into());
                    assert_eq!(piece.address, address, "{:?}", self.told);
                    assert!(piece.len > 0 && piece.len <= whole.len - offset, "{:?} for {walked:?}", self.told);
                    if whole.address.checked_add(offset.into()).is_none() {
                        piece.address = NOWHERE;
                    }
                    offset += piece.len;
                }
            }
            assert!(pieces.next().is_none(), "{:?} for {walked:?}", self.told);
        }
    }

    /// Checks the buffers, and what was read of them, against the memory that they are in.
    pub(crate) fn check(&mut self, memory: &Memory, content: usize, longest: usize, walked: &Walked) {
        self.place(walked);
        assert!(self.buffers.is_sorted_by_key(|buffer| buffer.writable), "those to read come first");
        let most = longest * memory.most_pieces(content);
        assert!(self.buffers.len() <= most, "{} buffers of {longest} descriptors", self.buffers.len());
        let mapped = self.buffers.iter().filter(|buffer| memory.is_mapped(content, buffer)).count();
        let (whole, small) = (mapped == self.buffers.len(), self.bytes() <= u32::MAX.into());
        match self.fault {
            None => assert!(whole && small, "there is something wrong with the buffers, but no fault"),
            Some(ChainFault::Unmapped { .. }) => assert!(!whole),
            Some(ChainFault::TooLong { len }) => assert!(!small && len == self.bytes()),
            Some(_) => {}
        }
        let (data, result) = &self.read;
        let pieces = mapped_prefix(memory, content, &self.readable(), data.len());
        let there: Vec<_> = pieces.iter().flat_map(|piece| memory.bytes(content, piece)).copied().collect();
        assert_eq!(result.is_ok(), there.len() == data.len(), "{result:?}");
        assert_eq!(data[..there.len()], there, "what was read");
    }

    /// Notes in `memory` what was written, and checks that it is in the log; how many bytes that is.
    pub(crate) fn note(&self, memory: &mut Memory, version: &Version) -> u64 {
        let (data, result) = &self.write;
        let mut rest = &data[..];
        for piece in mapped_prefix(memory, version.content, &self.writable(), data.len()) {
            let (now, later) = rest.split_at(piece.len as usize);
            memory.written(version.content, piece.address, now);
            version.assert_marked(piece.address);
            version.assert_marked(piece.address + u64::from(piece.len - 1));
            rest = later;
        }
        assert_eq!(result.is_ok(), rest.is_empty(), "{result:?}");
        (data.len() - rest.len()) as u64
    }
}

fn sum(buffers: &[Buffer], writable: bool) -> u64 {
    buffers.iter().filter(|buffer| buffer.writable == writable).map(|buffer| u64::from(buffer.len)).sum()
}

/// The first `len` bytes of `pieces`, up to the first one that is not guest memory.
pub(crate) fn mapped_prefix(memory: &Memory, content: usize, pieces: &[Buffer], len: usize) -> Vec<Buffer> {
    let mut left = len as u64;
    let mut prefix = Vec::new();
    for piece in pieces {
        if left == 0 || !memory.is_mapped(content, piece) {
            break;
        }
        let len = u64::from(piece.len).min(left) as u32;
        prefix.push(Buffer { len, ..*piece });
        left -= u64::from(len);
    }
    prefix
}
