//! Saving a device and taking it over elsewhere.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::Value;
use virtio_core::Features;
use virtio_core::device::StateError;
use virtio_core::host::HostState;
use virtio_core::testing::RingDriver;
use virtio_net::{MacAddress, NetBuilder, NetHeader};

use crate::frames::{BROADCAST, GROUP, OTHER, OWN, plain, tagged};
use crate::network::Network;
use crate::rig::*;

each_transport! {
    a_device_goes_on_elsewhere_as_its_driver_has_set_it,
    a_link_that_is_down_elsewhere_is_shown_there,
    states_that_do_not_fit_are_refused,
    a_device_that_was_not_started_is_taken_over,
}

const FEATURES: Features = Features::from_bits(
    USUAL.bits()
        | GUEST_CSUM.bits()
        | GUEST_TSO4.bits()
        | CTRL_GUEST_OFFLOADS.bits()
        | MRG_RXBUF.bits()
        | STATUS.bits()
        | CTRL_VQ.bits()
        | CTRL_RX.bits()
        | CTRL_RX_EXTRA.bits()
        | CTRL_VLAN.bits()
        | CTRL_MAC_ADDR.bits()
        | GUEST_ANNOUNCE.bits()
        | MQ.bits()
        | RSS.bits()
        | HASH_REPORT.bits()
        | HASH_TUNNEL.bits()
        | NOTF_COAL.bits()
        | VQ_NOTF_COAL.bits()
        | DEVICE_STATS.bits(),
);

fn rig_of<P: Port>(pairs: u16, change: impl FnOnce(NetBuilder) -> NetBuilder) -> Rig<P> {
    Rig::<P>::with(Network::new(pairs), |builder| change(builder.rss(true).hash_report(true)))
}

fn rig<P: Port>() -> Rig<P> {
    rig_of(2, |builder| builder)
}

/// All that a driver can set.
fn set_all<P: Port>(rig: &Rig<P>, queues: &mut Queues<P::Driver>) {
    let mut table = vec![1, 0, 0, 0];
    table.extend([0x52, 0x54, 0, 0, 0, 9]);
    table.extend([1, 0, 0, 0]);
    table.extend(GROUP);
    // Types, a table of two, unclassified, the pairs, transmit pairs, the key.
    let mut rss = vec![0x3f, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 0, 40];
    rss.extend([0x5a; 40]);
    let delay = [100u32.to_le_bytes(), 200u32.to_le_bytes()].concat();
    let of_queue = [vec![1, 0, 0, 0], 3u32.to_le_bytes().to_vec(), 4u32.to_le_bytes().to_vec()].concat();
    let offloads = (1u64 << 1).to_le_bytes();
    let commands: [(u8, u8, &[u8]); 10] = [
        (0, 5, &[1]),
        (1, 0, &table),
        (1, 1, &OTHER),
        (2, 0, &[7, 0]),
        (4, 1, &rss),
        (5, 0, &offloads),
        (6, 0, &delay),
        (6, 1, &delay),
        (6, 2, &of_queue),
        (7, 0, &[1 << 4, 0, 0, 0]),
    ];
    for (class, command, data) in commands {
        assert_eq!(rig.command(queues, class, command, data), Some(0), "class {class}, command {command}");
    }
}

pub(crate) fn paused<P: Port>(rig: &Rig<P>) -> HostState {
    rig.port.host().pause(Duration::from_secs(1)).expect("nothing is in flight");
    rig.port.host().save().expect("a state")
}

/// Another device on the memory of the first, which has gone.
fn elsewhere<P: Port>(old: Rig<P>, new: Rig<P>, state: &HostState) -> Rig<P> {
    let Rig { port, memory, header_len, .. } = old;
    drop(port);
    // The memory has moved with it.
    new.memory.adopt(&memory);
    new.port.host().restore(state).expect("restored");
    Rig { header_len, ..new }
}

fn a_device_goes_on_elsewhere_as_its_driver_has_set_it<P: Port>() {
    let mut old = rig::<P>();
    let mut queues = old.live(FEATURES);
    set_all(&old, &mut queues);
    assert!(old.handle.announce());
    let at = old.post(&mut queues, 0, 2048);
    let state = paused(&old);
    let saved: Value = serde_json::from_slice(&state.device.data).expect("what is saved is JSON");

    let memory = old.memory.clone();
    let new = on_memory::<P>(&memory);
    drop(old.port);
    new.port.host().restore(&state).expect("restored");
    let again = new.port.host().save().expect("a state");
    assert_eq!(serde_json::from_slice::<Value>(&again.device.data).expect("JSON"), saved);
    assert_eq!((new.handle.mac(), new.handle.pairs()), (MacAddress(OTHER), 2));
    assert_eq!((new.config::<6>(0), new.config::<2>(6)), (OTHER, [3, 0]));
    let configuration = new.network.configuration();
    assert_eq!((configuration.pairs, configuration.receive), (2, virtio_net::Offloads::CSUM));
    new.port.host().resume();
    new.runtime.poll();

    // It does what it was told: unicast for others, tags of other VLANs, and broadcasts are not for it.
    for frame in [plain(OWN, 60), plain(BROADCAST, 60), tagged(OTHER, 8, 64)] {
        new.arrive(0, NetHeader::default(), &frame);
    }
    assert_eq!(queues.rx[0].waiting(), 0);
    let frame = plain(OTHER, 60);
    new.arrive(0, NetHeader::default(), &frame);
    assert_eq!(new.got(&mut queues, 0, at).expect("a frame").1, frame);
    for frame in [plain(GROUP, 60), plain([0x52, 0x54, 0, 0, 0, 9], 60), tagged(OTHER, 7, 64)] {
        let at = new.post(&mut queues, 0, 2048);
        new.arrive(0, NetHeader::default(), &frame);
        assert_eq!(new.got(&mut queues, 0, at).expect("a frame").1, frame);
    }
    assert_eq!(new.command(&mut queues, 3, 0, &[]), Some(0));
    assert_eq!(new.config::<2>(6), [1, 0]);
}

/// A device on memory that is there.
pub(crate) fn on_memory<P: Port>(memory: &virtio_core::testing::TestMemory) -> Rig<P> {
    let network = Network::new(2);
    let builder = virtio_net::Net::builder(network.clone()).mac(MacAddress(OWN)).pairs(2).queue_size(16);
    let net = builder.rss(true).hash_report(true).build().expect("a device");
    let (handle, runtime) = (net.handle(), virtio_core::InlineRuntime::new());
    let host = virtio_core::DeviceHost::builder(net, memory.ram().clone(), std::sync::Arc::new(runtime.clone()));
    Rig { port: P::connect(host), handle, memory: memory.clone(), runtime, network, header_len: 20 }
}

fn a_link_that_is_down_elsewhere_is_shown_there<P: Port>() {
    let mut old = rig::<P>();
    let mut queues = old.live(FEATURES);
    let state = paused(&old);
    let new = on_memory::<P>(&old.memory);
    drop(old.port);
    new.handle.set_link(false);
    new.port.take_interrupts();
    new.port.host().restore(&state).expect("restored");
    new.port.host().resume();
    new.runtime.poll();
    assert!(new.port.take_interrupts().1, "the driver is told");
    assert_eq!(new.config::<2>(6), [0, 0]);
    new.send(&mut queues, 0, &NetHeader::default(), &plain(BROADCAST, 60));
    assert_eq!((new.handle.counts().tx_link_down, new.network.sent(0).len()), (1, 0));
}

fn a_device_that_was_not_started_is_taken_over<P: Port>() {
    let mut old = rig::<P>();
    let state = old.port.host().save().expect("a state");
    let new = rig::<P>();
    new.port.host().restore(&state).expect("restored");
    // As far as the features, too.
    assert!(old.negotiate(FEATURES));
    let state = old.port.host().save().expect("a state");
    let mut new = elsewhere(old, new, &state);
    let driver = new.enable(1, FEATURES);
    new.go();
    assert!(!new.is_broken());
    let mut queues = Queues { rx: vec![], tx: vec![driver], control: None };
    assert!(new.send(&mut queues, 0, &NetHeader::default(), &plain(BROADCAST, 60)).is_some());
    new.port.set_status(0);
    new.header_len = 12;
}

fn states_that_do_not_fit_are_refused<P: Port>() {
    let mut old = rig::<P>();
    let mut queues = old.live(FEATURES);
    set_all(&old, &mut queues);
    let state = paused(&old);
    let refused = |new: Rig<P>, change: &dyn Fn(&mut HostState, &mut Value)| {
        let mut state = state.clone();
        let mut value = serde_json::from_slice(&state.device.data).expect("JSON");
        change(&mut state, &mut value);
        state.device.data = serde_json::to_vec(&value).expect("JSON");
        let error = new.port.host().restore(&state).expect_err("a state that does not fit");
        assert_eq!((new.port.status(), new.handle.pairs(), new.handle.mac()), (0, 1, new.handle.mac()));
        error
    };
    let same = |_: &mut HostState, _: &mut Value| {};
    let other_mac = rig_of(2, |builder| builder.mac(MacAddress(OTHER)));
    assert!(matches!(refused(other_mac, &same), StateError::Mismatch { .. }));
    // An MTU is offered then; the driver does not take it.
    assert!(matches!(refused(rig_of(2, |builder| builder.mtu(1500)), &same), StateError::Mismatch { .. }));
    assert!(matches!(refused(rig_of(4, |builder| builder), &same), StateError::QueueCount { .. }));
    let without = rig_of(2, |builder| builder.rss(false));
    assert!(matches!(refused(without, &same), StateError::Features { .. }));
    assert!(matches!(refused(rig(), &|state, _| state.device.version = 2), StateError::Version { version: 2 }));
    let corrupt = |place: &'static str, value: Value| {
        let change = move |_: &mut HostState, saved: &mut Value| {
            *saved.pointer_mut(place).unwrap_or_else(|| panic!("{place} is there")) = value.clone();
        };
        assert!(matches!(refused(rig(), &change), StateError::Corrupt { .. }), "{place}");
    };
    corrupt("/settings/pairs", 0.into());
    corrupt("/settings/pairs", 3.into());
    corrupt("/settings/pairs", 70000.into());
    corrupt("/settings/hash/types", 0x200.into());
    corrupt("/settings/hash/key", vec![1; 41].into());
    corrupt("/settings/hash/key", Value::from(Vec::<u8>::new()));
    corrupt("/settings/offloads", 4.into());
    corrupt("/settings/steering/Rss/table", vec![0, 1, 0].into());
    corrupt("/settings/steering/Rss/table", vec![0, 2].into());
    corrupt("/settings/steering/Rss/unclassified", 2.into());
    corrupt("/settings/macs/unicast", vec![vec![2, 0, 0, 0, 0, 0]; 65].into());
    corrupt("/settings/macs/all_unicast", true.into());
    corrupt("/settings/vlans", vec![vec![0; 32]; 3].into());
    corrupt("/settings/tunnels", 0x200.into());
    corrupt("/statistics/pairs", serde_json::json!({ "2": [{ "rx_packets": 1 }, {}] }));
    corrupt("/statistics/pairs", serde_json::json!({ "0": [{ "rx_packets": -1 }, {}] }));
    corrupt("/statistics/control/ok_num", "one".into());
    corrupt("/settings", Value::Null);
    // What was not negotiated cannot have been set.
    for (feature, other) in [(CTRL_VLAN, CTRL_VLAN), (NOTF_COAL, NOTF_COAL | VQ_NOTF_COAL), (HASH_TUNNEL, HASH_TUNNEL)]
    {
        let error = refused(rig(), &|state, _| state.accepted &= !other.bits());
        assert!(matches!(error, StateError::Corrupt { .. }), "{feature:?}");
    }
}

/// A place in a state, and what is there then.
fn change() -> impl Strategy<Value = (usize, Value)> {
    let value = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (0u64..5).prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        Just(Value::Null),
        Just(Value::from("Automatic")),
        prop::collection::vec(0u16..4, 0..5).prop_map(Value::from),
        prop::collection::vec(any::<u32>(), 0..200).prop_map(Value::from),
    ];
    (any::<usize>(), value)
}

/// Replaces the value at the place of that number, and says how many places there are.
fn replace(value: &mut Value, number: &mut usize, new: &Value) {
    if *number == 0 {
        *value = new.clone();
    }
    *number = number.wrapping_sub(1);
    match value {
        Value::Array(values) => values.iter_mut().for_each(|value| replace(value, number, new)),
        Value::Object(values) => values.values_mut().for_each(|value| replace(value, number, new)),
        _ => {}
    }
}

fn places(value: &Value) -> usize {
    1 + match value {
        // Of the tables, the first few are enough.
        Value::Array(values) => values.iter().map(places).sum(),
        Value::Object(values) => values.values().map(places).sum(),
        _ => 0,
    }
}

/// How a state is changed.
#[derive(Clone, Debug)]
struct Damage {
    values: Vec<(usize, Value)>,
    bytes: Vec<(usize, u8)>,
    features: Option<u128>,
    cut: Option<usize>,
}

fn damage() -> impl Strategy<Value = Damage> {
    let values = prop::collection::vec(change(), 1..4);
    let bytes = prop::collection::vec((any::<usize>(), any::<u8>()), 0..3);
    let features = prop::option::of(any::<u128>());
    let cut = prop::option::weighted(0.1, any::<usize>());
    (values, bytes, features, cut).prop_map(|(values, bytes, features, cut)| Damage { values, bytes, features, cut })
}

/// Whether it was taken over.
fn is_taken_over<P: Port>(damage: Damage) -> bool {
    let mut old = rig::<P>();
    let mut queues = old.live(FEATURES);
    set_all(&old, &mut queues);
    let mut state = paused(&old);
    let mut value = serde_json::from_slice(&state.device.data).expect("JSON");
    for (number, new) in damage.values {
        let mut number = number % places(&value);
        replace(&mut value, &mut number, &new);
    }
    let mut data = serde_json::to_vec(&value).expect("JSON");
    for (at, byte) in damage.bytes {
        let len = data.len();
        data[at % len] = byte;
    }
    if let Some(cut) = damage.cut {
        data.truncate(cut % data.len());
    }
    state.device.data = data;
    if let Some(features) = damage.features {
        state.accepted &= features | USUAL.bits();
    }
    let new = on_memory::<P>(&old.memory);
    drop(old.port);
    if new.port.host().restore(&state).is_err() {
        assert_eq!(new.port.status(), 0);
        return false;
    }
    // Whatever it is, the device works by it.
    new.port.host().resume();
    new.runtime.poll();
    for pair in 0..2 {
        new.post(&mut queues, pair, 2048);
        new.network.inject(pair.into(), NetHeader::default(), &plain(OTHER, 60));
        new.network.inject(pair.into(), NetHeader::default(), &tagged(BROADCAST, 7, 64));
        new.runtime.poll();
        assert!(new.send(&mut queues, pair, &NetHeader::default(), &plain(BROADCAST, 60)).is_some());
    }
    assert!(!new.is_broken());
    true
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_state_is_taken_over_or_refused(damage in damage()) {
        is_taken_over::<virtio_mmio::testing::Mmio>(damage);
    }
}

#[test]
fn a_state_without_damage_is_taken_over() {
    let none = Damage { values: vec![], bytes: vec![], features: None, cut: None };
    assert!(is_taken_over::<virtio_mmio::testing::Mmio>(none));
}
