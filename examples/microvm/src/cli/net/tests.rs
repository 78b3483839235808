//! Tests of what `--net` takes.

use super::*;

fn net(text: &str) -> Net {
    text.parse().unwrap()
}

/// Each of these is refused, for this reason.
fn refused(cases: &[(&str, &str)]) {
    for (text, reason) in cases {
        match text.parse::<Net>() {
            Err(refusal) => {
                assert!(refusal.contains(reason), "{text:?}: {refusal}");
                assert!(!refusal.contains('\n'), "{refusal:?} has several lines");
            }
            Ok(net) => panic!("{text:?} gave {net:?}"),
        }
    }
}

fn on_tap() -> Net {
    Net::on(Network::Tap { name: "tap0".to_owned() })
}

#[test]
fn a_network_is_enough() {
    let name = || "tap0".to_owned();
    for (text, network, shown) in [
        ("tap=tap0", Network::Tap { name: name() }, "tap0"),
        ("fd=3", Network::Fd { fds: vec![3] }, "fd=3"),
        ("passt=/run/passt.sock", Network::Passt { path: "/run/passt.sock".into() }, "/run/passt.sock"),
        ("gvproxy=gv=1", Network::Gvproxy { path: "gv=1".into() }, "gv=1"),
        ("dgram=gv=1", Network::Dgram { path: "gv=1".into() }, "gv=1"),
        ("switch=tap0", Network::Switch { name: name() }, "tap0"),
        ("loopback", Network::Loopback, "loopback"),
        ("null", Network::Null, "null"),
    ] {
        assert_eq!(network.name(), shown);
        assert_eq!(net(text), Net::on(network));
    }
}

#[test]
fn options_come_in_any_order() {
    let mac = Some(MacAddress([0x52, 0x54, 0, 0xab, 0xcd, 0xef]));
    let features = Features::RING_PACKED | Features::IN_ORDER | Features::NOTIFICATION_DATA;
    let (queue_size, mtu, pcap) = (Some(64), Some(9000), Some("a.pcap".into()));
    let wanted = Net { mac, transport: Transport::Mmio, features, queues: 2, queue_size, mtu, pcap, ..on_tap() };
    let first = "packed,tap=tap0,mac=52:54:00:AB:cd:ef,transport=mmio,in-order,queues=2,queue-size=64,mtu=9000,\
        notification-data,pcap=a.pcap";
    let second: Vec<_> = first.split(',').rev().collect();
    assert_eq!(net(first), wanted);
    assert_eq!(net(&second.join(",")), wanted);
}

#[test]
fn a_device_is_on_one_network() {
    refused(&[
        ("", "\"\": there are tap=NAME"),
        ("mac=52:54:00:12:34:56", "the network is missing: tap=NAME"),
        ("tap=a,tap=b", "tap is given twice"),
        ("tap=a,passt=b", "passt: the device is on one network: tap=NAME"),
        ("loopback,null", "null: the device is on one network"),
        ("null=1", "\"null=1\": there are"),
        ("loopback=on", "\"loopback=on\": there are"),
        ("passt", "passt is empty"),
        ("gvproxy=", "gvproxy is empty"),
        ("dgram=", "dgram is empty"),
        ("switch=", "switch is empty"),
    ]);
}

#[test]
fn interfaces_have_names_that_the_kernel_takes() {
    assert_eq!(net("tap=fifteen-letters").network.name(), "fifteen-letters");
    for wrong in ["", "sixteen-letters.", "a b", "a/b", "a:b", "tap%d", ".", "..", "\u{e9}"] {
        refused(&[(&format!("tap={wrong}"), "1 to 15 characters")]);
    }
}

#[test]
fn descriptors_are_one_for_each_pair() {
    let two = Net { queues: 2, ..Net::on(Network::Fd { fds: vec![3, 12] }) };
    assert_eq!(net("fd=3:12"), two);
    assert_eq!(net("queues=2,fd=3:12"), two);
    assert_eq!(two.network.name(), "fd=3:12");
    for wrong in ["", "-1", "+1", "a", "3:", "2147483648"] {
        refused(&[(&format!("fd={wrong}"), "the number of an open file is needed")]);
    }
    let many: Vec<_> = (0..65).map(|fd| fd.to_string()).collect();
    refused(&[
        ("fd=3:3", "3 is given twice"),
        ("fd=3,queues=2", "queues=2 takes as many descriptors, such as fd=3:4, and there are 1"),
        (&format!("fd={}", many.join(":")), "at most 64"),
    ]);
}

#[test]
fn queues_are_pairs_and_have_a_size() {
    assert_eq!(net("tap=tap0,queues=64,queue-size=4"), Net { queues: 64, queue_size: Some(4), ..on_tap() });
    assert_eq!(net("tap=tap0,queue-size=32768").queue_size, Some(32768));
    assert_eq!(net("passt=a,queues=1").queues, 1);
    for wrong in ["0", "65", "70000", "-1", "two", ""] {
        refused(&[(&format!("null,queues={wrong}"), "a number of pairs from 1 to 64")]);
    }
    for wrong in ["0", "2", "100", "65536", "big", ""] {
        refused(&[(&format!("null,queue-size={wrong}"), "a power of two from 4 to 32768")]);
    }
    refused(&[
        ("passt=a,queues=2", "a socket is for one pair"),
        ("queues=64,dgram=a", "a socket is for one pair"),
        ("queues=2,gvproxy=a", "a socket is for one pair"),
        ("null,rss", "rss is for several pairs of queues"),
        ("rss,null,queues=1", "rss is for several pairs of queues"),
        ("null,queues=2,rss=on", "\"rss=on\": there are"),
        ("null,hash-report=on", "\"hash-report=on\": there are"),
        ("null,queues=1,queues=1", "queues is given twice"),
    ]);
}

#[test]
fn addresses_are_those_of_a_device() {
    assert_eq!(net("null,mac=02:00:00:00:00:01").mac, Some(MacAddress([2, 0, 0, 0, 0, 1])));
    for wrong in ["", "52:54:00:12:34", "52:54:00:12:34:56:78", "52-54-00-12-34-56", "5:4:0:1:3:5", "52:54:00:12:34:5g"]
    {
        refused(&[(&format!("null,mac={wrong}"), "six bytes in hexadecimal")]);
    }
    for wrong in ["00:00:00:00:00:00", "01:00:5e:00:00:01", "ff:ff:ff:ff:ff:ff"] {
        refused(&[(&format!("null,mac={wrong}"), "no device can have this address")]);
    }
}

#[test]
fn packets_have_a_length() {
    for mtu in [68, 1500, 9000, 65535] {
        assert_eq!(net(&format!("null,mtu={mtu}")).mtu, Some(mtu));
    }
    for wrong in ["67", "65536", "-1", "jumbo", ""] {
        refused(&[(&format!("null,mtu={wrong}"), "a number from 68 to 65535")]);
    }
}

#[test]
fn hashes_are_for_guests_that_may_have_them() {
    let wanted = Net { queues: 2, rss: true, hash_report: true, ..on_tap() };
    assert_eq!(net("tap=tap0,rss,queues=2,hash-report"), wanted);
    assert_eq!(net("hash-report,tap=tap0"), Net { hash_report: true, ..on_tap() });
}

#[test]
fn each_direction_has_limits_which_a_group_shares() {
    let limited = net("tap=tap0,rx-rate=requests=1000+5:bytes=20M,tx-rate=group=a:bytes=1M");
    let rate = |text: &str| Some(text.parse().unwrap());
    let (rx_rate, tx_rate) = (rate("requests=1000+5:bytes=20M"), rate("bytes=1M:group=a"));
    assert_eq!(limited, Net { rx_rate, tx_rate, ..on_tap() });
    refused(&[
        ("null,rx-rate=", "rate: \"\": there are requests=N"),
        ("null,tx-rate=requests=0", "requests=0: numbers above 0 are needed"),
        ("null,rate=requests=1", "\"rate=requests=1\": there are"),
    ]);
    let nets = |texts: [&str; 2]| texts.map(net);
    let good = nets(["null,rx-rate=group=a:bytes=1M,tx-rate=group=a", "null,tx-rate=group=a"]);
    assert_eq!(groups(&good).unwrap().into_keys().collect::<Vec<_>>(), ["a"]);
    let other = nets(["null,rx-rate=group=a:bytes=1M", "null,tx-rate=group=a:bytes=2M"]);
    assert_eq!(groups(&other).unwrap_err(), "--net: two devices give the group a different rates");
    let none = nets(["null,rx-rate=group=a", "null"]);
    assert_eq!(groups(&none).unwrap_err(), "--net: no device of the group a says requests=N or bytes=SIZE");
}

#[test]
fn other_options_are_named() {
    refused(&[
        ("null,speed=1", "\"speed=1\": there are tap=NAME"),
        ("null,", "\"\": there are"),
        ("null,packed=no", "\"packed=no\""),
        ("null,packed,packed", "packed is given twice"),
        ("null,transport=usb", "transport=usb: there are pci and mmio"),
        ("null,pcap=", "pcap is empty"),
    ]);
}

#[test]
fn devices_are_not_in_each_others_way() {
    let nets = |texts: &[&str]| distinct(&texts.iter().map(|text| net(text)).collect::<Vec<_>>());
    assert_eq!(nets(&["tap=a,pcap=p", "tap=b", "fd=3", "fd=4", "switch=a", "switch=a", "null", "null"]), Ok(()));
    for (texts, what) in [
        (["tap=a", "tap=a,packed"], "tap=a"),
        (["fd=3:4", "fd=5:4"], "fd=4"),
        (["passt=p", "passt=p"], "passt=p"),
        (["gvproxy=g", "gvproxy=g"], "gvproxy=g"),
        (["dgram=d", "dgram=d"], "dgram=d"),
        (["tap=a,pcap=p", "null,pcap=p"], "pcap=p"),
        (["null,mac=02:00:00:00:00:aa", "null,mac=02:00:00:00:00:AA"], "mac=02:00:00:00:00:aa"),
    ] {
        assert_eq!(nets(&texts), Err(format!("--net: two devices have {what}")));
    }
}
