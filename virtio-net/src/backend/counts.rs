//! What a network counts.

macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What a [network](super::NetBackend) has counted since it was made: frames that the device never saw, or never sent,
        /// and what became of its other end. A network counts what it knows of; the rest is 0.
        ///
        /// Plain data: Send and Sync.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct NetworkCounts {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl NetworkCounts {
            /// All counts, each with the name of its field, in the order of the fields.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name),)*].into_iter()
            }
        }
    };
}

counts! {
    /// Frames for the device that were lost because nobody took them in time.
    overflows,
    /// Frames for the device that came while none was there, or still waited when it had gone.
    unclaimed,
    /// Frames for the device that were dropped for their length: too short or too long to be one.
    malformed,
    /// Frames of the device that were taken to be sent, and lost with a connection or refused at its other end.
    lost,
    /// How often a connection ended.
    disconnects,
    /// Frames that went through, and are missing in the record of the traffic.
    unrecorded,
}
