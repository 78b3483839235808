//! Two implementations doing the same work in turns.

#[cfg(test)]
mod tests;

use std::fmt;
use std::time::{Duration, Instant};

/// Rounds of one comparison. Odd, so that a median is a value that was measured.
pub const ROUNDS: usize = 21;

/// How long to wait for rounds that are alike.
const PATIENCE: Duration = Duration::from_secs(60);

/// How far a round trip may lie from what it takes between near processors: the longer by the shorter.
const ALIKE: f64 = 1.25;

/// One implementation at work: does so many batches.
pub type Side = Box<dyn FnMut(u32) -> Run>;

/// What one side took for some batches.
pub struct Run {
    /// The time of each batch.
    pub times: Vec<Duration>,
    /// Where two threads did the work: what a cache line took there and back between them.
    pub round_trip: Option<Duration>,
}

/// Says, when all is measured, what else is worth knowing.
pub type Note = Box<dyn Fn(&Outcome) -> String>;

/// The same work for two implementations.
pub struct Contest {
    /// This project's code.
    pub ours: Side,
    /// What it is measured against.
    pub baseline: Side,
    /// What is printed below the line of the case.
    pub note: Option<Note>,
}

impl Contest {
    /// A contest that says no more than its times.
    pub fn new(ours: Side, baseline: Side) -> Contest {
        Contest { ours, baseline, note: None }
    }

    /// The same, with a note.
    #[must_use]
    pub fn noted(self, note: impl Fn(&Outcome) -> String + 'static) -> Contest {
        Contest { note: Some(Box::new(note)), ..self }
    }
}

/// What a case needs and this machine, or this user, does not have.
#[derive(Clone, Debug)]
pub struct Missing(pub String);

/// A line of the table.
pub struct Case {
    /// Its name: layout, shape and variant, separated by slashes.
    pub name: &'static str,
    /// The ratio that is wanted.
    pub want: f64,
    /// Batches that make a run.
    pub batches: u32,
    /// Chains (requests, packets) in a batch.
    pub chains: u32,
    /// Makes the contest; or says what is missing for it here.
    pub contest: Box<dyn Fn() -> Result<Contest, Missing>>,
}

impl Case {
    /// Compares for [`ROUNDS`] rounds, after one that does not count; up to three times as many, for up to a minute, where
    /// some of them are [not alike](Round::is_alike).
    ///
    /// A round runs ours, the baseline, and ours again, so that a drift of the machine's speed falls on both alike. Each
    /// counts with its median batch: one in which the machine did something else does not show.
    ///
    /// # Errors
    /// Where it cannot be measured here.
    pub fn measure(&self) -> Result<(Vec<Round>, Option<Note>), Missing> {
        let mut contest = (self.contest)()?;
        let nanoseconds = |time: &Duration| time.as_secs_f64() * 1e9;
        let result = |run: Run| {
            let per_chain = median(run.times.iter().map(nanoseconds)) / f64::from(self.chains);
            (per_chain, run.round_trip.as_ref().map(nanoseconds))
        };
        let mut round = || {
            let first = result((contest.ours)(self.batches));
            let baseline = result((contest.baseline)(self.batches));
            let second = result((contest.ours)(self.batches));
            Round { ours: [first.0, second.0], baseline: baseline.0, round_trips: [first.1, baseline.1, second.1] }
        };
        round();
        let start = Instant::now();
        let mut rounds = Vec::new();
        loop {
            rounds.push(round());
            let near = near_round_trip(&rounds);
            let alike = rounds.iter().filter(|round| round.is_alike(near)).count();
            let enough = rounds.len() >= 3 * ROUNDS || start.elapsed() > PATIENCE;
            if alike >= ROUNDS || (alike < rounds.len() && enough) {
                return Ok((rounds, contest.note));
            }
        }
    }
}

/// One round of a comparison. Times are nanoseconds, those of the sides per chain.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    /// The two runs of ours.
    pub ours: [f64; 2],
    /// The run of the baseline, between them.
    pub baseline: f64,
    /// The round trip of a cache line in each of the three runs, in their order.
    pub round_trips: [Option<f64>; 3],
}

impl Round {
    /// Mean of the two runs of ours.
    fn mean(&self) -> f64 {
        (self.ours[0] + self.ours[1]) / 2.0
    }

    /// How often ours goes into the baseline.
    pub fn ratio(&self) -> f64 {
        self.baseline / self.mean()
    }

    /// The difference of the two runs of ours, as a fraction of their mean.
    fn spread(&self) -> f64 {
        (self.ours[0] - self.ours[1]).abs() / self.mean()
    }

    /// Whether a cache line took about `near` in all of its runs, so that they can be compared with each other and with
    /// other rounds. It does not where the threads were on processors that are farther apart, or shared with other work.
    pub fn is_alike(&self, near: f64) -> bool {
        self.round_trips.iter().flatten().all(|trip| *trip <= ALIKE * near && near <= ALIKE * trip)
    }
}

/// What a cache line took where the threads were near to each other: in the quickest fifth of the runs; 0 where there
/// was none.
pub fn near_round_trip(rounds: &[Round]) -> f64 {
    let mut trips: Vec<f64> = rounds.iter().flat_map(|round| round.round_trips.into_iter().flatten()).collect();
    trips.sort_by(f64::total_cmp);
    trips.get(trips.len() / 5).copied().unwrap_or(0.0)
}

/// What came out of a comparison. Times are nanoseconds per chain.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// Median of all rounds of ours.
    pub ours: f64,
    /// Median of all rounds of the baseline.
    pub baseline: f64,
    /// How often ours goes into the baseline, above 1 if ours is faster: the median over all rounds, of which each is
    /// too short for the machine to change its speed in.
    pub ratio: f64,
    /// The spread of ours against itself: the median over all rounds of the difference of its two runs in that round,
    /// as a fraction of their mean.
    pub spread: f64,
}

impl Outcome {
    /// The outcome of these rounds, as far as they are alike; all zero where none is.
    pub fn of(rounds: &[Round]) -> Outcome {
        let near = near_round_trip(rounds);
        let rounds = || rounds.iter().filter(|round| round.is_alike(near));
        Outcome {
            ours: median(rounds().flat_map(|round| round.ours)),
            baseline: median(rounds().map(|round| round.baseline)),
            ratio: median(rounds().map(Round::ratio)),
            spread: median(rounds().map(Round::spread)),
        }
    }

    /// Whether the ratio reaches `want`, or misses it by no more than the spread.
    pub fn meets(&self, want: f64) -> bool {
        self.ratio * (1.0 + self.spread) >= want
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Outcome { ours, baseline, ratio, spread } = self;
        write!(f, "{ours:>9.2} {baseline:>9.2} {ratio:>7.2} {spread:>6.3}")
    }
}

/// The middle value, or the mean of the two in the middle; 0 of nothing.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = |offset| values.get((values.len().wrapping_sub(offset)) / 2).copied().unwrap_or(0.0);
    (middle(0) + middle(1)) / 2.0
}
