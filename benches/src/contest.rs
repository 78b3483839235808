//! Two implementations doing the same work in turns.

#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

/// Rounds of one comparison. Odd, so that a median is a value that was measured.
pub const ROUNDS: usize = 21;

/// One implementation at work: does so many batches, and says the time that each took.
pub type Side = Box<dyn FnMut(u32) -> Vec<Duration>>;

/// The same work for two implementations.
pub struct Contest {
    /// This project's code.
    pub ours: Side,
    /// What it is measured against.
    pub baseline: Side,
}

/// A line of the table.
pub struct Case {
    /// Its name: area, shape and variant, separated by slashes.
    pub name: &'static str,
    /// The ratio that is wanted.
    pub want: f64,
    /// Batches that make a run.
    pub batches: u32,
    /// Chains (requests, packets) in a batch.
    pub chains: u32,
    /// Makes the contest.
    pub contest: Box<dyn Fn() -> Contest>,
}

impl Case {
    /// Compares for [`ROUNDS`] rounds, after one that does not count.
    ///
    /// A round runs ours, the baseline, and ours again, so that a drift of the machine's speed falls on both alike. Each
    /// counts with its median batch: one in which the machine did something else does not show.
    pub fn measure(&self) -> Outcome {
        let mut contest = (self.contest)();
        let per_chain = |batches: Vec<Duration>| {
            median(batches.iter().map(|batch| batch.as_secs_f64() * 1e9)) / f64::from(self.chains)
        };
        let mut round = || {
            let first = per_chain((contest.ours)(self.batches));
            let baseline = per_chain((contest.baseline)(self.batches));
            let second = per_chain((contest.ours)(self.batches));
            (first, baseline, second)
        };
        round();
        let rounds: Vec<_> = (0..ROUNDS).map(|_| round()).collect();
        Outcome::of(&rounds)
    }
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
    /// The outcome of rounds of (ours, baseline, ours again).
    fn of(rounds: &[(f64, f64, f64)]) -> Outcome {
        let ours = median(rounds.iter().flat_map(|round| [round.0, round.2]));
        let baseline = median(rounds.iter().map(|round| round.1));
        let spread = median(rounds.iter().map(|round| 2.0 * (round.0 - round.2).abs() / (round.0 + round.2)));
        let ratio = median(rounds.iter().map(|round| 2.0 * round.1 / (round.0 + round.2)));
        Outcome { ours, baseline, ratio, spread }
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
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = |offset| values.get((values.len().wrapping_sub(offset)) / 2).copied().unwrap_or(0.0);
    (middle(0) + middle(1)) / 2.0
}
