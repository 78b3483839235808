//! The file: a header of 24 bytes, and one of 16 before each frame.
//!
//! That is all of the format that is needed here. The crate `pcap-file` brings a parser, the newer format and a macro crate
//! for it.

use std::io::{self, BufWriter, Write};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The first word of a file whose times have nanoseconds.
const MAGIC: u32 = 0xa1b2_3c4d;
/// The version of the format, 2.4, in two halves.
const VERSION: u32 = 2 | 4 << 16;
/// Frames begin with an Ethernet header.
const ETHERNET: u32 = 1;
/// Bytes that are collected.
const COLLECTED: usize = 256 << 10;

/// A file that frames are recorded in.
pub(super) struct Capture {
    /// None when it could not be written.
    writer: Mutex<Option<Writer>>,
    snaplen: u32,
    recorded: AtomicU64,
    missing: AtomicU64,
}

type Writer = BufWriter<Box<dyn Write + Send>>;

impl Capture {
    pub(super) fn new(writer: Box<dyn Write + Send>, snaplen: u32) -> io::Result<Capture> {
        let mut writer = BufWriter::with_capacity(COLLECTED, writer);
        writer.write_all(header(snaplen).as_flattened())?;
        writer.flush()?;
        Ok(Capture {
            writer: Mutex::new(Some(writer)),
            snaplen,
            recorded: AtomicU64::new(0),
            missing: AtomicU64::new(0),
        })
    }

    pub(super) fn recorded(&self) -> u64 {
        self.recorded.load(Relaxed)
    }

    pub(super) fn missing(&self) -> u64 {
        self.missing.load(Relaxed)
    }

    /// Adds a frame.
    pub(super) fn record(&self, frame: &[u8]) {
        let mut writer = self.lock();
        // With the lock held, so that the times in the file are in order unless the clock is set.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let kept = usize::try_from(self.snaplen).ok().and_then(|snaplen| frame.get(..snaplen)).unwrap_or(frame);
        let done = attempt(&mut writer, |writer| {
            writer.write_all(record_header(now, kept.len(), frame.len()).as_flattened())?;
            writer.write_all(kept)
        });
        let count = if done { &self.recorded } else { &self.missing };
        count.fetch_add(1, Relaxed);
    }

    /// Has all frames in the file.
    pub(super) fn flush(&self) {
        attempt(&mut self.lock(), Writer::flush);
    }

    fn lock(&self) -> MutexGuard<'_, Option<Writer>> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes, or ends the record: behind a part of a frame no other frame would be found.
fn attempt(writer: &mut Option<Writer>, write: impl FnOnce(&mut Writer) -> io::Result<()>) -> bool {
    let Some(open) = writer else { return false };
    let Err(error) = write(open) else { return true };
    log::warn!("frames are not recorded any more: {error}");
    if let Some(failed) = writer.take() {
        // What was collected is not tried again.
        let _ = failed.into_parts();
    }
    false
}

/// Zone and precision of the times are zero.
fn header(snaplen: u32) -> [[u8; 4]; 6] {
    [MAGIC, VERSION, 0, 0, snaplen, ETHERNET].map(u32::to_le_bytes)
}

/// The format's seconds have 32 bits.
fn record_header(time: Duration, kept: usize, len: usize) -> [[u8; 4]; 4] {
    let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    [time.as_secs() as u32, time.subsec_nanos(), number(kept), number(len)].map(u32::to_le_bytes)
}
