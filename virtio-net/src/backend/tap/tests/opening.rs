//! What can be a network, and what is said of what cannot.

use std::fs::{File, OpenOptions};

use super::super::{Tap, TapError};
use super::own_network::in_a_network;
use super::rig::{Host, Rig, frame, ip, make_tap};
use crate::Offloads;
use crate::backend::sys::{self, Name, Setting};
use crate::backend::{NetBackend, NetQueue};

/// A queue of a tap, as somebody who passes it would have it.
pub(super) fn attached(name: &str, more: libc::c_int) -> File {
    let file = OpenOptions::new().read(true).write(true).open("/dev/net/tun").expect("/dev/net/tun");
    let flags = libc::IFF_TAP | libc::IFF_NO_PI | more;
    sys::attach(&file, &Name::new(name).expect("a name"), flags).expect("a queue");
    file
}

#[test]
fn names_that_no_interface_has_are_refused() {
    for bad in ["", "sixteen-letters-", "a b", "a/b", "a:b", ".", "..", "a\0"] {
        assert!(matches!(Tap::open(bad), Err(TapError::Name { .. })), "{bad:?}");
    }
    assert_eq!(Name::new("fifteen-letters").expect("a name").to_string(), "fifteen-letters");
}

#[test]
fn what_is_no_tap_is_refused() {
    in_a_network(|| {
        ip("link add dummy0 type bridge");
        ip("tuntap add tun0 mode tun");
        make_tap("single", "");
        make_tap("several", "multi_queue");
        for (name, pairs) in [("dummy0", 1), ("tun0", 1), ("single", 2)] {
            let refused = Tap::by_name(name).pairs(pairs).open().expect_err(name);
            assert!(matches!(&refused, TapError::Kind { pairs: said, .. } if *said == pairs), "{refused}");
        }
        for pairs in [0, 257] {
            assert!(matches!(Tap::by_name("several").pairs(pairs).open(), Err(TapError::Pairs { .. })));
        }
        assert_eq!(Tap::by_name("several").open().expect("a tap").capabilities().pairs, 1);
        let used = Tap::open("single").expect("a tap");
        let refused = Tap::open("single").expect_err("it is in use");
        assert!(matches!(refused, TapError::Busy { .. }), "{refused}");
        drop(used);
        Tap::open("single").expect("a tap");
    });
}

#[test]
fn open_files_that_are_no_tap_are_refused() {
    in_a_network(|| {
        let refused =
            |files: Vec<File>| Tap::by_files(files.into_iter().map(Into::into).collect()).open().expect_err("no tap");
        assert!(matches!(refused(vec![]), TapError::Pairs { pairs: 0 }));
        for path in ["/dev/null", "/proc/self/exe", "/dev/net/tun"] {
            let file = File::open(path).expect(path);
            assert!(matches!(refused(vec![file]), TapError::NotATap { index: 0, .. }), "{path}");
        }
        make_tap("vm0", "");
        assert!(matches!(refused(vec![attached("vm0", 0)]), TapError::NoHeader { index: 0, .. }));
        let several = libc::IFF_VNET_HDR | libc::IFF_MULTI_QUEUE;
        make_tap("vm1", "multi_queue");
        make_tap("vm2", "multi_queue");
        let mixed = vec![attached("vm1", several), attached("vm1", several), attached("vm2", several)];
        assert!(matches!(refused(mixed), TapError::Mixed { index: 2, .. }));
        let tap = Tap::by_files(vec![attached("vm1", several).into(), attached("vm1", several).into()]).open();
        assert_eq!(tap.expect("a tap").capabilities().pairs, 2);
    });
}

#[test]
fn the_host_s_interface_says_what_it_is() {
    in_a_network(|| {
        make_tap("vm0", "");
        ip("link set vm0 mtu 9000");
        let tap = Tap::open("vm0").expect("a tap");
        let can = tap.capabilities();
        assert_eq!((can.pairs, can.mtu, can.mac, can.steers), (1, Some(9000), None, true));
        let plain = Offloads::CSUM | Offloads::TSO4 | Offloads::TSO6 | Offloads::ECN;
        assert!(can.receive.contains(plain) && can.transmit.contains(plain | Offloads::UFO), "{can:?}");
        assert!(can.speed.is_some_and(|speed| speed > 0), "{can:?}");
    });
}

#[test]
fn an_interface_is_set_up_where_that_is_asked_for() {
    in_a_network(|| {
        let tap = Tap::by_name("vm0").mtu(9000).up().open().expect("a tap");
        assert_eq!((tap.capabilities().mtu, tap.capabilities().pairs), (Some(9000), 1));
        let mut rig = Rig::new(&tap, Offloads::NONE);
        assert!(rig.queue.is_connected());
        let mut host = Host::new("vm0");
        host.send(&frame(9000, 1));
        assert_eq!(rig.next().1, frame(9000, 1));
        rig.send_plain(&frame(9000, 2)).expect("it is sent");
        assert_eq!(host.next().1, frame(9000, 2));
        // Otherwise it is as the kernel makes it.
        let plain = Tap::open("vm1").expect("a tap");
        assert_eq!(plain.capabilities().mtu, Some(1500));
        assert!(!Rig::new(&plain, Offloads::NONE).queue.is_connected());
        // One that is there already, and keeps it.
        make_tap("vm2", "multi_queue");
        drop(Tap::by_name("vm2").pairs(2).mtu(1400).open().expect("a tap"));
        assert_eq!(Tap::open("vm2").expect("a tap").capabilities().mtu, Some(1400));
        let refused = Tap::by_name("vm3").mtu(67).open().expect_err("no MTU");
        assert!(matches!(refused, TapError::Setting { what: "the MTU", .. }), "{refused}");
    });
}

#[test]
fn an_interface_of_another_namespace_is_not_set_up() {
    in_a_network(|| {
        let passed = attached("vm0", libc::IFF_VNET_HDR);
        std::thread::spawn(move || {
            super::own_network::leave_the_host().expect("another namespace");
            for (builder, wanted) in [
                (Tap::by_files(vec![passed.try_clone().expect("a file").into()]).mtu(1400), "the MTU"),
                (Tap::by_files(vec![passed.try_clone().expect("a file").into()]).up(), "the state"),
            ] {
                let refused = builder.open().expect_err("it is elsewhere");
                assert!(matches!(&refused, TapError::Setting { what, .. } if *what == wanted), "{refused}");
            }
        })
        .join()
        .expect("a thread");
    });
}

#[test]
fn a_tap_is_left_as_it_was_found() {
    in_a_network(|| {
        make_tap("vm0", "");
        let passed = attached("vm0", libc::IFF_VNET_HDR);
        let as_found = (sys::get(&passed, Setting::HeaderLen), sys::get(&passed, Setting::LittleEndian));
        let tap = Tap::by_files(vec![passed.try_clone().expect("a file").into()]).open().expect("a tap");
        let rig = Rig::new(&tap, tap.capabilities().receive);
        let all = tap.capabilities().transmit;
        let len = if all.contains(Offloads::UDP_TUNNEL_GSO) { 24 } else { 12 };
        assert_eq!(sys::get(&passed, Setting::HeaderLen).expect("a length"), len);
        assert_eq!(sys::get(&passed, Setting::LittleEndian).expect("an order"), 1);
        drop(rig);
        tap.configure(&Default::default()).expect("a configuration");
        assert_eq!(sys::get(&passed, Setting::HeaderLen).expect("a length"), 12);
        Rig::new(&tap, tap.capabilities().receive);
        drop(tap);
        let (header_len, little_endian) = as_found;
        assert_eq!(sys::get(&passed, Setting::HeaderLen).expect("a length"), header_len.expect("a length"));
        assert_eq!(sys::get(&passed, Setting::LittleEndian).expect("an order"), little_endian.expect("an order"));
        // Without offloads: a segment comes in pieces, with checksums.
        drop(passed);
        let tap = Tap::open("vm0").expect("a tap");
        let mut rig = Rig::of_pair(&tap, 0);
        let mut host = Host::with_headers("vm0");
        let (header, segment) = super::packets::tcp4(3000, 1000);
        host.send_with(header, &segment);
        assert_eq!(rig.next().1.len(), 14 + 40 + 1000);
        host.send(&frame(60, 0));
    });
}
