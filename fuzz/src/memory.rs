//! Guest memory, with a copy of what it has to contain.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use virtio_core::memory::DirtyLog;
use virtio_core::{Buffer, GuestRam};

use crate::sys::{Heap, Place};

/// All sizes are multiples of this: small, so that much of a ring is near much else.
const UNIT: u64 = 256;

/// The regions of shape `number`.
pub(crate) fn shape(number: u8) -> Vec<Place> {
    let place = |start: u64, len: u64| Place { start, len: len as usize, skew: 0 };
    let skewed = |start, len, skew| Place { skew, ..place(start, len) };
    match number % 10 {
        0 => vec![place(0, 16 * UNIT)],
        1 => vec![place(0, 8 * UNIT), place(8 * UNIT, 8 * UNIT)],
        2 => vec![place(0, 8 * UNIT), place(8 * UNIT, 4 * UNIT), place(32 * UNIT, 4 * UNIT)],
        3 => std::iter::once(place(0, 4 * UNIT)).chain((4..28).map(|i| place(i * UNIT, UNIT / 2))).collect(),
        4 => vec![place(0, 8 * UNIT), place(1 << 40, 4 * UNIT), place(u64::MAX - (4 * UNIT - 1), 4 * UNIT)],
        // Alignment on the host is another one than for the driver.
        5 => vec![place(0, 8 * UNIT), skewed(8 * UNIT, 8 * UNIT, 8)],
        6 => vec![place(0, 8 * UNIT), skewed(8 * UNIT, 8 * UNIT, 3)],
        // Those that take memory away.
        7 => vec![place(4 * UNIT, 8 * UNIT)],
        8 => vec![place(0, 2 * UNIT), skewed(2 * UNIT + 8, 2 * UNIT - 8, 8), place(4 * UNIT, 4 * UNIT)],
        _ => Vec::new(),
    }
}

/// What devices said that they have written.
#[derive(Default)]
pub(crate) struct Marks(Mutex<Vec<(u64, u64)>>);

impl DirtyLog for Marks {
    fn mark(&self, address: u64, len: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((address, len));
    }
}

impl Marks {
    fn has(&self, address: u64) -> bool {
        let marks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        marks.iter().any(|(start, len)| address.wrapping_sub(*start) < *len)
    }

    fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// What memory was at one time: which regions, and which log.
#[derive(Clone)]
pub(crate) struct Version {
    /// The number of the regions' content.
    pub(crate) content: usize,
    pub(crate) log: Option<Arc<Marks>>,
}

impl Version {
    /// Panics if a write of the device at `address` is not in the log that there is.
    pub(crate) fn assert_marked(&self, address: u64) {
        assert!(self.log.is_none() || self.is_marked(address), "the write at {address:#x} is not in the dirty log");
    }

    pub(crate) fn is_marked(&self, address: u64) -> bool {
        self.log.as_ref().is_some_and(|log| log.has(address))
    }

    /// Empties the log.
    pub(crate) fn forget_marks(&self) {
        if let Some(log) = &self.log {
            log.clear();
        }
    }
}

/// The regions as they were put in place at one time.
struct Content {
    places: Vec<Place>,
    /// Gone when nobody uses them any more.
    heap: Weak<Heap>,
    /// What they have to contain, region by region.
    expected: Vec<Vec<u8>>,
}

/// All that memory was and is.
pub(crate) struct Memory {
    ram: GuestRam,
    contents: Vec<Content>,
    version: Version,
}

impl Memory {
    pub(crate) fn new(places: Vec<Place>) -> Memory {
        let heap = Heap::new(&places);
        let ram = heap.ram();
        let contents = vec![Content::new(places, &heap)];
        Memory { ram, contents, version: Version { content: 0, log: None } }
    }

    pub(crate) fn ram(&self) -> &GuestRam {
        &self.ram
    }

    /// What is current.
    pub(crate) fn version(&self) -> Version {
        self.version.clone()
    }

    /// How often memory has been replaced.
    pub(crate) fn replaced(&self) -> usize {
        self.contents.len() - 1
    }

    /// Puts other regions in place, with the same content where addresses are the same.
    pub(crate) fn replace(&mut self, places: Vec<Place>) {
        let heap = Heap::new(&places);
        let mut content = Content::new(places, &heap);
        for (place, bytes) in
            self.contents.iter().last().into_iter().flat_map(|last| last.places.iter().zip(&last.expected))
        {
            content.write(place.start, bytes);
        }
        self.contents.push(content);
        self.version.content = self.contents.len() - 1;
        heap.replace(&self.ram).on_complete(|| {});
    }

    /// Starts a new log, or ends the one there is.
    pub(crate) fn set_log(&mut self, on: bool) {
        self.version.log = on.then(Arc::default);
        let log = self.version.log.clone().map(|log| log as Arc<dyn DirtyLog>);
        self.ram.set_log(log).on_complete(|| {});
    }

    /// Writes as the driver does: into what is there now.
    pub(crate) fn drive(&mut self, address: u64, bytes: &[u8]) {
        let content = self.version.content;
        self.contents[content].write(address, bytes);
    }

    /// Reads what is there now, as far as it is there: else zeros.
    pub(crate) fn u16(&self, address: u64) -> u16 {
        self.u16_in(self.version.content, address)
    }

    /// As `u16`, in the regions of another time.
    pub(crate) fn u16_in(&self, content: usize, address: u64) -> u16 {
        let byte = |at: u64| self.contents[content].byte(at).unwrap_or(0);
        u16::from_le_bytes([byte(address), byte(address.wrapping_add(1))])
    }

    /// Whether `piece` of a chain is guest memory. Panics if that is so of its begin only.
    pub(crate) fn is_mapped(&self, content: usize, piece: &Buffer) -> bool {
        let Some((region, offset)) = self.contents[content].find(piece.address) else { return false };
        let left = self.contents[content].places[region].len - offset;
        assert!(piece.len as usize <= left, "{piece:?} leaves its region");
        true
    }

    /// The most pieces that one buffer can be in.
    pub(crate) fn most_pieces(&self, content: usize) -> usize {
        self.contents[content].places.len() + 1
    }

    /// The bytes of a piece that is guest memory.
    pub(crate) fn bytes(&self, content: usize, piece: &Buffer) -> &[u8] {
        let (region, offset) = self.contents[content].find(piece.address).expect("a piece that is mapped");
        &self.contents[content].expected[region][offset..offset + piece.len as usize]
    }

    /// Notes what the device has written at `address`.
    pub(crate) fn written(&mut self, content: usize, address: u64, bytes: &[u8]) {
        let (region, offset) = self.contents[content].find(address).expect("a piece that is mapped");
        self.contents[content].expected[region][offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    /// The addresses at which the regions of `content` are not what they have to be. They have to be from now on.
    pub(crate) fn changes(&mut self, content: usize) -> Vec<u64> {
        let Content { places, heap, expected } = &mut self.contents[content];
        let Some(heap) = heap.upgrade() else { return Vec::new() };
        let mut changes = Vec::new();
        for (region, (place, expected)) in places.iter().zip(expected).enumerate() {
            let bytes = heap.bytes(region);
            if bytes != expected.as_slice() {
                let differ = (0..bytes.len()).filter(|i| bytes[*i] != expected[*i]);
                changes.extend(differ.map(|i| place.start + i as u64));
                expected.copy_from_slice(bytes);
            }
        }
        changes
    }

    /// Panics if anything is not what it has to be, at any time.
    pub(crate) fn assert_unchanged(&mut self) {
        for content in 0..self.contents.len() {
            assert_eq!(self.changes(content), [0; 0], "nobody may have written there");
        }
    }
}

impl Content {
    fn new(places: Vec<Place>, heap: &Arc<Heap>) -> Content {
        let expected = places.iter().map(|place| vec![0; place.len]).collect();
        Content { places, heap: Arc::downgrade(heap), expected }
    }

    /// The region that holds `address`, and where in it that is.
    fn find(&self, address: u64) -> Option<(usize, usize)> {
        let holds = |place: &Place| address >= place.start && address - place.start < place.len as u64;
        let region = self.places.iter().position(holds)?;
        Some((region, (address - self.places[region].start) as usize))
    }

    fn byte(&self, address: u64) -> Option<u8> {
        let (region, offset) = self.find(address)?;
        Some(self.expected[region][offset])
    }

    /// Writes what is inside of some region, there and in what is expected.
    fn write(&mut self, mut address: u64, mut bytes: &[u8]) {
        let Some(heap) = self.heap.upgrade() else { return };
        while !bytes.is_empty() {
            let (now, later) = match self.find(address) {
                Some((region, offset)) => {
                    let left = self.places[region].len - offset;
                    let (now, later) = bytes.split_at(left.min(bytes.len()));
                    self.expected[region][offset..offset + now.len()].copy_from_slice(now);
                    heap.write(region, offset, now);
                    (now, later)
                }
                None => bytes.split_at(1),
            };
            (address, bytes) = (address.wrapping_add(now.len() as u64), later);
        }
    }
}
