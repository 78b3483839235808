//! The power goes over a zoned disk, at every point of a record of its data and of its state file together.

use std::collections::HashMap;
use std::ops::Range;

use virtio_blk::backend::ZonedBackend;
use virtio_blk::backend::zone::{ZoneState, ZonedModel};
use virtio_blk::{Block, BlockBackend, MemoryBackend};
use virtio_core::Features;
use virtio_core::testing::TestMemory;

use crate::ports::{Mmio, Pci};
use crate::recorder::{Happened, Lie, Recorder, SECTOR, Sector, StateFile};
use crate::replay::Written;
use crate::rig::*;
use crate::talk::{Random, Talk, live};

const QUEUES: u16 = 2;
/// So many that their states are in several sectors. The first is a conventional one.
const ZONES: usize = 20;
/// Sectors of each, and those of them that can be written.
const ZONE: usize = 4;
const CAPACITY: usize = 3;
const ACTIVE: u32 = 4;
const FEATURES: Features = Features::from_bits(1 << 32 | 1 << 28 | 1 << 29 | 1 << 12 | 1 << 17);
/// What was on the disk before: nobody may ever read that.
const OLD: Sector = [0xee; SECTOR];

/// What is tried.
#[derive(Clone, Copy, Debug)]
struct Trial {
    model: ZonedModel,
    /// Flushes are negotiated; else each write is to be stable.
    flush: bool,
    /// Operations of a hundred that fail.
    failing: u64,
    lie: Lie,
    seed: u64,
}

impl Trial {
    fn is_aware(&self) -> bool {
        self.model == ZonedModel::HostAware
    }

    /// Sectors of a zone that can be written.
    fn capacity(&self) -> usize {
        if self.is_aware() { ZONE } else { CAPACITY }
    }

    fn zoned(&self, storage: impl BlockBackend + 'static, state: StateFile) -> Result<ZonedBackend, String> {
        let builder = ZonedBackend::builder(storage).model(self.model).zone_len((ZONE * SECTOR) as u64).conventional(1);
        let builder = match self.model {
            ZonedModel::HostAware => builder,
            _ => builder.zone_capacity((CAPACITY * SECTOR) as u64).max_open(ACTIVE - 1).max_active(ACTIVE),
        };
        builder.state_storage("zones", state).build().map_err(|error| error.to_string())
    }
}

/// What the driver asked for.
#[derive(Clone, Debug)]
enum Asked {
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
    fn is_about(&self, zone: usize) -> bool {
        match self {
            Asked::Flush => false,
            Asked::Write { zone: other, .. } | Asked::Finish { zone: other } => *other == zone,
            Asked::Reset { zones } => zones.contains(&zone),
        }
    }
}

/// A zone, as the driver sees it.
#[derive(Clone, Debug, Default)]
struct View {
    pointer: usize,
    /// A request failed. It is looked at again when all of them have come back.
    lost: bool,
}

struct Scene<P: Port> {
    trial: Trial,
    rig: Rig<P>,
    talks: Vec<Talk>,
    recorder: Recorder,
    disk: ZonedBackend,
    requests: Vec<Asked>,
    /// By queue, and by the number there.
    flying: HashMap<(usize, u64), usize>,
    views: Vec<View>,
    random: Random,
}

/// A sector that says who wrote it.
fn sector(request: usize, at: usize) -> Sector {
    let mut bytes = [request as u8 ^ 0x5a; SECTOR];
    bytes[..8].copy_from_slice(&(request as u64 + 1).to_le_bytes());
    bytes[SECTOR - 8..].copy_from_slice(&(at as u64).to_le_bytes());
    bytes
}

impl<P: Port> Scene<P> {
    fn new(trial: Trial) -> Scene<P> {
        let Trial { flush, failing, lie, seed, .. } = trial;
        let recorder = Recorder::new(vec![OLD; ZONES * ZONE], false, failing, lie, seed);
        let state = StateFile { bytes: vec![], recorder: Some(recorder.clone()) };
        let disk = trial.zoned(recorder.clone(), state).expect("a zoned disk");
        let block = Block::builder(disk.clone()).queues(QUEUES).build().expect("a device");
        let rig = Rig::<P>::with(block, TestMemory::new(32 << 20), |host| host);
        let features = if flush { FEATURES | FLUSH_FEATURE } else { FEATURES };
        assert!(rig.negotiate(features));
        let talks = (0..QUEUES).map(|queue| Talk::new(rig.enable(queue, 64, features), queue)).collect();
        rig.go();
        let views = vec![View::default(); ZONES];
        let (flying, random) = (HashMap::new(), Random(seed ^ 0xfeed));
        Scene { trial, rig, talks, recorder, disk, requests: Vec::new(), flying, views, random }
    }

    fn ask(&mut self, queue: usize, kind: u32, at: usize, asked: Asked) {
        let (payload, room) = match &asked {
            Asked::Write { data, .. } => (data.as_flattened().to_vec(), if kind == ZONE_APPEND { 8 } else { 0 }),
            _ => (vec![], 0),
        };
        let request = self.requests.len();
        self.recorder.happened(Happened::Asked { request });
        self.requests.push(asked);
        let place = self.talks[queue].ask(&self.rig, kind, at as u64, &payload, room);
        self.flying.insert((queue, place), request);
    }

    /// Each zone has a queue of its own, so that it is known in which order things are done to it.
    fn ask_zone(&mut self, zone: usize) {
        let queue = zone % usize::from(QUEUES);
        let (start, pointer) = (zone * ZONE, self.views[zone].pointer);
        if !self.talks[queue].has_room() || self.views[zone].lost {
            return;
        }
        let len = 1 + self.random.below(2) as usize;
        let number = self.requests.len();
        let data = |len: usize| (0..len).map(|at| sector(number, at)).collect();
        match self.random.below(12) {
            how if zone == 0 || (how > 1 && self.trial.is_aware()) => {
                // What comes of two writes to one place at once is nobody's to know.
                if !self.is_busy(zone) {
                    let at = self.random.below((ZONE - len + 1) as u64) as usize;
                    self.views[zone].pointer = pointer.max(at + len);
                    let (sector, data) = (start + at, data(len));
                    self.ask(queue, OUT, sector, Asked::Write { zone, sector: Some(sector), data });
                }
            }
            0 => {
                self.views[zone].pointer = 0;
                self.ask(queue, ZONE_RESET, start, Asked::Reset { zones: zone..zone + 1 });
            }
            1 if pointer != 0 => {
                self.views[zone].pointer = self.trial.capacity();
                self.ask(queue, ZONE_FINISH, start, Asked::Finish { zone });
            }
            how if pointer < self.trial.capacity() => {
                let len = len.min(self.trial.capacity() - pointer);
                self.views[zone].pointer += len;
                let data = data(len);
                match how {
                    2..6 => self.ask(queue, ZONE_APPEND, start, Asked::Write { zone, sector: None, data }),
                    _ => {
                        let sector = start + pointer;
                        self.ask(queue, OUT, sector, Asked::Write { zone, sector: Some(sector), data });
                    }
                }
            }
            _ => {
                self.views[zone].pointer = 0;
                self.ask(queue, ZONE_RESET, start, Asked::Reset { zones: zone..zone + 1 });
            }
        }
    }

    fn is_busy(&self, zone: usize) -> bool {
        self.flying.values().any(|request| self.requests[*request].is_about(zone))
    }

    fn go(&mut self) {
        for talk in &mut self.talks {
            talk.show(&self.rig);
        }
        self.rig.runtime.poll();
        for queue in 0..self.talks.len() {
            while let Some((place, answer)) = self.talks[queue].answer(&self.rig) {
                self.came(queue, place, &answer);
            }
        }
        for zone in 1..ZONES {
            if self.views[zone].lost && !self.is_busy(zone) {
                let pointer = pointer(&self.trial, &self.disk, zone).1;
                self.views[zone] = View { pointer, lost: false };
            }
        }
    }

    fn came(&mut self, queue: usize, place: u64, answer: &Answer) {
        let request = self.flying.remove(&(queue, place)).expect("it was asked");
        if answer.status == OK {
            if let Asked::Write { sector: sector @ None, .. } = &mut self.requests[request] {
                *sector = Some(u64::from_le_bytes(answer.data[..].try_into().expect("8 bytes")) as usize);
            }
            return self.recorder.happened(Happened::Acknowledged { request });
        }
        // There may be too many active zones, or a write in front of this one has failed.
        assert!([IOERR, ZONE_INVALID_CMD, ZONE_UNALIGNED_WP, ZONE_ACTIVE_RESOURCE].contains(&answer.status));
        for zone in 1..ZONES {
            self.views[zone].lost |= self.requests[request].is_about(zone);
        }
    }

    fn settle(&mut self) {
        self.go();
        while !self.flying.is_empty() {
            self.go();
        }
    }

    fn play(&mut self, steps: u64) {
        for _ in 0..steps {
            match self.random.below(40) {
                0..24 => {
                    // Some more often than others, so that they are filled.
                    let zone = self.random.below(ZONES as u64).min(self.random.below(ZONES as u64)) as usize;
                    self.ask_zone(zone);
                }
                24..28 if self.trial.flush => {
                    let queue = self.random.below(QUEUES.into()) as usize;
                    if self.talks[queue].has_room() {
                        self.ask(queue, FLUSH, 0, Asked::Flush);
                    }
                }
                28 => {
                    // Of two queues nobody knows which is first.
                    self.settle();
                    self.views = vec![View::default(); ZONES];
                    self.ask(0, ZONE_RESET_ALL, 0, Asked::Reset { zones: 1..ZONES });
                    self.settle();
                }
                _ => self.go(),
            }
        }
        self.settle();
    }
}

/// A request, and what became of it, by the points of the record.
struct Fate {
    asked: Asked,
    at: usize,
    /// From here on a power loss may not take it away.
    promised: Option<usize>,
}

/// The driver's side of a record.
fn fates(log: &[Happened], requests: &[Asked], flush: bool) -> Vec<Fate> {
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
struct Needed {
    /// Sectors, and the contents that each may have.
    data: Vec<(usize, Vec<Sector>)>,
    /// Sectors that are below the pointer at least, and at most.
    least: usize,
    most: usize,
    full: bool,
    may_be_full: bool,
}

fn needed(trial: &Trial, fates: &[Fate], zone: usize, point: usize) -> Needed {
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

impl Asked {
    fn data_at(&self, at: usize) -> Option<Sector> {
        let Asked::Write { sector: Some(first), data, .. } = self else { return None };
        data.get(at.checked_sub(*first)?).copied()
    }
}

/// What may be left of the state file: its lengths, and the contents of each of its sectors, the stable ones first.
struct States {
    lens: Vec<usize>,
    now: Vec<u8>,
    sectors: Vec<Vec<Sector>>,
}

impl States {
    fn new() -> States {
        States { lens: vec![0], now: Vec::new(), sectors: Vec::new() }
    }

    fn happened(&mut self, happened: &Happened) {
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

    fn left(&self, choice: &mut impl FnMut(usize) -> usize) -> Vec<u8> {
        let mut bytes: Vec<u8> = self.sectors.iter().flat_map(|all| all[choice(all.len())]).collect();
        bytes.resize(self.lens[choice(self.lens.len())], 0);
        bytes
    }
}

#[derive(Debug, Default)]
struct Found {
    points: u64,
    disks: u64,
    read: u64,
    /// Sectors that had to have something.
    promises: u64,
}

/// Takes the power away at each point; says what was wrong.
fn check<P: Port>(scene: &mut Scene<P>) -> Result<Found, String> {
    let trial = scene.trial;
    let log = scene.recorder.log();
    let (written, fates) = (Written::new(&log, &vec![OLD; ZONES * ZONE]), fates(&log, &scene.requests, trial.flush));
    let (mut states, mut found) = (States::new(), Found::default());
    for point in 0..=log.len() {
        found.points += 1;
        let left = written.left(point);
        let needed: Vec<Needed> = (0..ZONES).map(|zone| needed(&trial, &fates, zone, point)).collect();
        found.promises += needed.iter().map(|needed| needed.data.len() as u64).sum::<u64>();
        for image in 0..8 {
            let random = &mut scene.random;
            // The oldest of one with the newest of the other, and mixtures.
            let mut choose = |of_state: bool, count: usize| match image {
                0..4 if (image & 1 != 0) == of_state || (image & 2 != 0) != of_state => 0,
                0..4 => count - 1,
                _ => random.below(count as u64) as usize,
            };
            let content: Vec<Sector> = left.iter().map(|all| *all[choose(false, all.len())]).collect();
            let state = states.left(&mut |count| choose(true, count));
            let memory = MemoryBackend::new(content.as_flattened().to_vec());
            let wrong = |what: String| format!("power lost at {point}: {what}");
            let disk = trial.zoned(memory, StateFile { bytes: state, recorder: None }).map_err(wrong)?;
            found.disks += 1;
            right(&trial, &disk, &content, &needed).map_err(wrong)?;
            if (point + image) % 16 == 0 {
                found.read += 1;
                readable::<P>(&trial, disk, &content).map_err(wrong)?;
            }
        }
        log.get(point).into_iter().for_each(|happened| states.happened(happened));
    }
    Ok(found)
}

/// Sectors below a zone's pointer; all of them where it is full.
fn pointer(trial: &Trial, disk: &ZonedBackend, zone: usize) -> (ZoneState, usize) {
    let zone = disk.zone(zone as u32).expect("a zone");
    let pointer = (zone.write_pointer - zone.start) as usize / SECTOR;
    (zone.state, pointer.min(trial.capacity()))
}

/// Whether zones are as they have to be, and what was promised is there.
fn right(trial: &Trial, disk: &ZonedBackend, content: &[Sector], needed: &[Needed]) -> Result<(), String> {
    let active = (1..ZONES).filter(|zone| pointer(trial, disk, *zone).0 == ZoneState::Closed).count();
    if active > ACTIVE as usize && !trial.is_aware() {
        return Err(format!("{active} zones are active"));
    }
    for (zone, needed) in needed.iter().enumerate() {
        if let Some((at, _)) = needed.data.iter().find(|(at, contents)| !contents.contains(&content[*at])) {
            return Err(format!("zone {zone}: sector {at} has lost what was promised"));
        }
        let (state, pointer) = pointer(trial, disk, zone);
        let fits = match state {
            ZoneState::NotWritePointer => zone == 0,
            ZoneState::Empty => needed.least == 0 && !needed.full,
            ZoneState::Closed => (needed.least..=needed.most).contains(&pointer) && !needed.full,
            ZoneState::Full => needed.may_be_full,
            _ => false,
        };
        if !fits {
            return Err(format!("zone {zone} is {state:?}, written to {pointer}; needed is {needed:?}"));
        }
    }
    Ok(())
}

/// Whether a device can read what it should, nothing behind pointers, and goes on.
fn readable<P: Port>(trial: &Trial, disk: ZonedBackend, content: &[Sector]) -> Result<(), String> {
    let block = Block::builder(disk.clone()).build().expect("a device");
    let rig = Rig::<P>::with(block, TestMemory::new(1 << 20), |host| host);
    let mut talk = live(&rig, (FEATURES - Features::bit(12)) | FLUSH_FEATURE);
    for zone in 0..ZONES {
        let answer = talk.one(&rig, IN, (zone * ZONE) as u64, &[], ZONE * SECTOR);
        if answer.status != OK {
            // What a write should have brought that failed.
            if trial.failing != 0 && answer.status == IOERR {
                continue;
            }
            return Err(format!("zone {zone} cannot be read: {}", answer.status));
        }
        let (state, pointer) = pointer(trial, &disk, zone);
        let (read, there) = (answer.data.as_chunks::<SECTOR>().0, &content[zone * ZONE..][..ZONE]);
        let is_cut_at = |at: usize| read[..at] == there[..at] && read[at..].iter().all(|sector| *sector == [0; SECTOR]);
        // BLK-ZONE-21, BLK-ZONE-22
        let right = match state {
            ZoneState::NotWritePointer => read == there,
            // It may have been finished anywhere.
            ZoneState::Full => (0..=trial.capacity()).any(is_cut_at),
            _ => is_cut_at(pointer),
        };
        if !right {
            return Err(format!("zone {zone}, {state:?} and written to {pointer}, reads as something else"));
        }
        if state == ZoneState::Closed {
            let at = (zone * ZONE + pointer) as u64;
            let status = talk.one(&rig, OUT, at, &sector(0, 0), 0).status;
            if status != OK {
                return Err(format!("zone {zone} cannot be written at its pointer {pointer}: {status}"));
            }
        }
    }
    match talk.one(&rig, FLUSH, 0, &[], 0).status {
        OK => Ok(()),
        status => Err(format!("it cannot be flushed: {status}")),
    }
}

/// One run of a device, and the power loss at each of its points.
fn run<P: Port>(trial: Trial) -> Result<Found, String> {
    let mut scene = Scene::<P>::new(trial);
    scene.play(150);
    check(&mut scene)
}

fn runs<P: Port>(model: ZonedModel, flush: bool) {
    let mut all = Found::default();
    for seed in 0..6 {
        let failing = if seed % 4 < 2 { 0 } else { 8 };
        let found = run::<P>(Trial { model, flush, failing, lie: Lie::None, seed });
        let Found { points, disks, read, promises } = found.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        all.points += points;
        all.disks += disks;
        all.read += read;
        all.promises += promises;
    }
    println!("{model:?}, flush {flush}: {all:?}");
    assert!(all.promises > all.points && all.disks > all.points && all.read > 100, "{all:?}");
}

#[test]
fn blk_stable_01_zones_and_what_is_in_them_outlive_the_power() {
    runs::<Mmio>(ZonedModel::HostManaged, true);
}

#[test]
fn blk_stable_01_zones_and_what_is_in_them_outlive_the_power_over_pci() {
    runs::<Pci>(ZonedModel::HostManaged, true);
}

#[test]
fn blk_stable_01_without_flush_each_write_to_a_zone_outlives_the_power() {
    runs::<Mmio>(ZonedModel::HostManaged, false);
}

#[test]
fn blk_stable_01_host_aware_zones_outlive_the_power() {
    runs::<Mmio>(ZonedModel::HostAware, true);
}

#[test]
fn blk_stable_01_without_flush_each_write_to_a_host_aware_zone_outlives_the_power() {
    runs::<Mmio>(ZonedModel::HostAware, false);
}

/// Promises that storage or state file break are found to be broken.
#[test]
fn zones_whose_storage_lies_are_found_out() {
    for model in [ZonedModel::HostManaged, ZonedModel::HostAware] {
        for (flush, lie) in [(true, Lie::Flush), (true, Lie::State), (false, Lie::Durable), (false, Lie::State)] {
            let is_found = |seed: &u64| run::<Mmio>(Trial { model, flush, failing: 0, lie, seed: *seed }).is_err();
            let seeds = (0..4).filter(is_found).count();
            assert_eq!(seeds, 4, "{model:?}, flush {flush}, {lie:?}");
        }
    }
}
