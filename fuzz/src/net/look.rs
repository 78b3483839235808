//! What is checked whenever a network device has worked.

use virtio_core::Features;
use virtio_core::testing::RingDriver;
use virtio_net::NetHeader;

use super::check;
use super::device::{Device, Sent};
use crate::device::Sent as _;

const MRG_RXBUF: Features = Features::bit(15);

impl<R: RingDriver> Device<R> {
    /// What was sent is what the driver sent, in its order.
    pub(super) fn look_at_network(&mut self) {
        let sent = { self.network.state().pairs.each_mut().map(|pair| std::mem::take(&mut pair.sent)) };
        for (frames, expected) in sent.into_iter().zip(&mut self.expected) {
            self.outcome.sent += frames.len() as u64;
            if self.stage.wild || self.murky {
                continue;
            }
            for frame in frames {
                let place = expected.iter().position(|other| *other == frame);
                let place = place.unwrap_or_else(|| {
                    panic!("a frame of {} bytes was sent that the driver did not send", frame.len());
                });
                expected.drain(..=place);
            }
        }
    }

    /// An answer of the control queue.
    pub(super) fn answered(&mut self, sent: &Sent, len: u32) {
        if len == 0 {
            self.outcome.empty += 1;
            return;
        }
        let (at, _) = sent.writable().find(|(_, len)| *len > 0).expect("room");
        match self.stage.memory.bytes(at, 1)[0] {
            0 => self.outcome.commands += 1,
            1 => {
                self.outcome.refused += 1;
                assert_eq!(len, 1, "an error is all that is said");
            }
            other => assert!(self.murky, "an answer of {other}"),
        }
    }

    /// Buffers that came back: frames with all of theirs, and empty ones.
    pub(super) fn received(&mut self, back: &[(Sent, u32)]) {
        let mut frame = Vec::new();
        // Buffers of the frame that are to come.
        let mut left = 0;
        for (sent, len) in back {
            self.received_buffer(sent, *len, &mut frame, &mut left);
        }
        assert!(self.stage.wild || left == 0, "{left} buffers of a frame are missing");
    }

    fn received_buffer(&mut self, sent: &Sent, len: u32, frame: &mut Vec<u8>, left: &mut u16) {
        if len == 0 {
            assert_eq!(*left, 0, "a frame has no empty buffers");
            self.outcome.empty += 1;
            return;
        }
        if self.murky {
            return;
        }
        let (header_len, negotiated) = (self.header_len(), self.stage.negotiated);
        let mut bytes = Vec::new();
        for (address, room) in sent.writable() {
            let now = (len as usize - bytes.len()).min(room as usize);
            bytes.extend(self.stage.memory.bytes(address, now));
        }
        if *left == 0 {
            assert!(bytes.len() >= header_len, "a header is in one buffer");
            *left = u16::from_le_bytes([bytes[10], bytes[11]]);
            assert!(*left == 1 || *left > 1 && negotiated.contains(MRG_RXBUF), "{left} buffers");
            frame.clear();
        }
        frame.extend(bytes);
        *left -= 1;
        if *left > 0 {
            assert_eq!(u64::from(len), sent.room(), "all buffers but the last are full");
            return;
        }
        let (header, frame) = frame.split_at(header_len);
        let header = check::given_header(header, frame.len(), negotiated);
        let known = header != NetHeader::default() || self.came.iter().any(|came| came == frame);
        // What was completed or cut is known to nobody here.
        let reworked = self.handle.counts().rx_csum_completed > 0 || self.handle.counts().rx_segmented > 0;
        assert!(known || reworked, "a frame of {} bytes came from nowhere", frame.len());
        self.outcome.received += 1;
    }

    /// Nothing is lost without being counted: while there is nothing in the device, and frames are not cut.
    pub(super) fn check_counts(&mut self) {
        let counts = self.handle.counts();
        let known = counts.rx_frames + check::lost(&counts);
        let (taken, cut) = {
            let mut state = self.network.state();
            (state.taken, std::mem::take(&mut state.cut))
        };
        let before = self.settled;
        if !cut {
            assert_eq!(taken - before.0, known - before.1, "frames were lost, or counted twice: {counts:?}");
        }
        self.settled = (taken, known);
    }
}
