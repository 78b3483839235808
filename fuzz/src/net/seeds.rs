//! Programs made by hand: good drivers, on every kind of network, and some that are not.

use super::frame::Frame;
use super::input::Header;
use super::step::Step;
use crate::device::{Raw, Rings};
use crate::seeds::Seed;

const USUAL: [u8; 6] = [54, 100, 34, 16, 0, 0];
/// To the device: nothing known, TCP over IPv4, UDP over IPv4, TCP over IPv6.
const PLAIN: u8 = 0;
const TCP4: u8 = 8;
const UDP4: u8 = 16;
const TCP6: u8 = 24;

fn frame(kind: u8, len: u16) -> Frame {
    Frame { kind, len, flags: 0, gso_type: 0, numbers: USUAL }
}

fn send(frame: Frame) -> Step {
    Step::Send { how: Step::SHOW, frame, cuts: [0, 0] }
}

fn arrive(frame: Frame) -> Step {
    Step::Arrive { how: 0, frame }
}

fn post(len: u16, count: u8) -> Step {
    Step::Post { how: Step::SHOW, len: len - 1, count: count - 1 }
}

fn command(class: u8, command: u8, data: &[u8]) -> Step {
    Step::Command { how: Step::SHOW, class, command, data: data.to_vec(), room: 1 }
}

/// Frames without work to do, in both directions.
fn plain() -> Vec<Step> {
    vec![
        send(frame(PLAIN, 46)),
        Step::Send { how: Step::SHOW | Step::INDIRECT, frame: frame(TCP4, 1000), cuts: [5, 30] },
        send(Frame { kind: 3, len: 10, ..Frame::default() }),
        post(1600, 3),
        arrive(frame(PLAIN, 46)),
        arrive(frame(UDP4, 900)),
        arrive(frame(TCP6 | 3, 1400)),
        arrive(frame(TCP4, 0)),
        post(300, 8),
        arrive(frame(TCP4 | 32, 1500)),
    ]
}

/// Frames with work to do.
fn offloads() -> Vec<Step> {
    let cut = |gso_type, kind, len| Frame { flags: 1, gso_type, ..frame(kind, len) };
    vec![
        send(Frame { flags: 1, ..frame(TCP4, 500) }),
        send(cut(1, TCP4, 3000)),
        send(cut(4, TCP6, 3000)),
        send(cut(3, UDP4, 3000)),
        send(cut(5, UDP4, 3000)),
        send(cut(0x81, TCP4, 200)),
        post(2000, 8),
        arrive(Frame { flags: 1, ..frame(TCP4, 500) }),
        arrive(Frame { flags: 2, ..frame(TCP4, 500) }),
        arrive(cut(1, TCP4, 1000)),
        post(2000, 8),
        arrive(Frame { numbers: [74, 100, 54, 16, 0, 0], ..cut(4, TCP6, 700) }),
        arrive(Frame { numbers: [42, 100, 34, 6, 0, 0], ..cut(5, UDP4, 700) }),
        post(2000, 8),
        arrive(cut(3, UDP4, 700)),
        command(5, 0, &[2, 0, 0, 0, 0, 0, 0, 0]),
        arrive(cut(1, TCP4, 300)),
        arrive(Frame { flags: 1, numbers: [0xff; 6], ..frame(TCP4, 300) }),
        send(Frame { flags: 1, numbers: [0xff; 6], ..frame(TCP4, 300) }),
        send(cut(0x61, TCP4, 300)),
        send(cut(7, TCP4, 300)),
    ]
}

/// Commands of every class, good and bad.
fn commands() -> Vec<Step> {
    let mut rss = vec![0x3f, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 0, 40];
    rss.extend([0x5a; 40]);
    let mut hash = vec![0x3f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 40];
    hash.extend([0x5a; 40]);
    vec![
        command(0, 0, &[0]),
        command(0, 1, &[1]),
        command(0, 5, &[1]),
        command(1, 0, &[1, 0, 0, 0, 2, 0, 0, 0, 0, 9, 1, 0, 0, 0, 1, 0, 0x5e, 0, 0, 7]),
        command(1, 1, &[2, 0, 0, 0, 0, 1]),
        command(2, 0, &[2, 0]),
        command(2, 1, &[2, 0]),
        command(3, 0, &[]),
        Step::Announce,
        command(3, 0, &[]),
        command(4, 0, &[2, 0]),
        command(4, 1, &rss),
        command(4, 2, &hash),
        command(4, 0, &[9, 0]),
        command(5, 0, &[0; 8]),
        command(6, 0, &[10, 0, 0, 0, 100, 0, 0, 0]),
        command(6, 2, &[0, 0, 0, 0, 10, 0, 0, 0, 100, 0, 0, 0]),
        Step::Command { how: Step::SHOW, class: 6, command: 3, data: vec![0, 0, 0, 0], room: 20 },
        Step::Command { how: Step::SHOW, class: 8, command: 0, data: vec![], room: 40 },
        Step::Command {
            how: Step::SHOW,
            class: 8,
            command: 1,
            data: vec![0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0],
            room: 200,
        },
        command(99, 0, &[]),
        Step::Command { how: Step::SHOW | Step::SHORT, class: 0, command: 0, data: vec![], room: 0 },
        post(2000, 8),
        arrive(frame(TCP4, 60)),
        arrive(frame(TCP4 | 1, 60)),
        arrive(frame(TCP4 | 2, 60)),
        arrive(frame(TCP4 | 4, 60)),
    ]
}

/// Two pairs, and their queues come and go.
fn pairs() -> Vec<Step> {
    let second = |step| match step {
        Step::Post { how, len, count } => Step::Post { how: how | Step::SECOND_PAIR, len, count },
        Step::Send { how, frame, cuts } => Step::Send { how: how | Step::SECOND_PAIR, frame, cuts },
        Step::Arrive { how, frame } => Step::Arrive { how: how | Step::SECOND_PAIR, frame },
        other => other,
    };
    let mut steps = vec![command(4, 0, &[2, 0]), post(300, 8), second(post(300, 8)), second(send(frame(TCP4, 9)))];
    steps.extend((0..8).map(|flow| arrive(frame(TCP4 | flow << 5, 200))));
    steps.extend([Step::QueueReset { lane: 0 }, second(arrive(frame(TCP4, 100))), Step::QueueReset { lane: 4 }]);
    steps.extend([second(arrive(frame(UDP4, 100))), Step::QueueReset { lane: 3 }, command(4, 0, &[1, 0])]);
    steps.extend([post(300, 4), arrive(frame(UDP4, 1000)), Step::QueueReset { lane: 1 }, send(frame(PLAIN, 77))]);
    steps
}

/// What the embedder does, and a network that is full, fails or is not there.
fn managed() -> Vec<Step> {
    vec![
        Step::Room { lane: 0, frames: 1 },
        send(frame(TCP4, 9)),
        send(frame(TCP4, 10)),
        arrive(frame(TCP4, 2000)),
        Step::Pause,
        post(700, 2),
        Step::Replace,
        Step::Unpause,
        post(700, 2),
        Step::Move,
        Step::Room { lane: 0, frames: 9 },
        Step::Link { up: 2 },
        send(frame(TCP4, 11)),
        Step::Link { up: 1 },
        arrive(frame(TCP4, 12)),
        Step::Link { up: 3 },
        Step::Room { lane: 2, frames: 0 },
        send(frame(TCP4, 13)),
        arrive(frame(TCP4, 500)),
        post(700, 1),
        Step::Reset { features: [0xff; 7] },
        send(frame(TCP4, 14)),
    ]
}

/// Bad buffers and frames, and what breaks a ring.
fn bad() -> Vec<Step> {
    vec![
        Step::Send { how: Step::SHOW | Step::SHORT | 0x30, frame: frame(TCP4, 9), cuts: [0, 0] },
        Step::Arrive { how: Step::SHORT | 0x50, frame: frame(TCP4, 9) },
        post(5, 2),
        post(300, 2),
        Step::Raw(Raw { how: 0, buffers: vec![(0x18, 100), (0x19, 100)] }),
        arrive(frame(TCP4, 3000)),
        post(2000, 4),
        Step::Raw(Raw { how: 0x10, buffers: vec![(0, 100)] }),
        Step::Raw(Raw { how: 0x10 | Step::INDIRECT, buffers: vec![(0x18, 12), (4, 100)] }),
        Step::Raw(Raw { how: 0x20, buffers: vec![(0x18, 2), (5, 100)] }),
        Step::Break { lane: 1 },
        arrive(frame(TCP4, 30)),
        Step::Reset { features: [0xff; 7] },
        post(300, 2),
        Step::Poke { address: 0x1008, bytes: [1, 2, 3, 4] },
        arrive(frame(TCP4, 30)),
        send(frame(TCP4, 30)),
    ]
}

/// All of them, on networks and rings that suit them.
pub(crate) fn all() -> Vec<Seed> {
    let every_ring = [
        Rings::INDIRECT_DESC,
        Rings::INDIRECT_DESC | Rings::EVENT_IDX | Rings::RING_RESET | Rings::TWO_QUEUES,
        Rings::INDIRECT_DESC | Rings::PACKED | Rings::RING_RESET | Rings::TWO_QUEUES,
        Rings::INDIRECT_DESC | Rings::PACKED | Rings::EVENT_IDX | Rings::IN_ORDER,
    ];
    let programs: [(&'static str, Vec<Step>); 6] = [
        ("plain", plain()),
        ("offloads", offloads()),
        ("commands", commands()),
        ("pairs", pairs()),
        ("managed", managed()),
        ("bad", bad()),
    ];
    let networks = [0, Header::FILLS, Header::STEERS | Header::MTU, Header::FILLS | Header::LIMITED, Header::PLAIN];
    let mut seeds = Vec::new();
    for (name, program) in &programs {
        for (number, (network, ring)) in
            networks.iter().flat_map(|network| every_ring.map(|ring| (*network, ring))).enumerate()
        {
            // All features; all but that frames are spread, and that are hashed; few.
            let features =
                [[0xff; 7], [0xff, 0x7f, 0xff, 0x7f, 0xf8, 0xff, 0xff], [0, 0x80, 2, 0, 0, 0, 0]][number % 3];
            let header = Header { network, rings: Rings(ring | 0x80 | (number as u8 & 1) << 6), features };
            let mut bytes = Vec::new();
            header.write(&mut bytes);
            program.iter().for_each(|step| step.write(&mut bytes));
            seeds.push((*name, bytes));
        }
    }
    seeds
}
