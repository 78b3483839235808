//! Counters of devices.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A counter with one writer, and any number of readers.
///
/// Send and Sync. No call blocks.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Counts on. For the one writer; what several add at the same time may be lost.
    #[inline]
    pub fn add(&self, count: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(count), Relaxed);
    }

    /// What has been counted.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Makes what a device shows of its counters, a public struct of numbers, and the counters of one of its tasks, on cache
/// lines of their own, of one list of fields.
///
/// ```
/// virtio_core::counters! {
///     /// What the device has counted.
///     pub struct Counts;
///     /// The counters of one queue.
///     struct Counters;
///
///     /// Things that went well.
///     good,
///     /// Things that did not.
///     bad,
/// }
///
/// let queues = [Counters::default(), Counters::default()];
/// queues[0].good.add(2);
/// queues[1].good.add(1);
/// let mut counts = Counts::default();
/// queues.iter().for_each(|queue| queue.add_to(&mut counts));
/// assert_eq!(counts.iter().collect::<Vec<_>>(), [("good", 3), ("bad", 0)]);
/// ```
#[macro_export]
macro_rules! counters {
    (
        $(#[$counts_doc:meta])* $counts_vis:vis struct $counts:ident;
        $(#[$counters_doc:meta])* $counters_vis:vis struct $counters:ident;
        $($(#[$doc:meta])* $name:ident),* $(,)?
    ) => {
        $(#[$counts_doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        $counts_vis struct $counts {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl $counts {
            /// All counts, each with the name of its field, in the order of the fields.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name),)*].into_iter()
            }
        }

        $(#[$counters_doc])*
        #[derive(Debug, Default)]
        #[repr(align(128))]
        $counters_vis struct $counters {
            $($counters_vis $name: $crate::Counter,)*
        }

        impl $counters {
            $counters_vis fn add_to(&self, counts: &mut $counts) {
                $(counts.$name = counts.$name.wrapping_add(self.$name.get());)*
            }
        }
    };
}
