//! How the guest reaches a device.

/// How the guest reaches a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Transport {
    /// As a PCI function.
    #[default]
    Pci,
    /// As a register window that ACPI announces.
    Mmio,
}

impl Transport {
    /// The value of `transport=`.
    pub(super) fn parse(value: &str) -> Result<Self, String> {
        match value {
            "pci" => Ok(Transport::Pci),
            "mmio" => Ok(Transport::Mmio),
            _ => Err(format!("transport={value}: there are pci and mmio")),
        }
    }
}
