//! Whether types may be sent to another thread, and used from several at once, for tests of what docs say of them.

use std::marker::PhantomData;

/// Whether a type has the traits: the constants of `Probe` itself are there only where it has, and hide those of [`No`].
#[doc(hidden)]
pub struct Probe<T: ?Sized>(PhantomData<T>);

/// What is said of a type that has none of the traits.
#[doc(hidden)]
pub trait No {
    const SEND: bool = false;
    const SYNC: bool = false;
}

impl<T: ?Sized> No for Probe<T> {}

impl<T: ?Sized + Send> Probe<T> {
    #[doc(hidden)]
    pub const SEND: bool = true;
}

impl<T: ?Sized + Sync> Probe<T> {
    #[doc(hidden)]
    pub const SYNC: bool = true;
}

/// Asserts which types are `Send`, and which are `Sync`.
///
/// ```
/// virtio_core::assert_send_sync!(true, false: virtio_core::Virtqueue, std::cell::Cell<u8>);
/// ```
#[macro_export]
macro_rules! assert_send_sync {
    ($send:literal, $sync:literal: $($type:ty),* $(,)?) => {$({
        #[allow(unused_imports)] // a type that has the traits has no need of it
        use $crate::testing::threads::No as _;
        assert_eq!(
            ($crate::testing::threads::Probe::<$type>::SEND, $crate::testing::threads::Probe::<$type>::SYNC),
            ($send, $sync), "{}: Send, Sync", stringify!($type)
        );
    })*};
}
