//! A frame on its way out.

use std::fmt;
use std::io;

use virtio_core::Reader;
use virtio_core::memory::RawIoSlice;

use crate::NetHeader;

/// A frame that is to be sent, and what is left to do with it.
///
/// The driver may change its frame at any time: what is looked at should be copied first, and each byte read once.
///
/// Neither Send nor Sync. No call blocks.
pub struct Packet<'a> {
    header: NetHeader,
    frame: Frame<'a>,
    scratch: &'a mut Vec<RawIoSlice>,
}

enum Frame<'a> {
    Guest(Reader<'a>),
    Bytes(&'a [u8]),
}

impl<'a> Packet<'a> {
    /// The frame that is left in `reader`.
    #[inline]
    pub(crate) fn of_guest(header: NetHeader, reader: Reader<'a>, scratch: &'a mut Vec<RawIoSlice>) -> Packet<'a> {
        Packet { header, frame: Frame::Guest(reader), scratch }
    }

    /// A frame in memory of this process, for backends around other ones. `scratch` is room for
    /// [`io_slices`](Self::io_slices), which is kept so that it is not allocated each time.
    pub fn of_bytes(header: NetHeader, frame: &'a [u8], scratch: &'a mut Vec<RawIoSlice>) -> Packet<'a> {
        Packet { header, frame: Frame::Bytes(frame), scratch }
    }

    /// What is left to do with it: checked against the frame's length and against what was negotiated.
    #[inline]
    pub fn header(&self) -> &NetHeader {
        &self.header
    }

    /// Bytes of the frame, from its Ethernet header on; at least 14.
    #[inline]
    pub fn len(&self) -> usize {
        match &self.frame {
            Frame::Guest(reader) => reader.remaining(),
            Frame::Bytes(bytes) => bytes.len(),
        }
    }

    /// Whether there are no bytes, which is never so.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies the frame behind what is in `buffer`.
    ///
    /// # Errors
    /// Where a part of it is no memory; `buffer` is as it was.
    pub fn copy_into(&self, buffer: &mut Vec<u8>) -> io::Result<()> {
        let start = buffer.len();
        match &self.frame {
            Frame::Bytes(bytes) => buffer.extend_from_slice(bytes),
            Frame::Guest(reader) => {
                buffer.resize(start + reader.remaining(), 0);
                if let Err(error) = reader.clone().read(&mut buffer[start..]) {
                    buffer.truncate(start);
                    return Err(io::Error::new(io::ErrorKind::InvalidInput, error));
                }
            }
        }
        Ok(())
    }

    /// Copies the first bytes of the frame, as many as there are and fit; how many.
    ///
    /// # Errors
    /// Where they are no memory.
    pub fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = buffer.len().min(self.len());
        match &self.frame {
            Frame::Bytes(bytes) => buffer[..len].copy_from_slice(&bytes[..len]),
            Frame::Guest(reader) => reader
                .clone()
                .read(&mut buffer[..len])
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?,
        }
        Ok(len)
    }

    /// `prefix` and the frame, as vectored system calls take them. They must be read only, and not be used after either the
    /// packet or `prefix` has gone or changed.
    ///
    /// # Errors
    /// Where a part of the frame is no memory.
    #[inline]
    pub fn io_slices<'b>(&'b mut self, prefix: &'b [u8]) -> io::Result<&'b [RawIoSlice]> {
        self.scratch.clear();
        let slice = |bytes: &[u8]| RawIoSlice { base: bytes.as_ptr().cast_mut(), len: bytes.len() };
        if !prefix.is_empty() {
            self.scratch.push(slice(prefix));
        }
        match &self.frame {
            Frame::Bytes(bytes) => self.scratch.push(slice(bytes)),
            Frame::Guest(reader) => {
                reader.io_slices(self.scratch).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?
            }
        }
        Ok(self.scratch)
    }
}

impl fmt::Debug for Packet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Packet({} bytes, {:?})", self.len(), self.header)
    }
}
