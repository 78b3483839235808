//! The host's calls into its transport.

use std::sync::Arc;

use crate::interrupt::Interrupt;

/// What a transport does for the host that it has built: tells the driver, and forgets with it.
///
/// The host may be locked while it calls, and may call from any thread: an implementation waits for nobody, and calls nothing
/// of the host, not even what only reads.
pub trait TransportHooks: Send + Sync {
    /// The interrupt for used buffers of queue `index`. It follows later changes of the routing by itself.
    ///
    /// Asked for each time that the queue is enabled, and again when the device starts; the earlier ones may be used for
    /// a while beside it.
    fn queue_interrupt(&self, index: u16) -> Arc<dyn Interrupt>;

    /// Tells the driver that the configuration, or the device's need for a reset, has changed. As signals of an
    /// [`Interrupt`], calls may be merged.
    fn config_interrupt(&self);

    /// Queue `index` has been reset by itself: what the transport keeps for this queue alone is as after a reset of the
    /// device. Its vector is unmapped, where it has one.
    fn queue_reset(&self, index: u16);

    /// The device has been reset: everything that the transport keeps for the driver is as at the start. No interrupt is
    /// pending, every vector is unmapped, and registers of the transport's own are what they were. The status is still
    /// other than zero, and becomes zero after this.
    fn reset(&self);
}

/// Nobody is behind the transport.
impl TransportHooks for () {
    fn queue_interrupt(&self, _index: u16) -> Arc<dyn Interrupt> {
        Arc::new(())
    }

    fn config_interrupt(&self) {}

    fn queue_reset(&self, _index: u16) {}

    fn reset(&self) {}
}
