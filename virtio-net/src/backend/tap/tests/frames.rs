//! Frames both ways.

use std::os::fd::OwnedFd;

use virtio_core::testing::{Buffer, RingDriver, SplitDriver, TestMemory};
use virtio_core::{Features, Virtqueue};

use super::super::Tap;
use super::own_network::in_a_network;
use super::rig::{Host, Rig, assert_same, frame, ip, make_tap, wants};
use crate::backend::{NetBackend, NetQueue, Packet, SendError};
use crate::{NetHeader, Offloads};

fn frames_go_both_ways(tap: &Tap, rig: &mut Rig, name: &str) {
    let mut host = Host::new(name);
    // No place for a header before the room, one that is too short, and more than there are headers of.
    for ahead in [0, 9, 64] {
        rig.set_ahead(ahead);
        for (seed, len) in [14, 60, 64, 1000, 1514].into_iter().enumerate() {
            let out = frame(len, seed as u8);
            rig.send_plain(&out).expect("it is sent");
            assert_eq!(host.next().1, out);
            let back = frame(len, seed as u8 + 100);
            host.send(&back);
            assert_eq!(rig.next(), (NetHeader::default(), back));
        }
    }
    // As long as what is put together before it is sent, and around that.
    for len in 2046..=2050 {
        let out = frame(len, len as u8);
        rig.send_plain(&out).expect("it is sent");
        assert_same(&host.next().1, &out);
    }
    assert_eq!(rig.receive().expect("nothing"), None);
    assert_eq!(tap.malformed(), 0);
}

#[test]
fn frames_go_both_ways_over_a_tap_that_is_there() {
    in_a_network(|| {
        make_tap("vm0", "");
        let tap = Tap::open("vm0").expect("a tap");
        assert_eq!(tap.name(), "vm0");
        let mut rig = Rig::new(&tap, Offloads::NONE);
        assert!(rig.queue.is_connected());
        frames_go_both_ways(&tap, &mut rig, "vm0");
    });
}

#[test]
fn frames_go_both_ways_over_a_tap_that_is_made() {
    in_a_network(|| {
        let tap = Tap::open("vm%d").expect("a tap");
        assert_eq!(tap.name(), "vm0");
        let mut rig = Rig::new(&tap, Offloads::NONE);
        assert!(!rig.queue.is_connected());
        ip("link set vm0 up");
        rig.until_connected(true);
        frames_go_both_ways(&tap, &mut rig, "vm0");
        drop((rig, tap));
        // It went with the tap.
        make_tap("vm0", "");
    });
}

#[test]
fn frames_go_both_ways_over_open_files() {
    in_a_network(|| {
        make_tap("vm0", "");
        let file: OwnedFd = super::opening::attached("vm0", libc::IFF_VNET_HDR).into();
        let tap = Tap::by_files(vec![file]).open().expect("a tap");
        let mut rig = Rig::new(&tap, Offloads::NONE);
        frames_go_both_ways(&tap, &mut rig, "vm0");
    });
}

#[test]
fn frames_with_the_headers_of_tunnels_go_both_ways() {
    in_a_network(|| {
        make_tap("vm0", "");
        let tap = Tap::open("vm0").expect("a tap");
        let all = tap.capabilities();
        let mut rig = Rig::new(&tap, all.receive);
        frames_go_both_ways(&tap, &mut rig, "vm0");
    });
}

#[test]
fn frames_from_before_the_driver_are_dropped() {
    in_a_network(|| {
        make_tap("vm0", "");
        let tap = Tap::open("vm0").expect("a tap");
        let mut host = Host::new("vm0");
        let before = tap.counts().unclaimed;
        host.send(&frame(100, 1));
        let mut rig = Rig::new(&tap, Offloads::NONE);
        // The host may have said something, too.
        let dropped = tap.counts().unclaimed;
        assert!(dropped > before);
        host.send(&frame(100, 2));
        assert_eq!(rig.next().1, frame(100, 2));
        // Not while a driver is there, whatever it changes.
        host.send(&frame(100, 3));
        tap.configure(&wants(Offloads::CSUM, Offloads::NONE, 1)).expect("a configuration");
        assert_eq!(rig.next().1, frame(100, 3));
        assert_eq!(tap.counts().unclaimed, dropped);
        drop(rig);
        host.send(&frame(100, 4));
        assert_eq!(Rig::of_pair(&tap, 0).next().1, frame(100, 4));
    });
}

#[test]
fn a_frame_that_has_no_room_is_counted_and_not_cut() {
    in_a_network(|| {
        make_tap("vm0", "");
        let tap = Tap::open("vm0").expect("a tap");
        let mut rig = Rig::new(&tap, Offloads::NONE).with_room(1000);
        let mut host = Host::new("vm0");
        for (ahead, malformed) in [(0, 3), (24, 6)] {
            rig.set_ahead(ahead);
            for len in [1001, 999, 1514, 1000, 60] {
                host.send(&frame(len, 0));
            }
            assert_eq!(rig.next().1, frame(999, 0));
            assert_eq!(rig.next().1, frame(60, 0));
            assert_eq!((tap.malformed(), tap.counts().malformed), (malformed, malformed));
        }
    });
}

#[test]
fn what_may_be_sent_is_what_fits_into_a_frame() {
    in_a_network(|| {
        make_tap("vm0", "");
        let tap = Tap::open("vm0").expect("a tap");
        let mut rig = Rig::new(&tap, Offloads::NONE);
        // The kernel looks at it, too.
        assert!(matches!(rig.send_plain(&[1; 5]), Err(SendError::Failed(_))));
        let past_the_end = NetHeader { flags: NetHeader::NEEDS_CSUM, csum_start: 200, ..NetHeader::default() };
        assert!(matches!(rig.send(past_the_end, &frame(60, 0)), Err(SendError::Failed(_))));
        let mut host = Host::new("vm0");
        rig.send_plain(&frame(60, 1)).expect("it is sent");
        assert_eq!(host.next().1, frame(60, 1));
        assert!(rig.queue.is_connected());
    });
}

#[test]
fn an_open_file_that_was_passed_does_not_block() {
    in_a_network(|| {
        make_tap("vm0", "");
        let file = super::opening::attached("vm0", libc::IFF_VNET_HDR);
        let tap = Tap::by_files(vec![file.into()]).open().expect("a tap");
        assert_eq!(Rig::new(&tap, Offloads::NONE).receive().expect("nothing"), None);
    });
}

#[test]
fn a_frame_in_more_pieces_than_a_call_takes_is_one_frame() {
    in_a_network(|| {
        make_tap("vm0", "");
        let tap = Tap::open("vm0").expect("a tap");
        let mut rig = Rig::new(&tap, Offloads::NONE);
        let mut host = Host::new("vm0");
        let memory = TestMemory::new(1 << 20);
        let mut driver = SplitDriver::new(&memory, 2048, Features::EVENT_IDX);
        let mut virtqueue = Virtqueue::new(driver.setup()).expect("a queue");
        // With the header: as many as a call takes, one more, and one for each byte. The shorter frames are put together.
        for (len, pieces) in [(1514, 1023), (1514, 1514), (3000, 1023), (3000, 1024), (3000, 1514)] {
            let out = frame(len, pieces as u8);
            let (one_each, rest) = out.split_at(pieces - 1);
            let mut buffers: Vec<_> = one_each.chunks(1).map(|byte| Buffer::readable(memory.place(byte), 1)).collect();
            buffers.push(Buffer::readable(memory.place(rest), rest.len() as u32));
            driver.add(&buffers);
            driver.show();
            let chain = virtqueue.pop().expect("a chain");
            let mut scratch = Vec::new();
            let mut packet = Packet::of_guest(NetHeader::default(), chain.reader(), &mut scratch);
            assert_eq!(packet.io_slices(&[0]).expect("memory").len(), pieces + 1);
            rig.queue.send(&mut packet).expect("it is sent");
            assert_same(&host.next().1, &out);
            chain.complete(0);
            virtqueue.publish();
            assert!(driver.used().is_some());
        }
    });
}
