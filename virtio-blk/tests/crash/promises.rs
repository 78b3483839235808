//! What the driver of a zoned disk was promised.

use std::collections::HashMap;
use std::ops::Range;

use crate::recorder::{Happened, SECTOR, Sector};
use crate::zones::{Trial, ZONE};

/// What the driver asked for.
#[derive(Clone, Debug)]
pub(crate) enum Asked {
    Flush,
    /// The sector is known from the start, or from the answer.
    Write {
        zone: usize,
        sector: Option<usize>,
        data: Vec<Sector>,
    },
    Finish {
        zone: usize,
    },
    Reset {
        zones: Range<usize>,
    },
}

impl Asked {
    pub(crate) fn is_about(&self, zone: usize) -> bool {
        match self {
            Asked::Flush => false,
            Asked::Write { zone: other, .. } | Asked::Finish { zone: other } => *other == zone,
            Asked::Reset { zones } => zones.contains(&zone),
        }
    }

    /// What it writes to a sector.
    fn data_at(&self, at: usize) -> Option<Sector> {
        let Asked::Write { sector: Some(first), data, .. } = self else { return None };
        data.get(at.checked_sub(*first)?).copied()
    }
}

/// A request, and what became of it, by the points of the record.
pub(crate) struct Fate {
    asked: Asked,
    at: usize,
    /// From here on a power loss may not take it away.
    promised: Option<usize>,
}

/// The driver's side of a record.
pub(crate) fn fates(log: &[Happened], requests: &[Asked], flush: bool) -> Vec<Fate> {
    let (mut began, mut acknowledged) = (HashMap::new(), HashMap::new());
    for (at, happened) in log.iter().enumerate() {
        match happened {
            Happened::Asked { request } => began.insert(*request, at),
            Happened::Acknowledged { request } => acknowledged.insert(*request, at),
            _ => None,
        };
    }
    let is_flush = |number: &usize| matches!(requests[*number], Asked::Flush);
    let flushes: Vec<_> = (0..requests.len())
        .filter(is_flush)
        .filter_map(|number| Some((began[&number], *acknowledged.get(&number)?)))
        .collect();
    let fate = |(number, asked): (usize, &Asked)| {
        let promised = acknowledged.get(&number).and_then(|at| match (flush, asked) {
            (true, _) => flushes.iter().filter(|flush| flush.0 > *at).map(|flush| flush.1).min(),
            (false, Asked::Write { .. }) => Some(*at),
            (false, _) => None,
        });
        Fate { asked: asked.clone(), at: began[&number], promised }
    };
    requests.iter().enumerate().map(fate).collect()
}

/// What has to be so of a zone when the power goes at some point.
#[derive(Clone, Debug, Default)]
pub(crate) struct Needed {
    /// Sectors, and the contents that each may have.
    pub(crate) data: Vec<(usize, Vec<Sector>)>,
    /// Sectors that are below the pointer at least, and at most.
    pub(crate) least: usize,
    pub(crate) most: usize,
    pub(crate) full: bool,
    pub(crate) may_be_full: bool,
}

pub(crate) fn needed(trial: &Trial, fates: &[Fate], zone: usize, point: usize) -> Needed {
    let ours: Vec<&Fate> = fates.iter().filter(|fate| fate.at < point && fate.asked.is_about(zone)).collect();
    let is_reset = |fate: &&Fate| matches!(fate.asked, Asked::Reset { .. });
    let promised = |fate: &Fate| fate.promised.is_some_and(|at| at < point);
    // What was asked before the last reset that is promised is gone, and what was asked before any other may be.
    let gone = ours.iter().rposition(|fate| is_reset(fate) && promised(fate)).map_or(0, |at| at + 1);
    let sure = ours.iter().rposition(is_reset).map_or(0, |at| at + 1);
    let mut needed = Needed::default();
    let mut sum = 0;
    for (at, fate) in ours.iter().enumerate().skip(gone) {
        match &fate.asked {
            Asked::Flush => {}
            Asked::Reset { .. } => sum = 0,
            Asked::Finish { .. } => {
                needed.may_be_full = true;
                needed.full |= at >= sure && promised(fate);
            }
            Asked::Write { sector, data, .. } => {
                sum += data.len();
                let end = sector.filter(|_| trial.is_aware()).map_or(sum, |first| first + data.len() - zone * ZONE);
                needed.most = needed.most.max(end);
                let Some(first) = sector.filter(|_| at >= sure && promised(fate)) else { continue };
                needed.least = needed.least.max(first + data.len() - zone * ZONE);
                if trial.is_aware() && zone != 0 {
                    // What was skipped is zeroed. In other zones, what is ahead may be under way still.
                    for sector in zone * ZONE..first {
                        let mut contents = vec![[0; SECTOR]];
                        contents.extend(ours[sure..].iter().filter_map(|other| other.asked.data_at(sector)));
                        needed.data.push((sector, contents));
                    }
                }
                for (offset, sector) in data.iter().enumerate() {
                    let mut contents = vec![*sector];
                    contents.extend(ours[at + 1..].iter().filter_map(|later| later.asked.data_at(first + offset)));
                    needed.data.push((first + offset, contents));
                }
            }
        }
    }
    needed.most = needed.most.min(trial.capacity());
    needed.may_be_full |= needed.most == trial.capacity();
    needed
}
