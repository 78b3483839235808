//! The power goes over a zoned disk, at every point of a record of its data and of its state file together.

use std::collections::HashMap;

use virtio_blk::backend::ZonedBackend;
use virtio_blk::backend::zone::{ZoneState, ZonedModel};
use virtio_blk::{Block, BlockBackend, MemoryBackend};
use virtio_core::Features;
use virtio_core::testing::TestMemory;

use crate::ports::{Mmio, Pci};
use crate::promises::{Asked, Needed, fates, needed};
use crate::recorder::{Happened, Lie, Recorder, SECTOR, Sector, StateFile, sector};
use crate::replay::{States, Written};
use crate::rig::*;
use crate::talk::{Random, Talk, live};

const QUEUES: u16 = 2;
/// So many that their states are in several sectors. The first is a conventional one.
const ZONES: usize = 20;
/// Sectors of each, and those of them that can be written.
pub(crate) const ZONE: usize = 4;
const CAPACITY: usize = 3;
const ACTIVE: u32 = 4;
const FEATURES: Features = Features::from_bits(1 << 32 | 1 << 28 | 1 << 29 | 1 << 12 | 1 << 17);
/// What was on the disk before: nobody may ever read that.
const OLD: Sector = [0xee; SECTOR];

/// What is tried.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trial {
    model: ZonedModel,
    /// Flushes are negotiated; else each write is to be stable.
    flush: bool,
    /// Operations of a hundred that fail.
    failing: u64,
    lie: Lie,
    seed: u64,
}

impl Trial {
    pub(crate) fn is_aware(&self) -> bool {
        self.model == ZonedModel::HostAware
    }

    /// Sectors of a zone that can be written.
    pub(crate) fn capacity(&self) -> usize {
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

/// A zone, as the driver sees it.
#[derive(Clone, Debug, Default)]
struct View {
    pointer: usize,
    /// A request failed. It is looked at again when all of them have come back.
    lost: bool,
}

struct Scene<P: Split> {
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

impl<P: Split> Scene<P> {
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

#[derive(Debug, Default)]
struct Found {
    points: u64,
    disks: u64,
    read: u64,
    /// Sectors that had to have something.
    promises: u64,
}

/// Takes the power away at each point; says what was wrong.
fn check<P: Split>(scene: &mut Scene<P>) -> Result<Found, String> {
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
fn readable<P: Split>(trial: &Trial, disk: ZonedBackend, content: &[Sector]) -> Result<(), String> {
    let block = Block::builder(disk.clone()).build().expect("a device");
    let rig = Rig::<P>::with(block, TestMemory::new(1 << 20), |host| host);
    let mut talk = live(&rig, (FEATURES - virtio_blk::features::MQ) | FLUSH_FEATURE);
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
fn run<P: Split>(trial: Trial) -> Result<Found, String> {
    let mut scene = Scene::<P>::new(trial);
    scene.play(150);
    check(&mut scene)
}

fn runs<P: Split>(model: ZonedModel, flush: bool) {
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
