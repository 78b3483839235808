//! Streams of any bytes in any pieces.

use proptest::prelude::*;

use super::super::incoming::{BadLength, Incoming};
use super::super::outgoing::Outgoing;
use super::rig::{frame, framed};
use crate::NetHeader;
use crate::backend::Packet;
use crate::wire::MAX_FRAME_LEN;

/// Puts bytes in by pieces, and takes frames out.
fn cut(bytes: &[u8], pieces: &[usize]) -> (Vec<Vec<u8>>, Option<BadLength>) {
    let (mut incoming, mut frames, mut bytes) = (Incoming::new(), Vec::new(), bytes);
    for piece in pieces.iter().cycle() {
        if bytes.is_empty() {
            break;
        }
        let room = incoming.room();
        assert!(!room.is_empty());
        let len = room.len().min(*piece).min(bytes.len());
        room[..len].copy_from_slice(&bytes[..len]);
        incoming.fill(len);
        bytes = &bytes[len..];
        loop {
            match incoming.take() {
                Ok(Some(range)) => frames.push(incoming.frame(range).to_vec()),
                Ok(None) => break,
                Err(bad) => return (frames, Some(bad)),
            }
        }
    }
    (frames, None)
}

fn lengths() -> impl Strategy<Value = Vec<usize>> {
    let len = prop_oneof![6 => 1..2000_usize, 1 => 60_000..=MAX_FRAME_LEN, 1 => Just(MAX_FRAME_LEN)];
    prop::collection::vec(len, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn what_is_put_together_is_cut_again(lengths in lengths(), pieces in prop::collection::vec(1..300_000_usize, 1..8)) {
        let frames: Vec<_> = lengths.iter().zip(0..).map(|(len, seed)| frame(*len, seed)).collect();
        let bytes: Vec<_> = frames.iter().flat_map(|frame| framed(frame)).collect();
        let (got, bad) = cut(&bytes, &pieces);
        prop_assert_eq!(bad, None);
        prop_assert!(got == frames);
    }

    #[test]
    fn any_bytes_are_frames_or_a_bad_length(
        bytes in prop::collection::vec(prop_oneof![3 => Just(0_u8), 1 => any::<u8>()], 0..5000),
        pieces in prop::collection::vec(1..2000_usize, 1..8),
    ) {
        let (frames, bad) = cut(&bytes, &pieces);
        // As who has all of it at once would cut it.
        let (mut rest, mut expected) = (&bytes[..], Vec::new());
        let mut wrong = None;
        while let Some((prefix, behind)) = rest.split_first_chunk::<4>() {
            let len = u32::from_be_bytes(*prefix) as usize;
            if len == 0 || len > MAX_FRAME_LEN {
                wrong = Some(BadLength(len as u32));
                break;
            }
            let Some((frame, behind)) = behind.split_at_checked(len) else { break };
            expected.push(frame.to_vec());
            rest = behind;
        }
        prop_assert_eq!(bad, wrong);
        prop_assert!(frames == expected);
    }

    #[test]
    fn what_is_kept_to_be_sent_goes_in_any_pieces(
        lengths in lengths(),
        pieces in prop::collection::vec(1..100_000_usize, 1..8),
    ) {
        let (mut outgoing, mut scratch, mut sent, mut all) = (Outgoing::default(), Vec::new(), Vec::new(), Vec::new());
        let mut pieces = pieces.iter().cycle();
        for (len, seed) in lengths.iter().zip(0..) {
            let frame = frame(*len, seed);
            all.extend(framed(&frame));
            while !outgoing.has_room(len + 4) {
                let some = outgoing.bytes().len().min(*pieces.next().expect("a piece"));
                sent.extend_from_slice(&outgoing.bytes()[..some]);
                outgoing.advance(some);
            }
            outgoing.put(&Packet::of_bytes(NetHeader::default(), &frame, &mut scratch), true).expect("it fits");
            // Frames that are kept are those that are not sent whole.
            prop_assert!(outgoing.lengths().sum::<usize>() >= outgoing.bytes().len());
        }
        while !outgoing.is_empty() {
            let some = outgoing.bytes().len().min(*pieces.next().expect("a piece"));
            sent.extend_from_slice(&outgoing.bytes()[..some]);
            outgoing.advance(some);
        }
        prop_assert!(outgoing.bytes().is_empty());
        prop_assert!(sent == all);
    }
}

#[test]
fn frames_that_are_dropped_are_counted() {
    let (mut outgoing, mut scratch) = (Outgoing::default(), Vec::new());
    for seed in 0..5 {
        let frame = frame(100, seed);
        outgoing.put(&Packet::of_bytes(NetHeader::default(), &frame, &mut scratch), true).expect("it fits");
    }
    // Two frames went, and half of one.
    outgoing.advance(2 * 104 + 50);
    assert_eq!(outgoing.lengths().count(), 3);
    assert_eq!(outgoing.clear(), 3);
    assert!(outgoing.is_empty() && outgoing.bytes().is_empty());
    outgoing.advance(100);
    assert_eq!(outgoing.clear(), 0);
}
