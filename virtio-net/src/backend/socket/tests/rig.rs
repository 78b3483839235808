//! A queue, and who is at the other end.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::{Duration, Instant};

use virtio_core::Source;
use virtio_core::memory::RawIoSlice;

use super::super::datagram::DatagramQueue;
use super::super::stream::StreamQueue;
use crate::NetHeader;
use crate::backend::{Interest, NetQueue, Packet, Received, Room, SEND, SendError};

/// Longer than anything takes here.
const LONG: Duration = Duration::from_secs(60);

/// Either queue.
pub(super) trait Watched: NetQueue {
    fn named(&self, interest: Interest) -> Vec<(bool, u8)>;
}

fn list(watch: impl FnOnce(&mut dyn FnMut(Source, u8))) -> Vec<(bool, u8)> {
    let mut named = Vec::new();
    watch(&mut |source, token| match source {
        Source::Readable(_) => named.push((false, token)),
        Source::Writable(_) => named.push((true, token)),
        _ => panic!("not a file"),
    });
    named
}

impl Watched for StreamQueue {
    fn named(&self, interest: Interest) -> Vec<(bool, u8)> {
        list(|add| self.watch(interest, add))
    }
}

impl Watched for DatagramQueue {
    fn named(&self, interest: Interest) -> Vec<(bool, u8)> {
        list(|add| self.watch(interest, add))
    }
}

pub(super) struct Rig<Q> {
    pub(super) queue: Q,
    buffer: Vec<u8>,
    scratch: Vec<RawIoSlice>,
}

impl<Q: Watched> Rig<Q> {
    pub(super) fn of(queue: Q) -> Rig<Q> {
        Rig { queue, buffer: vec![0; 70_000], scratch: Vec::new() }
    }

    /// What is waited for: whether for it to be writable, and the token.
    pub(super) fn named(&self, interest: Interest) -> Vec<(bool, u8)> {
        self.queue.named(interest)
    }

    /// Puts a frame into the batch.
    pub(super) fn put(&mut self, frame: &[u8]) -> Result<(), SendError> {
        self.queue.send(&mut Packet::of_bytes(NetHeader::default(), frame, &mut self.scratch))
    }

    /// Sends a batch of one frame.
    pub(super) fn send(&mut self, frame: &[u8]) -> Result<(), SendError> {
        self.put(frame)?;
        self.queue.flush();
        Ok(())
    }

    /// What is there.
    pub(super) fn receive(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        match self.queue.receive(&mut Room::of_bytes(&mut self.buffer, &mut self.scratch))? {
            Received::Nothing => Ok(None),
            Received::Lent { header, frame } => {
                assert_eq!(header, NetHeader::default());
                Ok(Some(frame.to_vec()))
            }
            Received::Filled { .. } => panic!("sockets fill nothing"),
        }
    }

    /// Tries until something comes of it.
    pub(super) fn until<T>(&mut self, mut attempt: impl FnMut(&mut Self) -> Option<T>) -> T {
        let end = Instant::now() + LONG;
        loop {
            if let Some(found) = attempt(self) {
                return found;
            }
            assert!(Instant::now() < end, "it never came to that");
            std::thread::yield_now();
        }
    }

    /// The next frame, waited for.
    pub(super) fn next(&mut self) -> Vec<u8> {
        self.until(|rig| rig.receive().expect("a frame"))
    }

    /// Serves the queue until its link is as wanted.
    pub(super) fn until_connected(&mut self, connected: bool) {
        self.until(|rig| {
            assert_eq!(rig.receive().expect("nothing"), None);
            (rig.queue.is_connected() == connected).then_some(())
        });
    }

    /// Whether the rest of what was taken is waited for though nobody else wants to send.
    pub(super) fn is_stuck(&self) -> bool {
        let named = self.named(Interest { receive: true, send: false });
        named.iter().any(|(writable, token)| *writable && *token == SEND)
    }

    /// Puts frames into batches until no more go; how many did.
    pub(super) fn fill(&mut self, frame: impl Fn(u32) -> Vec<u8>) -> u32 {
        let mut taken = 0;
        loop {
            match self.put(&frame(taken)) {
                Ok(()) => taken += 1,
                Err(SendError::Full) => break,
                Err(error) => panic!("{error}"),
            }
            assert!(taken < 1_000_000, "it takes all");
            if taken % 8 == 0 {
                self.queue.flush();
            }
        }
        self.queue.flush();
        taken
    }
}

/// A frame of `len` bytes.
pub(super) fn frame(len: usize, seed: u32) -> Vec<u8> {
    (0..len as u32).map(|i| (i.wrapping_mul(31) ^ (i >> 8) ^ seed) as u8).collect()
}

/// What goes for a frame in a stream.
pub(super) fn framed(frame: &[u8]) -> Vec<u8> {
    [&(frame.len() as u32).to_be_bytes(), frame].concat()
}

/// A folder of one test.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new() -> Folder {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("virtio-net-test-{}-{}", std::process::id(), NUMBER.fetch_add(1, SeqCst));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Folder(path)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(super) fn is_not_connected<T: std::fmt::Debug>(result: Result<T, SendError>) -> bool {
    matches!(result, Err(SendError::Failed(error)) if error.kind() == ErrorKind::NotConnected)
}
