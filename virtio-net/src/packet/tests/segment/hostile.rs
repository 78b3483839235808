//! Whatever goes before whatever frame: it is refused, or cut into frames that IP can carry.

use proptest::prelude::*;

use super::super::layers::wild;
use super::stream::case;
use super::*;

fn any_header() -> impl Strategy<Value = NetHeader> {
    let place = || prop_oneof![0..120_u16, any::<u16>()];
    let kinds = prop::sample::select(vec![0, 1, 3, 4, 5, 0x21, 0x41, 0x24, 0x44, 0x25, 0x45, 0x81, 0x61, 2, 0x23]);
    (0..16_u8, kinds, place(), place(), place(), place(), place(), place()).prop_map(
        |(flags, gso_type, hdr_len, gso_size, csum_start, csum_offset, outer_th_offset, inner_nh_offset)| NetHeader {
            flags,
            gso_type,
            hdr_len,
            gso_size,
            csum_start,
            csum_offset,
            outer_th_offset,
            inner_nh_offset,
        },
    )
}

/// None where it is refused.
fn try_out(frame: &[u8], header: &NetHeader) -> Option<usize> {
    let mut segments = Segments::new(frame, header).ok()?;
    let (mut out, mut pieces) = (Vec::new(), 0);
    while segments.next(&mut out) {
        pieces += 1;
        assert!(out.len() <= frame.len() + 8 && pieces <= frame.len().max(1));
    }
    Some(pieces)
}

proptest! {
    #[test]
    fn any_bytes_are_refused_or_cut(frame in prop::collection::vec(any::<u8>(), 0..300), header in any_header()) {
        try_out(&frame, &header);
    }

    #[test]
    fn wild_frames_are_refused_or_cut(frame in wild(), header in any_header()) {
        try_out(&frame, &header);
    }

    /// Frames that are nearly good, so that many of them are cut.
    #[test]
    fn damaged_frames_are_refused_or_cut(
        case in case(), damage in prop::collection::vec((0..120_usize, any::<u8>()), 0..4), wrong in any_header(), fields in 0..64_u8,
    ) {
        let (mut frame, good) = (case.frame, case.header);
        let unharmed = damage.is_empty() && !fields.is_power_of_two();
        for (at, value) in damage {
            if let Some(byte) = frame.get_mut(at) {
                *byte = value;
            }
        }
        let pick = |bit: u8| fields & 1 << bit != 0 && fields.is_power_of_two();
        let header = NetHeader {
            gso_type: if pick(0) { wrong.gso_type } else { good.gso_type },
            gso_size: if pick(1) { wrong.gso_size } else { good.gso_size },
            csum_start: if pick(2) { wrong.csum_start } else { good.csum_start },
            csum_offset: if pick(3) { wrong.csum_offset } else { good.csum_offset },
            outer_th_offset: if pick(4) { wrong.outer_th_offset } else { good.outer_th_offset },
            inner_nh_offset: if pick(5) { wrong.inner_nh_offset } else { good.inner_nh_offset },
            ..good
        };
        prop_assert!(try_out(&frame, &header).is_some() || !unharmed);
    }
}
