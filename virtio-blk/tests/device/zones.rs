//! What the device itself does about zones: the backend's rules are tested with the backend.

use virtio_blk::backend::zone::{ZonedCharacteristics, ZonedModel};
use virtio_blk::{Block, OperationError, OperationKind};
use virtio_core::testing::RingDriver;

use crate::held::Held;
use crate::rig::*;

each_transport! {
    blk_init_07_without_zoned_the_fields_are_zero,
    blk_init_08_host_managed_zones_need_a_driver_that_knows_them,
    blk_init_09_the_model_is_told,
    blk_init_15_appends_are_no_longer_than_segments_allow,
    blk_init_16_appends_may_be_impossible,
    blk_init_18_padding_is_zero,
    blk_zone_01_without_zoned_zone_requests_give_unsupp,
    blk_zone_13_an_append_tells_where_its_data_is,
    blk_zone_14_appends_where_there_are_none_give_unsupp,
    blk_zone_15_appends_that_are_too_long_give_invalid_cmd,
    blk_zone_23_the_alignment_of_secure_erase_is_in_zones,
    drv_blk_02_discard_is_not_offered_with_host_managed_zones,
    drv_blk_18_sectors_that_are_no_zones_give_invalid_cmd,
    drv_blk_19_appends_of_no_or_half_sectors_give_invalid_cmd,
    drv_blk_21_reports_need_room_for_a_header,
    each_zone_error_has_its_status,
    zone_commands_reach_the_backend,
    reports_are_as_long_as_the_backend_says,
    failed_reports_and_reads_have_written_nothing,
    appends_have_to_have_room_for_their_sector,
    zone_requests_with_data_in_the_wrong_direction_give_ioerr,
    a_zoned_disk_does_not_change_its_size,
    read_only_zones_are_reported_and_not_changed,
}

const ZONE: u64 = 16 * 512;
const ZONES: u64 = 4;
const COMMANDS: [(u32, OperationKind); 4] = [
    (ZONE_OPEN, OperationKind::ZoneOpen),
    (ZONE_CLOSE, OperationKind::ZoneClose),
    (ZONE_FINISH, OperationKind::ZoneFinish),
    (ZONE_RESET, OperationKind::ZoneReset),
];

fn zoned(change: impl FnOnce(&mut ZonedCharacteristics)) -> Held {
    let mut zones = ZonedCharacteristics::new(ZONE);
    (zones.max_open_zones, zones.max_active_zones, zones.write_granularity) = (2, 3, 4096);
    change(&mut zones);
    Held::able((ZONE * ZONES) as usize, |can| can.zoned = Some(zones))
}

fn rig<P: Port>() -> (Rig<P>, Held, P::Driver) {
    let held = zoned(|_| {});
    let rig = Rig::<P>::new(Block::builder(held.clone()).build().expect("a device"));
    let driver = rig.live(USUAL | ZONED);
    (rig, held, driver)
}

/// The status of a request that never gets to the backend.
fn refused<P: Port>(rig: &Rig<P>, driver: &mut P::Driver, kind: u32, sector: u64, payload: usize, room: usize) -> u8 {
    let payload = vec![7; payload];
    rig.request(driver, kind, sector, &payload, room).status
}

fn blk_init_07_without_zoned_the_fields_are_zero<P: Port>() {
    let held = zoned(|zones| zones.model = ZonedModel::HostAware);
    let rig = Rig::<P>::new(Block::builder(held).build().expect("a device"));
    assert!(rig.offered().contains(ZONED));
    assert_ne!(rig.config::<24>(72), [0; 24]);
    assert!(rig.negotiate(USUAL));
    assert_eq!(rig.config::<24>(72), [0; 24]);
    assert!(!rig.config_interrupted(), "the driver brought it about");
    rig.port.set_status(0);
    assert!(rig.negotiate(USUAL | ZONED));
    assert_ne!(rig.config::<24>(72), [0; 24]);
}

// spec: DRV-BLK-02
fn blk_init_08_host_managed_zones_need_a_driver_that_knows_them<P: Port>() {
    let (rig, _, _) = rig::<P>();
    rig.port.set_status(0);
    assert!(!rig.negotiate(USUAL), "FEATURES_OK stays clear");
    rig.port.set_status(0);
    assert!(rig.negotiate(USUAL | ZONED));
}

// spec: BLK-INIT-10 BLK-INIT-12 BLK-INIT-13
fn blk_init_09_the_model_is_told<P: Port>() {
    for (model, wanted) in [(ZonedModel::HostManaged, 1), (ZonedModel::HostAware, 2)] {
        let rig = Rig::<P>::new(Block::builder(zoned(|zones| zones.model = model)).build().expect("a device"));
        assert!(rig.negotiate(USUAL | ZONED));
        assert_eq!(rig.config::<1>(92), [wanted]);
        let word = |at| u32::from_le_bytes(rig.config(at));
        assert_eq!([72, 76, 80, 84, 88].map(word), [16, 2, 3, 16, 4096]);
    }
}

// spec: BLK-INIT-14
fn blk_init_15_appends_are_no_longer_than_segments_allow<P: Port>() {
    let held = zoned(|zones| zones.max_append_len = u64::MAX);
    for (seg_max, size_max) in [(1, 4096), (3, 8192), (126, 1 << 20)] {
        let block = Block::builder(held.clone()).queue_size(128).seg_max(seg_max).size_max(size_max);
        let rig = Rig::<P>::new(block.build().expect("a device"));
        assert_eq!(u32::from_le_bytes(rig.config(84)), u32::from(seg_max) * (size_max / 512));
    }
    let rig = Rig::<P>::new(Block::builder(held).queue_size(128).build().expect("a device"));
    assert!(rig.offered().contains(SIZE_MAX), "without SIZE_MAX there would be no limit to keep to");
    let [size_max, seg_max, append] = [8, 12, 84].map(|at| u64::from(u32::from_le_bytes(rig.config(at))));
    assert!(append * 512 <= size_max * seg_max && append > 0);
}

fn blk_init_16_appends_may_be_impossible<P: Port>() {
    let rig = Rig::<P>::new(Block::builder(zoned(|zones| zones.max_append_len = 0)).build().expect("a device"));
    assert_eq!(rig.config::<4>(84), [0; 4]);
}

fn blk_init_18_padding_is_zero<P: Port>() {
    let (rig, _, _) = rig::<P>();
    assert_eq!(rig.config::<3>(93), [0; 3], "unused2");
}

// spec: DRV-BLK-17
fn blk_zone_01_without_zoned_zone_requests_give_unsupp<P: Port>() {
    let held = zoned(|zones| zones.model = ZonedModel::HostAware);
    let rig = Rig::<P>::new(Block::builder(held.clone()).build().expect("a device"));
    let mut driver = rig.live(USUAL);
    for kind in 15..=26 {
        assert_eq!(refused(&rig, &mut driver, kind, 0, 0, 0), UNSUPP, "{kind}");
        assert_eq!(refused(&rig, &mut driver, kind, 0, 512, 8), UNSUPP, "{kind}");
    }
    // With it, those in between are still none.
    rig.port.set_status(0);
    let mut driver = rig.live(USUAL | ZONED);
    for kind in [17, 19, 21, 23, 25, 27] {
        assert_eq!(refused(&rig, &mut driver, kind, 0, 0, 0), UNSUPP, "{kind}");
    }
    assert_eq!(held.take_log(), []);
}

fn blk_zone_13_an_append_tells_where_its_data_is<P: Port>() {
    let (rig, held, mut driver) = rig::<P>();
    for (result, status, sector) in
        [(Ok(ZONE + 3 * 512), OK, 19u64), (Err(OperationError::Io(std::io::ErrorKind::Other.into())), IOERR, 0)]
    {
        let pending = rig.add(&mut driver, ZONE_APPEND, 16, &[5; 4096], 8);
        rig.kick(&mut driver);
        assert_eq!(held.take_log(), [(OperationKind::ZoneAppend { durable: false }, ZONE, 4096)]);
        held.finish_as(0, &[], result);
        rig.runtime.poll();
        let answer = rig.answer(&pending, driver.used().expect("an answer"));
        assert_eq!((answer.status, answer.len), (status, 9), "sector and status");
        assert_eq!(answer.data, sector.to_le_bytes());
    }
    let counts = rig.handle.counts();
    assert_eq!((counts.zone_appends, counts.written_bytes, counts.failed), (1, 4096, 1));
}

// spec: DRV-BLK-19
fn blk_zone_14_appends_where_there_are_none_give_unsupp<P: Port>() {
    let held = zoned(|zones| zones.max_append_len = 0);
    let rig = Rig::<P>::new(Block::builder(held.clone()).build().expect("a device"));
    let mut driver = rig.live(USUAL | ZONED);
    assert_eq!(refused(&rig, &mut driver, ZONE_APPEND, 0, 4096, 8), UNSUPP);
    assert_eq!(held.take_log(), []);
}

// spec: DRV-BLK-19
fn blk_zone_15_appends_that_are_too_long_give_invalid_cmd<P: Port>() {
    let held = zoned(|zones| zones.max_append_len = 4096);
    let rig = Rig::<P>::new(Block::builder(held.clone()).build().expect("a device"));
    let mut driver = rig.live(USUAL | ZONED);
    assert_eq!(refused(&rig, &mut driver, ZONE_APPEND, 0, 4096 + 512, 8), ZONE_INVALID_CMD);
    assert_eq!(held.take_log(), []);
    rig.add(&mut driver, ZONE_APPEND, 0, &[0; 4096], 8);
    rig.kick(&mut driver);
    assert_eq!(held.in_flight(), 1);
}

fn blk_zone_23_the_alignment_of_secure_erase_is_in_zones<P: Port>() {
    let held = zoned(|_| {});
    held.change(|can| {
        can.secure_erase = Some(virtio_blk::backend::RangeLimits { max_len: u64::MAX, alignment: 3 * 512 });
    });
    let rig = Rig::<P>::new(Block::builder(held).build().expect("a device"));
    assert!(rig.offered().contains(SECURE_ERASE_FEATURE));
    let alignment = u32::from_le_bytes(rig.config(68));
    assert!(alignment != 0 && alignment.is_multiple_of(16), "{alignment}");
}

fn drv_blk_02_discard_is_not_offered_with_host_managed_zones<P: Port>() {
    for (model, offered) in [(ZonedModel::HostManaged, false), (ZonedModel::HostAware, true)] {
        let held = zoned(|zones| zones.model = model);
        held.change(|can| can.discard = Some(virtio_blk::backend::RangeLimits::NONE));
        let rig = Rig::<P>::new(Block::builder(held).build().expect("a device"));
        assert_eq!(rig.offered().contains(DISCARD_FEATURE), offered);
        assert_eq!(rig.negotiate(USUAL | ZONED | DISCARD_FEATURE), offered);
    }
}

fn drv_blk_18_sectors_that_are_no_zones_give_invalid_cmd<P: Port>() {
    let (rig, held, mut driver) = rig::<P>();
    for (kind, _) in COMMANDS {
        for sector in [16 * ZONES, u64::MAX, u64::MAX / 512, 1 << 55] {
            assert_eq!(refused(&rig, &mut driver, kind, sector, 0, 0), ZONE_INVALID_CMD, "{kind}: {sector}");
        }
    }
    assert_eq!(refused(&rig, &mut driver, ZONE_RESET_ALL, 16, 0, 0), ZONE_INVALID_CMD);
    assert_eq!(refused(&rig, &mut driver, ZONE_REPORT, 16 * ZONES, 0, 128), ZONE_INVALID_CMD);
    assert_eq!(refused(&rig, &mut driver, ZONE_APPEND, 16 * ZONES, 4096, 8), ZONE_INVALID_CMD);
    assert_eq!(held.take_log(), []);
    assert_eq!(rig.handle.counts().zone_errors, 4 * 4 + 3);
}

fn drv_blk_19_appends_of_no_or_half_sectors_give_invalid_cmd<P: Port>() {
    let (rig, held, mut driver) = rig::<P>();
    for len in [0, 1, 511, 513] {
        assert_eq!(refused(&rig, &mut driver, ZONE_APPEND, 0, len, 8), ZONE_INVALID_CMD, "{len}");
    }
    assert_eq!(held.take_log(), []);
}

fn drv_blk_21_reports_need_room_for_a_header<P: Port>() {
    let (rig, held, mut driver) = rig::<P>();
    for room in [0, 1, 63] {
        let answer = rig.request(&mut driver, ZONE_REPORT, 0, &[], room);
        assert_eq!((answer.status, answer.len), (IOERR, u32::from(room == 0)));
        assert_eq!(answer.data, vec![UNTOUCHED; room]);
    }
    assert_eq!(held.take_log(), []);
    rig.add(&mut driver, ZONE_REPORT, 0, &[], 64);
    rig.kick(&mut driver);
    assert_eq!(held.in_flight(), 1);
}

fn each_zone_error_has_its_status<P: Port>() {
    use virtio_blk::backend::ZoneError;
    let (rig, held, mut driver) = rig::<P>();
    for (error, status) in [
        (OperationError::Zone(ZoneError::InvalidCommand), ZONE_INVALID_CMD),
        (OperationError::Zone(ZoneError::UnalignedWritePointer), ZONE_UNALIGNED_WP),
        (OperationError::Zone(ZoneError::OpenResource), ZONE_OPEN_RESOURCE),
        (OperationError::Zone(ZoneError::ActiveResource), ZONE_ACTIVE_RESOURCE),
        (OperationError::Unsupported, UNSUPP),
    ] {
        let pending = rig.add(&mut driver, OUT, 0, &[0; 4096], 0);
        rig.kick(&mut driver);
        held.finish_as(0, &[], Err(error));
        rig.runtime.poll();
        let answer = rig.answer(&pending, driver.used().expect("an answer"));
        assert_eq!((answer.status, answer.len), (status, 1));
    }
    let counts = rig.handle.counts();
    assert_eq!((counts.zone_errors, counts.unsupported, counts.failed), (4, 1, 0));
}

fn zone_commands_reach_the_backend<P: Port>() {
    let (rig, held, mut driver) = rig::<P>();
    let all = COMMANDS.map(|(kind, wanted)| (kind, 32, wanted, 2 * ZONE));
    for (kind, sector, wanted, offset) in all.into_iter().chain([(ZONE_RESET_ALL, 0, OperationKind::ZoneResetAll, 0)]) {
        let pending = rig.add(&mut driver, kind, sector, &[], 0);
        rig.kick(&mut driver);
        assert_eq!(held.take_log(), [(wanted, offset, 0)]);
        held.finish_as(0, &[], Ok(0));
        rig.runtime.poll();
        let answer = rig.answer(&pending, driver.used().expect("an answer"));
        assert_eq!((answer.status, answer.len), (OK, 1));
    }
    assert_eq!(rig.handle.counts().zone_commands, 5);
}

// spec: BLK-OP-15
fn reports_are_as_long_as_the_backend_says<P: Port>() {
    let (rig, held, mut driver) = rig::<P>();
    // Where not all of the data part is written, the status is not among what the length promises.
    for (told, len) in [(64, 64), (128, 128), (192, 193)] {
        let pending = rig.add(&mut driver, ZONE_REPORT, 5, &[], 192);
        rig.kick(&mut driver);
        assert_eq!(held.take_log(), [(OperationKind::ZoneReport, 5 * 512, 192)]);
        held.finish_as(0, &vec![9; told], Ok(told as u64));
        rig.runtime.poll();
        let answer = rig.answer(&pending, driver.used().expect("an answer"));
        assert_eq!((answer.status, answer.len), (OK, len));
        assert_eq!(answer.data, [vec![9; told], vec![UNTOUCHED; 192 - told]].concat());
    }
    assert_eq!(rig.handle.counts().zone_reports, 3);
}

// spec: BLK-OP-15
fn failed_reports_and_reads_have_written_nothing<P: Port>() {
    use virtio_blk::backend::ZoneError;
    let (rig, held, mut driver) = rig::<P>();
    for kind in [ZONE_REPORT, IN] {
        for (error, status) in [
            (OperationError::Zone(ZoneError::InvalidCommand), ZONE_INVALID_CMD),
            (OperationError::Unsupported, UNSUPP),
            (OperationError::Io(std::io::ErrorKind::Other.into()), IOERR),
        ] {
            let pending = rig.add(&mut driver, kind, 0, &[], 512);
            rig.kick(&mut driver);
            held.finish_as(0, &[], Err(error));
            rig.runtime.poll();
            let answer = rig.answer(&pending, driver.used().expect("an answer"));
            assert_eq!((answer.status, answer.len), (status, 0), "{kind}");
        }
    }
}

fn appends_have_to_have_room_for_their_sector<P: Port>() {
    let (rig, held, mut driver) = rig::<P>();
    for room in [0, 7, 9, 512] {
        assert_eq!(refused(&rig, &mut driver, ZONE_APPEND, 0, 4096, room), IOERR, "{room}");
    }
    assert_eq!(held.take_log(), []);
}

fn zone_requests_with_data_in_the_wrong_direction_give_ioerr<P: Port>() {
    let (rig, held, mut driver) = rig::<P>();
    for (kind, _) in COMMANDS.into_iter().chain([(ZONE_RESET_ALL, OperationKind::ZoneResetAll)]) {
        assert_eq!(refused(&rig, &mut driver, kind, 0, 512, 0), IOERR);
        assert_eq!(refused(&rig, &mut driver, kind, 0, 0, 512), IOERR);
    }
    assert_eq!(refused(&rig, &mut driver, ZONE_REPORT, 0, 512, 128), IOERR);
    assert_eq!(held.take_log(), []);
}

fn a_zoned_disk_does_not_change_its_size<P: Port>() {
    let (rig, _, _driver) = rig::<P>();
    assert!(matches!(rig.handle.resize(ZONE), Err(virtio_blk::ResizeError::Zoned)));
    rig.handle.refresh().expect("a size");
    assert_eq!(rig.handle.capacity(), 16 * ZONES);
}

// spec: BLK-OP-03
fn read_only_zones_are_reported_and_not_changed<P: Port>() {
    let held = zoned(|_| {});
    let rig = Rig::<P>::new(Block::builder(held.clone()).read_only(true).build().expect("a device"));
    let mut driver = rig.live(USUAL | ZONED);
    for (kind, _) in COMMANDS {
        assert_eq!(refused(&rig, &mut driver, kind, 0, 0, 0), IOERR);
    }
    assert_eq!(refused(&rig, &mut driver, ZONE_APPEND, 0, 4096, 8), IOERR);
    assert_eq!(held.take_log(), []);
    rig.add(&mut driver, ZONE_REPORT, 0, &[], 64);
    rig.kick(&mut driver);
    assert_eq!(held.take_log(), [(OperationKind::ZoneReport, 0, 64)]);
}
