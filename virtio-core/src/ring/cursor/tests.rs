//! The arithmetic of cursors against a second definition: stepping slot by slot, for every place in every small ring.

use super::{Cursor, crosses};

/// Sizes that are tried; a packed ring's need not be powers of two.
const SIZES: std::ops::RangeInclusive<u32> = 1..=6;

/// All places of a ring: its slots in both laps.
fn places(size: u32) -> impl Iterator<Item = Cursor> {
    [true, false].into_iter().flat_map(move |wrap| (0..size as u16).map(move |slot| Cursor::new(slot, wrap)))
}

/// The place of the next slot.
fn step(Cursor { slot, lap }: Cursor, size: u32) -> Cursor {
    let wrap = Cursor { slot, lap }.wrap();
    if slot + 1 == size { Cursor::new(0, !wrap) } else { Cursor::new(slot as u16 + 1, wrap) }
}

fn steps(from: Cursor, count: u32, size: u32) -> Cursor {
    (0..count).fold(from, |at, _| step(at, size))
}

#[test]
fn a_cursor_goes_on_and_back_slot_by_slot() {
    for size in SIZES {
        for from in places(size) {
            for by in 0..=size {
                let mut at = from;
                at.advance(by, size);
                assert!(at == steps(from, by, size), "{size}: {by} from {}", from.slot);
                at.go_back(by, size);
                assert!(at == from, "{size}: {by} back to {}", from.slot);
            }
        }
    }
}

#[test]
fn a_distance_is_the_number_of_steps() {
    for size in SIZES {
        for from in places(size) {
            for count in 0..2 * size {
                assert_eq!(steps(from, count, size).since(from, size), count, "{size}: from {}", from.slot);
            }
        }
    }
}

#[test]
fn an_event_is_crossed_where_its_slot_is_stepped_over() {
    for size in SIZES {
        for before in places(size) {
            for count in 0..=size {
                let now = steps(before, count, size);
                for event in places(size) {
                    let stepped_over = (0..count).any(|passed| steps(before, passed, size) == event);
                    assert_eq!(crosses(event.event(), now, before, size), stepped_over, "{size}: {count}");
                }
            }
        }
    }
}

#[test]
fn an_event_that_the_ring_does_not_have_is_crossed() {
    let (before, now) = (Cursor::new(0, true), Cursor::new(1, true));
    for wrap in [0, 1 << 15] {
        assert!(crosses(6 | wrap, now, before, 6) && crosses(0x7fff | wrap, now, before, 6));
    }
}

#[test]
fn the_flags_of_a_used_descriptor() {
    assert_eq!(Cursor::new(0, true).used(), 0x8080 << 48, "both are set");
    assert_eq!(Cursor::new(0, false).used(), 0, "neither is");
}
