//! A chain in the hands of the device, as the ring has to know it.

/// A chain that was taken from a ring.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Taken {
    /// What names it when it is given back.
    pub(super) id: u16,
    /// By how much the used position moves on then.
    pub(super) slots: u16,
}

/// What the driver is told of a chain that was completed: a used element, or a used descriptor. With IN_ORDER it can stand
/// for a run of chains; then it names the last of them, and the slots are those of all.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct UsedElement {
    pub(super) taken: Taken,
    /// Bytes written.
    pub(super) len: u32,
}
