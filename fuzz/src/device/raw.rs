//! Chains of buffers that may be anywhere.

use virtio_core::Buffer;
use virtio_core::testing::TestMemory;

use crate::input::Input;

/// A chain of any buffers: place and length of each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Raw {
    pub(crate) how: u8,
    pub(crate) buffers: Vec<(u8, u16)>,
}

impl Raw {
    pub(crate) fn read(input: &mut Input<'_>) -> Raw {
        let (how, count) = (input.u8(), input.u8() % 5 + 1);
        Raw { how, buffers: (0..count).map(|_| (input.u8(), input.u16())).collect() }
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend([self.how, self.buffers.len() as u8 - 1]);
        for (place, len) in &self.buffers {
            out.push(*place);
            out.extend(len.to_le_bytes());
        }
    }

    /// The buffers: at the end of memory, where there is none, or in new memory, but not in the way of what is used.
    pub(crate) fn chain(&self, memory: &TestMemory) -> Vec<Buffer> {
        let scratch = memory.alloc(1024, 16);
        let end = memory.ram().regions().last().map_or(0, |(start, len)| start + len);
        let place = |(place, len): &(u8, u16)| {
            let (address, len) = match place >> 1 & 7 {
                0 => (end - u64::from(len % 64), u32::from(*len)),
                1 => (u64::MAX - u64::from(*len), u32::from(*len) + u32::from(place >> 4)),
                2 => (1 << 40, u32::MAX - u32::from(*len)),
                3 => (scratch, 0),
                _ => (scratch + u64::from(place >> 4) * 32, u32::from(len % 512)),
            };
            Buffer { address, len, writable: place & 1 != 0 }
        };
        self.buffers.iter().map(place).collect()
    }
}
