//! An interface that goes down, goes away, or takes nothing.

use std::io::ErrorKind;

use super::super::Tap;
use super::own_network::{in_a_network, run};
use super::rig::{Host, Rig, assert_same, frame, ip, join, make_tap};
use super::sys;
use crate::backend::{NetBackend, NetQueue, SendError};
use crate::{Configuration, Offloads};

#[test]
fn an_interface_that_is_down_is_a_link_that_is_down() {
    in_a_network(|| {
        make_tap("vm0", "");
        let tap = Tap::open("vm0").expect("a tap");
        let mut rig = Rig::new(&tap, Offloads::NONE);
        for _ in 0..3 {
            assert!(rig.queue.is_connected());
            ip("link set vm0 down");
            rig.until_connected(false);
            let refused = rig.send_plain(&frame(60, 0)).expect_err("it is down");
            assert!(
                matches!(&refused, SendError::Failed(error) if error.raw_os_error() == Some(libc::EIO)),
                "{refused}"
            );
            assert_eq!(rig.receive().expect("nothing"), None);
            ip("link set vm0 up");
            rig.until_connected(true);
            let mut host = Host::new("vm0");
            rig.send_plain(&frame(60, 1)).expect("it is sent");
            assert_eq!(host.next().1, frame(60, 1));
            host.send(&frame(60, 2));
            assert_eq!(rig.next().1, frame(60, 2));
        }
    });
}

#[test]
fn who_sends_finds_a_link_down_at_once() {
    in_a_network(|| {
        make_tap("vm0", "");
        let tap = Tap::open("vm0").expect("a tap");
        let mut rig = Rig::new(&tap, Offloads::NONE);
        ip("link set vm0 down");
        assert!(matches!(rig.send_plain(&frame(60, 0)), Err(SendError::Failed(_))));
        assert!(!rig.queue.is_connected());
    });
}

#[test]
fn an_interface_that_went_is_a_link_that_is_down_until_there_is_another_one() {
    in_a_network(|| {
        make_tap("vm0", "");
        let by_file = super::opening::attached("vm0", libc::IFF_VNET_HDR);
        for tap in [Tap::by_files(vec![by_file.into()]).open(), Tap::open("vm1")] {
            let tap = tap.expect("a tap");
            let name = tap.name();
            let receive = tap.capabilities().receive;
            let mut rig = Rig::new(&tap, receive);
            ip(&format!("link set {name} up"));
            rig.until_connected(true);

            ip(&format!("link del {name}"));
            let gone = rig.receive().expect_err("it has gone");
            assert_eq!(gone.raw_os_error(), Some(libc::EBADFD));
            assert!(!rig.queue.is_connected());
            // From now on it is waited for, and nothing else.
            assert_eq!(rig.receive().expect("nothing"), None);
            assert!(matches!(rig.send_plain(&frame(60, 0)), Err(SendError::Failed(_))));
            assert!(rig.queue.deadline().is_some());
            while rig.wait(true, true, 0) {
                assert_eq!(rig.receive().expect("nothing"), None);
            }
            assert_eq!(rig.files(true, true).len(), 1);
            // The device can be reset meanwhile.
            tap.configure(&Configuration::default()).expect("a configuration");
            drop(rig);
            let mut rig = Rig::new(&tap, receive);
            assert!(!rig.queue.is_connected());
            assert_eq!(rig.receive().expect("nothing"), None);

            make_tap(&name, "");
            rig.until_connected(true);
            let mut host = Host::with_headers(&name);
            let (header, segment) = super::packets::tcp4(6000, 1000);
            host.send_with(header, &segment);
            assert_same(&rig.next().1, &segment);
            rig.send(header, &segment).expect("it is sent");
            assert_same(&host.next().1, &segment);
        }
    });
}

#[test]
fn what_has_the_place_of_an_interface_and_is_none_is_left_alone() {
    in_a_network(|| {
        make_tap("vm0", "");
        let tap = Tap::open("vm0").expect("a tap");
        let mut rig = Rig::new(&tap, Offloads::NONE);
        ip("link del vm0");
        ip("link add vm0 type bridge");
        assert!(rig.receive().is_err());
        while rig.wait(true, true, 0) {
            assert_eq!(rig.receive().expect("nothing"), None);
        }
        assert!(!rig.queue.is_connected());
        ip("link del vm0");
        make_tap("vm0", "");
        rig.until_connected(true);
    });
}

#[test]
fn an_interface_may_get_another_name() {
    in_a_network(|| {
        make_tap("vm0", "");
        let tap = Tap::open("vm0").expect("a tap");
        let mut rig = Rig::new(&tap, Offloads::NONE);
        ip("link set vm0 name vm7");
        ip("link set vm7 down");
        rig.until_connected(false);
        assert_eq!(tap.name(), "vm7");
        ip("link set vm7 up");
        rig.until_connected(true);
    });
}

#[test]
fn what_does_not_fit_waits_and_is_not_lost() {
    in_a_network(|| {
        // Frames wait in the host for a line that is as slow as can be.
        make_tap("vm0", "");
        ip("link add wire type veth peer name far");
        for name in ["wire", "far"] {
            ip(&format!("link set {name} up"));
        }
        let tap = Tap::by_name("vm0").send_buffer(20_000).open().expect("a tap");
        join(&["vm0", "wire"]);
        run("tc qdisc add dev wire root tbf rate 8bit burst 1600 limit 1000000");
        let mut rig = Rig::new(&tap, Offloads::NONE);
        let mut host = Host::new("far");
        // To somebody else than the bridge, or it has a frame of its own.
        let frame = |len, seed| [&[2, 0, 0, 0, 0, 2], &frame(len, seed)[6..]].concat();
        let mut sent = 0;
        while rig.send_plain(&frame(1500, sent)).is_ok() {
            sent += 1;
            assert!(sent < 100, "it takes all");
        }
        assert!((3..20).contains(&sent), "{sent}");
        assert!(matches!(rig.send_plain(&frame(1500, sent)), Err(SendError::Full)));
        assert!(rig.queue.is_connected());
        let writable: Vec<_> = rig.files(false, true);
        assert_eq!(sys::wait(&writable, 0), [false]);
        // The line becomes a fast one.
        run("tc qdisc change dev wire root tbf rate 1gbit burst 100000 limit 1000000");
        // It looks at what waits when something is sent, or when the slow line would have been free again.
        let push = frame(60, 200);
        Host::new("wire").send(&push);
        assert!(rig.wait(false, true, 60_000));
        rig.send_plain(&frame(1500, sent)).expect("there is room");
        let mut arrived = std::iter::repeat_with(|| host.next().1).filter(|arrived| *arrived != push);
        for seed in 0..=sent {
            assert_eq!(arrived.next(), Some(frame(1500, seed)));
        }
    });
}

#[test]
fn what_nobody_reads_is_counted_by_the_host() {
    in_a_network(|| {
        make_tap("vm0", "");
        ip("link set vm0 txqueuelen 10");
        let tap = Tap::open("vm0").expect("a tap");
        let mut rig = Rig::new(&tap, Offloads::NONE);
        let mut host = Host::new("vm0");
        assert_eq!(tap.counts().overflows, 0);
        // What is kept is kept in order, and the rest is counted.
        for seed in 0..100 {
            host.send(&frame(60, seed));
        }
        let mut kept = 0;
        while let Some((_, received)) = rig.receive().expect("a frame") {
            assert_eq!(received, frame(60, kept));
            kept += 1;
        }
        assert!(kept >= 10);
        assert_eq!(tap.counts().overflows, 100 - u64::from(kept));
    });
}

#[test]
fn an_interface_that_is_elsewhere_is_looked_at_through_its_file() {
    in_a_network(|| {
        make_tap("vm0", "");
        let file = super::opening::attached("vm0", libc::IFF_VNET_HDR);
        let passed = file.try_clone().expect("a file");
        // Another thread, with another network, that has an interface of that name, too.
        std::thread::scope(|scope| {
            let elsewhere = || {
                super::own_network::leave_the_host().expect("a network namespace");
                ip("link add vm0 type bridge");
                ip("link set vm0 up");
                Tap::by_files(vec![passed.into()]).open().expect("a tap")
            };
            let tap = scope.spawn(elsewhere).join().expect("a tap");
            assert_eq!((tap.capabilities().mtu, tap.counts().overflows), (None, 0));
            let mut rig = Rig::new(&tap, Offloads::NONE);
            assert!(rig.queue.is_connected());
            let mut host = Host::new("vm0");
            host.send(&frame(60, 0));
            assert_eq!(rig.next().1, frame(60, 0));
            ip("link set vm0 down");
            // Nothing tells, so the queue says when to look.
            assert!(rig.queue.deadline().is_some());
            while rig.queue.is_connected() {
                assert_eq!(rig.receive().expect("nothing").map(|_| ()), None);
                std::thread::yield_now();
            }
            ip("link del vm0");
            while rig.receive().is_ok() {
                std::thread::yield_now();
            }
            assert!(rig.files(true, true).is_empty() && !rig.queue.is_connected());
            assert_eq!(rig.receive().map_err(|error| error.kind()), Ok::<_, ErrorKind>(None));
        });
    });
}
