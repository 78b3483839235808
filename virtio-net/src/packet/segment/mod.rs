//! Frames that are to be cut, for networks that do not do it.

mod fragments;
mod stream;

use super::{Malformed, checksum};
use crate::{GsoType, NetHeader};
use fragments::Fragments;
use stream::Stream;

/// The frames that one frame is cut into, with complete checksums and nothing left to do. They are made one by one.
pub(crate) struct Segments<F> {
    frame: F,
    cut: Cut,
    /// Bytes that went.
    position: usize,
    /// Frames that were made.
    made: u16,
    finished: bool,
}

enum Cut {
    /// It is not cut. The checksum there is completed.
    Whole(Option<(u16, u16)>),
    Stream(Stream),
    Fragments(Fragments),
}

/// One of the frames: which bytes behind the headers are in it.
#[derive(Clone, Copy)]
struct Piece {
    start: usize,
    end: usize,
    /// How many are before it.
    index: u16,
    last: bool,
}

impl<F: AsRef<[u8]>> Segments<F> {
    /// What `header` says is left to do with `frame`.
    ///
    /// # Errors
    /// Where the two do not go together.
    pub(crate) fn new(frame: F, header: &NetHeader) -> Result<Segments<F>, Malformed> {
        let cut = Cut::new(frame.as_ref(), header)?;
        Ok(Segments { frame, cut, position: 0, made: 0, finished: false })
    }

    /// Makes the next frame in `out`, in place of what is there. Whether there was one.
    pub(crate) fn next(&mut self, out: &mut Vec<u8>) -> bool {
        out.clear();
        if self.finished {
            return false;
        }
        let frame = self.frame.as_ref();
        let (size, len) = match &self.cut {
            Cut::Whole(_) => (frame.len(), frame.len()),
            Cut::Stream(stream) => (stream.size, frame.len().saturating_sub(stream.header_len)),
            Cut::Fragments(fragments) => (fragments.size, frame.len().saturating_sub(fragments.split)),
        };
        let end = len.min(self.position.saturating_add(size));
        let piece = Piece { start: self.position, end, index: self.made, last: end == len };
        match &self.cut {
            Cut::Whole(checksum) => {
                out.extend_from_slice(frame);
                if let Some((start, offset)) = *checksum {
                    // Its place was checked before.
                    let _ = checksum::complete(out, start, offset);
                }
            }
            Cut::Stream(stream) => stream.make(frame, piece, out),
            Cut::Fragments(fragments) => fragments.make(frame, piece, out),
        }
        self.position = end;
        // No more than there are bytes, and one if there are none: numbers of packets wrap, too.
        self.made = self.made.wrapping_add(1);
        self.finished = piece.last;
        true
    }
}

impl Cut {
    fn new(frame: &[u8], header: &NetHeader) -> Result<Cut, Malformed> {
        let &NetHeader { flags, gso_type, gso_size, csum_start, csum_offset, .. } = header;
        let bad = Malformed::Gso { gso_type, flags };
        let tunnel = gso_type & NetHeader::UDP_TUNNEL;
        let gso = header.gso().ok_or(bad)?;
        // NET-TX-08, NET-TX-10, NET-TX-11, DRV-NET-TX-06: what tunnels do not go with.
        let tunnel_is_bad = tunnel == NetHeader::UDP_TUNNEL
            || flags & NetHeader::DATA_VALID != 0
            || matches!(gso, GsoType::None | GsoType::Udp);
        if (tunnel != 0 && tunnel_is_bad) || (tunnel == 0 && flags & NetHeader::UDP_TUNNEL_CSUM != 0) {
            return Err(bad);
        }
        if header.needs_csum() {
            checksum::place(frame.len(), csum_start, csum_offset)?;
        }
        if gso == GsoType::None {
            return Ok(Cut::Whole(header.needs_csum().then_some((csum_start, csum_offset))));
        }
        // DRV-NET-TX-09
        if !header.needs_csum() {
            return Err(bad);
        }
        if gso_size == 0 {
            return Err(Malformed::GsoSize { size: gso_size });
        }
        if gso != GsoType::Udp {
            return Ok(Cut::Stream(Stream::new(frame, header, gso)?));
        }
        match Fragments::new(frame, header)? {
            Some(fragments) => Ok(Cut::Fragments(fragments)),
            None => Ok(Cut::Whole(Some((csum_start, csum_offset)))),
        }
    }
}
