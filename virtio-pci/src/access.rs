//! Registers under accesses of any width and alignment.
//!
//! An access covers some bytes, a register has others. Reading copies the bytes that both have. Writing merges them into
//! the register's value; bytes of the access that belong to no register are nobody's (DRV-PCI-01).
#[cfg(test)]
mod tests;

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
