//! A disk behind a driver, as a file that a file system can live on.

use std::io::{self, Read, Seek, SeekFrom, Write};

use virtio_drivers::Hal;
use virtio_drivers::device::blk::{SECTOR_SIZE, VirtIOBlk};
use virtio_drivers::transport::Transport;

/// Bytes read ahead and written behind at once.
const WINDOW: u64 = 64 << 10;

/// Any bytes of a disk that knows only whole sectors: one window of it is kept here.
pub(crate) struct DiskFile<H: Hal, T: Transport> {
    disk: VirtIOBlk<H, T>,
    position: u64,
    window: Vec<u8>,
    /// Which window this is; none at the start.
    index: Option<u64>,
    dirty: bool,
}

impl<H: Hal, T: Transport> DiskFile<H, T> {
    pub(crate) fn new(disk: VirtIOBlk<H, T>) -> Self {
        Self { disk, position: 0, window: Vec::new(), index: None, dirty: false }
    }

    fn len(&self) -> u64 {
        self.disk.capacity() * SECTOR_SIZE as u64
    }

    /// The bytes of the window from the position on, at most `most` of them.
    fn here(&mut self, most: usize) -> io::Result<&mut [u8]> {
        let index = self.position / WINDOW;
        if self.index != Some(index) {
            self.write_back()?;
            let len = WINDOW.min(self.len().saturating_sub(index * WINDOW));
            self.window.resize(len as usize, 0);
            self.index = None;
            if !self.window.is_empty() {
                self.disk.read_blocks(sector(index), &mut self.window).map_err(io::Error::other)?;
            }
            self.index = Some(index);
        }
        let start = ((self.position % WINDOW) as usize).min(self.window.len());
        let end = self.window.len().min(start.saturating_add(most));
        Ok(&mut self.window[start..end])
    }

    fn write_back(&mut self) -> io::Result<()> {
        if let Some(index) = self.index.filter(|_| self.dirty) {
            self.disk.write_blocks(sector(index), &self.window).map_err(io::Error::other)?;
            self.dirty = false;
        }
        Ok(())
    }
}

fn sector(window: u64) -> usize {
    (window * (WINDOW / SECTOR_SIZE as u64)) as usize
}

impl<H: Hal, T: Transport> Read for DiskFile<H, T> {
    fn read(&mut self, data: &mut [u8]) -> io::Result<usize> {
        let here = self.here(data.len())?;
        let len = here.len();
        data[..len].copy_from_slice(here);
        self.position += len as u64;
        Ok(len)
    }
}

impl<H: Hal, T: Transport> Write for DiskFile<H, T> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let here = self.here(data.len())?;
        let len = here.len();
        here.copy_from_slice(&data[..len]);
        self.dirty = true;
        self.position += len as u64;
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.write_back()?;
        self.disk.flush().map_err(io::Error::other)
    }
}

impl<H: Hal, T: Transport> Seek for DiskFile<H, T> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
            SeekFrom::End(by) => self.len().checked_add_signed(by),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

impl<H: Hal, T: Transport> Drop for DiskFile<H, T> {
    fn drop(&mut self) {
        if let Err(error) = self.flush() {
            log::error!("what was written last is lost: {error}");
        }
    }
}
