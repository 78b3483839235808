#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod any;
mod coalescing;
mod filter;
mod hash;
mod offloads;
mod pairs;
mod statistics;

use std::collections::BTreeSet;

use virtio_core::Features;

use super::{Answer, Context, Effect, MAX_COMMAND_LEN, Refusal, execute};
use crate::MacAddress;
use crate::features::{self, *};
use crate::settings::{Limits, Settings};
use crate::stats::{ControlStats, ReceiveStats, Statistics, TransmitStats};

const ERR: &[u8] = &[1];
const MAC: MacAddress = MacAddress([0x52, 0x54, 0, 0x12, 0x34, 0x56]);

const LIMITS: Limits = Limits { max_pairs: 4, hash_key: 40, rss_table: 128, hash_types: 0x1ff, tunnel_types: 0x13 };

/// All features that commands have to do with.
fn all() -> Features {
    [
        CSUM,
        GUEST_CSUM,
        CTRL_GUEST_OFFLOADS,
        features::MAC,
        GUEST_TSO4,
        GUEST_TSO6,
        GUEST_ECN,
        GUEST_UFO,
        HOST_TSO4,
        HOST_TSO6,
        MRG_RXBUF,
        STATUS,
        CTRL_VQ,
        CTRL_RX,
        CTRL_VLAN,
        CTRL_RX_EXTRA,
        GUEST_ANNOUNCE,
        MQ,
        CTRL_MAC_ADDR,
        DEVICE_STATS,
        HASH_TUNNEL,
        VQ_NOTF_COAL,
        NOTF_COAL,
        GUEST_USO4,
        GUEST_USO6,
        HOST_USO,
        HASH_REPORT,
        GUEST_HDRLEN,
        RSS,
        SPEED_DUPLEX,
        GUEST_UDP_TUNNEL_GSO,
        GUEST_UDP_TUNNEL_GSO_CSUM,
    ]
    .into_iter()
    .fold(Features::VERSION_1, |all, feature| all | feature)
}

/// Statistics whose numbers say where they belong.
#[derive(Default)]
struct Numbers {
    control: ControlStats,
}

impl Statistics for Numbers {
    fn receive(&self, pair: u16) -> ReceiveStats {
        let base = 1000 + 100 * u64::from(pair);
        ReceiveStats { rx_packets: base + 1, rx_needs_csum: base + 7, rx_gso_bytes: base + 11, ..Default::default() }
    }

    fn transmit(&self, pair: u16) -> TransmitStats {
        let base = 2000 + 100 * u64::from(pair);
        TransmitStats { tx_packets: base + 1, tx_gso_bytes_noseg: base + 13, ..Default::default() }
    }

    fn control(&self) -> ControlStats {
        self.control
    }
}

/// What a driver negotiated and has set.
struct Rig {
    features: Features,
    limits: Limits,
    enabled: BTreeSet<u16>,
    numbers: Numbers,
    settings: Settings,
}

impl Rig {
    /// With all queues enabled.
    fn new(features: Features) -> Rig {
        let settings = Settings::initial(features, MAC);
        Rig { features, limits: LIMITS, enabled: (0..=8).collect(), numbers: Numbers::default(), settings }
    }

    /// Whatever the command is: the answer fits the outcome, and the settings fit the answer.
    fn send_with(&mut self, command: &[u8], writable: usize) -> Answer {
        let before = self.settings.clone();
        let is_enabled = |queue| self.enabled.contains(&queue);
        let cx = Context {
            features: self.features,
            limits: &self.limits,
            is_enabled: &is_enabled,
            statistics: &self.numbers,
        };
        let answer = execute(command, writable, &mut self.settings, &cx);
        assert!(answer.bytes.len() <= writable);
        match &answer.outcome {
            Ok(effect) => {
                assert_eq!(answer.bytes[0], 0);
                assert!(self.settings == before || *effect != Effect::None);
                self.settings.validate(&self.limits, self.features).unwrap();
            }
            Err(Refusal::NoAck) => assert!(writable == 0 && answer.bytes.is_empty() && self.settings == before),
            Err(_) => assert!(answer.bytes == ERR && self.settings == before),
        }
        answer
    }

    /// Sends the parts of a command.
    fn send(&mut self, class: u8, command: u8, parts: &[&[u8]]) -> Result<Effect, Refusal> {
        let answer = self.send_with(&message(class, command, parts), 1);
        assert_eq!(answer.bytes.len(), 1);
        answer.outcome
    }

    fn unknown(&mut self, class: u8, command: u8, parts: &[&[u8]]) {
        assert_eq!(self.send(class, command, parts), Err(Refusal::Unknown { class, command }));
    }
}

fn message(class: u8, command: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = vec![class, command];
    parts.iter().for_each(|part| bytes.extend_from_slice(part));
    bytes
}

fn le16(value: u16) -> [u8; 2] {
    value.to_le_bytes()
}

fn le32(value: u32) -> [u8; 4] {
    value.to_le_bytes()
}

/// Commands that go well with all features, with the feature that each needs.
fn good() -> Vec<(Features, Vec<u8>)> {
    let mut hash = message(4, 2, &[&le32(1), &[0; 8], &[40], &[7; 40]]);
    hash.push(0);
    vec![
        (CTRL_RX, message(0, 0, &[&[1]])),
        (CTRL_RX, message(0, 1, &[&[1]])),
        (CTRL_RX_EXTRA, message(0, 2, &[&[1]])),
        (CTRL_RX_EXTRA, message(0, 3, &[&[1]])),
        (CTRL_RX_EXTRA, message(0, 4, &[&[1]])),
        (CTRL_RX_EXTRA, message(0, 5, &[&[1]])),
        (CTRL_RX, message(1, 0, &[&le32(1), &MAC.0, &le32(0)])),
        (CTRL_MAC_ADDR, message(1, 1, &[&[2, 0, 0, 0, 0, 1]])),
        (CTRL_VLAN, message(2, 0, &[&le16(1)])),
        (CTRL_VLAN, message(2, 1, &[&le16(1)])),
        (GUEST_ANNOUNCE, message(3, 0, &[])),
        (MQ, message(4, 0, &[&le16(2)])),
        (RSS, message(4, 1, &[&le32(1), &le16(0), &le16(0), &le16(0), &le16(1), &[40], &[7; 40]])),
        (HASH_REPORT, hash),
        (CTRL_GUEST_OFFLOADS, message(5, 0, &[&2u64.to_le_bytes()])),
        (NOTF_COAL, message(6, 0, &[&le32(1), &le32(2)])),
        (NOTF_COAL, message(6, 1, &[&le32(1), &le32(2)])),
        (VQ_NOTF_COAL, message(6, 2, &[&le16(1), &le16(0), &le32(1), &le32(2)])),
        (VQ_NOTF_COAL, message(6, 3, &[&le16(1), &le16(0)])),
        (HASH_TUNNEL, message(7, 0, &[&le32(1)])),
        (DEVICE_STATS, message(8, 0, &[])),
        (DEVICE_STATS, message(8, 1, &[&le16(0), &[0; 6], &1u64.to_le_bytes()])),
    ]
}

// spec: NET-CTRL-01 DRV-NET-CTRL-16
#[test]
fn net_ctrl_01_every_command_is_answered_and_unknown_ones_with_err() {
    let known: BTreeSet<(u8, u8)> = good().iter().map(|(_, command)| (command[0], command[1])).collect();
    assert_eq!(known.len(), 22);
    let mut rig = Rig::new(all());
    for class in 0..=u8::MAX {
        for command in 0..=u8::MAX {
            if !known.contains(&(class, command)) {
                rig.unknown(class, command, &[&[0; 100]]);
            }
        }
    }
    assert_eq!(rig.settings, Settings::initial(all(), MAC));
}

// spec: DRV-NET-CTRL-02 DRV-NET-CTRL-03 DRV-NET-CTRL-08
#[test]
fn drv_net_ctrl_14_each_command_needs_its_feature() {
    for (feature, command) in good() {
        assert!(Rig::new(all()).send_with(&command, 9).outcome.is_ok(), "{command:?}");
        let expected = Err(Refusal::Unknown { class: command[0], command: command[1] });
        assert_eq!(Rig::new(all() - feature).send_with(&command, 9).outcome, expected);
    }
}

#[test]
fn drv_net_ctrl_16_commands_without_their_end_are_refused() {
    for (_, command) in good() {
        // One byte behind RSS_CONFIG and HASH_CONFIG is Linux's; a request for statistics may ask for nothing, and what is
        // reserved behind an index may be missing.
        let need = match (command[0], command[1]) {
            (4, 2) => command.len() - 1,
            (6, 3) => 4,
            (8, 1) => 2,
            _ => command.len(),
        };
        for len in 0..command.len() {
            let outcome = Rig::new(all()).send_with(&command[..len], 1000).outcome;
            match outcome {
                Err(Refusal::Short { missing }) => assert!(missing > 0 && (len < need || command[0] == 8)),
                Ok(_) => assert!(len >= need),
                Err(other) => panic!("{command:?}: {other}"),
            }
        }
    }
    // Cut in the midst of an entry.
    let get = good().pop().unwrap().1;
    assert_eq!(Rig::new(all()).send_with(&get[..17], 1000).outcome, Err(Refusal::Short { missing: 1 }));
}

#[test]
fn drv_net_ctrl_16_without_room_for_an_ack_nothing_is_done() {
    for (_, command) in good() {
        let mut rig = Rig::new(all());
        let answer = rig.send_with(&command, 0);
        assert_eq!(answer, Answer { outcome: Err(Refusal::NoAck), bytes: Vec::new() });
        assert_eq!(rig.settings, Settings::initial(all(), MAC));
    }
}

#[test]
fn drv_net_ctrl_16_bytes_behind_a_command_are_ignored_but_not_in_tables() {
    for (_, command) in good() {
        let exact = Rig::new(all()).send_with(&command, 1000);
        let longer = [&command[..], &[0x5a]].concat();
        let outcome = Rig::new(all()).send_with(&longer, 1000).outcome;
        match (command[0], command[1]) {
            (1, 0) => assert_eq!(outcome, Err(Refusal::Long { extra: 1 })),
            (8, 1) => assert_eq!(outcome, Err(Refusal::Short { missing: 1 })),
            _ => assert_eq!(outcome, exact.outcome),
        }
    }
    let mut rig = Rig::new(all());
    let longest = [&message(0, 0, &[&[1]])[..], &vec![0; MAX_COMMAND_LEN - 3]].concat();
    assert_eq!(rig.send_with(&longest, 1).outcome, Ok(Effect::Filter));
    let longer = [&longest[..], &[0]].concat();
    assert_eq!(rig.send_with(&longer, 1).outcome, Err(Refusal::Long { extra: 1 }));
}

#[test]
fn net_ctrl_ann_01_an_ack_says_that_the_bit_is_to_be_cleared() {
    let mut rig = Rig::new(all());
    let before = rig.settings.clone();
    assert_eq!(rig.send(3, 0, &[]), Ok(Effect::Announced));
    assert_eq!(rig.settings, before);
}

fn refused(what: &'static str, value: u64) -> Result<Effect, Refusal> {
    Err(Refusal::Value { what, value })
}
