//! Tests that are written once for both layouts.

/// Runs functions that are generic over the driver's side, in the modules `split` and `packed`.
macro_rules! both_layouts {
    ($($(#[$attribute:meta])* $name:ident,)*) => {
        mod split {
            $($(#[$attribute])* #[test] fn $name() { super::$name::<virtio_core::testing::SplitDriver>(); })*
        }

        mod packed {
            $($(#[$attribute])* #[test] fn $name() { super::$name::<virtio_core::testing::PackedDriver>(); })*
        }
    };
}
