//! The states of zones against the lists of the specification, as they stand there.

use proptest::prelude::*;

use crate::backend::ZoneError;
use crate::backend::zone::ZoneState::{self, *};
use crate::backend::zone::ZonedModel;
use crate::backend::zoned::geometry::Geometry;
use crate::backend::zoned::table::{Limits, Table};

const ZONES: u32 = 6;
const LEN: u64 = 8 * 512;
const CAPACITY: u64 = 6 * 512;

#[derive(Clone, Copy, Debug)]
enum Step {
    Open(u32),
    Close(u32),
    Finish(u32),
    Reset(u32),
    ResetAll,
    /// So many sectors, so far from the pointer.
    Write(u32, u64, u64),
    /// The last write to the zone, of so many sectors, failed.
    Fail(u32, ZoneState),
}

fn step() -> impl Strategy<Value = Step> {
    let zone = 0..ZONES;
    prop_oneof![
        3 => zone.clone().prop_map(Step::Open),
        3 => zone.clone().prop_map(Step::Close),
        1 => zone.clone().prop_map(Step::Finish),
        2 => zone.clone().prop_map(Step::Reset),
        1 => Just(Step::ResetAll),
        6 => (zone.clone(), prop_oneof![5 => Just(0_u64), 1 => 1..3_u64], 1..4_u64)
            .prop_map(|(zone, off, len)| Step::Write(zone, off, len)),
        1 => (zone, prop_oneof![Just(ReadOnly), Just(Offline)]).prop_map(|(zone, state)| Step::Fail(zone, state)),
    ]
}

type Zones = Vec<(ZoneState, u64)>;

fn count(zones: &Zones, states: &[ZoneState]) -> u32 {
    zones.iter().filter(|(state, _)| states.contains(state)).count() as u32
}

/// What the zone becomes, and whether another one has to be closed for that.
fn expected(zones: &Zones, limits: Limits, step: Step) -> Result<(ZoneState, u64, bool), ZoneError> {
    let open = count(zones, &[ImplicitlyOpen, ExplicitlyOpen]);
    let active = count(zones, &[ImplicitlyOpen, ExplicitlyOpen, Closed]);
    let opening = |state: ZoneState| {
        let no_more_active = limits.active != 0 && active >= limits.active && state == Empty;
        let no_more_open = limits.open != 0 && open >= limits.open && matches!(state, Empty | Closed);
        let helps = count(zones, &[ImplicitlyOpen]) > 0;
        match (no_more_active, no_more_open, helps) {
            (true, _, _) => Err(ZoneError::ActiveResource),
            (false, true, false) => Err(ZoneError::OpenResource),
            (false, closes, _) => Ok(closes),
        }
    };
    let invalid = Err(ZoneError::InvalidCommand);
    match step {
        Step::Open(zone) => match zones[zone as usize] {
            (state @ (Empty | ImplicitlyOpen | Closed), pointer) => Ok((ExplicitlyOpen, pointer, opening(state)?)),
            (ExplicitlyOpen, pointer) => Ok((ExplicitlyOpen, pointer, false)),
            _ => invalid,
        },
        Step::Close(zone) => match zones[zone as usize] {
            (ExplicitlyOpen, 0) => Ok((Empty, 0, false)),
            (ImplicitlyOpen | ExplicitlyOpen | Closed, pointer) => Ok((Closed, pointer, false)),
            _ => invalid,
        },
        Step::Finish(zone) => match zones[zone as usize] {
            (NotWritePointer | ReadOnly | Offline, _) => invalid,
            (_, pointer) => Ok((Full, pointer, false)),
        },
        Step::Reset(zone) => match zones[zone as usize] {
            (NotWritePointer | ReadOnly | Offline, _) => invalid,
            _ => Ok((Empty, 0, false)),
        },
        Step::Write(zone, off, len) => match zones[zone as usize] {
            (NotWritePointer | Full | ReadOnly | Offline, _) => invalid,
            _ if off != 0 => Err(ZoneError::UnalignedWritePointer),
            (_, pointer) if pointer + len * 512 > CAPACITY => invalid,
            (state, pointer) => {
                let closes = opening(state)?;
                let end = pointer + len * 512;
                let now = match state {
                    _ if end == CAPACITY => Full,
                    ExplicitlyOpen => ExplicitlyOpen,
                    _ => ImplicitlyOpen,
                };
                Ok((now, end, closes))
            }
        },
        Step::Fail(zone, state) => match zones[zone as usize] {
            (NotWritePointer | Offline, _) => invalid,
            (_, pointer) => Ok((state, pointer, false)),
        },
        Step::ResetAll => unreachable!("it concerns all zones"),
    }
}

fn zones(table: &Table) -> Zones {
    (0..ZONES).map(|zone| (table.zone(zone).state, table.zone(zone).pointer)).collect()
}

fn perform(table: &mut Table, step: Step) -> Result<(), ZoneError> {
    match step {
        Step::Open(zone) => table.open(zone),
        Step::Close(zone) => table.close(zone),
        Step::Finish(zone) => table.finish(zone).map(drop),
        Step::Reset(zone) => table.reset(zone).map(drop),
        Step::ResetAll => (0..ZONES)
            .filter(|zone| table.can_reset(*zone).is_ok())
            .collect::<Vec<_>>()
            .into_iter()
            .try_for_each(|zone| table.reset(zone).map(drop)),
        Step::Write(zone, off, len) => {
            let at = table.zone(zone).pointer + off * 512;
            let from = table.write_at_pointer(zone, at, len * 512)?;
            table.written(zone, from + len * 512);
            Ok(())
        }
        Step::Fail(zone, state) => match table.fail(zone, state) {
            true => Ok(()),
            false => Err(ZoneError::InvalidCommand),
        },
    }
}

fn check(limits: Limits, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let size = LEN * u64::from(ZONES);
    let model = ZonedModel::HostManaged;
    let geometry = Geometry { model, size, zone_len: LEN, zone_capacity: CAPACITY, conventional: 1, granularity: 512 };
    let mut table = Table::new(geometry, limits);
    for step in steps {
        let before = zones(&table);
        let result = perform(&mut table, step);
        let after = zones(&table);
        let (Step::Open(zone)
        | Step::Close(zone)
        | Step::Finish(zone)
        | Step::Reset(zone)
        | Step::Write(zone, ..)
        | Step::Fail(zone, _)) = step
        else {
            for (before, after) in before.iter().zip(&after) {
                let kept = matches!(before.0, NotWritePointer | ReadOnly | Offline);
                prop_assert_eq!(*after, if kept { *before } else { (Empty, 0) });
            }
            continue;
        };
        let others = |zones: &Zones| {
            let mut zones = zones.clone();
            zones.remove(zone as usize);
            zones
        };
        match expected(&before, limits, step) {
            Err(error) => {
                prop_assert_eq!(result, Err(error), "{:?}", step);
                prop_assert_eq!(&after, &before, "what fails changes nothing: {:?}", step);
            }
            Ok((state, pointer, closes)) => {
                prop_assert_eq!(result, Ok(()), "{:?} of {:?}", step, before);
                prop_assert_eq!(after[zone as usize], (state, pointer), "{:?}", step);
                let changed: Vec<_> =
                    others(&before).into_iter().zip(others(&after)).filter(|(before, after)| before != after).collect();
                prop_assert_eq!(changed.len(), usize::from(closes), "{:?}", step);
                for ((was, pointer), now) in changed {
                    prop_assert_eq!((was, now), (ImplicitlyOpen, (Closed, pointer)));
                }
            }
        }
        let counted = (
            count(&after, &[ImplicitlyOpen, ExplicitlyOpen]),
            count(&after, &[ImplicitlyOpen, ExplicitlyOpen, Closed]),
        );
        prop_assert_eq!(table.in_use(), counted);
        prop_assert!(limits.open == 0 || counted.0 <= limits.open);
        prop_assert!(limits.active == 0 || counted.1 <= limits.active);
    }
    Ok(())
}

proptest! {
    #[test]
    fn zones_change_as_the_specification_lists_it(
        open in 0..4_u32,
        more in 0..3_u32,
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let active = if more == 2 { 0 } else { open + more };
        check(Limits { open, active }, steps)?;
    }
}

#[test]
fn blk_zone_18_the_zones_that_are_closed_to_make_room_take_turns() {
    let model = ZonedModel::HostManaged;
    let size = LEN * u64::from(ZONES);
    let geometry = Geometry { model, size, zone_len: LEN, zone_capacity: LEN, conventional: 0, granularity: 512 };
    let mut table = Table::new(geometry, Limits { open: 2, active: 0 });
    for zone in 0..ZONES {
        table.write_at_pointer(zone, 0, 512).unwrap();
        assert_eq!(table.in_use(), (2.min(zone + 1), zone + 1));
    }
    let open: Vec<_> = (0..ZONES).filter(|zone| table.zone(*zone).state == ImplicitlyOpen).collect();
    assert_eq!(open, [4, 5]);
}
