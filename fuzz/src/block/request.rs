//! From what an input asks for to a descriptor chain, and what may come back for it.

use virtio_core::testing::TestMemory;
use virtio_core::{Buffer, Features};

use super::device::{LIFETIME, SERIAL, ZONED};
use super::input::Ask;
use super::model::Model;
use crate::device;

/// What the driver puts where the status will be.
const UNTOUCHED: u8 = 0xee;

/// A chain that is with the device.
#[derive(Debug)]
pub(crate) struct Sent {
    /// What the device may write.
    pub(crate) writable: Vec<(u64, u32)>,
    /// None of a chain that may ask for anything.
    pub(crate) asked: Option<Asked>,
}

/// What is known of a request.
#[derive(Debug)]
pub(crate) struct Asked {
    kind: u32,
    sector: u64,
    /// It has to succeed, if the storage does not fail.
    good: bool,
    /// The numbers of what it brings to the disk.
    effects: Vec<usize>,
}

/// What the device is like for a request.
pub(crate) struct Terms {
    pub(crate) negotiated: Features,
    pub(crate) capacity: u64,
    pub(crate) read_only: bool,
    /// The storage does what it is asked.
    pub(crate) plain: bool,
    pub(crate) zoned: bool,
}

/// A chain, and what is known of it.
pub(crate) struct Made {
    pub(crate) chain: Vec<Buffer>,
    pub(crate) sent: Sent,
    /// It may break the ring.
    pub(crate) hostile: bool,
}

/// Makes a request in new memory.
pub(crate) fn make(memory: &TestMemory, ask: &Ask, terms: &Terms, model: &mut Model) -> Made {
    let (kind, sector, len) = (ask.kind(), ask.sector(), ask.len());
    let mut readable = vec![0; 16];
    readable[..4].copy_from_slice(&kind.to_le_bytes());
    readable[8..].copy_from_slice(&sector.to_le_bytes());
    let (both, odd) = (ask.has(Ask::BOTH), ask.has(Ask::ODD));
    let segments: Vec<_> = ask.segments.iter().map(|each| (sector_of(each.sector), count_of(each.sectors))).collect();
    let payload = match kind {
        1 | 15 => pattern(len, ask.kind ^ ask.len.wrapping_mul(3) ^ ask.sector),
        11 | 13 | 14 => {
            let segment = |((sector, count), flags): ((u64, u32), u32)| {
                [&sector.to_le_bytes()[..], &count.to_le_bytes(), &flags.to_le_bytes()].concat()
            };
            let flags = ask.segments.iter().map(|each| u32::from(each.flags));
            let mut bytes: Vec<_> = segments.iter().copied().zip(flags).flat_map(segment).collect();
            if odd {
                bytes.pop();
            }
            bytes
        }
        _ if both => pattern(len, 3),
        _ => Vec::new(),
    };
    readable.extend(&payload);
    if ask.has(Ask::SHORT) {
        readable.drain(..usize::from(ask.len % 16) + 1);
    }
    let answer = match kind {
        0 => len,
        8 => usize::from(ask.len % 32),
        10 => 5 + usize::from(ask.len % 4),
        15 => 8 + usize::from(odd),
        16 => 64 * usize::from(ask.len % 12) + usize::from(odd),
        _ if both => len,
        _ => 0,
    };
    let writable = if ask.has(Ask::MUTE) { 0 } else { answer + 1 };

    let [cut_readable, cut_writable] = ask.cuts;
    let first = |cut: u8, usual: usize| if cut == 0 { usual } else { usize::from(cut) };
    let mut chain = Vec::new();
    for part in pieces(readable.len(), first(cut_readable, 16), cut_readable != 0) {
        let address = memory.place(&readable[part.clone()]);
        chain.push(Buffer::readable(address, part.len() as u32));
    }
    for part in pieces(writable, first(cut_writable, answer), cut_writable != 0) {
        let address = memory.place(&vec![UNTOUCHED; part.len()]);
        chain.push(Buffer::writable(address, part.len() as u32));
    }

    let whole = !ask.has(Ask::SHORT) && !ask.has(Ask::MUTE);
    let framed = whole && (!both || len == 0) && !(odd && matches!(kind, 0 | 1));
    let inside = |sector: u64, count: u64| sector.checked_add(count).is_some_and(|end| end <= terms.capacity);
    let good = framed
        && terms.plain
        && match kind {
            0 => inside(sector, (len / 512) as u64),
            1 => !terms.read_only && inside(sector, (len / 512) as u64),
            4 | 8 => true,
            _ => false,
        };
    // What is refused brings nothing, which is checked where it has been answered.
    let mut effects = Vec::new();
    match kind {
        1 => effects.push(model.brings(sector, payload)),
        11 | 13 | 14 => {
            for (sector, count) in &segments {
                let count = u64::from(*count).min(super::disk::SECTORS);
                effects.push(model.brings(*sector, vec![0; count as usize * 512]));
            }
        }
        _ => {}
    }
    let writable = chain.iter().filter(|piece| piece.writable).map(|piece| (piece.address, piece.len)).collect();
    // Without a piece of its header it may be any other request.
    let asked = (!ask.has(Ask::SHORT)).then_some(Asked { kind, sector, good, effects });
    if asked.is_none() {
        model.forget();
    }
    let sent = Sent { writable, asked };
    Made { chain, sent, hostile: ask.has(Ask::MUTE) }
}

fn sector_of(byte: u8) -> u64 {
    if byte == 0xff { u64::MAX - 3 } else { u64::from(byte) }
}

fn count_of(byte: u8) -> u32 {
    if byte == 0xff { u32::MAX } else { u32::from(byte) }
}

/// Bytes in which no two sectors are the same.
pub(crate) fn pattern(len: usize, seed: u8) -> Vec<u8> {
    (0..len).map(|at| (at / 512) as u8 ^ (at as u8).wrapping_mul(31) ^ seed).collect()
}

/// `len` bytes in pieces: the first of `first` bytes, then the rest, in up to four more where it is to be cut further.
fn pieces(len: usize, first: usize, further: bool) -> Vec<std::ops::Range<usize>> {
    let (mut pieces, mut at, mut next) = (Vec::new(), 0, first);
    while at < len {
        let last = pieces.len() == if further { 4 } else { 1 };
        let end = if last { len } else { (at + next).min(len) };
        if end > at {
            pieces.push(at..end);
        }
        // A first piece of nothing is left out.
        if at == end && last {
            break;
        }
        (at, next) = (end, if further { 2 * next + 1 } else { len });
    }
    pieces
}

impl device::Sent for Sent {
    fn writable(&self) -> impl Iterator<Item = (u64, u32)> {
        self.writable.iter().copied()
    }
}

impl Sent {
    fn written(&self, memory: &TestMemory) -> Vec<u8> {
        self.writable.iter().flat_map(|(address, len)| memory.bytes(*address, *len as usize)).collect()
    }

    /// Panics if that is no answer. Says whether it was one of success.
    pub(crate) fn check(&self, memory: &TestMemory, terms: &Terms, model: &mut Model) -> bool {
        let Some(asked) = &self.asked else { return false };
        let bytes = self.written(memory);
        let Some((status, data)) = bytes.split_last() else {
            panic!("{asked:?} was answered without a status");
        };
        let fails = 1 + u8::from(!terms.plain);
        let most = match asked.kind {
            _ if terms.zoned && asked.kind != 8 => 6,
            0 | 1 | 4 | 8 => fails,
            _ => 2,
        };
        assert!(*status <= most, "{asked:?} was answered with status {status}");
        let sure = asked.good && !model.is_unsure();
        assert!(!sure || *status == 0, "{asked:?} was answered with status {status}");
        let known = match asked.kind {
            0 | 1 | 4 | 8 | 11 | 13 | 14 => true,
            10 => terms.negotiated.contains(LIFETIME),
            15 | 16 | 18 | 20 | 22 | 24 | 26 => terms.negotiated.contains(ZONED),
            _ => false,
        };
        assert!(known || *status != 0, "{asked:?} cannot have been done");
        let well = *status == 0;
        asked.effects.iter().for_each(|effect| model.answered(*effect, well));
        match asked.kind {
            0 if well && terms.plain => model.check_read(asked.sector, data),
            8 if well => {
                let name = data.iter().zip(SERIAL).all(|(byte, name)| *byte == name);
                assert!(name, "the disk has another name: {data:?}");
            }
            _ => {}
        }
        well
    }
}
