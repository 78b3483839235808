//! Frames of every length, against buffers of many sizes: by a network that lends its frames, and by one that puts them into the
//! driver's buffers.

use std::collections::VecDeque;

use virtio_core::Features;
use virtio_core::testing::{Buffer, RingDriver};
use virtio_net::NetHeader;

use crate::frames::{BROADCAST, OWN, plain};
use crate::network::Network;
use crate::rig::*;

each_transport! {
    net_rx_03_frames_of_every_length_fill_all_buffers_but_the_last,
    net_rxbuf_02_frames_of_every_length_take_one_buffer,
    long_and_short_frames_take_turns,
    buffers_that_follow_each_other_are_one_piece_to_the_network,
    memory_that_is_replaced_changes_nothing,
}

/// Buffers that a frame can be spread over.
const MOST: usize = 192;
/// Bytes of the longest frame.
const LONGEST: usize = 65557;

/// A driver that keeps its ring full of buffers of these sizes, one after the other.
struct Filler<'a, P: Port> {
    rig: &'a Rig<P>,
    driver: P::Driver,
    sizes: &'a [usize],
    turn: usize,
    posted: VecDeque<(u64, usize)>,
    /// Where buffers are: used again and again, and more than a ring has.
    arena: u64,
    len: u64,
    at: u64,
    /// Bytes between buffers.
    gap: u64,
    spread: bool,
    no_fit: u64,
}

impl<'a, P: Port> Filler<'a, P> {
    fn new(rig: &'a Rig<P>, driver: P::Driver, sizes: &'a [usize], spread: bool) -> Self {
        let longest = sizes.iter().max().copied().unwrap_or(1) as u64;
        let len = (u64::from(driver.size()) + 2) * (longest + 16);
        let arena = rig.memory.alloc(len, 16);
        Filler { rig, driver, sizes, turn: 0, posted: VecDeque::new(), arena, len, at: 0, gap: 3, spread, no_fit: 0 }
    }

    fn fill(&mut self) {
        while self.driver.free() > 0 {
            let size = self.sizes[self.turn % self.sizes.len()];
            if self.at + size as u64 > self.len {
                self.at = 0;
            }
            let place = self.arena + self.at;
            // In one piece or in two.
            let cut = if self.driver.free() > 1 && size > 1 && self.turn % 5 == 4 { size / 3 + 1 } else { size };
            let first = Buffer::writable(place, cut as u32);
            let second = Buffer::writable(place + cut as u64, (size - cut) as u32);
            let chain = if cut < size { vec![first, second] } else { vec![first] };
            self.driver.add(&chain).expect("room in the ring");
            self.posted.push_back((place, size));
            self.at += size as u64 + self.gap;
            self.turn += 1;
        }
        self.driver.kick(|| self.rig.port.notify(0));
        self.rig.runtime.poll();
    }

    /// The frame arrives, and is where it has to be.
    fn receive(&mut self, frame: &[u8]) {
        self.fill();
        let mut left = 12 + frame.len();
        let most = if self.spread { MOST } else { 1 };
        let mut lengths = Vec::new();
        // DRV-NET-RX-01: those come back that the header does not fit in.
        let small = self.posted.iter().take_while(|(_, size)| *size < 12).count();
        for (_, size) in self.posted.iter().skip(small).take(most) {
            lengths.push(left.min(*size));
            left -= left.min(*size);
            if left == 0 {
                break;
            }
        }
        self.rig.arrive(0, NetHeader::default(), frame);
        for _ in 0..small {
            assert_eq!(self.driver.used().expect("a buffer").len, 0);
            self.posted.pop_front();
        }
        if left > 0 {
            self.no_fit += 1;
            assert_eq!(self.driver.used(), None, "a frame of {} bytes", frame.len());
            assert_eq!(self.rig.handle.counts().rx_no_fit, self.no_fit);
            return;
        }
        let mut bytes = Vec::new();
        for len in &lengths {
            let used = self.driver.used().expect("a buffer").len as usize;
            assert_eq!(used, *len, "a frame of {} bytes, in {lengths:?}", frame.len());
            let (place, _) = self.posted.pop_front().expect("it was posted");
            bytes.extend(self.rig.memory.bytes(place, used));
        }
        assert_eq!(self.driver.used(), None);
        let mut header = [0; 12];
        header[10..].copy_from_slice(&(lengths.len() as u16).to_le_bytes());
        assert_eq!(bytes[..12], header);
        assert!(bytes[12..] == *frame, "a frame of {} bytes, in {lengths:?}", frame.len());
    }
}

fn rig<P: Port>(fills: bool, size: u16) -> Rig<P> {
    let rig = Rig::<P>::with(Network::new(1), |builder| builder.queue_size(size));
    rig.network.state().fills = fills;
    rig
}

fn each<P: Port>(features: Features, size: u16, sizes: &[usize], lengths: impl Iterator<Item = usize> + Clone) {
    // What comes after a long frame goes to the driver's buffers by itself, however short it is.
    for (fills, long) in [(false, false), (true, false), (true, true)] {
        let mut rig = rig::<P>(fills, size);
        let driver = rig.live(features).rx.remove(0);
        let mut filler = Filler::new(&rig, driver, sizes, features.contains(MRG_RXBUF));
        let mut frames = 0;
        for (number, len) in lengths.clone().enumerate() {
            if long && number % 8 == 0 {
                filler.receive(&plain(OWN, 4000));
                frames += 1;
            }
            filler.receive(&plain(OWN, len));
            frames += 1;
        }
        let counts = rig.handle.counts();
        assert!(counts.rx_frames > 0);
        assert_eq!(counts.rx_frames + counts.rx_no_fit, frames);
    }
}

/// Around what makes a difference, and up to the longest frame.
fn some_lengths() -> impl Iterator<Item = usize> + Clone {
    let around = [14, 244, 256, 268, 500, 1024, 1514, 2048, 4096, 9014, 16384, 40000, LONGEST];
    around.into_iter().flat_map(|len| len.saturating_sub(14).max(14)..=(len + 14).min(LONGEST))
}

// spec: NET-RX-02 NET-RXBUF-01
fn net_rx_03_frames_of_every_length_fill_all_buffers_but_the_last<P: Port>() {
    each::<P>(USUAL | MRG_RXBUF, 256, &[1536], 14..1600);
    each::<P>(USUAL | MRG_RXBUF, 256, &[12, 1, 7, 100, 64, 300, 2], (14..1600).step_by(3));
    each::<P>(USUAL | MRG_RXBUF, 256, &[268, 4096], some_lengths());
    each::<P>(USUAL | MRG_RXBUF, 256, &[13, 255, 256, 257, 1, 1], some_lengths());
    each::<P>(USUAL | MRG_RXBUF, 16, &[65569, 12], some_lengths());
}

fn net_rxbuf_02_frames_of_every_length_take_one_buffer<P: Port>() {
    each::<P>(USUAL, 16, &[1526], (14..1600).rev().step_by(3));
    each::<P>(USUAL, 16, &[65569], some_lengths());
    each::<P>(USUAL, 4, &[300, 2048, 12], (14..1000).step_by(7));
}

/// The device takes as many buffers before a frame as the last ones needed.
fn long_and_short_frames_take_turns<P: Port>() {
    for sizes in [&[1500][..], &[100, 4000], &[20, 20, 20, 4000]] {
        for fills in [false, true] {
            let mut rig = rig::<P>(fills, 256);
            let driver = rig.live(USUAL | MRG_RXBUF).rx.remove(0);
            let mut filler = Filler::new(&rig, driver, sizes, true);
            for round in 0..60 {
                // Now and then they follow each other.
                filler.gap = [3, 0, 0][round % 3];
                filler.receive(&plain(OWN, [LONGEST, 60, 9000][round % 3] - 13 * (round % 4)));
                (0..round % 9).for_each(|more| filler.receive(&plain(BROADCAST, 200 + 20 * more)));
            }
        }
    }
}

/// Drivers cut buffers from larger pieces of memory, which a system call is told of.
fn buffers_that_follow_each_other_are_one_piece_to_the_network<P: Port>() {
    for (gap, pieces) in [(0, 1), (3, 17)] {
        let mut rig = rig::<P>(true, 64);
        let driver = rig.live(USUAL | MRG_RXBUF).rx.remove(0);
        let mut filler = Filler::new(&rig, driver, &[4096], true);
        filler.gap = gap;
        // The first one says how long frames are.
        for len in [LONGEST, LONGEST] {
            filler.receive(&plain(OWN, len));
        }
        // The device's own memory is before and behind them.
        assert_eq!(rig.network.state().pieces, 1 + pieces + 1);
    }
}

fn memory_that_is_replaced_changes_nothing<P: Port>() {
    for fills in [false, true] {
        let mut rig = rig::<P>(fills, 64);
        let driver = rig.live(USUAL | MRG_RXBUF).rx.remove(0);
        let mut filler = Filler::new(&rig, driver, &[700, 100], true);
        for len in (60..6000).step_by(97) {
            let barrier = rig.memory.ram().replace_with(rig.memory.ram());
            filler.receive(&plain(OWN, len));
            rig.runtime.poll();
            assert!(barrier.is_complete());
        }
    }
}
