//! The event arithmetic against a second definition: stepping index by index.

use super::crosses;

#[test]
fn an_event_is_crossed_where_its_index_is_stepped_over() {
    // From everywhere that is not like the place before it: at the ends of the numbers, and in the middle.
    for start in [0, 1, 0x7fff, 0x8000, 0xfffe, u16::MAX] {
        for count in 0..=8u16 {
            let now = start.wrapping_add(count);
            for event in 0..=u16::MAX {
                let stepped_over = (0..count).any(|passed| start.wrapping_add(passed) == event);
                assert_eq!(crosses(event, now, start), stepped_over, "{event} from {start} to {now}");
            }
        }
    }
}

#[test]
fn a_whole_ring_of_the_largest_size_can_be_crossed() {
    for event in 0..=u16::MAX {
        assert_eq!(crosses(event, 0x9000, 0x1000), (0x1000..0x9000).contains(&event), "{event}");
    }
}
