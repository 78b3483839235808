//! Programs made by hand: good drivers, on every kind of disk.

use super::input::{Ask, Header, Segment, Step};
use crate::device::{Raw, Rings};
use crate::seeds::Seed;

/// Types of requests, by their numbers in an input.
const IN: u8 = 0;
const OUT: u8 = 1;
const FLUSH: u8 = 2;
const GET_ID: u8 = 3;
const LIFETIME: u8 = 4;
const DISCARD: u8 = 5;
const ZEROES: u8 = 6;
const ERASE: u8 = 7;
const APPEND: u8 = 8;
const REPORT: u8 = 9;
const OPEN: u8 = 10;
const CLOSE: u8 = 11;
const FINISH: u8 = 12;
const RESET: u8 = 13;
const RESET_ALL: u8 = 14;

/// A disk in memory.
pub(super) const MEMORY: u8 = 0;
const SLOW: u8 = 1;
const ZONED: u8 = 2;
const AWARE: u8 = 4;
const STUBBORN: u8 = 8;
const MERGES: u8 = 16;

fn ask(kind: u8, sector: u8, len: u8) -> Ask {
    Ask { how: Ask::SHOW, kind, sector, len, ..Ask::default() }
}

fn asks(kind: u8, sector: u8, len: u8) -> Step {
    Step::Ask(ask(kind, sector, len))
}

/// The same, not shown yet.
fn later(kind: u8, sector: u8, len: u8) -> Step {
    Step::Ask(Ask { how: 0, ..ask(kind, sector, len) })
}

fn ranges(kind: u8, segments: &[(u8, u8, u8)]) -> Step {
    let segments =
        segments.iter().map(|(sector, sectors, flags)| Segment { sector: *sector, sectors: *sectors, flags: *flags });
    let segments = segments.collect::<Vec<_>>();
    Step::Ask(Ask { len: segments.len() as u8, segments, ..ask(kind, 0, 0) })
}

const KICK: Step = Step::Kick { lane: 0 };

/// What every disk can do.
pub(crate) fn plain() -> Vec<Step> {
    vec![
        asks(OUT, 3, 2),
        asks(IN, 2, 4),
        asks(FLUSH, 0, 0),
        asks(GET_ID, 0, 20),
        asks(LIFETIME, 0, 1),
        ranges(DISCARD, &[(3, 1, 0)]),
        ranges(ZEROES, &[(4, 1, 1), (8, 8, 1)]),
        ranges(ERASE, &[(16, 8, 0)]),
        asks(IN, 0, 8),
    ]
}

/// Any framing.
fn cuts() -> Vec<Step> {
    let cut = |kind, how, cuts| Step::Ask(Ask { how: Ask::SHOW | how, cuts, ..ask(kind, 9, 1) });
    vec![
        cut(OUT, 0, [1, 1]),
        cut(OUT, Ask::INDIRECT, [7, 0]),
        cut(IN, 0, [15, 100]),
        cut(IN, Ask::INDIRECT, [17, 1]),
        cut(GET_ID, Ask::INDIRECT, [200, 2]),
        Step::Ask(Ask { how: Ask::SHOW | Ask::INDIRECT, cuts: [9, 0], ..ask(OUT, 20, 8) }),
    ]
}

/// Requests that follow one another on the disk, and some that do not, shown together.
fn runs() -> Vec<Step> {
    vec![
        later(OUT, 8, 1),
        later(OUT, 9, 1),
        later(IN, 9, 1),
        later(OUT, 10, 2),
        later(OUT, 20, 1),
        later(IN, 30, 2),
        KICK,
        Step::Finish { which: 0, how: 4 },
        Step::Finish { which: 0, how: 0 },
        Step::Resume,
        later(IN, 8, 1),
        later(IN, 9, 1),
        later(IN, 20, 1),
        KICK,
        Step::Finish { which: 1, how: 0 },
    ]
}

/// Bad requests, each of which is answered.
fn bad() -> Vec<Step> {
    let odd = |kind, how| Step::Ask(Ask { how: Ask::SHOW | how, ..ask(kind, 5, 3) });
    vec![
        odd(IN, Ask::ODD),
        odd(OUT, Ask::FAR),
        odd(IN, Ask::SHORT),
        odd(OUT, Ask::BOTH),
        odd(77, 0),
        ranges(ZEROES, &[(3, 255, 0)]),
        ranges(DISCARD, &[(255, 1, 0), (1, 1, 2)]),
        asks(IN, 63, 2),
        Step::Raw(Raw { how: Ask::INDIRECT, buffers: vec![(0x18, 16), (0x19, 512), (0x11, 1)] }),
    ]
}

/// What breaks a ring.
fn broken() -> Vec<Step> {
    vec![
        asks(OUT, 1, 1),
        Step::Ask(Ask { how: Ask::SHOW | Ask::MUTE, ..ask(IN, 1, 1) }),
        Step::Reset { features: u32::MAX },
        asks(IN, 1, 1),
        Step::Break { lane: 0 },
        Step::Reset { features: 0x0202_0200 },
        Step::Poke { address: 0x1008, bytes: [1, 2, 3, 4] },
        asks(IN, 1, 1),
    ]
}

/// What the embedder does.
fn managed() -> Vec<Step> {
    vec![
        Step::Resize { sectors: 20, what: 0 },
        asks(IN, 19, 1),
        asks(IN, 19, 2),
        Step::Resize { sectors: 10, what: 3 },
        asks(OUT, 9, 4),
        Step::Resume,
        Step::Resize { sectors: 64, what: 3 },
        Step::Resize { sectors: 0, what: 2 },
        Step::Resume,
        Step::WriteConfig { offset: 32, value: 0, len: 1 },
        asks(OUT, 9, 4),
        Step::Replace,
        Step::Pause,
        asks(IN, 9, 4),
        Step::Unpause,
        Step::Move,
        asks(IN, 8, 4),
    ]
}

/// Operations that take their time, and fail.
fn slow() -> Vec<Step> {
    let finish = |which, how| Step::Finish { which, how };
    vec![
        asks(IN, 0, 1),
        asks(OUT, 8, 2),
        asks(FLUSH, 0, 0),
        finish(1, 0),
        finish(0, 6),
        finish(0, 5),
        Step::Resume,
        ranges(ZEROES, &[(1, 2, 0), (9, 1, 0)]),
        finish(0, 0),
        finish(0, 7),
        asks(IN, 0, 4),
        Step::QueueReset { lane: 0 },
        asks(OUT, 16, 2),
        Step::Reset { features: u32::MAX },
        asks(IN, 0, 1),
        finish(0, 8),
        finish(0, 9),
    ]
}

/// Zones through their states.
pub(crate) fn zones() -> Vec<Step> {
    vec![
        asks(APPEND, 8, 2),
        asks(OUT, 10, 1),
        asks(OUT, 9, 1),
        asks(OPEN, 16, 0),
        asks(APPEND, 24, 1),
        asks(APPEND, 32, 2),
        asks(CLOSE, 8, 0),
        asks(REPORT, 0, 11),
        asks(FINISH, 24, 0),
        asks(FLUSH, 0, 0),
        asks(RESET, 8, 0),
        Step::FailZone { zone: 5, offline: false },
        Step::FailZone { zone: 6, offline: true },
        asks(IN, 40, 1),
        asks(OUT, 48, 1),
        asks(IN, 7, 2),
        asks(RESET_ALL, 0, 0),
    ]
}

/// All of them, on disks and rings that suit them.
pub(crate) fn all() -> Vec<Seed> {
    let every_ring = [
        Rings::INDIRECT_DESC,
        Rings::INDIRECT_DESC | Rings::EVENT_IDX | Rings::RING_RESET,
        Rings::INDIRECT_DESC | Rings::PACKED | Rings::RING_RESET,
        Rings::INDIRECT_DESC | Rings::PACKED | Rings::EVENT_IDX | Rings::IN_ORDER,
    ];
    let zoned = ZONED | 0x40;
    let programs: [(&'static str, Vec<Step>, &[u8]); 8] = [
        ("plain", plain(), &[MEMORY, SLOW, zoned | AWARE]),
        ("cuts", cuts(), &[MEMORY]),
        ("runs", runs(), &[MEMORY, SLOW | MERGES]),
        ("bad", bad(), &[MEMORY]),
        ("broken", broken(), &[MEMORY]),
        ("managed", managed(), &[MEMORY]),
        ("slow", slow(), &[SLOW, SLOW | STUBBORN, SLOW | zoned]),
        ("zones", zones(), &[zoned, zoned | 0x10, ZONED | 0x20, zoned | 0x30, zoned | AWARE, zoned | SLOW]),
    ];
    let mut seeds = Vec::new();
    for (name, program, disks) in &programs {
        for (number, (disk, ring)) in disks.iter().flat_map(|disk| every_ring.map(|ring| (*disk, ring))).enumerate() {
            // Each policy and limit somewhere; the first ones without.
            let policies = [0, 0x45, 0x40, 0x4a, 0x10, 0x4f][number % 6];
            let limits = [0, 0, 0b0001, 0b0010, 0b0100][number % 5];
            let header = Header { disk, rings: Rings(ring | 0xc0), features: u32::MAX, policies, limits };
            seeds.push((*name, bytes(&header, program)));
        }
    }
    seeds
}

/// An input.
pub(crate) fn bytes(header: &Header, program: &[Step]) -> Vec<u8> {
    let mut bytes = Vec::new();
    header.write(&mut bytes);
    program.iter().for_each(|step| step.write(&mut bytes));
    bytes
}
