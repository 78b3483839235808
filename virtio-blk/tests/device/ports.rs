//! The transports, as a driver reaches them.

use virtio_core::testing::SplitDriver;
pub(crate) use virtio_core::testing::suite::RingPort as Port;
#[allow(unused_imports)] // not all tests use all of them
pub(crate) use virtio_mmio::testing::{Mmio, Packed};
#[allow(unused_imports)]
pub(crate) use virtio_pci::testing::Pci;

/// One with split rings, for tests that look into them.
#[allow(dead_code)] // not all tests are
pub(crate) trait Split: Port<Driver = SplitDriver> {}

impl<P: Port<Driver = SplitDriver>> Split for P {}
