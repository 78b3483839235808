//! A device on a tap, whatever becomes of that.

use std::time::Duration;

use virtio_core::testing::RingDriver;
use virtio_net::{GsoType, NetHeader, Tap};

use crate::frames::plain;
use crate::host::{Host, content, make_tap, to_host, to_interface, until_in_use};
use crate::looped::{Driver, Looped};
use crate::own_network::{in_a_network, run};
use crate::packets::{A4, B4, TCP, frame, ipv4, tcp, to_cut};
use crate::rig::*;

/// Something goes there and comes back.
fn assert_works(looped: &Looped, queues: &mut Queues<Driver>, host: &Host, text: &[u8]) {
    assert!(looped.send(queues, &NetHeader::default(), &to_host(text)));
    let mut heard = None;
    looped.until(|| {
        heard = host.receive();
        heard.is_some()
    });
    assert_eq!(heard.as_deref(), Some(text));
    host.send(text);
    loop {
        // The host may say something by itself.
        let frame = looped.next(queues);
        if let Some(content) = content(&frame) {
            assert_eq!(content, text);
            return;
        }
    }
}

#[test]
fn a_tap_that_goes_is_a_link_that_is_down_until_it_comes_back() {
    in_a_network(|| {
        make_tap();
        let mut looped = Looped::new(Tap::open("vm0").expect("a tap"), |builder| builder);
        let mut queues = looped.rig.live(USUAL | STATUS);
        looped.settle();
        let host = Host::new();
        for round in 0..2u8 {
            until_in_use("vm0");
            assert_works(&looped, &mut queues, &host, &[round; 50]);
            let before = looped.rig.handle.counts();
            run("ip link del vm0");
            let turns = looped.until(|| !looped.is_up());
            assert!(turns < 100, "{turns} turns");
            let failed = looped.rig.handle.counts().rx_failed;
            assert!((before.rx_failed + 1..before.rx_failed + 5).contains(&failed), "{failed}");
            assert!(looped.send(&mut queues, &NetHeader::default(), &to_host(b"nobody")));
            assert_eq!(looped.rig.handle.counts().tx_link_down, before.tx_link_down + 1);
            // It looks for another one now and then, and rests meanwhile.
            let mut looks = 0;
            let end = std::time::Instant::now() + Duration::from_millis(700);
            looks += looped.until(|| std::time::Instant::now() > end);
            assert!(looks < 100, "{looks} turns");
            make_tap();
            looped.until(|| looped.is_up());
        }
        until_in_use("vm0");
        assert_works(&looped, &mut queues, &host, b"the end");
        assert!(!looped.rig.is_broken());
    });
}

#[test]
fn a_tap_that_is_down_is_a_link_that_is_down() {
    in_a_network(|| {
        make_tap();
        let mut looped = Looped::new(Tap::open("vm0").expect("a tap"), |builder| builder);
        let mut queues = looped.rig.live(USUAL | STATUS);
        looped.settle();
        let host = Host::new();
        for round in 0..2u8 {
            until_in_use("vm0");
            assert_works(&looped, &mut queues, &host, &[round; 50]);
            run("ip link set vm0 down");
            // Before the device hears of it, or after.
            assert!(looped.send(&mut queues, &NetHeader::default(), &to_host(b"nobody")));
            looped.until(|| !looped.is_up());
            assert!(looped.send(&mut queues, &NetHeader::default(), &to_host(b"nobody")));
            let counts = looped.rig.handle.counts();
            assert_eq!(counts.tx_link_down + counts.tx_failed, 2 * u64::from(round + 1));
            assert!(counts.tx_link_down > u64::from(round));
            run("ip link set vm0 up");
            looped.until(|| looped.is_up());
        }
        until_in_use("vm0");
        assert_works(&looped, &mut queues, &host, b"the end");
    });
}

#[test]
fn a_tap_that_is_full_has_the_driver_wait() {
    const FAR: [u8; 6] = [2, 0, 0, 0, 0, 9];
    in_a_network(|| {
        // Frames wait in the host for a line that is as slow as can be.
        run("ip tuntap add vm0 mode tap");
        run("ip link add wire type veth peer name far");
        run("ip link set far address 02:00:00:00:00:09");
        run("ip addr add 10.0.0.1/24 dev far");
        run("ip link add br0 type bridge");
        for name in ["br0", "vm0", "wire", "far"] {
            run(&format!("ip link set {name} up"));
        }
        let tap = Tap::by_name("vm0").send_buffer(20_000).open().expect("a tap");
        for name in ["vm0", "wire"] {
            run(&format!("ip link set {name} master br0"));
            // The bridge hears a little later that an interface is in use.
            while !run(&format!("bridge link show dev {name}")).contains("state forwarding") {
                std::thread::yield_now();
            }
        }
        run("tc qdisc add dev wire root tbf rate 8bit burst 1600 limit 1000000");
        let host = Host::new();
        let mut looped = Looped::new(tap, |builder| builder);
        let mut queues = looped.rig.live(USUAL);
        // Of no protocol, or who filters packets may have them no longer be the tap's.
        let mut count = 0;
        while looped.send(&mut queues, &NetHeader::default(), &plain(FAR, 1400)) {
            count += 1;
            assert!(count < 100, "it takes all: {:?}", looped.rig.handle.counts());
        }
        assert!((3..20).contains(&count), "{count}");
        assert!(looped.rig.handle.counts().tx_blocked > 0);
        // The line becomes a fast one, and what waited in the host is gone.
        run("tc qdisc del dev wire root");
        let turns = looped.until(|| queues.tx[0].waiting() > 0);
        assert!(turns < 100, "{turns} turns");
        assert_eq!(queues.tx[0].used().expect("it comes back").len, 0);
        assert!(looped.send(&mut queues, &NetHeader::default(), &to_interface(FAR, b"the end")));
        looped.until(|| host.receive().is_some_and(|content| content == b"the end"));
    });
}

#[test]
fn what_the_kernel_does_not_cut_is_dropped_or_left_to_it() {
    in_a_network(|| {
        make_tap();
        let mut looped = Looped::new(Tap::open("vm0").expect("a tap"), |builder| builder);
        let mut queues = looped.rig.live(USUAL | CSUM | HOST_TSO4);
        looped.settle();
        until_in_use("vm0");
        let host = Host::new();
        let segment = frame(&ipv4(B4, A4, TCP, &tcp((1000, 80), 0x10, &[3; 4000])));
        for (number, size) in (1..).zip([1, 0xfffe, 0xffff]) {
            assert!(looped.send(&mut queues, &to_cut(GsoType::Tcp4, 34, size), &segment));
            let counts = looped.rig.handle.counts();
            assert_eq!(counts.tx_gso_frames + counts.tx_failed, number, "pieces of {size} bytes");
        }
        assert!(looped.send(&mut queues, &to_cut(GsoType::Tcp4, 34, 0), &segment));
        assert_eq!(looped.rig.handle.counts().tx_bad_header, 1);
        assert_works(&looped, &mut queues, &host, b"the end");
    });
}
