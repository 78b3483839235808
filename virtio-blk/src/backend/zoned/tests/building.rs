use std::io;

use super::rig::{CAPACITY, KIB, SIZE, ZONE, usual};
use crate::backend::zone::ZonedModel;
use crate::backend::zoned::{ZonedBackend, ZonedBuilder, ZonedError};
use crate::backend::{BlockBackend, BlockQueue, Capabilities, Lifetime, MemoryBackend, RangeLimits, Topology};

fn build(change: impl FnOnce(ZonedBuilder) -> ZonedBuilder) -> Result<ZonedBackend, ZonedError> {
    change(usual(MemoryBackend::zeroed(SIZE as usize))).build()
}

#[track_caller]
fn refused(change: impl FnOnce(ZonedBuilder) -> ZonedBuilder) -> ZonedError {
    build(change).expect_err("it cannot be built like that")
}

#[test]
fn zones_that_cannot_be_are_refused() {
    for granularity in [0, 1, 256, 513, 1536] {
        let error = refused(|builder| builder.write_granularity(granularity));
        assert!(matches!(error, ZonedError::Granularity { .. }), "{error}");
    }
    for len in [0, 511, 513, ZONE + 1, 1 << 41, u64::MAX, u64::MAX - 511] {
        assert!(matches!(refused(|builder| builder.zone_len(len)), ZonedError::ZoneLen { .. }));
    }
    for len in [0, 511, 513, ZONE + 512, u64::MAX] {
        assert!(matches!(refused(|builder| builder.zone_capacity(len)), ZonedError::Capacity { .. }));
    }
    let error = refused(|builder| builder.write_granularity(4096).zone_capacity(CAPACITY - 512));
    assert!(matches!(error, ZonedError::Capacity { .. }));
    for zones in [8, 9, u32::MAX] {
        let error = refused(|builder| builder.conventional(zones));
        assert!(matches!(error, ZonedError::Conventional { zones: 8, .. }));
    }
    assert!(matches!(refused(|builder| builder.max_open(3).max_active(2)), ZonedError::Limits { open: 3, active: 2 }));
    for len in [511, 513, CAPACITY + 512] {
        assert!(matches!(refused(|builder| builder.max_append_len(len)), ZonedError::AppendLen { .. }));
    }
    let disks = [MemoryBackend::zeroed(0), MemoryBackend::zeroed(4095)];
    for disk in disks {
        let error = usual(disk).write_granularity(4096).build().unwrap_err();
        assert!(matches!(error, ZonedError::TooSmall { granularity: 4096, .. }));
    }
    let many = ZonedBackend::builder(crate::backend::NullBackend::new(512 << 20)).zone_len(512);
    assert!(many.build().is_ok());
    let more = ZonedBackend::builder(crate::backend::NullBackend::new((512 << 20) + 512)).zone_len(512);
    assert!(matches!(more.build().unwrap_err(), ZonedError::TooManyZones { zones: 1_048_577, .. }));
    let twice = ZonedBackend::builder(build(|builder| builder).unwrap()).build();
    assert!(matches!(twice.unwrap_err(), ZonedError::Zoned));
}

#[test]
fn host_aware_disks_have_whole_zones_without_limits() {
    let aware = |builder: ZonedBuilder| builder.model(ZonedModel::HostAware).zone_capacity(ZONE).max_append_len(0);
    assert!(build(aware).is_ok());
    assert!(matches!(refused(|builder| aware(builder).zone_capacity(CAPACITY)), ZonedError::Capacity { .. }));
    assert!(matches!(refused(|builder| aware(builder).max_open(1)), ZonedError::Limits { .. }));
    assert!(matches!(refused(|builder| aware(builder).max_active(1)), ZonedError::Limits { .. }));
    assert!(matches!(refused(|builder| aware(builder).max_append_len(512)), ZonedError::AppendLen { .. }));
    let poor = Odd { write_zeroes: None, ..Odd::default() };
    assert!(matches!(aware(usual(poor)).build().unwrap_err(), ZonedError::NoZeroes));
}

/// Storage with wishes of its own.
struct Odd {
    block_size: u32,
    write_zeroes: Option<RangeLimits>,
    secure_erase: Option<RangeLimits>,
}

impl Default for Odd {
    fn default() -> Odd {
        Odd { block_size: 4096, write_zeroes: Some(RangeLimits::NONE), secure_erase: None }
    }
}

const LIFETIME: Lifetime = Lifetime { pre_eol_info: 1, type_a: 2, type_b: 3 };

impl BlockBackend for Odd {
    fn size(&self) -> io::Result<u64> {
        Ok(SIZE + 512)
    }

    fn capabilities(&self) -> Capabilities {
        let topology = Some(Topology { min_io_size: 8, ..Topology::default() });
        let Odd { block_size, write_zeroes, secure_erase } = *self;
        Capabilities {
            block_size,
            write_zeroes,
            secure_erase,
            topology,
            zeroes_may_unmap: true,
            discard: Some(RangeLimits::NONE),
            max_queues: 3,
            merge: true,
            ..Capabilities::default()
        }
    }

    fn lifetime(&self) -> io::Result<Option<Lifetime>> {
        Ok(Some(LIFETIME))
    }

    fn open_queue(&self, depth: u16) -> io::Result<Box<dyn BlockQueue>> {
        crate::backend::NullBackend::new(SIZE).open_queue(depth)
    }
}

#[test]
fn what_the_storage_is_like_is_passed_on() {
    let disk = ZonedBackend::builder(Odd::default()).zone_len(ZONE).build().unwrap();
    assert_eq!(disk.size().unwrap(), SIZE, "less than the granularity is left out");
    assert_eq!(disk.lifetime().unwrap(), Some(LIFETIME));
    let told = disk.capabilities();
    assert_eq!((told.block_size, told.max_queues, told.merge, told.topology.unwrap().min_io_size), (4096, 3, false, 8));
    assert_eq!((told.discard, told.write_zeroes, told.zeroes_may_unmap), (None, None, false));
    let zoned = told.zoned.unwrap();
    assert_eq!((zoned.write_granularity, zoned.max_append_len, zoned.zone_len), (4096, ZONE, ZONE));
    let aware = ZonedBackend::builder(Odd::default()).zone_len(ZONE).model(ZonedModel::HostAware).build().unwrap();
    let told = aware.capabilities();
    assert!(told.discard.is_some() && told.write_zeroes.is_some() && told.zeroes_may_unmap);
    assert_eq!((told.zoned.unwrap().model, told.zoned.unwrap().max_append_len), (ZonedModel::HostAware, 0));
}

#[test]
fn blk_zone_23_erasure_is_offered_where_whole_zones_can_be_erased() {
    let erase = |max_len, alignment, zone_len| {
        let secure_erase = Some(RangeLimits { max_len, alignment });
        let disk = ZonedBackend::builder(Odd { secure_erase, ..Odd::default() }).zone_len(zone_len).build().unwrap();
        disk.capabilities().secure_erase.map(|limits| (limits.max_len, u64::from(limits.alignment)))
    };
    assert_eq!(erase(3 * ZONE - 512, 512, ZONE), Some((2 * ZONE, ZONE)));
    assert_eq!(erase(ZONE, 64 << 10, ZONE), Some((ZONE, ZONE)));
    assert_eq!(erase(ZONE - 512, 512, ZONE), None);
    assert_eq!(erase(u64::MAX, 96 << 10, ZONE), None);
    assert_eq!(erase(u64::MAX, 512, 1 << 32), None, "the alignment could not be said");
}

#[test]
fn gaps_are_zeroed_in_steps_that_the_storage_can_do() {
    let write_zeroes = Some(RangeLimits { max_len: 3 * KIB + 100, alignment: 512 });
    let odd = Odd { block_size: 512, write_zeroes, ..Odd::default() };
    let disk = ZonedBackend::builder(odd).zone_len(ZONE).model(ZonedModel::HostAware).build().unwrap();
    assert_eq!(disk.shared.most_zeroes, 3 * KIB);
    let mut queue = disk.open_queue(4).unwrap();
    let write = crate::backend::bench::Bench::new().write(0, 32 * KIB, &[1; 512]);
    queue.submit(write);
    queue.kick();
    // All steps end at once. A call takes some of them, and asks for another one.
    let mut calls = 0;
    let mut done = Vec::new();
    while done.is_empty() {
        assert!(calls == 0 || queue.deadline().is_some_and(|deadline| deadline <= std::time::Instant::now()));
        queue.completions(4, &mut |completion| done.push(completion.result));
        calls += 1;
    }
    assert!(calls > 1 && queue.deadline().is_none());
    assert!(matches!(done[..], [Ok(512)]));
    assert_eq!(disk.zone(0).unwrap().write_pointer, 32 * KIB + 512);
}

#[test]
fn a_zoned_disk_is_send_and_sync() {
    fn check<T: Send + Sync>() {}
    check::<ZonedBackend>();
    check::<ZonedBuilder>();
    check::<ZonedError>();
}
