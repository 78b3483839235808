//! What a device counts.

virtio_core::counters! {
    /// What a device has counted since it was made, over all of its pairs and resets. What a driver is told of it, where it asks
    /// for statistics, is in virtio 1.4, section 5.1.6.5.11.
    ///
    /// Plain data: Send and Sync.
    pub struct NetCounts;
    /// The counters of one pair of queues, written by its task alone.
    pub(crate) struct Counters;

    /// Frames that the driver sent and the network took.
    tx_frames,
    /// Bytes of them, from their Ethernet headers on.
    tx_bytes,
    /// Those of them whose checksum was left to the device or the network.
    tx_csum_frames,
    /// Those of them that were to be cut.
    tx_gso_frames,
    /// Bytes of these.
    tx_gso_bytes,
    /// Frames that the driver sent with a header that makes no sense, or asks for what was not negotiated.
    tx_bad_header,
    /// Frames that the driver sent and that are no frames: too short, or too long.
    tx_bad_length,
    /// Frames that the driver sent from what is not its memory.
    tx_bad_buffer,
    /// Frames that the network could not send.
    tx_failed,
    /// Frames that the driver sent while its link was down.
    tx_link_down,
    /// Frames that the driver sent on a pair that it had not enabled.
    tx_inactive,
    /// Times that sending waited for the network.
    tx_blocked,
    /// Times that sending waited for the rate limit.
    tx_throttled,
    /// Frames that the driver was given.
    rx_frames,
    /// Bytes of them, from their Ethernet headers on.
    rx_bytes,
    /// Those of them whose checksum was left to the driver.
    rx_csum_frames,
    /// Those of them whose checksum is known to be right.
    rx_csum_valid,
    /// Those of them that are longer than what is on the wire.
    rx_gso_frames,
    /// Bytes of these.
    rx_gso_bytes,
    /// Frames whose checksum the device completed, because the driver does not.
    rx_csum_completed,
    /// Frames that the device cut, because the driver does not take them whole; each counts as many as it gave.
    rx_segmented,
    /// Frames from the network with a header that makes no sense, or that could not be cut.
    rx_bad_header,
    /// Frames from the network that are too short.
    rx_short,
    /// Frames from the network that are longer than the MTU.
    rx_oversize,
    /// Frames that fit no buffer, or not all of the ring's; or for which there were some buffers, and for a second no more.
    rx_no_fit,
    /// Frames that are not for the driver, by its addresses.
    rx_filtered_mac,
    /// Frames that are not for the driver, by its VLANs.
    rx_filtered_vlan,
    /// Frames that came while the link was down.
    rx_link_down,
    /// Frames for queues that are not there, or are being reset.
    rx_no_queue,
    /// Frames for another pair that has far too many already. Who receives for it waits before that, unless the frames are those of
    /// pairs that the driver has just disabled.
    rx_steering_full,
    /// Buffers for frames that could not be used: too small, not to be written, or no memory.
    rx_bad_buffer,
    /// Times that receiving failed.
    rx_failed,
    /// Times that receiving waited for buffers: of the pair itself, or of one that it had received enough frames for.
    rx_blocked,
    /// Times that receiving waited for the rate limit.
    rx_throttled,
    /// Frames that were on their way to the driver when the device was reset, or the queue.
    rx_abandoned,
    /// Commands of the control queue that were done.
    commands,
    /// Commands of the control queue that were answered with an error.
    commands_refused,
}
