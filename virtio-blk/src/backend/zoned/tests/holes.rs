use std::collections::BTreeSet;

use proptest::prelude::*;

use crate::backend::zoned::holes::{Holes, MOST};

fn points(holes: &Holes) -> BTreeSet<u64> {
    holes.iter().flatten().collect()
}

proptest! {
    /// What is a hole is never taken for data; and what is data only where there are more holes than are told apart.
    #[test]
    fn holes_are_sets_of_places(steps in prop::collection::vec((any::<bool>(), 0..60_u64, 1..9_u64), 1..40)) {
        let (mut holes, mut set) = (Holes::default(), BTreeSet::new());
        let mut joined = false;
        for (add, start, len) in steps {
            let range = start..start + len;
            match add {
                true => {
                    holes.add(range.clone());
                    set.extend(range);
                }
                false => {
                    holes.fill(&range);
                    set.retain(|at| !range.contains(at));
                }
            }
            let now = points(&holes);
            prop_assert!(now.is_superset(&set));
            prop_assert!(holes.iter().count() <= MOST);
            let runs = set.iter().filter(|at| !set.contains(&(*at + 1))).count();
            joined |= runs > MOST;
            for at in 0..70 {
                prop_assert_eq!(holes.overlap(&(at..at + 1)), now.contains(&at));
            }
            for (one, next) in holes.iter().zip(holes.iter().skip(1)) {
                prop_assert!(one.start < one.end && one.end < next.start);
            }
            if !joined {
                prop_assert_eq!(&now, &set);
            }
        }
    }
}

#[test]
fn the_nearest_holes_become_one_when_there_are_too_many() {
    let mut holes = Holes::default();
    for start in [0, 10, 20, 24, 40] {
        holes.add(start..start + 2);
    }
    let found: Vec<_> = holes.iter().collect();
    assert_eq!(found, [0..2, 10..12, 20..26, 40..42]);
    assert_eq!(holes.take_last(43), None);
    assert_eq!(holes.take_last(42), Some(40));
    assert_eq!(holes.iter().count(), 3);
}
