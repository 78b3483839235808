use super::*;

#[test]
fn ten_lines_in_a_period_and_then_how_many_were_held_back() {
    let (mut state, start) = (State::default(), Instant::now());
    assert!((0..10).all(|_| state.admit(start) == Some(0)));
    assert!((0..5).all(|_| state.admit(start + PERIOD / 2).is_none()));
    assert_eq!(state.admit(start + PERIOD), Some(5));
    assert_eq!(state.admit(start + PERIOD), Some(0));
}
