//! Inputs made by hand: drivers and devices that behave, so that a fuzzer has something to start from.

use virtio_core::ring::wire::{INDIRECT, NEXT, WRITE};

use crate::input::{End, Header, Step};

/// A name, and an input.
pub type Seed = (&'static str, Vec<u8>);

/// Where the rings are, and what they are for: 16 descriptors, an available ring (split) or the driver's event
/// suppression (packed), a used ring or the device's event suppression, tables, buffers.
const DESCRIPTORS: u16 = 0;
const DRIVER: u16 = 0x100;
const DEVICE: u16 = 0x140;
const TABLE: u16 = 0x200;
const BUFFERS: u16 = 0x300;
const SIZE: u16 = 16;

/// Good histories of a split ring.
pub fn split() -> Vec<Seed> {
    let plain = [single(0), serve(End::Complete), offer(1), serve(End::Complete), rest()].concat();
    let asynchronous = [
        vec![Step::Log { on: true }],
        [0, 1, 2].map(offer).concat(),
        vec![pop(End::Ticket), pop(End::Hold), pop(End::Ticket), Step::Finish { which: 1, len: 8 }],
        vec![Step::Publish, Step::Finish { which: 1, len: 8 }, Step::Finish { which: 0, len: 8 }],
        rest(),
    ];
    let moved = [
        vec![Step::Log { on: true }],
        [0, 1, 2].map(offer).concat(),
        vec![pop(End::Hold), Step::Replace { shape: 1 }, pop(End::PutBack), Step::Publish, Step::Arm],
        vec![Step::Finish { which: 0, len: 20 }, Step::Restore, pop(End::Complete), Step::Replace { shape: 9 }],
        rest(),
        vec![pop(End::Complete)],
    ];
    let odd = [
        [3, 4, 5].map(offer).concat(),
        vec![pop(End::BadRequest), pop(End::Drop), pop(End::PutBack), Step::Stop, Step::Arm, Step::Start],
        vec![Step::Grant { chains: 1 }, pop(End::Complete), pop(End::Complete), Step::Grant { chains: 4 }],
        rest(),
        vec![pop(End::Break)],
    ];
    let edges = [9, 10, 4].map(|head| [offer(head), serve(End::Complete)].concat());
    // More chains than the queue has room for.
    let full = [[0; 16].map(offer).concat(), vec![pop(End::Ticket); 16], rest(), offer(0), vec![pop(End::Ticket)]];
    let scripts = [
        ("plain", plain),
        ("asynchronous", asynchronous.concat()),
        ("moved", moved.concat()),
        ("odd", odd.concat()),
        ("edges", edges.concat()),
        ("full", full.concat()),
    ];
    every_kind(&scripts, split_image())
}

/// What drivers, networks and embedders do with a network device.
pub fn net() -> Vec<Seed> {
    crate::net::seeds::all()
}

/// Programs for a block device.
pub fn block() -> Vec<Seed> {
    crate::block::seeds::all()
}

/// State files of zones, and what a device does on the disk that has one.
pub fn zone_state() -> Vec<Seed> {
    crate::zone_state::seeds()
}

/// What NBD servers say.
pub fn nbd() -> Vec<Seed> {
    crate::nbd::seeds()
}

/// Good histories of a packed ring.
pub fn packed() -> Vec<Seed> {
    let descriptor = |id, address, len, flags: u16| Step::Offer { id, address, len, flags: flags as u8 };
    let one = |id| descriptor(id, BUFFERS, 32, WRITE);
    let three = |id| [(0, NEXT), (1, NEXT), (2, WRITE)].map(|(i, flags)| descriptor(id, BUFFERS + 64 * i, 48, flags));
    let table = |id| descriptor(id, TABLE, 48, INDIRECT);
    let plain = [vec![one(0)], serve(End::Complete), three(1).to_vec(), serve(End::Complete), rest()];
    let around = (0..12).flat_map(|id| [three(id % 3).to_vec(), serve(End::Complete)]);
    let asynchronous = [
        vec![Step::Log { on: true }, one(0), table(1), one(2)],
        three(3).to_vec(),
        vec![pop(End::Ticket), pop(End::Hold), pop(End::Ticket), Step::Finish { which: 1, len: 8 }],
        vec![Step::Publish, Step::Finish { which: 1, len: 8 }, Step::Finish { which: 0, len: 8 }],
        rest(),
    ];
    let moved = [
        vec![Step::Log { on: true }, one(0), table(1), one(2)],
        vec![pop(End::Hold), Step::Replace { shape: 1 }, pop(End::PutBack), Step::Publish, Step::Arm],
        vec![Step::Finish { which: 0, len: 20 }, Step::Restore, pop(End::Complete), Step::Replace { shape: 9 }],
        rest(),
    ];
    let odd = [
        vec![one(7), table(7), one(3), one(3)],
        vec![pop(End::BadRequest), pop(End::Drop), pop(End::PutBack), Step::Stop, Step::Arm, Step::Start],
        vec![Step::Grant { chains: 1 }, pop(End::Complete), pop(End::Complete), Step::Grant { chains: 4 }],
        rest(),
        vec![pop(End::Break)],
    ];
    // Over the end of memory by a byte, nowhere, and over the border of two regions.
    let edges = [(0xff0, 17, WRITE), (0xfff0, 64, WRITE), (0x7f0, 17, WRITE)];
    let edges =
        edges.map(|(address, len, flags)| [vec![descriptor(9, address, len, flags)], serve(End::Complete)].concat());
    // More chains than the queue has room for.
    let full = [vec![one(5); 16], vec![pop(End::Ticket); 16], rest(), vec![one(5), pop(End::Ticket)]];
    // A chain that goes on in descriptors of one in flight.
    let overrun = [vec![one(5); 15], vec![pop(End::Ticket); 15], three(6).to_vec(), vec![pop(End::Ticket)]];
    let scripts = [
        ("plain", plain.concat()),
        ("around", around.collect::<Vec<_>>().concat()),
        ("asynchronous", asynchronous.concat()),
        ("moved", moved.concat()),
        ("odd", odd.concat()),
        ("edges", edges.concat()),
        ("full", full.concat()),
        ("overrun", overrun.concat()),
    ];
    every_kind(&scripts, packed_image())
}

/// Each script with features, with others, and with a ring that starts in the middle.
fn every_kind(scripts: &[(&'static str, Vec<Step>)], image: Vec<u8>) -> Vec<Seed> {
    let all = Header::INDIRECT_DESC | Header::EVENT_IDX;
    let kinds = [(Header::INDIRECT_DESC, 0, 0), (all, 1, 0), (all | Header::IN_ORDER, 2, 0), (all, 0, 0b1111)];
    let seeds = scripts.iter().flat_map(|(name, script)| {
        let image = image.clone();
        kinds.map(move |(features, shape, start)| {
            let areas = [DESCRIPTORS, DRIVER, DEVICE];
            let image = image.clone();
            let header = Header { shape, features, size: SIZE, areas, start, image, ..Header::default() };
            let mut bytes = Vec::new();
            header.write(&mut bytes);
            script.iter().for_each(|step| step.write(&mut bytes));
            (*name, bytes)
        })
    });
    seeds.collect()
}

/// Descriptors of chains: 0 to write, 1 to read and write, 2 indirect, 3 to 5 and 9 with something
/// wrong in them, 10 over a border.
fn split_image() -> Vec<u8> {
    let mut image = vec![0; usize::from(BUFFERS)];
    let mut put = |index: u16, address: u16, len: u32, flags: u16, next: u16| {
        descriptor(&mut image, DESCRIPTORS + 16 * index, address, len, flags, next);
    };
    put(0, BUFFERS, 32, WRITE, 0);
    put(1, BUFFERS, 16, NEXT, 6);
    put(6, BUFFERS + 16, 16, NEXT, 7);
    put(7, BUFFERS + 32, 64, WRITE, 0);
    put(2, TABLE, 48, INDIRECT, 0);
    put(3, BUFFERS, 0, WRITE, 0);
    put(4, 0xfff0, 64, WRITE, 0);
    // Over the end of memory by a byte, and over the border of two regions.
    put(9, 0xff0, 17, WRITE, 0);
    put(10, 0x7f8, 16, NEXT, 11);
    put(11, 0x7f0, 17, WRITE, 0);
    put(5, BUFFERS, 8, WRITE | NEXT, 8);
    put(8, BUFFERS, 8, 0, 0);
    for (i, flags) in [(0, NEXT), (1, NEXT), (2, WRITE)] {
        descriptor(&mut image, TABLE + 16 * i, BUFFERS + 32 * i, 24, flags, i + 1);
    }
    image
}

/// A table. Its descriptors have their flags at the end, behind an id that says nothing.
fn packed_image() -> Vec<u8> {
    let mut image = vec![0; usize::from(BUFFERS)];
    for (i, flags) in [(0, 0), (1, 0), (2, WRITE)] {
        descriptor(&mut image, TABLE + 16 * i, BUFFERS + 32 * i, 24, 0, flags);
    }
    image
}

fn descriptor(image: &mut [u8], at: u16, address: u16, len: u32, flags: u16, next: u16) {
    let numbers = [&address.to_le_bytes()[..], &[0; 6], &len.to_le_bytes(), &flags.to_le_bytes(), &next.to_le_bytes()];
    let at = usize::from(at);
    image[at..at + 16].copy_from_slice(&numbers.concat());
}

fn offer(head: u16) -> Vec<Step> {
    vec![Step::Offer { id: head, address: 0, len: 0, flags: 0 }]
}

fn single(head: u16) -> Vec<Step> {
    [offer(head), vec![Step::Disarm]].concat()
}

fn pop(end: End) -> Step {
    Step::Pop { end, read: 64, write: 20, len: 20 }
}

fn serve(end: End) -> Vec<Step> {
    vec![pop(end), Step::Publish]
}

/// The end of a batch.
fn rest() -> Vec<Step> {
    vec![Step::Publish, Step::Arm]
}
