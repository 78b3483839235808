//! What a power loss may leave of a disk, and of the state file of its zones, whose record there is.

use std::collections::HashMap;

use virtio_blk::OperationKind;

use crate::recorder::{Happened, SECTOR, Sector};
use crate::talk::Random;

/// Choices that are few enough to look at all of them.
const FEW: u64 = 32;

/// A write to one sector, as the disk has seen it.
struct Version {
    data: Sector,
    submitted: usize,
    ended: Option<usize>,
    durable: bool,
}

/// The disk's side of a record.
pub(crate) struct Written {
    versions: Vec<Vec<Version>>,
    syncs: Vec<(usize, usize)>,
}

impl Written {
    /// Of a disk that began with `content`.
    pub(crate) fn new(log: &[Happened], content: &[Sector]) -> Written {
        Written { versions: versions(log, content), syncs: syncs(log) }
    }

    /// What each sector may be left with when the power goes at `point`: the last that is surely there, or any that came
    /// later.
    pub(crate) fn left(&self, point: usize) -> Vec<Vec<&Sector>> {
        let is_stable = |version: &Version| {
            version.ended.is_some_and(|ended| {
                (version.durable && ended < point)
                    || self.syncs.iter().any(|(begun, end)| *begun > ended && *end < point)
            })
        };
        self.versions
            .iter()
            .map(|all| {
                let floor = all.iter().rposition(is_stable).unwrap_or(0);
                let later = all[floor + 1..].iter().take_while(|version| version.submitted < point);
                std::iter::once(&all[floor]).chain(later).map(|version| &version.data).collect()
            })
            .collect()
    }
}

/// What was written to each sector of a disk that began with `content`, in order.
fn versions(log: &[Happened], content: &[Sector]) -> Vec<Vec<Version>> {
    let first = |data: &Sector| vec![Version { data: *data, submitted: 0, ended: Some(0), durable: true }];
    let mut all: Vec<Vec<Version>> = content.iter().map(first).collect();
    let mut ends = HashMap::new();
    for (at, happened) in log.iter().enumerate() {
        if let Happened::Ended { id } = happened {
            ends.insert(*id, at);
        }
    }
    // A write is stable once a flush has ended that began after it.
    for (at, happened) in log.iter().enumerate() {
        let Happened::Submitted { id, kind, sector, data } = happened else { continue };
        let durable =
            matches!(kind, OperationKind::Write { durable: true } | OperationKind::WriteZeroes { durable: true, .. });
        for (sector, data) in all[*sector..].iter_mut().zip(data) {
            sector.push(Version { data: *data, submitted: at, ended: ends.get(id).copied(), durable });
        }
    }
    all
}

/// When flushes of the disk began and ended.
fn syncs(log: &[Happened]) -> Vec<(usize, usize)> {
    let (mut begun, mut syncs) = (HashMap::new(), Vec::new());
    for (at, happened) in log.iter().enumerate() {
        match happened {
            Happened::Submitted { id, kind: OperationKind::Flush, .. } => {
                begun.insert(*id, at);
            }
            Happened::Ended { id } => syncs.extend(begun.remove(id).map(|begun| (begun, at))),
            _ => {}
        }
    }
    syncs
}

/// Disks that may be left: all where they are few; else such that each sector has each of its contents in one of them, and
/// some that are mixed at random.
pub(crate) fn images<'a>(left: &[Vec<&'a Sector>], random: &mut Random) -> Vec<Vec<&'a Sector>> {
    let count = left.iter().fold(1u64, |product, all| product.saturating_mul(all.len() as u64));
    if count <= FEW {
        return (0..count)
            .map(|mut number| {
                let mut pick = |all: &Vec<&'a Sector>| {
                    let chosen = all[(number % all.len() as u64) as usize];
                    number /= all.len() as u64;
                    chosen
                };
                left.iter().map(&mut pick).collect()
            })
            .collect();
    }
    let most = left.iter().map(Vec::len).max().unwrap_or(1);
    let steps = (0..most).map(|n| left.iter().map(|all| all[n.min(all.len() - 1)]).collect());
    let mixed = (0..4).map(|_| left.iter().map(|all| all[random.below(all.len() as u64) as usize]).collect());
    steps.chain(mixed).collect()
}

/// What may be left of the state file: its lengths, and the contents of each of its sectors, the stable ones first.
pub(crate) struct States {
    lens: Vec<usize>,
    now: Vec<u8>,
    sectors: Vec<Vec<Sector>>,
}

impl States {
    pub(crate) fn new() -> States {
        States { lens: vec![0], now: Vec::new(), sectors: Vec::new() }
    }

    pub(crate) fn happened(&mut self, happened: &Happened) {
        match happened {
            Happened::StateSized { len } => {
                self.lens.push(*len);
                self.now.resize(len.next_multiple_of(SECTOR), 0);
                self.sectors.resize(len.div_ceil(SECTOR), vec![[0; SECTOR]]);
            }
            Happened::StateWritten { at, bytes } => {
                self.now[*at..at + bytes.len()].copy_from_slice(bytes);
                for sector in at / SECTOR..(at + bytes.len()).div_ceil(SECTOR) {
                    let now = self.now[sector * SECTOR..][..SECTOR].try_into().unwrap();
                    self.sectors[sector].push(now);
                }
            }
            Happened::StateSynced => {
                self.lens.drain(..self.lens.len() - 1);
                self.sectors.iter_mut().for_each(|all| drop(all.drain(..all.len() - 1)));
            }
            _ => {}
        }
    }

    pub(crate) fn left(&self, choice: &mut impl FnMut(usize) -> usize) -> Vec<u8> {
        let mut bytes: Vec<u8> = self.sectors.iter().flat_map(|all| all[choice(all.len())]).collect();
        bytes.resize(self.lens[choice(self.lens.len())], 0);
        bytes
    }
}
