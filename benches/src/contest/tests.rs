use super::*;

#[test]
fn median_of_odd_even_and_none() {
    assert_eq!(median([3.0, 1.0, 9.0].into_iter()), 3.0);
    assert_eq!(median([4.0, 1.0, 9.0, 2.0].into_iter()), 3.0);
    assert_eq!(median([].into_iter()), 0.0);
}

fn round(first: f64, baseline: f64, second: f64) -> Round {
    Round { ours: [first, second], baseline, round_trips: [None; 3] }
}

#[test]
fn an_outlier_moves_nothing_and_the_ratio_says_how_much_better_ours_is() {
    let outcome = Outcome::of(&[round(2.0, 10.0, 2.0), round(2.0, 10.0, 2.0), round(90.0, 500.0, 2.0)]);
    assert_eq!(outcome, Outcome { ours: 2.0, baseline: 10.0, ratio: 5.0, spread: 0.0 });
}

#[test]
fn the_spread_is_a_fraction_of_the_mean() {
    assert_eq!(Outcome::of(&[round(3.0, 10.0, 5.0)]).spread, 0.5);
}

#[test]
fn only_rounds_whose_threads_were_near_to_each_other_count() {
    let trips = |first, baseline, second| [Some(first), Some(baseline), Some(second)];
    let near = Round { round_trips: trips(100.0, 110.0, 120.0), ..round(2.0, 10.0, 2.0) };
    let moved = Round { round_trips: trips(100.0, 300.0, 100.0), ..round(2.0, 90.0, 2.0) };
    let far = Round { round_trips: trips(310.0, 300.0, 310.0), ..round(2.0, 80.0, 2.0) };
    assert_eq!(Outcome::of(&[moved, far, near, moved, far]).ratio, 5.0);
    assert_eq!(Outcome::of(&[moved]).ratio, 0.0);
}

#[test]
fn a_ratio_is_met_within_the_spread() {
    let outcome = Outcome { ours: 2.0, baseline: 19.6, ratio: 9.8, spread: 0.03 };
    assert!(outcome.meets(10.0));
    assert!(!outcome.meets(10.2));
}
