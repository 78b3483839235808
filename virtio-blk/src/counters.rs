//! What a device counts.

virtio_core::counters! {
    /// What a device has counted since it was made, over all of its queues and resets.
    pub struct BlockCounts;
    /// The counters of one queue, written by its task alone.
    pub(crate) struct Counters;

    /// Reads that succeeded.
    reads,
    /// Bytes that they read.
    read_bytes,
    /// Writes that succeeded.
    writes,
    /// Bytes that they wrote.
    written_bytes,
    /// Flushes that succeeded.
    flushes,
    /// Requests for the disk's name.
    ids,
    /// Requests for how much of the storage's life is left.
    lifetimes,
    /// Requests to discard ranges that succeeded.
    discards,
    /// Bytes that they discarded.
    discarded_bytes,
    /// Requests to write zeros that succeeded.
    write_zeroes,
    /// Bytes that they zeroed.
    zeroed_bytes,
    /// Requests to erase securely that succeeded.
    secure_erases,
    /// Bytes that they erased.
    erased_bytes,
    /// Reports on zones that succeeded.
    zone_reports,
    /// Requests to open, close, finish or reset zones that succeeded.
    zone_commands,
    /// Appends to zones that succeeded. Their bytes are among those written.
    zone_appends,
    /// Requests that were against a rule of zones.
    zone_errors,
    /// Requests that were refused with IOERR: the driver's fault.
    refused,
    /// Requests of types that are not served, answered with UNSUPP.
    unsupported,
    /// Requests that the backend failed, answered with IOERR; short transfers included.
    failed,
    /// Requests that the backend failed, answered with OK because the embedder wants it so.
    ignored,
    /// Operations that failed and are kept until the embedder has the device go on.
    held,
    /// Reads and writes that went to the backend as a part of another one.
    merged,
    /// Operations that took the storage longer than it may take.
    overdue,
    /// Times that a queue waited for the rate limit.
    throttled,
}
