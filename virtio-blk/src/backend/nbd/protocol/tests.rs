#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

use proptest::prelude::*;

use super::coverage::Coverage;
use super::fuzz::fuzz;
use super::{BlockSizes, Command, Event, Export, Handshake, ProtocolError, Replies, Requests};

fn greeting(flags: u8) -> Vec<u8> {
    [&b"NBDMAGICIHAVEOPT\0"[..], &[flags]].concat()
}

fn reply(option: u32, kind: u32, data: &[u8]) -> Vec<u8> {
    let numbers = [option, kind, data.len() as u32].map(u32::to_be_bytes).concat();
    [&0x0003_e889_0455_65a9u64.to_be_bytes(), &numbers[..], data].concat()
}

fn chunk(last: bool, kind: u16, cookie: u64, data: &[u8]) -> Vec<u8> {
    let mut chunk = 0x668e_33efu32.to_be_bytes().to_vec();
    chunk.extend([u16::from(last), kind].map(u16::to_be_bytes).concat());
    chunk.extend(cookie.to_be_bytes());
    chunk.extend((data.len() as u32).to_be_bytes());
    chunk.extend(data);
    chunk
}

/// A handshake with all that there is, as the server says it.
fn words() -> Vec<u8> {
    [
        greeting(3),
        reply(8, 1, &[]),
        reply(7, 3, &[0, 2, b'n', b'a', b'm', b'e']),
        reply(7, 3, &[&[0, 0][..], &(1u64 << 30).to_be_bytes(), &[0x01, 0x6d]].concat()),
        reply(7, 3, &[&[0, 3][..], &[512u32, 4096, u32::MAX].map(u32::to_be_bytes).concat()].concat()),
        reply(7, 1, &[]),
    ]
    .concat()
}

#[test]
fn a_handshake_in_any_pieces_agrees_on_the_same() {
    let blocks = BlockSizes { min: 512, preferred: 4096, max: 32 << 20 };
    let export = Export::new(1 << 30, 0x016d, blocks, true);
    let sent =
        [&[0, 0, 0, 3][..], b"IHAVEOPT\0\0\0\x08\0\0\0\0", b"IHAVEOPT\0\0\0\x07\0\0\0\x0c\0\0\0\x04name\0\x01\0\x03"]
            .concat();
    for cut in [1, 2, 3, 7, 19, 20, 1000] {
        let mut handshake = Handshake::new(b"name");
        let (mut end, mut output) = (None, Vec::new());
        for piece in words().chunks(cut) {
            assert_eq!(end, None);
            end = handshake.input(piece).unwrap();
            output.extend(handshake.take_output());
        }
        assert_eq!(end, Some(export), "in pieces of {cut}");
        assert!(output == sent);
    }
    assert!(export.multi_conn() && export.trim() && export.write_zeroes() && export.fua() && export.flush());
}

#[test]
fn servers_without_options_are_asked_for_the_name_alone() {
    for (flags, sent_flags, zeros) in [(0u8, 0u8, 124), (2, 2, 0)] {
        let mut handshake = Handshake::new(b"name");
        assert_eq!(handshake.input(&greeting(flags)), Ok(None));
        let sent = [&[0, 0, 0, sent_flags][..], b"IHAVEOPT\0\0\0\x01\0\0\0\x04name"].concat();
        assert!(handshake.take_output() == sent);
        let answer = [&(1u64 << 20).to_be_bytes()[..], &[0, 1], &vec![0; zeros]].concat();
        let export = handshake.input(&answer).unwrap().unwrap();
        assert_eq!((export.size, export.structured), (1 << 20, false));
        assert_eq!(export.blocks, BlockSizes::default());
    }
}

#[test]
fn requests_have_the_protocols_layout() {
    let bytes = Command::WriteZeroes { no_hole: true, fua: true }.encode(0x0102_0304_0506_0708, 0x1112, 0x2122);
    let expected = [
        &[0x25, 0x60, 0x95, 0x13, 0, 3, 0, 6][..],
        &[1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0, 0x11, 0x12, 0, 0, 0x21, 0x22],
    ];
    assert_eq!(bytes[..], expected.concat());
    let numbers = [Command::Read, Command::Write { fua: true }, Command::Disconnect, Command::Flush, Command::Trim];
    let numbers = numbers.map(|command| command.encode(0, 0, 0)).map(|bytes| (bytes[5], bytes[7]));
    assert_eq!(numbers, [(0, 0), (1, 1), (0, 2), (0, 3), (0, 4)]);
}

#[test]
fn a_slot_knows_its_requests_apart() {
    let mut requests = Requests::new(1);
    let first = requests.open(Command::Flush, 0, 0, 1).unwrap();
    assert!(requests.is_full() && requests.open(Command::Flush, 0, 0, 2).is_none());
    assert_eq!(requests.close(first).unwrap().0.user, 1);
    assert!(requests.close(first).is_err());
    let second = requests.open(Command::Flush, 0, 0, 2).unwrap();
    assert_ne!(first, second);
    assert_eq!(requests.get(first).unwrap_err(), ProtocolError::Cookie { cookie: first });
    assert_eq!((requests.count(), requests.iter().count(), requests.iter_mut().count()), (1, 1, 1));
}

#[test]
fn an_error_beside_data_fails_the_read() {
    for cut in [1, 5, 1000] {
        let mut requests = Requests::new(4);
        let cookie = requests.open(Command::Read, 4096, 1024, ()).unwrap();
        let text = [&5u32.to_be_bytes()[..], &[0, 3], b"bad", &4608u64.to_be_bytes()].concat();
        let words = [
            chunk(false, 1, cookie, &[&4096u64.to_be_bytes()[..], &[7; 512]].concat()),
            chunk(false, 0x8002, cookie, &text),
            chunk(false, 0x8001, cookie, &[0, 0, 0, 6, 0, 0]),
            chunk(true, 0, cookie, &[]),
        ]
        .concat();
        let mut replies = Replies::new(true);
        let (mut data, mut errors) = (0, Vec::new());
        for mut piece in words.chunks(cut) {
            while let Some(event) = replies.next(&mut piece, &mut requests).unwrap() {
                match event {
                    Event::Data { at, bytes, .. } => {
                        assert_eq!(at, data);
                        data += bytes.len() as u32;
                    }
                    Event::Done { error, .. } => errors.push(error),
                    Event::Zeroes { .. } => panic!("no zeros were sent"),
                }
            }
        }
        assert_eq!((data, errors), (512, vec![Some(5)]));
        assert!(replies.is_idle());
    }
}

proptest! {
    #[test]
    fn any_bytes_of_a_server(data in prop::collection::vec(any::<u8>(), 0..400)) {
        fuzz(&data);
    }

    /// What is nearly right goes deeper.
    #[test]
    fn a_handshake_with_a_wrong_byte(cut in any::<u8>(), at in 0usize..200, byte in any::<u8>()) {
        let mut data = [&[0, cut, 0, 0][..], &words()].concat();
        let at = at % data.len();
        data[at] = byte;
        fuzz(&data);
    }

    #[test]
    fn replies_in_any_order(
        setup in any::<[u8; 3]>(),
        chunks in prop::collection::vec((any::<bool>(), 0u16..4, 0u16..8, 0u64..66, 0u32..66, 0u32..9), 1..20),
        change in prop::option::of((any::<usize>(), any::<u8>())),
    ) {
        let [cut, count, seed] = setup;
        let mut data = vec![3, cut, count, seed];
        for (last, kind, slot, at, len, turn) in chunks {
            let cookie = u64::from(turn.max(1).min(2) / 2 + 1) << 16 | u64::from(slot);
            let offset = u64::from(seed) * 512 + u64::from(slot) * 64 + at;
            let body = match kind {
                1 => [&offset.to_be_bytes()[..], &vec![7; len as usize]].concat(),
                2 => [&offset.to_be_bytes()[..], &len.to_be_bytes()].concat(),
                3 => [&len.to_be_bytes()[..], &[0, 0]].concat(),
                _ => Vec::new(),
            };
            data.extend(chunk(last, if kind == 3 { 0x8001 } else { kind }, cookie, &body));
        }
        if let Some((at, byte)) = change {
            let at = at % data.len();
            data[at] = byte;
        }
        fuzz(&data);
    }

    /// Ranges in any order are as they would be in a list of bytes.
    #[test]
    fn coverage_is_exact(ranges in prop::collection::vec((0u32..64, 1u32..16), 1..40)) {
        let (mut coverage, mut bytes) = (Coverage::default(), [false; 80]);
        for (start, len) in ranges {
            let place = &mut bytes[start as usize..(start + len) as usize];
            let free = place.iter().all(|byte| !byte);
            prop_assert_eq!(coverage.add(start, start + len).is_ok(), free);
            if free {
                place.fill(true);
            }
            prop_assert_eq!(coverage.bytes() as usize, bytes.iter().filter(|byte| **byte).count());
        }
    }
}
