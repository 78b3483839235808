//! What a disk in memory has to contain, sector by sector.
//!
//! Requests that are with the device together may be done in any order, so a sector may hold what any of them brings
//! until all have been answered.

use super::disk::{SECTORS, SIZE};

/// What one request brings to the disk, if it is done.
struct Effect {
    sector: u64,
    bytes: Vec<u8>,
    /// Whether it was answered with success.
    done: bool,
}

pub(crate) struct Model {
    content: Vec<u8>,
    effects: Vec<Effect>,
    /// What is on the disk now is not known.
    unknown: bool,
    /// The storage may have less room than the driver was told, or may lose what it was given for other reasons.
    pub(crate) loses: bool,
}

impl Model {
    pub(crate) fn new(content: Vec<u8>) -> Model {
        Model { content, effects: Vec::new(), unknown: false, loses: false }
    }

    /// A request will bring `bytes` to the disk from `sector` on, as far as that is there. Gives a number for
    /// [`answered`](Self::answered).
    pub(crate) fn brings(&mut self, sector: u64, bytes: Vec<u8>) -> usize {
        self.effects.push(Effect { sector, bytes, done: false });
        self.effects.len() - 1
    }

    pub(crate) fn answered(&mut self, effect: usize, well: bool) {
        if let Some(effect) = self.effects.get_mut(effect) {
            effect.done |= well;
        }
    }

    /// Anything may be on the disk until the device is at rest.
    pub(crate) fn forget(&mut self) {
        self.unknown = true;
    }

    /// Whether the storage may fail, or the disk may have had another size while what is with the device was asked for.
    pub(crate) fn is_unsure(&self) -> bool {
        self.unknown || self.loses
    }

    fn now(&self, sector: u64) -> &[u8] {
        let at = sector as usize * 512;
        self.content.get(at..at + 512).unwrap_or(&[0; 512])
    }

    /// What requests bring to a sector.
    fn brought(&self, sector: u64) -> impl Iterator<Item = (&[u8], bool)> {
        self.effects.iter().filter_map(move |effect| {
            let at = usize::try_from(sector.checked_sub(effect.sector)?).ok()?.checked_mul(512)?;
            Some((effect.bytes.get(at..at.checked_add(512)?)?, effect.done))
        })
    }

    /// Panics if the disk cannot have had this.
    pub(crate) fn check_read(&self, sector: u64, data: &[u8]) {
        if self.unknown {
            return;
        }
        for (sector, bytes) in (sector..).zip(data.chunks_exact(512)) {
            let possible = bytes == self.now(sector) || self.brought(sector).any(|(brought, _)| brought == bytes);
            assert!(possible || (self.loses && bytes == [0; 512]), "sector {sector} was never like that");
        }
    }

    /// Nothing is with the device any more, and `content` is on the disk. Panics if that cannot be.
    pub(crate) fn settle(&mut self, content: Vec<u8>) {
        if !self.is_unsure() {
            assert_eq!(content.len(), SIZE);
            for (sector, bytes) in (0..SECTORS).zip(content.chunks_exact(512)) {
                if bytes == self.now(sector) && !self.brought(sector).any(|(_, done)| done) {
                    continue;
                }
                let brought = self.brought(sector).any(|(brought, done)| done && brought == bytes);
                assert!(brought, "sector {sector} has what nobody successfully wrote");
            }
        }
        self.take(content);
    }

    /// The same after a reset, when any of what was in flight may have been done.
    pub(crate) fn abandon(&mut self, content: Vec<u8>) {
        if !self.is_unsure() {
            for (sector, bytes) in (0..SECTORS).zip(content.chunks_exact(512)) {
                let possible = bytes == self.now(sector) || self.brought(sector).any(|(brought, _)| brought == bytes);
                assert!(possible, "sector {sector} has what nobody wrote");
            }
        }
        self.take(content);
    }

    /// What is there is what has to be there.
    pub(crate) fn take(&mut self, content: Vec<u8>) {
        self.content = content;
        self.effects.clear();
        self.unknown = false;
    }
}
