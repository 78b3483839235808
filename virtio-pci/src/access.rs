//! Registers under accesses of any width and alignment.
//!
//! An access covers some bytes, a register has others. Reading copies the bytes that both have. Writing merges them into
//! the register's value; bytes of the access that belong to no register are nobody's (DRV-PCI-01).

/// Byte `index` of `value` in little-endian order.
fn byte(value: u32, index: u64) -> u8 {
    (value >> (8 * index)) as u8
}

/// Whether an access at `offset` covers a byte of the `width` bytes at `register`.
pub(crate) fn touches(register: u64, width: u64, offset: u64, len: usize) -> bool {
    offset < register + width && register < offset.saturating_add(len as u64)
}

/// Puts what the access covers of a register of `width` bytes (4 at most) into `data`.
pub(crate) fn read(register: u64, width: u64, value: u32, offset: u64, data: &mut [u8]) {
    for (at, out) in (offset..register + width).zip(data) {
        if at >= register {
            *out = byte(value, at - register);
        }
    }
}

/// The value of a register of `width` bytes (4 at most) after the access: `old` with the bytes that are covered replaced.
pub(crate) fn merge(register: u64, width: u64, old: u32, offset: u64, data: &[u8]) -> u32 {
    let mut value = old;
    for (at, new) in (offset..register + width).zip(data) {
        if at >= register {
            let shift = 8 * (at - register);
            value = value & !(0xff << shift) | u32::from(*new) << shift;
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_access_reads_the_bytes_that_it_shares_with_the_register() {
        for (offset, expected) in [(2, [0xaa, 0xaa, 0x11]), (4, [0x11, 0x22, 0x33]), (6, [0x33, 0x44, 0xaa])] {
            let mut data = [0xaa; 3];
            read(4, 4, 0x4433_2211, offset, &mut data);
            assert_eq!(data, expected, "at {offset}");
        }
        let mut data = [0xaa; 2];
        read(4, 4, 0x4433_2211, 8, &mut data);
        assert_eq!(data, [0xaa; 2]);
    }

    #[test]
    fn a_write_replaces_only_the_bytes_that_it_covers() {
        assert_eq!(merge(4, 4, 0x4433_2211, 5, &[0xbb]), 0x4433_bb11);
        assert_eq!(merge(4, 4, 0x4433_2211, 2, &[0xbb; 3]), 0x4433_22bb);
        assert_eq!(merge(4, 2, 0x2211, 4, &[0xbb; 8]), 0xbbbb);
        assert_eq!(merge(4, 4, 0x4433_2211, 8, &[0xbb; 8]), 0x4433_2211);
    }

    #[test]
    fn touching_is_sharing_a_byte() {
        assert!(touches(4, 2, 5, 1) && touches(4, 2, 0, 5) && touches(4, 2, 0, 100));
        assert!(!touches(4, 2, 6, 1) && !touches(4, 2, 0, 4) && !touches(4, 2, 4, 0));
        assert!(!touches(4, 2, u64::MAX, 8));
    }
}
