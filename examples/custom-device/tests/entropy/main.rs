//! The entropy device as a driver sees it: behind each transport and behind none, on rings of each layout.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

/// Runs each named function, which is a test over any [`front::Front`] and any layout, over all of them.
macro_rules! everywhere {
    ($($name:ident),* $(,)?) => {
        everywhere! { @in bare_split, Bare, SplitDriver: $($name),* }
        everywhere! { @in bare_packed, Bare, PackedDriver: $($name),* }
        everywhere! { @in plain_split, Plain, SplitDriver: $($name),* }
        everywhere! { @in plain_packed, Plain, PackedDriver: $($name),* }
        everywhere! { @in mmio_split, Mmio, SplitDriver: $($name),* }
        everywhere! { @in mmio_packed, Mmio, PackedDriver: $($name),* }
        everywhere! { @in pci_split, Pci, SplitDriver: $($name),* }
        everywhere! { @in pci_packed, Pci, PackedDriver: $($name),* }
    };
    (@in $place:ident, $front:ident, $driver:ident: $($name:ident),*) => {
        mod $place {$(
            #[test]
            fn $name() {
                super::$name::<crate::front::$front, virtio_core::testing::$driver>();
            }
        )*}
    };
}

mod bounds;
mod chains;
mod front;
mod lifecycle;
mod rig;
mod source;
