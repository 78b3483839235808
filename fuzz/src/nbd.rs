//! What an NBD server says: seeds for [`virtio_blk::backend::nbd::fuzz`], which says what an input means.

use crate::seeds::Seed;

/// The bytes before what the server says: a handshake, and no less than so many bytes at once.
const HANDSHAKE: [u8; 4] = [0, 255, 0, 0];

fn greeting(flags: u8) -> Vec<u8> {
    [&b"NBDMAGICIHAVEOPT\0"[..], &[flags]].concat()
}

fn reply(option: u32, kind: u32, data: &[u8]) -> Vec<u8> {
    let numbers = [option, kind, data.len() as u32].map(u32::to_be_bytes).concat();
    [&0x0003_e889_0455_65a9u64.to_be_bytes(), &numbers[..], data].concat()
}

fn simple(error: u32, cookie: u64, data: &[u8]) -> Vec<u8> {
    [&0x6744_6698u32.to_be_bytes()[..], &error.to_be_bytes(), &cookie.to_be_bytes(), data].concat()
}

fn chunk(last: bool, kind: u16, cookie: u64, data: &[u8]) -> Vec<u8> {
    let flags = [u16::from(last), kind].map(u16::to_be_bytes).concat();
    let len = (data.len() as u32).to_be_bytes();
    [&0x668e_33efu32.to_be_bytes()[..], &flags, &cookie.to_be_bytes(), &len, data].concat()
}

/// Good servers, and some that refuse.
pub(crate) fn seeds() -> Vec<Seed> {
    let description = [&[0, 0][..], &(1u64 << 30).to_be_bytes(), &[0x01, 0x6d]].concat();
    let blocks = [&[0, 3][..], &[512u32, 4096, u32::MAX].map(u32::to_be_bytes).concat()].concat();
    let structured = reply(8, 1, &[]);
    let go = [reply(7, 3, &description), reply(7, 3, &blocks), reply(7, 1, &[])].concat();
    let handshake = |words: &[Vec<u8>]| [&HANDSHAKE[..], &words.concat()].concat();
    let error = 1u32 << 31;
    let old = [&(1u64 << 20).to_be_bytes()[..], &[0, 1], &[0; 124]].concat();
    // Two requests, of which the first is a write, a flush or a read: the cookies count from here.
    let read = |cookie: u64, offset: u64| {
        let at = offset.to_be_bytes();
        let half = [&at[..], &[7; 32]].concat();
        let hole = [&(offset + 32).to_be_bytes()[..], &32u32.to_be_bytes()].concat();
        [chunk(false, 1, cookie, &half), chunk(true, 2, cookie, &hole)].concat()
    };
    let refused = [&5u32.to_be_bytes()[..], &[0, 3], b"bad"].concat();
    vec![
        ("handshake", handshake(&[greeting(3), structured.clone(), go.clone()])),
        ("handshake", handshake(&[greeting(3), reply(8, error + 1, &[]), go])),
        ("handshake", handshake(&[greeting(3), structured.clone(), reply(7, error + 1, &[]), old.clone()])),
        ("handshake", handshake(&[greeting(0), old])),
        ("handshake", handshake(&[greeting(3), structured, reply(7, error + 6, b"no such")])),
        ("simple", [&[1, 16, 3, 0][..], &simple(0, 0, &[]), &simple(5, 1, &[]), &simple(0, 2, &[9; 64])].concat()),
        ("chunks", [&[3, 255, 1, 2][..], &read(0, 1024), &read(1, 1088)].concat()),
        ("chunks", [&[3, 4, 1, 2][..], &chunk(true, 0x8001, 0, &refused), &chunk(true, 0, 1, &[])].concat()),
    ]
}
