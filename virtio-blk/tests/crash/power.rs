//! The power goes at every point of a record, and each disk that could be left is looked at.

use std::collections::{HashMap, HashSet};

use virtio_core::Features;
use virtio_core::testing::TestMemory;

use crate::image::times;
use crate::ports::{Mmio, Pci};
use crate::recorder::{Happened, Lie, Recorder, SECTOR, Sector, sector};
use crate::replay::{Written, images};
use crate::rig::*;
use crate::talk::{Random, Talk, segment};

/// How many runs each way to make writes stable has: more for those who have time.
const SEEDS: &str = "VIRTIO_POWER_SEEDS";
const SECTORS: usize = 24;
const QUEUES: u16 = 2;
const BASE: Features = Features::from_bits(1 << 32 | 1 << 28 | 1 << 29 | 1 << 12 | 1 << 14);

/// How the driver has writes made stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// By requests to flush.
    Flush,
    /// It knows of no such request.
    Plain,
    /// It changes the mode of the cache now and then.
    Toggled,
}

/// What the driver asked for.
#[derive(Clone, Debug)]
struct Request {
    flush: bool,
    sector: usize,
    /// The sectors that it leaves.
    data: Vec<Sector>,
    /// It is stable when it is acknowledged.
    stable: bool,
}

struct Scene<P: Split> {
    rig: Rig<P>,
    talks: Vec<Talk>,
    recorder: Recorder,
    requests: Vec<Request>,
    /// By queue, and by the number there.
    flying: HashMap<(usize, u64), usize>,
    random: Random,
    /// The cache is written through.
    through: bool,
}

impl<P: Split> Scene<P> {
    fn new(mode: Mode, merge: bool, failing: u64, lie: Lie, seed: u64) -> Scene<P> {
        let recorder = Recorder::new(vec![[0; SECTOR]; SECTORS], merge, failing, lie, seed);
        let block = virtio_blk::Block::builder(recorder.clone()).queues(QUEUES).build().expect("a device");
        let rig = Rig::<P>::with(block, TestMemory::new(32 << 20), |host| host);
        let features = match mode {
            Mode::Flush => BASE | FLUSH_FEATURE,
            Mode::Plain => BASE,
            Mode::Toggled => BASE | FLUSH_FEATURE | CONFIG_WCE,
        };
        assert!(rig.negotiate(features));
        let talks = (0..QUEUES).map(|queue| Talk::new(rig.enable(queue, 64, features), queue)).collect();
        rig.go();
        let random = Random(seed ^ 0xfeed);
        let through = mode == Mode::Plain;
        Scene { rig, talks, recorder, requests: Vec::new(), flying: HashMap::new(), random, through }
    }

    /// Whether a request in flight writes there: what comes of two of them is nobody's to know.
    fn is_busy(&self, start: usize, len: usize) -> bool {
        self.flying
            .values()
            .map(|request| &self.requests[*request])
            .any(|other| other.sector < start + len && start < other.sector + other.data.len())
    }

    fn ask(&mut self, queue: usize, kind: u32, start: usize, len: usize, segments: usize) {
        if !self.talks[queue].has_room() || self.is_busy(start, len) {
            return;
        }
        let number = self.requests.len();
        let stable = self.through;
        let mut request = Request { flush: kind == FLUSH, sector: start, data: vec![], stable };
        let payload = match kind {
            OUT => {
                request.data = (start..start + len).map(|at| sector(number, at)).collect();
                request.data.as_flattened().to_vec()
            }
            WRITE_ZEROES => {
                request.data = vec![[0; SECTOR]; len];
                let cut = len.div_ceil(segments);
                let starts = (start..start + len).step_by(cut);
                starts.flat_map(|at| segment(at as u64, cut.min(start + len - at) as u32, 0)).collect()
            }
            _ => vec![],
        };
        self.recorder.happened(Happened::Asked { request: number });
        self.requests.push(request);
        let at = if kind == OUT { start as u64 } else { 0 };
        let place = self.talks[queue].ask(&self.rig, kind, at, &payload, 0);
        self.flying.insert((queue, place), number);
    }

    fn go(&mut self) {
        for talk in &mut self.talks {
            talk.show(&self.rig);
        }
        self.rig.runtime.poll();
        self.take();
    }

    fn take(&mut self) {
        for queue in 0..self.talks.len() {
            while let Some((place, answer)) = self.talks[queue].answer(&self.rig) {
                let request = self.flying.remove(&(queue, place)).expect("it was asked");
                assert!([OK, IOERR].contains(&answer.status));
                if answer.status == OK {
                    self.recorder.happened(Happened::Acknowledged { request });
                }
            }
        }
    }

    fn play(&mut self, mode: Mode, steps: u64) {
        for _ in 0..steps {
            let queue = self.random.below(QUEUES.into()) as usize;
            let start = self.random.below(SECTORS as u64) as usize;
            let len = (1 + self.random.below(4) as usize).min(SECTORS - start);
            match self.random.below(20) {
                0..8 => self.ask(queue, OUT, start, len, 1),
                // Neighbours, which can be merged.
                8..10 => (start..start + len).for_each(|at| self.ask(queue, OUT, at, 1, 1)),
                10..12 => self.ask(queue, WRITE_ZEROES, start, len, 1 + start % 2),
                12..14 => self.ask(queue, FLUSH, 0, 0, 1),
                14 if mode == Mode::Toggled => {
                    // What was added before is taken in the mode that was.
                    self.go();
                    self.through = !self.through;
                    self.rig.port.write_config(32, &[u8::from(!self.through)]);
                }
                _ => self.go(),
            }
        }
        let Scene { rig, talks, .. } = self;
        talks.iter_mut().for_each(|talk| talk.show(rig));
        while !talks_empty(&self.talks) {
            self.go();
        }
    }
}

fn talks_empty(talks: &[Talk]) -> bool {
    talks.iter().all(|talk| talk.flying() == 0)
}

/// What the driver has asked for one sector.
struct Wish {
    data: Sector,
    asked: usize,
    /// From here on it has to be there.
    promised: Option<usize>,
}

#[derive(Debug, Default)]
struct Found {
    points: u64,
    images: u64,
    /// Sectors that had to have something.
    promises: u64,
}

/// The driver's side of a record (BLK-STABLE-01).
fn wishes(log: &[Happened], requests: &[Request]) -> Vec<Vec<Wish>> {
    let (mut asked, mut acknowledged) = (HashMap::new(), HashMap::new());
    for (at, happened) in log.iter().enumerate() {
        match happened {
            Happened::Asked { request } => asked.insert(*request, at),
            Happened::Acknowledged { request } => acknowledged.insert(*request, at),
            _ => None,
        };
    }
    let flushes: Vec<_> = (0..requests.len())
        .filter(|number| requests[*number].flush)
        .filter_map(|number| Some((asked[&number], *acknowledged.get(&number)?)))
        .collect();
    let mut all: Vec<Vec<Wish>> = (0..SECTORS).map(|_| Vec::new()).collect();
    for (number, request) in requests.iter().enumerate() {
        let promised = acknowledged.get(&number).and_then(|at| match request.stable {
            true => Some(*at),
            false => flushes.iter().filter(|flush| flush.0 > *at).map(|flush| flush.1).min(),
        });
        for (sector, data) in all[request.sector..].iter_mut().zip(&request.data) {
            sector.push(Wish { data: *data, asked: asked[&number], promised });
        }
    }
    all
}

/// Takes the power away at each point; says what was missing.
fn check(log: &[Happened], requests: &[Request], random: &mut Random) -> Result<Found, String> {
    let (written, wishes) = (Written::new(log, &[[0; SECTOR]; SECTORS]), wishes(log, requests));
    let mut found = Found::default();
    for point in 0..=log.len() {
        found.points += 1;
        let left = written.left(point);
        let needed: Vec<Option<usize>> =
            wishes.iter().map(|all| all.iter().rposition(|wish| wish.promised.is_some_and(|at| at < point))).collect();
        found.promises += needed.iter().flatten().count() as u64;
        for image in images(&left, random) {
            found.images += 1;
            for (sector, data) in image.into_iter().enumerate() {
                let Some(needed) = needed[sector] else { continue };
                let newer = wishes[sector][needed..].iter().filter(|wish| wish.asked < point);
                if !newer.into_iter().any(|wish| wish.data == *data) {
                    let head = u64::from_le_bytes(data[..8].try_into().unwrap());
                    return Err(format!("power lost at {point}: sector {sector} has that of request {head} less 1"));
                }
            }
        }
    }
    Ok(found)
}

/// One run of a device, and the power loss at each of its points.
fn run<P: Split>(mode: Mode, merge: bool, failing: u64, lie: Lie, seed: u64) -> Result<Found, String> {
    let mut scene = Scene::<P>::new(mode, merge, failing, lie, seed);
    scene.play(mode, 150);
    check(&scene.recorder.log(), &scene.requests, &mut scene.random)
}

fn runs<P: Split>(mode: Mode) {
    let mut all = Found::default();
    for seed in 0..times(SEEDS, 12) {
        let merge = seed % 2 == 0;
        // Storage that fails makes no promise, and breaks none.
        let failing = if seed % 4 < 2 { 0 } else { 8 };
        let found = run::<P>(mode, merge, failing, Lie::None, seed);
        let Found { points, images, promises } = found.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        all.points += points;
        all.images += images;
        all.promises += promises;
    }
    println!("{mode:?}: {all:?}");
    assert!(all.promises > all.points && all.images > all.points, "{all:?}");
}

#[test]
fn blk_stable_01_what_was_flushed_outlives_the_power() {
    runs::<Mmio>(Mode::Flush);
}

#[test]
fn blk_stable_01_what_was_flushed_outlives_the_power_over_pci() {
    runs::<Pci>(Mode::Flush);
}

#[test]
fn blk_stable_01_without_flush_each_write_outlives_the_power() {
    runs::<Mmio>(Mode::Plain);
}

#[test]
fn blk_stable_01_the_cache_mode_of_the_moment_counts() {
    runs::<Mmio>(Mode::Toggled);
}

/// What is promised here would be broken: that is found.
#[test]
fn a_disk_that_lies_is_found_out() {
    for (mode, lie) in [(Mode::Flush, Lie::Flush), (Mode::Plain, Lie::Durable), (Mode::Toggled, Lie::Durable)] {
        for merge in [false, true] {
            let seeds: HashSet<u64> = (0..4).filter(|seed| run::<Mmio>(mode, merge, 0, lie, *seed).is_err()).collect();
            assert_eq!(seeds.len(), 4, "{mode:?}, {lie:?}, merged {merge}: found with {seeds:?}");
        }
    }
}
