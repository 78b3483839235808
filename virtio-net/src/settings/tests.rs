#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use virtio_core::Features;

use super::*;
use crate::features::*;

const LIMITS: Limits = Limits { max_pairs: 4, hash_key: 40, rss_table: 128, hash_types: 0x1ff, tunnel_types: 0x13 };
const ADDRESS: MacAddress = MacAddress([2, 0, 0, 0, 0, 1]);

/// All features that a driver can negotiate.
fn all() -> Features {
    Features::from_bits(u128::MAX)
}

fn initial() -> Settings {
    Settings::initial(all(), ADDRESS)
}

fn rss(table: Vec<u16>, unclassified: u16) -> Steering {
    Steering::Rss { table, unclassified }
}

/// Settings of which as much as possible is set.
fn set() -> Settings {
    let mut settings = initial();
    let everything = RxModes { promisc: true, allmulti: true, alluni: true, nomulti: true, nouni: true, nobcast: true };
    settings.rx = everything;
    settings.macs = MacTable { unicast: vec![ADDRESS; 64], all_multicast: true, ..MacTable::default() };
    settings.vlans.set(4095, true);
    settings.pairs = 4;
    settings.steering = rss(vec![3; 128], 3);
    settings.hash = Hash { types: 0x1ff, key: vec![1; 40] };
    settings.tunnels = 0x13;
    settings.offloads = Offloads::TSO4;
    settings.coalescing.rx.max_packets = u32::MAX;
    settings.coalescing.queues.insert(7, Delay { max_packets: 1, max_usecs: u32::MAX });
    settings
}

#[test]
fn what_can_be_set_can_be_restored() {
    for settings in [initial(), set()] {
        assert_eq!(settings.validate(&LIMITS, all()), Ok(()));
        let json = serde_json::to_string(&settings).unwrap();
        assert_eq!(serde_json::from_str::<Settings>(&json).unwrap(), settings);
    }
    for features in [Features::NONE, Features::VERSION_1, MQ, RSS, CTRL_VLAN, CTRL_RX, GUEST_CSUM | GUEST_TSO4] {
        assert_eq!(Settings::initial(features, ADDRESS).validate(&LIMITS, features), Ok(()));
    }
}

fn refused(features: Features, change: impl Fn(&mut Settings), what: &str) {
    let mut settings = Settings::initial(features, ADDRESS);
    change(&mut settings);
    let answer = settings.validate(&LIMITS, features);
    assert!(answer.is_err_and(|answer| answer.contains(what)), "{what}: {answer:?}");
}

#[test]
fn what_is_beyond_limits_is_refused() {
    type Change = (fn(&mut Settings), &'static str);
    let changes: [Change; 24] = [
        (|s| s.mac = MacAddress::BROADCAST, "MAC address"),
        (|s| s.mac = MacAddress([0; 6]), "MAC address"),
        (|s| s.macs.unicast = vec![ADDRESS; 65], "too many"),
        (|s| s.macs.multicast = vec![ADDRESS; 65], "too many"),
        (|s| s.macs = MacTable { unicast: vec![ADDRESS], all_unicast: true, ..MacTable::default() }, "full"),
        (|s| s.macs = MacTable { multicast: vec![ADDRESS], all_multicast: true, ..MacTable::default() }, "full"),
        (|s| s.pairs = 0, "pairs"),
        (|s| s.pairs = 5, "pairs"),
        (|s| s.pairs = u16::MAX, "pairs"),
        (|s| s.steering = rss(vec![], 0), "length"),
        (|s| s.steering = rss(vec![0; 3], 0), "length"),
        (|s| s.steering = rss(vec![0; 256], 0), "length"),
        (|s| s.steering = rss(vec![0, 1], 0), "a pair"),
        (|s| s.steering = rss(vec![0, 0], 1), "a pair"),
        (|s| s.steering = rss(vec![0, u16::MAX], 0), "a pair"),
        (|s| s.hash = Hash { types: 0x200, key: vec![1] }, "types"),
        (|s| s.hash = Hash { types: 1, key: vec![] }, "key"),
        (|s| s.hash = Hash { types: 1, key: vec![1; 41] }, "key"),
        (|s| s.hash = Hash { types: 0, key: vec![1; 1000] }, "key"),
        (|s| s.tunnels = 4, "tunnels"),
        (|s| s.offloads = serde_json::from_str("512").unwrap(), "offloads"),
        (|s| s.offloads = serde_json::from_str("65535").unwrap(), "offloads"),
        (|s| s.coalescing.queues.extend([(8, Delay::default())]), "a queue"),
        (|s| s.coalescing.queues.extend([(u16::MAX, Delay::default())]), "a queue"),
    ];
    for (change, what) in changes {
        refused(all(), change, what);
    }
    refused(all() - MQ - RSS, |s| s.pairs = 2, "pairs");
    refused(all() - MQ - RSS, |s| s.coalescing.queues.extend([(2, Delay::default())]), "a queue");
}

#[test]
fn what_could_not_be_set_is_refused() {
    refused(all() - CTRL_RX, |s| s.rx.promisc = false, "receive modes");
    refused(all() - CTRL_RX, |s| s.rx.allmulti = true, "receive modes");
    refused(all() - CTRL_RX, |s| s.macs.unicast = vec![ADDRESS], "receive modes");
    refused(all() - CTRL_RX_EXTRA, |s| s.rx.alluni = true, "receive modes");
    refused(all() - CTRL_RX_EXTRA, |s| s.rx.nomulti = true, "receive modes");
    refused(all() - CTRL_RX_EXTRA, |s| s.rx.nouni = true, "receive modes");
    refused(all() - CTRL_RX_EXTRA, |s| s.rx.nobcast = true, "receive modes");
    refused(all() - CTRL_VLAN, |s| s.vlans.set(7, false), "VLANs");
    refused(all() - RSS, |s| s.steering = rss(vec![0], 0), "scaling");
    refused(all() - RSS - HASH_REPORT, |s| s.hash = Hash { types: 1, key: vec![1] }, "hashes");
    refused(all() - HASH_TUNNEL, |s| s.tunnels = 1, "tunnels");
    refused(all() - GUEST_TSO4, |s| s.offloads = Offloads::ALL, "offloads");
    refused(all() - CTRL_GUEST_OFFLOADS, |s| s.offloads = Offloads::NONE, "offloads");
    refused(all() - NOTF_COAL, |s| s.coalescing.rx.max_usecs = 1, "coalescing");
    refused(all() - NOTF_COAL, |s| s.coalescing.tx.max_packets = 1, "coalescing");
    refused(all() - VQ_NOTF_COAL, |s| s.coalescing.queues.extend([(0, Delay::default())]), "coalescing");
}

#[test]
fn what_was_saved_by_others_is_no_settings() {
    let json = serde_json::to_value(set()).unwrap();
    let strange = [
        ("/mac", serde_json::json!([1, 2, 3])),
        ("/mac", serde_json::json!([1, 2, 3, 4, 5, 256])),
        ("/vlans", serde_json::json!([[0], [0]])),
        ("/vlans/0", serde_json::json!([])),
        ("/pairs", serde_json::json!(65536)),
        ("/steering", serde_json::json!("Other")),
        ("/offloads", serde_json::json!(65536)),
        ("/coalescing/queues", serde_json::json!({"65536": {"max_packets": 0, "max_usecs": 0}})),
        ("/coalescing/rx/max_usecs", serde_json::json!(-1)),
    ];
    for (place, value) in strange {
        let mut json = json.clone();
        *json.pointer_mut(place).unwrap() = value;
        assert!(serde_json::from_value::<Settings>(json).is_err(), "{place}");
    }
}

#[test]
fn offloads_that_depend_on_others_are_left_out() {
    let receive = |offloads| Settings { offloads, ..initial() }.receive_offloads();
    let all = Offloads::ALL;
    assert_eq!(receive(all), all);
    assert_eq!(receive(all - Offloads::CSUM), Offloads::NONE);
    let tunnels = Offloads::UDP_TUNNEL_GSO | Offloads::UDP_TUNNEL_GSO_CSUM;
    assert_eq!(receive(all - Offloads::TSO4), all - Offloads::TSO4 - tunnels);
    assert_eq!(receive(all - Offloads::USO6), all - Offloads::USO6 - tunnels);
    assert_eq!(receive(all - Offloads::UDP_TUNNEL_GSO), all - tunnels);
    let tcp = Offloads::TSO4 | Offloads::TSO6;
    assert_eq!(receive(all - tcp), all - tcp - tunnels - Offloads::ECN);
    assert_eq!(
        receive(Offloads::CSUM | Offloads::TSO4 | Offloads::ECN),
        Offloads::CSUM | Offloads::TSO4 | Offloads::ECN
    );
    assert_eq!(receive(Offloads::CSUM | Offloads::ECN), Offloads::CSUM);
}
