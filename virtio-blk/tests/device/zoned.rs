//! The rules of zones, by the status that the driver gets.

use virtio_blk::backend::ZonedBackend;
use virtio_blk::backend::zone::ZonedModel;
use virtio_blk::{Block, BlockBackend, MemoryBackend};
use virtio_core::Features;
use virtio_core::testing::RingDriver;

use crate::rig::*;

each_transport! {
    blk_init_10_zones_are_as_long_as_is_said,
    blk_init_11_the_last_zone_may_be_smaller,
    blk_init_12_as_many_zones_can_be_open_as_is_said,
    blk_init_13_as_many_zones_can_be_active_as_is_said,
    blk_init_14_as_much_can_be_appended_as_is_said,
    blk_init_17_writes_are_aligned_as_is_said,
    blk_zone_02_conventional_zones_are_not_managed,
    blk_zone_03_nothing_is_appended_to_conventional_zones,
    blk_zone_04_what_cannot_be_opened_gives_invalid_cmd,
    blk_zone_05_opening_too_many_says_what_there_is_too_little_of,
    blk_zone_06_what_cannot_be_closed_gives_invalid_cmd,
    blk_zone_07_what_cannot_be_finished_gives_invalid_cmd,
    blk_zone_08_what_cannot_be_reset_gives_invalid_cmd,
    blk_zone_09_reset_all_empties_what_can_be_emptied,
    blk_zone_10_writing_too_many_zones_says_what_there_is_too_little_of,
    blk_zone_11_appends_are_addressed_to_the_start_of_a_zone,
    blk_zone_12_what_does_not_fit_a_zone_gives_invalid_cmd,
    blk_zone_13_an_append_says_where_its_data_went,
    blk_zone_16_nothing_goes_over_the_border_of_a_zone,
    blk_zone_17_writes_are_at_the_write_pointer,
    blk_zone_18_zones_are_closed_to_make_room,
    blk_zone_19_read_only_zones_are_not_written,
    blk_zone_20_nothing_is_done_to_offline_zones,
    blk_zone_21_what_is_past_the_write_pointer_is_zero,
    blk_zone_24_whole_zones_are_erased,
    blk_zone_25_an_erased_zone_is_empty,
    host_aware_zones_are_written_anywhere,
}

const FEATURES: Features = Features::from_bits(1 << 32 | 1 << 28 | 1 << 29 | 1 << 9 | 1 << 16 | 1 << 17);
/// Sectors of a zone, and those of them that can be written.
const ZONE: u64 = 64;
const CAPACITY: u64 = 48;
/// Zone 0 is conventional, the others are not.
const ZONES: u64 = 6;
/// Sectors that the write granularity has.
const UNIT: u64 = 8;

const EMPTY: u8 = 1;
const IMPLICIT: u8 = 2;
const EXPLICIT: u8 = 3;
const CLOSED: u8 = 4;
const READ_ONLY: u8 = 13;
const FULL: u8 = 14;
const OFFLINE: u8 = 15;

struct Zoned<P: Port> {
    rig: Rig<P>,
    driver: P::Driver,
    disk: ZonedBackend,
}

/// A descriptor of a report.
#[derive(Debug, PartialEq, Eq)]
struct Zone {
    capacity: u64,
    start: u64,
    pointer: u64,
    kind: u8,
    state: u8,
}

impl<P: Port> Zoned<P> {
    fn new() -> Zoned<P> {
        Zoned::over(MemoryBackend::new(pattern((ZONES * ZONE * 512) as usize, 1)), 3, 4)
    }

    fn over(storage: impl BlockBackend + 'static, open: u32, active: u32) -> Zoned<P> {
        let disk = ZonedBackend::builder(storage)
            .zone_len(ZONE * 512)
            .zone_capacity(CAPACITY * 512)
            .conventional(1)
            .max_open(open)
            .max_active(active)
            .max_append_len(4 * UNIT * 512)
            .write_granularity((UNIT * 512) as u32)
            .build()
            .expect("a zoned disk");
        Zoned::of(disk)
    }

    fn of(disk: ZonedBackend) -> Zoned<P> {
        let rig = Rig::<P>::new(Block::builder(disk.clone()).build().expect("a device"));
        let erases = rig.offered().contains(SECURE_ERASE_FEATURE);
        let driver = rig.live(if erases { FEATURES } else { FEATURES - SECURE_ERASE_FEATURE });
        Zoned { rig, driver, disk }
    }

    fn ask(&mut self, kind: u32, sector: u64, payload: &[u8], room: usize) -> Answer {
        let pending = self.rig.add(&mut self.driver, kind, sector, payload, room);
        self.rig.kick(&mut self.driver);
        let mut used = None;
        until(|| {
            self.rig.runtime.poll();
            used = self.driver.used();
            used.is_some()
        });
        self.rig.answer(&pending, used.expect("an answer"))
    }

    /// What a request about the zone from this sector on comes to.
    fn zone(&mut self, kind: u32, sector: u64) -> u8 {
        let answer = self.ask(kind, sector, &[], 0);
        assert_eq!(answer.len, 1);
        answer.status
    }

    fn write(&mut self, sector: u64, sectors: u64) -> u8 {
        self.ask(OUT, sector, &pattern(sectors as usize * 512, sector as u8), 0).status
    }

    fn read(&mut self, sector: u64, sectors: u64) -> (u8, Vec<u8>) {
        let answer = self.ask(IN, sector, &[], sectors as usize * 512);
        (answer.status, answer.data)
    }

    /// The status of an append, and the sector that it tells.
    fn append(&mut self, sector: u64, sectors: u64) -> (u8, u64) {
        let answer = self.ask(ZONE_APPEND, sector, &pattern(sectors as usize * 512, sector as u8), 8);
        let sector = u64::from_le_bytes(answer.data.try_into().expect("8 bytes"));
        if answer.status == OK {
            assert_eq!(answer.len, 9);
            return (OK, sector);
        }
        (answer.status, 0)
    }

    fn report(&mut self, sector: u64, room: usize) -> Vec<Zone> {
        let answer = self.ask(ZONE_REPORT, sector, &[], room);
        assert_eq!(answer.status, OK);
        let word = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("8 bytes"));
        let count = word(&answer.data[..8]) as usize;
        assert!(answer.data[8..64].iter().all(|byte| *byte == 0), "reserved");
        let zones = answer.data[64..64 + 64 * count].chunks(64);
        zones
            .map(|zone| {
                assert!(zone[26..].iter().all(|byte| *byte == 0), "reserved");
                let [capacity, start, pointer] = [0, 8, 16].map(|at| word(&zone[at..at + 8]));
                Zone { capacity, start, pointer, kind: zone[24], state: zone[25] }
            })
            .collect()
    }

    fn all(&mut self) -> Vec<Zone> {
        self.report(0, 64 + 64 * 16)
    }

    fn state(&mut self, zone: u64) -> u8 {
        self.report(zone * ZONE, 128)[0].state
    }

    fn states(&mut self) -> Vec<u8> {
        self.all().iter().skip(1).map(|zone| zone.state).collect()
    }
}

/// Waits until something is so.
fn until(mut so: impl FnMut() -> bool) {
    let limit = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !so() {
        assert!(std::time::Instant::now() < limit, "it does not come about");
        std::thread::yield_now();
    }
}

fn at(zone: u64) -> u64 {
    zone * ZONE
}

const MANAGING: [u32; 4] = [ZONE_OPEN, ZONE_CLOSE, ZONE_FINISH, ZONE_RESET];

fn blk_init_10_zones_are_as_long_as_is_said<P: Port>() {
    let mut it = Zoned::<P>::new();
    assert_eq!(u64::from(u32::from_le_bytes(it.rig.config(72))), ZONE);
    let zones = it.all();
    assert_eq!(zones.len() as u64, ZONES);
    assert_eq!(zones[0], Zone { capacity: ZONE, start: 0, pointer: zones[0].pointer, kind: 1, state: 0 });
    for (zone, number) in zones.iter().zip(0..).skip(1) {
        assert_eq!(*zone, Zone { capacity: CAPACITY, start: at(number), pointer: at(number), kind: 2, state: EMPTY });
    }
    // From the zone that has the sector on, as far as there is room.
    assert_eq!(
        it.report(at(2) + 5, 64 + 64 * 2 + 63).iter().map(|zone| zone.start).collect::<Vec<_>>(),
        [at(2), at(3)]
    );
}

fn blk_init_11_the_last_zone_may_be_smaller<P: Port>() {
    let storage = MemoryBackend::zeroed(((ZONES * ZONE + 2 * UNIT) * 512) as usize);
    let mut it = Zoned::<P>::over(storage, 0, 0);
    let zones = it.all();
    assert_eq!((zones.len() as u64, zones[ZONES as usize].capacity), (ZONES + 1, 2 * UNIT));
    assert_eq!(it.write(at(ZONES), 2 * UNIT), OK);
    assert_eq!(it.state(ZONES), FULL);
}

fn blk_init_12_as_many_zones_can_be_open_as_is_said<P: Port>() {
    let mut it = Zoned::<P>::new();
    let most = u64::from(u32::from_le_bytes(it.rig.config(76)));
    for zone in 1..=most {
        assert_eq!(it.zone(ZONE_OPEN, at(zone)), OK);
    }
    assert_eq!(it.zone(ZONE_OPEN, at(most + 1)), ZONE_OPEN_RESOURCE);
}

fn blk_init_13_as_many_zones_can_be_active_as_is_said<P: Port>() {
    let mut it = Zoned::<P>::new();
    let most = u64::from(u32::from_le_bytes(it.rig.config(80)));
    for zone in 1..=most {
        assert_eq!(it.write(at(zone), UNIT), OK);
        assert_eq!(it.zone(ZONE_CLOSE, at(zone)), OK);
    }
    assert_eq!(it.write(at(most + 1), UNIT), ZONE_ACTIVE_RESOURCE);
    assert_eq!(it.zone(ZONE_OPEN, at(most + 1)), ZONE_ACTIVE_RESOURCE);
}

// spec: BLK-ZONE-15
fn blk_init_14_as_much_can_be_appended_as_is_said<P: Port>() {
    let mut it = Zoned::<P>::new();
    let most = u64::from(u32::from_le_bytes(it.rig.config(84)));
    assert_eq!(it.append(at(1), most + UNIT).0, ZONE_INVALID_CMD);
    assert_eq!(it.append(at(1), most), (OK, at(1)));
}

fn blk_init_17_writes_are_aligned_as_is_said<P: Port>() {
    let mut it = Zoned::<P>::new();
    let unit = u64::from(u32::from_le_bytes(it.rig.config(88))) / 512;
    assert_eq!(unit, UNIT);
    assert_eq!(it.write(at(1), unit - 1), ZONE_UNALIGNED_WP);
    assert_eq!(it.append(at(1), unit - 1).0, ZONE_INVALID_CMD);
    assert_eq!(it.write(at(1), unit), OK);
    assert_eq!(it.write(0, 1), OK, "conventional zones take any sectors");
}

fn blk_zone_02_conventional_zones_are_not_managed<P: Port>() {
    let mut it = Zoned::<P>::new();
    for kind in MANAGING {
        assert_eq!(it.zone(kind, 0), ZONE_INVALID_CMD, "{kind}");
    }
    assert_eq!(it.state(0), 0);
}

fn blk_zone_03_nothing_is_appended_to_conventional_zones<P: Port>() {
    let mut it = Zoned::<P>::new();
    let before = it.read(0, ZONE);
    assert_eq!(it.append(0, UNIT), (ZONE_INVALID_CMD, 0));
    assert_eq!(it.read(0, ZONE), before);
}

fn blk_zone_04_what_cannot_be_opened_gives_invalid_cmd<P: Port>() {
    let mut it = Zoned::<P>::new();
    assert_eq!(it.zone(ZONE_FINISH, at(1)), OK);
    it.disk.set_read_only(2).expect("a zone");
    it.disk.set_offline(3).expect("a zone");
    for (zone, state) in [(1, FULL), (2, READ_ONLY), (3, OFFLINE)] {
        assert_eq!(it.zone(ZONE_OPEN, at(zone)), ZONE_INVALID_CMD);
        assert_eq!(it.state(zone), state);
    }
    assert_eq!(it.zone(ZONE_OPEN, at(4) + UNIT), ZONE_INVALID_CMD, "not the start of a zone");
}

fn blk_zone_05_opening_too_many_says_what_there_is_too_little_of<P: Port>() {
    let mut it = Zoned::<P>::new();
    for zone in 1..=3 {
        assert_eq!(it.zone(ZONE_OPEN, at(zone)), OK);
    }
    assert_eq!(it.zone(ZONE_OPEN, at(4)), ZONE_OPEN_RESOURCE);
    assert_eq!(it.states(), [EXPLICIT, EXPLICIT, EXPLICIT, EMPTY, EMPTY]);
    for zone in 1..=3 {
        assert_eq!(it.write(at(zone), UNIT), OK);
        assert_eq!(it.zone(ZONE_CLOSE, at(zone)), OK);
    }
    assert_eq!(it.zone(ZONE_OPEN, at(4)), OK);
    assert_eq!(it.zone(ZONE_OPEN, at(5)), ZONE_ACTIVE_RESOURCE);
    assert_eq!(it.states(), [CLOSED, CLOSED, CLOSED, EXPLICIT, EMPTY]);
}

fn blk_zone_06_what_cannot_be_closed_gives_invalid_cmd<P: Port>() {
    let mut it = Zoned::<P>::new();
    assert_eq!(it.zone(ZONE_FINISH, at(2)), OK);
    it.disk.set_read_only(3).expect("a zone");
    it.disk.set_offline(4).expect("a zone");
    for (zone, state) in [(1, EMPTY), (2, FULL), (3, READ_ONLY), (4, OFFLINE)] {
        assert_eq!(it.zone(ZONE_CLOSE, at(zone)), ZONE_INVALID_CMD);
        assert_eq!(it.state(zone), state);
    }
}

fn blk_zone_07_what_cannot_be_finished_gives_invalid_cmd<P: Port>() {
    let mut it = Zoned::<P>::new();
    it.disk.set_read_only(1).expect("a zone");
    it.disk.set_offline(2).expect("a zone");
    for (zone, state) in [(1, READ_ONLY), (2, OFFLINE)] {
        assert_eq!(it.zone(ZONE_FINISH, at(zone)), ZONE_INVALID_CMD);
        assert_eq!(it.state(zone), state);
    }
}

fn blk_zone_08_what_cannot_be_reset_gives_invalid_cmd<P: Port>() {
    let mut it = Zoned::<P>::new();
    it.disk.set_read_only(1).expect("a zone");
    it.disk.set_offline(2).expect("a zone");
    for (zone, state) in [(1, READ_ONLY), (2, OFFLINE)] {
        assert_eq!(it.zone(ZONE_RESET, at(zone)), ZONE_INVALID_CMD);
        assert_eq!(it.state(zone), state);
    }
}

fn blk_zone_09_reset_all_empties_what_can_be_emptied<P: Port>() {
    let mut it = Zoned::<P>::new();
    assert_eq!(it.zone(ZONE_OPEN, at(1)), OK);
    assert_eq!(it.write(at(2), UNIT), OK);
    assert_eq!(it.zone(ZONE_CLOSE, at(2)), OK);
    assert_eq!(it.zone(ZONE_FINISH, at(3)), OK);
    it.disk.set_read_only(4).expect("a zone");
    it.disk.set_offline(5).expect("a zone");
    assert_eq!(it.states(), [EXPLICIT, CLOSED, FULL, READ_ONLY, OFFLINE]);
    assert_eq!(it.zone(ZONE_RESET_ALL, 0), OK);
    assert_eq!(it.states(), [EMPTY, EMPTY, EMPTY, READ_ONLY, OFFLINE]);
    assert!(it.all()[1..4].iter().all(|zone| zone.pointer == zone.start));
    assert_eq!(it.read(at(2), UNIT), (OK, vec![0; UNIT as usize * 512]), "what was there is not");
}

fn blk_zone_10_writing_too_many_zones_says_what_there_is_too_little_of<P: Port>() {
    let mut it = Zoned::<P>::new();
    for zone in 1..=3 {
        assert_eq!(it.zone(ZONE_OPEN, at(zone)), OK);
    }
    assert_eq!(it.write(at(4), UNIT), ZONE_OPEN_RESOURCE);
    assert_eq!(it.append(at(4), UNIT).0, ZONE_OPEN_RESOURCE);
    for zone in 1..=3 {
        assert_eq!(it.write(at(zone), UNIT), OK);
        assert_eq!(it.zone(ZONE_CLOSE, at(zone)), OK);
    }
    assert_eq!(it.write(at(4), UNIT), OK);
    assert_eq!(it.write(at(5), UNIT), ZONE_ACTIVE_RESOURCE);
    assert_eq!(it.append(at(5), UNIT).0, ZONE_ACTIVE_RESOURCE);
    assert_eq!(it.state(5), EMPTY);
}

fn blk_zone_11_appends_are_addressed_to_the_start_of_a_zone<P: Port>() {
    let mut it = Zoned::<P>::new();
    for off in [1, UNIT, ZONE - 1] {
        assert_eq!(it.append(at(1) + off, UNIT).0, ZONE_INVALID_CMD);
    }
    assert_eq!(it.state(1), EMPTY);
}

fn blk_zone_12_what_does_not_fit_a_zone_gives_invalid_cmd<P: Port>() {
    let mut it = Zoned::<P>::new();
    assert_eq!(it.write(at(1), CAPACITY + UNIT), ZONE_INVALID_CMD);
    assert_eq!(it.write(at(1), CAPACITY - UNIT), OK);
    assert_eq!(it.append(at(1), 2 * UNIT).0, ZONE_INVALID_CMD);
    assert_eq!(it.write(at(1) + CAPACITY - UNIT, 2 * UNIT), ZONE_INVALID_CMD);
    assert_eq!(it.append(at(1), UNIT), (OK, at(1) + CAPACITY - UNIT));
    assert_eq!(it.state(1), FULL);
    assert_eq!(it.append(at(1), UNIT).0, ZONE_INVALID_CMD);
}

fn blk_zone_13_an_append_says_where_its_data_went<P: Port>() {
    let mut it = Zoned::<P>::new();
    for n in 0..2 {
        assert_eq!(it.append(at(2), 2 * UNIT), (OK, at(2) + 2 * n * UNIT));
        assert_eq!(it.read(at(2) + 2 * n * UNIT, 2 * UNIT), (OK, pattern(2 * UNIT as usize * 512, at(2) as u8)));
    }
    assert_eq!(it.report(at(2), 128)[0].pointer, at(2) + 4 * UNIT);
}

fn blk_zone_16_nothing_goes_over_the_border_of_a_zone<P: Port>() {
    let mut it = Zoned::<P>::new();
    for start in [at(1) + ZONE - UNIT, at(1) - UNIT] {
        assert_eq!(it.read(start, 2 * UNIT).0, ZONE_INVALID_CMD);
        assert_eq!(it.write(start, 2 * UNIT), ZONE_INVALID_CMD);
    }
    assert_eq!(it.append(at(1), ZONE + UNIT).0, ZONE_INVALID_CMD);
    assert_eq!(it.states(), [EMPTY; 5]);
}

fn blk_zone_17_writes_are_at_the_write_pointer<P: Port>() {
    let mut it = Zoned::<P>::new();
    assert_eq!(it.write(at(1) + UNIT, UNIT), ZONE_UNALIGNED_WP);
    assert_eq!(it.write(at(1), UNIT), OK);
    for off in [0, 2 * UNIT] {
        assert_eq!(it.write(at(1) + off, UNIT), ZONE_UNALIGNED_WP);
    }
    assert_eq!(it.write(at(1) + UNIT, UNIT), OK);
    assert_eq!(it.report(at(1), 128)[0].pointer, at(1) + 2 * UNIT);
}

fn blk_zone_18_zones_are_closed_to_make_room<P: Port>() {
    let mut it = Zoned::<P>::new();
    for zone in 1..=4 {
        assert_eq!(it.write(at(zone), UNIT), OK);
    }
    let states = it.states();
    assert_eq!(states.iter().filter(|state| **state == IMPLICIT).count(), 3);
    assert_eq!(states.iter().filter(|state| **state == CLOSED).count(), 1);
}

fn blk_zone_19_read_only_zones_are_not_written<P: Port>() {
    let mut it = Zoned::<P>::new();
    assert_eq!(it.write(at(1), UNIT), OK);
    it.disk.set_read_only(1).expect("a zone");
    assert_eq!(it.write(at(1) + UNIT, UNIT), ZONE_INVALID_CMD);
    assert_eq!(it.append(at(1), UNIT).0, ZONE_INVALID_CMD);
    assert_eq!(it.read(at(1), UNIT), (OK, pattern(UNIT as usize * 512, at(1) as u8)));
}

fn blk_zone_20_nothing_is_done_to_offline_zones<P: Port>() {
    let mut it = Zoned::<P>::new();
    it.disk.set_offline(1).expect("a zone");
    assert_eq!(it.read(at(1), UNIT).0, ZONE_INVALID_CMD);
    assert_eq!(it.write(at(1), UNIT), ZONE_INVALID_CMD);
    assert_eq!(it.append(at(1), UNIT).0, ZONE_INVALID_CMD);
    for kind in MANAGING {
        assert_eq!(it.zone(kind, at(1)), ZONE_INVALID_CMD, "{kind}");
    }
    assert_eq!(it.state(1), OFFLINE);
}

// spec: BLK-ZONE-22
fn blk_zone_21_what_is_past_the_write_pointer_is_zero<P: Port>() {
    let mut it = Zoned::<P>::new();
    assert_eq!(it.read(at(1), ZONE), (OK, vec![0; ZONE as usize * 512]), "not what the storage has");
    assert_eq!(it.write(at(1), 2 * UNIT), OK);
    let (status, data) = it.read(at(1), ZONE);
    let written = 2 * UNIT as usize * 512;
    assert_eq!((status, &data[..written]), (OK, &pattern(written, at(1) as u8)[..]));
    assert!(data[written..].iter().all(|byte| *byte == 0));
    assert_eq!(it.zone(ZONE_RESET, at(1)), OK);
    assert_eq!(it.read(at(1), ZONE), (OK, vec![0; ZONE as usize * 512]));
}

fn erase(it: &mut Zoned<impl Port>, sector: u64, sectors: u64) -> u8 {
    let segment = [&sector.to_le_bytes()[..], &(sectors as u32).to_le_bytes(), &[0; 4]].concat();
    it.ask(SECURE_ERASE, 0, &segment, 0).status
}

// spec: BLK-ZONE-23
fn blk_zone_24_whole_zones_are_erased<P: Port>() {
    let mut it = Zoned::<P>::new();
    assert!(it.rig.offered().contains(SECURE_ERASE_FEATURE));
    assert_eq!(u64::from(u32::from_le_bytes(it.rig.config(68))) % ZONE, 0, "secure_erase_sector_alignment");
    assert_eq!(it.write(at(1), UNIT), OK);
    for (sector, sectors) in [(at(1), UNIT), (at(1), ZONE + UNIT), (at(1) + UNIT, ZONE)] {
        assert_eq!(erase(&mut it, sector, sectors), ZONE_INVALID_CMD, "{sectors} from {sector}");
    }
    assert_eq!(it.state(1), IMPLICIT, "as it was");
}

fn blk_zone_25_an_erased_zone_is_empty<P: Port>() {
    let mut it = Zoned::<P>::new();
    assert_eq!(it.write(at(1), UNIT), OK);
    assert_eq!(it.zone(ZONE_FINISH, at(2)), OK);
    assert_eq!(erase(&mut it, at(1), 2 * ZONE), OK);
    assert_eq!(it.states()[..2], [EMPTY, EMPTY]);
    assert_eq!(it.read(at(1), UNIT), (OK, vec![0; UNIT as usize * 512]));
}

fn host_aware_zones_are_written_anywhere<P: Port>() {
    let storage = MemoryBackend::new(pattern((ZONES * ZONE * 512) as usize, 1));
    let builder = ZonedBackend::builder(storage).model(ZonedModel::HostAware).zone_len(ZONE * 512);
    let mut it = Zoned::<P>::of(builder.build().expect("a zoned disk"));
    assert!(it.all().iter().all(|zone| zone.kind == 3 && zone.capacity == ZONE));
    assert_eq!(it.write(5, 1), OK);
    assert_eq!(it.read(0, 8).1, [vec![0; 5 * 512], pattern(512, 5), vec![0; 2 * 512]].concat());
    assert_eq!(it.report(0, 128)[0].pointer, 6);
    assert_eq!(it.append(0, 1), (UNSUPP, 0), "BLK-ZONE-14");
}

/// The same rules where the storage takes its time.
#[cfg(all(feature = "uring", target_os = "linux"))]
#[test]
fn zones_on_a_file_by_io_uring() {
    use virtio_blk::{FileBackend, UringBackend};
    let path = std::env::temp_dir().join(format!("virtio-blk-zoned-{}.img", std::process::id()));
    std::fs::write(&path, pattern((ZONES * ZONE * 512) as usize, 1)).expect("a temporary file");
    let storage = UringBackend::new(FileBackend::open(&path).expect("an image"));
    std::fs::remove_file(&path).expect("the image");
    let mut it = Zoned::<crate::ports::Mmio>::over(storage, 3, 4);
    for n in 0..CAPACITY / UNIT {
        assert_eq!(it.append(at(1), UNIT), (OK, at(1) + n * UNIT));
    }
    assert_eq!((it.state(1), it.append(at(1), UNIT).0), (FULL, ZONE_INVALID_CMD));
    assert_eq!(it.write(at(2) + UNIT, UNIT), ZONE_UNALIGNED_WP);
    assert_eq!(it.write(at(2), UNIT), OK);
    assert_eq!(it.read(at(2), 2 * UNIT).1[UNIT as usize * 512..], vec![0; UNIT as usize * 512]);
    assert_eq!(it.zone(ZONE_RESET_ALL, 0), OK);
    assert_eq!(it.states(), [EMPTY; 5]);
    assert_eq!(it.read(at(1), CAPACITY), (OK, vec![0; CAPACITY as usize * 512]));
}
