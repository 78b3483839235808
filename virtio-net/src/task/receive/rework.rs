//! Frames with work to do that the driver does not take over.

use virtio_core::Virtqueue;

use super::super::inspect::{Inspector, Verdict};
use super::super::mailbox::OwnedFrame;
use super::delivery::{Delivery, Waiting};
use super::give::{Content, Given};
use super::{START, Step};
use crate::NetHeader;
use crate::packet::checksum;
use crate::packet::segment::Segments;

impl Delivery {
    /// Does what is left to do with a frame, and the driver does not take over.
    #[cold]
    pub(super) fn rework(&mut self, by: &Inspector<'_>, mut frame: OwnedFrame) {
        if frame.header.is_gso() {
            match Segments::new(frame.bytes, &frame.header) {
                Ok(segments) => self.waiting = Waiting::Cut { segments: Box::new(segments), piece: Vec::new() },
                Err(_) => by.counters.rx_bad_header.add(1),
            }
            return;
        }
        let NetHeader { csum_start, csum_offset, .. } = frame.header;
        match checksum::complete(&mut frame.bytes, csum_start, csum_offset) {
            Ok(()) => {
                by.counters.rx_csum_completed.add(1);
                frame.header = NetHeader::default();
                self.waiting = Waiting::Frame { frame, steered: true };
            }
            Err(_) => by.counters.rx_bad_header.add(1),
        }
    }

    /// Gives the next piece of a frame that is being cut.
    #[inline(never)]
    pub(super) fn give_piece(
        &mut self,
        by: &Inspector<'_>,
        queue: Option<&mut Virtqueue>,
        mut segments: Box<Segments<Vec<u8>>>,
        mut piece: Vec<u8>,
    ) -> Step {
        if piece.is_empty() && !segments.next(&mut piece) {
            return Step::Frame { len: 0 };
        }
        let len = piece.len();
        let given = match by.inspect(&NetHeader::default(), piece.get(..START).unwrap_or(&piece), len, true) {
            Verdict::Give(give) => self.give(by, queue, &give, &mut Content::Apart(&piece)),
            Verdict::Elsewhere(pair) => {
                by.hand_over(pair, OwnedFrame { header: NetHeader::default(), bytes: piece.clone() });
                Given::Done
            }
            Verdict::Drop | Verdict::Rework => Given::Done,
        };
        if given == Given::Done {
            by.counters.rx_segmented.add(1);
            piece.clear();
        }
        self.waiting = Waiting::Cut { segments, piece };
        if given == Given::Done { Step::Frame { len } } else { Step::Blocked }
    }
}
