//! What the bus needs of a PCI function.

/// Where a BAR is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BarPlacement {
    /// Number of the BAR (of the lower one for a 64-bit BAR).
    pub(crate) bar: u8,
    /// Its first address.
    pub(crate) base: u64,
    /// Its size.
    pub(crate) size: u64,
}

impl BarPlacement {
    /// The offset of an access of `length` bytes at `address`, if all of it is in this BAR.
    pub(crate) fn offset_of(&self, address: u64, length: usize) -> Option<u64> {
        let offset = address.checked_sub(self.base)?;
        let end = offset.checked_add(u64::try_from(length).ok()?)?;
        (end <= self.size).then_some(offset)
    }
}

/// A type 0 PCI function.
pub(crate) trait PciFunction: Send + Sync {
    /// Reads configuration space. The access does not cross a dword.
    fn read_config(&self, offset: u16, data: &mut [u8]);
    /// Writes configuration space. The access does not cross a dword.
    fn write_config(&self, offset: u16, data: &[u8]);
    /// Reads a BAR. The access is inside the BAR.
    fn read_bar(&self, bar: u8, offset: u64, data: &mut [u8]);
    /// Writes a BAR. The access is inside the BAR.
    fn write_bar(&self, bar: u8, offset: u64, data: &[u8]);
    /// Where the BARs are now: none while memory decoding is off.
    fn bars(&self) -> Vec<BarPlacement>;
}
