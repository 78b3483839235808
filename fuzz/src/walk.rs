//! A second reading of a chain's descriptors, word by word (virtio 1.4, sections 2.7.5 and 2.8.6 to 2.8.8).

use virtio_core::Buffer;
use virtio_core::ring::wire::{AVAIL, INDIRECT, NEXT, USED, WRITE};

use crate::memory::Memory;
use crate::ring::Ring;

/// A descriptor: its last two numbers are flags and `next` (split), or id and flags (packed).
struct Descriptor {
    buffer: Buffer,
    flags: u16,
    next: u16,
    id: u16,
}

#[derive(Debug)]
/// What a chain that was handed out consists of: what names it, and its buffers as the driver wrote them.
pub(crate) struct Walked {
    pub(crate) id: u16,
    pub(crate) buffers: Vec<Buffer>,
    /// Packed: the descriptors of the ring that it takes up.
    pub(crate) slots: u32,
}

impl Walked {
    /// The buffers of one direction. What is readable behind what is writable belongs to neither.
    pub(crate) fn part(&self, writable: bool) -> impl Iterator<Item = &Buffer> {
        let turn = self.buffers.iter().position(|buffer| buffer.writable).unwrap_or(self.buffers.len());
        let (readable, rest) = self.buffers.split_at(turn);
        let part = if writable { rest } else { readable };
        part.iter().filter(move |buffer| buffer.writable == writable)
    }
}

/// The chain that `ring` has at `position`: an index of the available ring (split), or of the descriptor ring
/// with the wrap counter there.
///
/// Panics if there is none that a device may hand out.
pub(crate) fn walk(ring: &Ring, memory: &Memory, content: usize, position: u16, mut wrap: bool) -> Walked {
    let read = |table: u64, index: u16| Descriptor::read(ring.packed, memory, content, table, index);
    let first = if ring.packed { position } else { memory.u16_in(content, ring.available_entry(position)) };
    let mut chain = Walked { id: first, buffers: Vec::new(), slots: 0 };
    let mut index = first;
    for _ in 0..ring.size {
        assert!(index < ring.size, "descriptor {index} of {}", ring.size);
        let descriptor = read(ring.descriptors(), index);
        chain.slots += 1;
        if ring.packed {
            chain.id = descriptor.id;
            let lap = if wrap { AVAIL } else { USED };
            assert_eq!(descriptor.flags & (AVAIL | USED), lap, "descriptor {index} is not available");
        }
        if descriptor.flags & INDIRECT != 0 {
            assert!(ring.indirect, "an indirect descriptor that was not agreed on");
            assert!(descriptor.flags & NEXT == 0, "something follows a table");
            let entries = descriptor.buffer.len / 16;
            chain.buffers.extend(table(ring, entries, |index| read(descriptor.buffer.address, index)));
            return chain;
        }
        chain.buffers.push(descriptor.buffer);
        if descriptor.flags & NEXT == 0 {
            return chain;
        }
        index = match ring.packed {
            true if index + 1 == ring.size => {
                wrap = !wrap;
                0
            }
            true => index + 1,
            false => descriptor.next,
        };
    }
    panic!("a chain of more than {} descriptors was handed out", ring.size);
}

/// The buffers of an indirect table.
fn table(ring: &Ring, entries: u32, read: impl Fn(u16) -> Descriptor) -> Vec<Buffer> {
    let mut buffers = Vec::new();
    let mut index = 0;
    while buffers.len() < ring.longest_chain() {
        assert!(u32::from(index) < entries, "entry {index} of {entries}");
        let descriptor = read(index);
        assert!(ring.packed || descriptor.flags & INDIRECT == 0, "a table in a table");
        buffers.push(descriptor.buffer);
        let last = if ring.packed { buffers.len() == entries as usize } else { descriptor.flags & NEXT == 0 };
        if last {
            return buffers;
        }
        index = if ring.packed { index + 1 } else { descriptor.next };
    }
    panic!("a table of more than {} descriptors was handed out", ring.longest_chain());
}

impl Descriptor {
    fn read(packed: bool, memory: &Memory, content: usize, table: u64, index: u16) -> Descriptor {
        let at = table.wrapping_add(16 * u64::from(index));
        let number = |offset: u64| u64::from(memory.u16_in(content, at.wrapping_add(offset)));
        let address = number(0) | number(2) << 16 | number(4) << 32 | number(6) << 48;
        let len = (number(8) | number(10) << 16) as u32;
        let (third, fourth) = (number(12) as u16, number(14) as u16);
        let flags = if packed { fourth } else { third };
        let buffer = Buffer { address, len, writable: flags & WRITE != 0 };
        Descriptor { buffer, flags, next: fourth, id: third }
    }
}
