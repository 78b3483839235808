//! Interfaces on top of another one, and their files.

use super::super::{Tap, TapError};
use super::left_out::left_out;
use super::own_network::{in_a_network, run};
use super::packets::{tcp4, unsummed};
use super::rig::{Host, Rig, assert_same, frame, ip, wants};
use super::sys;
use crate::backend::{NetBackend, NetQueue};
use crate::{MacAddress, Offloads};

/// Makes a macvtap on one end of a wire; the path of its file, and its address.
fn make() -> Option<(String, MacAddress)> {
    ip("link add wire type veth peer name far");
    for name in ["wire", "far"] {
        ip(&format!("link set {name} up"));
    }
    ip("link add link wire name mv0 address 02:00:00:00:00:07 type macvtap mode bridge");
    ip("link set mv0 up");
    // The host's /sys shows the host's interfaces.
    let folder =
        std::env::temp_dir().join(format!("virtio-net-{}-{:?}", std::process::id(), std::thread::current().id()));
    std::fs::create_dir(&folder).expect("a folder");
    let folder = folder.to_str().expect("a path");
    run("mount --make-rprivate /");
    run(&format!("mount -t tmpfs none {folder}"));
    std::fs::create_dir(format!("{folder}/sys")).expect("a folder");
    run(&format!("mount -t sysfs none {folder}/sys"));
    let device = std::fs::read_dir(format!("{folder}/sys/class/net/mv0/macvtap")).ok()?.next()?.expect("a device");
    let numbers = std::fs::read_to_string(device.path().join("dev")).expect("numbers");
    let (major, minor) = numbers.trim().split_once(':').expect("numbers");
    let path = format!("{folder}/tap");
    sys::make_device(&path, (major.parse().expect("a number"), minor.parse().expect("a number"))).expect("a device");
    Some((path, "02:00:00:00:00:07".parse().expect("an address")))
}

/// The same frame, to this address.
fn addressed(mut frame: Vec<u8>, to: MacAddress) -> Vec<u8> {
    frame[..6].copy_from_slice(&to.0);
    frame
}

fn with_macvtap(test: impl FnOnce(&str, MacAddress) + Send) {
    in_a_network(|| match make() {
        Some((path, mac)) => {
            test(&path, mac);
            let folder = path.trim_end_matches("/tap");
            run(&format!("umount {folder}/sys"));
            run(&format!("umount -l {folder}"));
            std::fs::remove_dir(folder).expect("it is empty");
        }
        None => left_out("there is no macvtap"),
    });
}

#[test]
fn frames_go_both_ways_over_a_macvtap() {
    with_macvtap(|path, mac| {
        let tap = Tap::by_path(path).open().expect("a macvtap");
        let can = tap.capabilities();
        assert_eq!((can.mac, can.steers, can.mtu, can.pairs), (Some(mac), false, Some(1500), 1));
        assert_eq!(tap.name(), "mv0");
        assert!(can.receive.contains(Offloads::CSUM | Offloads::TSO4 | Offloads::TSO6), "{can:?}");
        let mut rig = Rig::new(&tap, Offloads::NONE);
        rig.until_connected(true);
        let mut host = Host::with_headers("far");
        rig.send_plain(&frame(60, 1)).expect("it is sent");
        assert_eq!(host.next().1, frame(60, 1));
        for to in [mac, MacAddress::BROADCAST] {
            let back = addressed(frame(60, 2), to);
            host.send(&back);
            assert_eq!(rig.next().1, back);
        }

        let (header, segment) = tcp4(6000, 1000);
        rig.send(header, &segment).expect("it is sent");
        assert_same(&host.next().1, &segment);
        let segment = addressed(segment, mac);
        host.send_with(header, &segment);
        for _ in 0..6 {
            assert_eq!(rig.next().1.len(), 54 + 1000);
        }
        tap.configure(&wants(can.receive, can.transmit, 1)).expect("a configuration");
        host.send_with(header, &segment);
        let (got, whole) = rig.next();
        assert_eq!((got.gso_type, got.gso_size), (header.gso_type, 1000));
        assert_same(&whole, &segment);
    });
}

#[test]
fn several_pairs_of_a_macvtap_are_switched() {
    with_macvtap(|path, mac| {
        let tap = Tap::by_path(path).pairs(2).open().expect("a macvtap");
        assert_eq!(tap.capabilities().pairs, 2);
        let all = tap.capabilities();
        let mut host = Host::with_headers("far");
        let mut rigs = [Rig::new(&tap, all.receive), Rig::of_pair(&tap, 1)];
        rigs[0].until_connected(true);
        for pairs in [1, 2, 1] {
            tap.configure(&wants(all.receive, all.transmit, pairs)).expect("a configuration");
            let mut seen = [false; 2];
            for flow in 0..32 {
                host.send_with(Default::default(), &addressed(unsummed(flow).1, mac));
                let mut found = rigs.iter_mut().map(|rig| rig.receive().expect("a frame").is_some());
                let found = [found.next() == Some(true), found.next() == Some(true)];
                assert!(found[0] != found[1], "{found:?}");
                seen = [seen[0] | found[0], seen[1] | found[1]];
            }
            assert_eq!(seen, [true, pairs == 2]);
        }
        for rig in &mut rigs {
            rig.send_plain(&frame(60, 1)).expect("it is sent");
            assert_eq!(host.next().1, frame(60, 1));
        }
    });
}

#[test]
fn the_link_of_a_macvtap_is_that_of_what_is_below_it() {
    with_macvtap(|path, _| {
        let tap = Tap::by_path(path).open().expect("a macvtap");
        let mut rig = Rig::new(&tap, Offloads::NONE);
        rig.until_connected(true);
        ip("link set far down");
        rig.until_connected(false);
        ip("link set far up");
        rig.until_connected(true);
        ip("link del mv0");
        rig.until_connected(false);
        assert!(rig.files(true, true).len() == 1 && rig.queue.deadline().is_some());
    });
}

#[test]
fn a_macvtap_that_is_not_there_is_refused() {
    let refused = Tap::by_path("/dev/tap-that-is-not-there").open().expect_err("nothing is there");
    assert!(matches!(refused, TapError::Open { .. }), "{refused}");
    let refused = Tap::by_path("/dev/null").open().expect_err("something else is there");
    assert!(matches!(refused, TapError::NotATap { index: 0, .. }), "{refused}");
}
