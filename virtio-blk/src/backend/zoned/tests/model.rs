//! Whole disks against an obvious one: all bytes of it, and where each zone's pointer is.

use proptest::prelude::*;

use super::rig::{APPEND, CAPACITY, Rig, SIZE, WRITE, ZEROES, ZONE, at};
use crate::backend::zone::{ZoneState, ZonedModel};
use crate::backend::{BlockBackend, Operation, OperationError, OperationKind, OperationResult, ZoneError};

/// Offsets and lengths are in units of this.
const UNIT: u64 = 4096;

#[derive(Clone, Copy, Debug)]
enum Step {
    Read(u64, u64),
    Write(u64, u64, u8),
    /// At the pointer of a zone.
    Go(u32, u64, u8),
    Append(u32, u64, u8),
    Zero(u64, u64),
    Finish(u32),
    Reset(u32),
    ResetAll,
    Erase(u32, u32),
}

fn step() -> impl Strategy<Value = Step> {
    let (zone, unit, byte) = (0..8_u32, 0..SIZE / UNIT, 1..=200_u8);
    prop_oneof![
        6 => (unit.clone(), 1..40_u64).prop_map(|(at, len)| Step::Read(at, len)),
        3 => (unit.clone(), 1..24_u64, byte.clone()).prop_map(|(at, len, byte)| Step::Write(at, len, byte)),
        6 => (zone.clone(), 1..8_u64, byte.clone()).prop_map(|(zone, len, byte)| Step::Go(zone, len, byte)),
        3 => (zone.clone(), 1..8_u64, byte).prop_map(|(zone, len, byte)| Step::Append(zone, len, byte)),
        2 => (unit, 1..24_u64).prop_map(|(at, len)| Step::Zero(at, len)),
        1 => zone.clone().prop_map(Step::Finish),
        2 => zone.clone().prop_map(Step::Reset),
        1 => Just(Step::ResetAll),
        1 => (zone, 1..4_u32).prop_map(|(zone, count)| Step::Erase(zone, count)),
    ]
}

/// The obvious disk.
struct Model {
    aware: bool,
    bytes: Vec<u8>,
    /// Bytes written of each zone, and whether no more can be.
    zones: Vec<(u64, bool)>,
}

impl Model {
    fn end(zone: usize) -> u64 {
        at(zone as u32 + 1).min(SIZE)
    }

    fn capacity(&self, zone: usize) -> u64 {
        let len = Model::end(zone) - at(zone as u32);
        if self.aware { len } else { len.min(CAPACITY) }
    }

    fn touched(&self, offset: u64, len: u64) -> Result<std::ops::RangeInclusive<usize>, ZoneError> {
        if offset + len > SIZE {
            return Err(ZoneError::InvalidCommand);
        }
        let zones = (offset / ZONE) as usize..=((offset + len - 1) / ZONE) as usize;
        match !self.aware && zones.start() != zones.end() {
            true => Err(ZoneError::InvalidCommand),
            false => Ok(zones),
        }
    }

    fn write(&mut self, offset: u64, len: u64, byte: u8) -> Result<(), ZoneError> {
        for zone in self.touched(offset, len)? {
            if zone == 0 {
                continue;
            }
            let start = at(zone as u32);
            let end = (offset + len).min(Model::end(zone)) - start;
            let (capacity, (pointer, full)) = (self.capacity(zone), self.zones[zone]);
            if !self.aware {
                if full {
                    return Err(ZoneError::InvalidCommand);
                }
                if offset - start != pointer {
                    return Err(ZoneError::UnalignedWritePointer);
                }
                if end > capacity {
                    return Err(ZoneError::InvalidCommand);
                }
            }
            self.zones[zone] = (pointer.max(end), full || end == capacity);
        }
        self.bytes[offset as usize..(offset + len) as usize].fill(byte);
        Ok(())
    }

    fn reset(&mut self, zones: std::ops::Range<usize>) -> Result<(), ZoneError> {
        if zones.contains(&0) || zones.end > 8 {
            return Err(ZoneError::InvalidCommand);
        }
        for zone in zones {
            self.zones[zone] = (0, false);
            self.bytes[at(zone as u32) as usize..Model::end(zone) as usize].fill(0);
        }
        Ok(())
    }
}

#[track_caller]
fn rule(result: OperationResult) -> Result<u64, ZoneError> {
    result.map_err(|error| match error {
        OperationError::Zone(error) => error,
        other => panic!("{other}"),
    })
}

fn check(aware: bool, steps: Vec<(bool, Step)>) -> Result<(), TestCaseError> {
    let mut rig = if aware { Rig::aware() } else { Rig::new(|builder| builder.max_append_len(ZONE / 4)) };
    assert_eq!(rig.disk.capabilities().zoned.unwrap().model == ZonedModel::HostAware, aware);
    let mut other = rig.disk.open_queue(4).unwrap();
    let mut model = Model { aware, bytes: vec![0; SIZE as usize], zones: vec![(0, false); 8] };
    model.bytes[..ZONE as usize].fill(0xee);
    let memory = rig.bench.memory.alloc(SIZE, 4096);
    for (swap, step) in steps {
        if swap {
            std::mem::swap(&mut rig.queue, &mut other);
        }
        let data = |rig: &mut Rig, kind, offset, len: u64, byte: u8| -> Box<Operation> {
            rig.bench.memory.write(memory, &vec![byte; len as usize]);
            // In two pieces that fit nothing.
            let pieces = [(memory, 700), (memory + 700, len as u32 - 700)];
            rig.bench.operation(0, kind, offset, &pieces)
        };
        match step {
            Step::Read(start, len) => {
                let (offset, len) = (start * UNIT, len * UNIT);
                let read = data(&mut rig, OperationKind::Read, offset, len, 0x55);
                let expected = model.touched(offset, len).map(|_| len);
                prop_assert_eq!(rule(rig.perform(read)), expected);
                if expected.is_ok() {
                    let found = rig.bench.memory.bytes(memory, len as usize);
                    prop_assert!(found == model.bytes[offset as usize..(offset + len) as usize], "{:?}", step);
                }
            }
            Step::Write(start, len, byte) => {
                let (offset, len) = (start * UNIT, len * UNIT);
                let write = data(&mut rig, WRITE, offset, len, byte);
                prop_assert_eq!(rule(rig.perform(write)), model.write(offset, len, byte).map(|()| len), "{:?}", step);
            }
            Step::Go(zone, len, byte) => {
                let (offset, len) = (at(zone) + model.zones[zone as usize].0, len * UNIT);
                let write = data(&mut rig, WRITE, offset, len, byte);
                prop_assert_eq!(rule(rig.perform(write)), model.write(offset, len, byte).map(|()| len), "{:?}", step);
            }
            Step::Append(zone, len, byte) => {
                let (offset, len) = (at(zone) + model.zones[zone as usize].0, len * UNIT);
                let append = data(&mut rig, APPEND, at(zone), len, byte);
                let expected = match aware || zone == 0 || len > ZONE / 4 {
                    true => Err(ZoneError::InvalidCommand),
                    // It can be too long, but is never off the pointer.
                    false => model.write(offset, len, byte).map_err(|_| ZoneError::InvalidCommand),
                };
                prop_assert_eq!(rule(rig.perform(append)), expected.map(|()| offset), "{:?}", step);
            }
            Step::Zero(start, len) if aware => {
                let (offset, len) = (start * UNIT, len * UNIT);
                let result = rule(rig.range(ZEROES, offset, len));
                prop_assert_eq!(result, model.write(offset, len, 0).map(|()| len), "{:?}", step);
            }
            Step::Zero(..) => {}
            Step::Finish(zone) => {
                let expected = match zone {
                    0 => Err(ZoneError::InvalidCommand),
                    zone => {
                        model.zones[zone as usize].1 = true;
                        Ok(0)
                    }
                };
                prop_assert_eq!(rule(rig.manage(OperationKind::ZoneFinish, at(zone))), expected);
            }
            Step::Reset(zone) => {
                let expected = model.reset(zone as usize..zone as usize + 1).map(|()| 0);
                prop_assert_eq!(rule(rig.manage(OperationKind::ZoneReset, at(zone))), expected);
            }
            Step::ResetAll => {
                model.reset(1..8).unwrap();
                prop_assert_eq!(rule(rig.manage(OperationKind::ZoneResetAll, 0)), Ok(0));
            }
            Step::Erase(zone, count) => {
                let len = u64::from(count) * ZONE;
                let zones = zone as usize..(zone + count) as usize;
                let expected = match zones.end >= 8 {
                    true => Err(ZoneError::InvalidCommand),
                    false => model.reset(zones).map(|()| len),
                };
                prop_assert_eq!(rule(rig.range(OperationKind::SecureErase, at(zone), len)), expected);
            }
        }
        for (zone, (pointer, full)) in model.zones.iter().enumerate().skip(1) {
            let found = rig.disk.zone(zone as u32).unwrap();
            prop_assert_eq!(found.state == ZoneState::Full, *full, "zone {} after {:?}", zone, step);
            if !full {
                prop_assert_eq!(found.write_pointer - found.start, *pointer, "zone {} after {:?}", zone, step);
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_host_managed_disk_is_the_obvious_one(steps in prop::collection::vec((any::<bool>(), step()), 1..60)) {
        check(false, steps)?;
    }

    #[test]
    fn a_host_aware_disk_is_the_obvious_one(steps in prop::collection::vec((any::<bool>(), step()), 1..60)) {
        check(true, steps)?;
    }
}
