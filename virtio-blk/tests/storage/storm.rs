//! Any requests at once, on a disk with bad sectors that ends its operations in any order, with resets among them.

use std::collections::{BTreeSet, HashMap};
use std::io::ErrorKind;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use virtio_blk::OperationKind;
use virtio_core::Features;

use crate::faulty::{Fate, Faulty, Seen};
use crate::image;
use crate::ports::{Mmio, Pci};
use crate::rig::*;
use crate::talk::{Random, Talk, live, reset, segment, until};

const SECTORS: u64 = 64;
const FEATURES: Features = Features::from_bits(1 << 32 | 1 << 28 | 1 << 29 | 1 << 9 | 1 << 13 | 1 << 14);

#[derive(Clone, Debug)]
enum Step {
    Read(Range<u64>),
    Write(Range<u64>),
    /// Discarded, or zeroed; each of the segments.
    Clear(bool, Vec<Range<u64>>),
    Flush,
    Id,
    /// The device runs, so often.
    Go(u8),
    Reset,
}

fn range() -> impl Strategy<Value = Range<u64>> {
    (0..SECTORS, 0..5u64).prop_map(|(start, len)| start..(start + len).min(SECTORS))
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => range().prop_map(Step::Read),
        8 => range().prop_map(Step::Write),
        3 => (any::<bool>(), prop::collection::vec(range(), 1..4)).prop_map(|(zero, all)| Step::Clear(zero, all)),
        1 => Just(Step::Flush),
        1 => Just(Step::Id),
        6 => (1..3u8).prop_map(Step::Go),
        1 => Just(Step::Reset),
    ]
}

/// What a request is to bring about.
struct Asked {
    ranges: Vec<Range<u64>>,
    what: What,
}

enum What {
    Read,
    /// These bytes.
    Write(Vec<u8>),
    Clear,
    Nothing,
}

/// Ranges of requests that are with the device, in bytes: operations on others are merged ones.
type Exact = Arc<Mutex<HashMap<(u64, u64), u32>>>;

struct Storm<P: Split> {
    rig: Rig<P>,
    disk: Faulty,
    talk: Talk,
    asked: HashMap<u64, Asked>,
    exact: Exact,
    bad: BTreeSet<u64>,
    /// What each sector has, where that is known.
    model: Vec<Option<Vec<u8>>>,
    /// Memory that nobody may write any more, with its content.
    left: Vec<(u64, Vec<u8>)>,
    seed: u8,
}

impl<P: Split> Storm<P> {
    fn new(merge: bool, bad: BTreeSet<u64>, seed: u64) -> Storm<P> {
        let before = pattern(512 * SECTORS as usize, 11);
        let (exact, sectors) = (Exact::default(), bad.clone());
        let (known, mut random) = (Arc::clone(&exact), Random(seed));
        let judge = move |seen: &Seen| {
            let touched = seen.offset / 512..(seen.offset + seen.len) / 512;
            let data = matches!(seen.kind, OperationKind::Read | OperationKind::Write { .. });
            let merged = data && !known.lock().unwrap().contains_key(&(seen.offset, seen.len));
            let part = random.below(seen.len.max(1));
            let fails = sectors.range(touched).next().is_some() || (merged && random.is(30));
            match random.below(3) {
                _ if !fails => Fate::Well,
                0 => Fate::Error(ErrorKind::Other),
                1 => Fate::Torn(part),
                _ => Fate::Short(part),
            }
        };
        let disk = Faulty::new(before.clone(), merge, seed, judge);
        let rig = image::rig::<P>(disk.clone(), |block| block);
        let talk = live(&rig, FEATURES);
        let model = before.chunks(512).map(|sector| Some(sector.to_vec())).collect();
        Storm { rig, disk, talk, asked: HashMap::new(), exact, bad, model, left: Vec::new(), seed: 0 }
    }

    /// Whether nothing in flight would be in the way of a request: what comes of that is nobody's to know.
    fn is_free(&self, ranges: &[Range<u64>], changes: bool) -> bool {
        self.asked.values().filter(|other| changes || !matches!(other.what, What::Read)).all(|other| {
            other
                .ranges
                .iter()
                .all(|theirs| ranges.iter().all(|own| own.end <= theirs.start || theirs.end <= own.start))
        })
    }

    fn count(&self, ranges: &[Range<u64>], change: impl Fn(&mut u32)) {
        let mut exact = self.exact.lock().unwrap();
        for range in ranges {
            let key = (range.start * 512, (range.end - range.start) * 512);
            change(exact.entry(key).or_default());
            exact.retain(|_, count| *count > 0);
        }
    }

    fn ask(&mut self, kind: u32, ranges: Vec<Range<u64>>, what: What) {
        let changes = !matches!(what, What::Read);
        if !self.talk.has_room() || !self.is_free(&ranges, changes) {
            return;
        }
        let first = ranges.first().cloned().unwrap_or(0..0);
        let (payload, room) = match &what {
            What::Read => (vec![], (first.end - first.start) as usize * 512),
            What::Write(data) => (data.clone(), 0),
            What::Clear => {
                let segments = ranges.iter().map(|range| segment(range.start, (range.end - range.start) as u32, 0));
                (segments.flatten().collect(), 0)
            }
            What::Nothing => (vec![], if kind == GET_ID { 20 } else { 0 }),
        };
        let sector = if let What::Read | What::Write(_) = what { first.start } else { 0 };
        let number = self.talk.ask(&self.rig, kind, sector, &payload, room);
        self.count(&ranges, |count| *count += 1);
        self.asked.insert(number, Asked { ranges, what });
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Read(range) => self.ask(IN, vec![range], What::Read),
            Step::Write(range) => {
                self.seed = self.seed.wrapping_add(1);
                let data = pattern((range.end - range.start) as usize * 512, self.seed);
                self.ask(OUT, vec![range], What::Write(data));
            }
            Step::Clear(zero, ranges) => self.ask(if zero { WRITE_ZEROES } else { DISCARD }, ranges, What::Clear),
            Step::Flush => self.ask(FLUSH, vec![], What::Nothing),
            Step::Id => self.ask(GET_ID, vec![], What::Nothing),
            Step::Go(times) => {
                self.talk.show(&self.rig);
                for _ in 0..times {
                    self.rig.runtime.poll();
                }
                self.take(false);
            }
            Step::Reset => self.reset(),
        }
    }

    /// Takes the answers that are there. What is `cancelled` may have failed for that.
    fn take(&mut self, cancelled: bool) {
        while let Some((number, answer)) = self.talk.answer(&self.rig) {
            let Asked { ranges, what } = self.asked.remove(&number).expect("it was asked");
            self.count(&ranges, |count| *count -= 1);
            let fails = ranges.iter().any(|range| self.bad.range(range.clone()).next().is_some());
            let fails = fails || (cancelled && answer.status == IOERR);
            assert_eq!(answer.status, if fails { IOERR } else { OK });
            match what {
                What::Read if fails => {}
                What::Read => {
                    assert_eq!(answer.len as usize, answer.data.len() + 1);
                    for (sector, data) in ranges[0].clone().zip(answer.data.chunks(512)) {
                        let known = self.model[sector as usize].as_deref();
                        assert!(known.is_none_or(|known| known == data), "sector {sector} has what was written last");
                    }
                }
                _ if fails => self.forget(&ranges),
                What::Write(data) => {
                    for (sector, data) in ranges[0].clone().zip(data.chunks(512)) {
                        self.model[sector as usize] = Some(data.to_vec());
                    }
                }
                What::Clear => {
                    for sector in ranges.into_iter().flatten() {
                        self.model[sector as usize] = Some(vec![0; 512]);
                    }
                }
                What::Nothing => {}
            }
        }
    }

    fn forget(&mut self, ranges: &[Range<u64>]) {
        for sector in ranges.iter().cloned().flatten() {
            self.model[sector as usize] = None;
        }
    }

    fn reset(&mut self) {
        // Those that are not shown are not begun.
        self.talk.show(&self.rig);
        self.rig.runtime.poll();
        reset(&self.rig);
        assert_eq!(self.disk.in_use(), (0, 0));
        self.take(true);
        for Asked { ranges, what } in std::mem::take(&mut self.asked).into_values() {
            if !matches!(what, What::Read) {
                self.forget(&ranges);
            }
        }
        self.exact.lock().unwrap().clear();
        for Pending { data, data_len, .. } in self.talk.places() {
            self.left.push((data, self.rig.memory.bytes(data, data_len + 1)));
        }
        self.talk = live(&self.rig, FEATURES);
    }

    fn end(mut self) {
        self.talk.show(&self.rig);
        let limit = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while self.talk.flying() > 0 {
            assert!(std::time::Instant::now() < limit, "{} requests have no answer", self.talk.flying());
            self.rig.runtime.poll();
            self.take(false);
        }
        assert!(self.asked.is_empty() && self.disk.in_use() == (1, 0));
        for (sector, (content, known)) in self.disk.content().chunks(512).zip(&self.model).enumerate() {
            assert!(known.as_deref().is_none_or(|known| known == content), "sector {sector}");
        }
        until(&self.rig, || self.rig.port.status() != 0);
        for (place, content) in &self.left {
            assert_eq!(self.rig.memory.bytes(*place, content.len()), *content, "written after a reset");
        }
        assert!(!self.rig.is_broken());
    }
}

fn storm<P: Split>(merge: bool, bad: BTreeSet<u64>, seed: u64, steps: Vec<Step>) {
    let mut storm = Storm::<P>::new(merge, bad, seed);
    for step in steps {
        storm.step(step);
    }
    storm.end();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_request_ends_once_with_its_status_over_mmio(
        merge: bool,
        bad in prop::collection::btree_set(0..SECTORS, 0..4),
        seed: u64,
        steps in prop::collection::vec(step(), 10..200),
    ) {
        storm::<Mmio>(merge, bad, seed, steps);
    }

    #[test]
    fn each_request_ends_once_with_its_status_over_pci(
        merge: bool,
        bad in prop::collection::btree_set(0..SECTORS, 0..4),
        seed: u64,
        steps in prop::collection::vec(step(), 10..200),
    ) {
        storm::<Pci>(merge, bad, seed, steps);
    }
}
