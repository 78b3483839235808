#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::settings::{Hash, Steering};

/// A command that configures receive-side scaling.
#[derive(Clone)]
pub(super) struct Config {
    pub(super) types: u32,
    pub(super) mask: u16,
    pub(super) unclassified: u16,
    pub(super) table: Vec<u16>,
    pub(super) max_tx: u16,
    pub(super) key_len: u8,
    pub(super) key: Vec<u8>,
}

impl Config {
    /// As Linux sends it at first, for `pairs` pairs.
    fn linux(pairs: u16) -> Config {
        Config {
            types: 0x3f,
            mask: 127,
            unclassified: 0,
            table: (0..128).map(|i| i % pairs).collect(),
            max_tx: pairs,
            key_len: 40,
            key: (1..=40).collect(),
        }
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let table: Vec<u8> = self.table.iter().flat_map(|pair| pair.to_le_bytes()).collect();
        let (types, mask, unclassified) = (le32(self.types), le16(self.mask), le16(self.unclassified));
        let parts: [&[u8]; 7] = [&types, &mask, &unclassified, &table, &le16(self.max_tx), &[self.key_len], &self.key];
        message(4, 1, &parts)
    }

    fn send(&self, rig: &mut Rig) -> Result<Effect, Refusal> {
        rig.send_with(&self.bytes(), 1).outcome
    }
}

fn hash_config(types: u32, reserved: &[u8; 8], key: &[u8]) -> Vec<u8> {
    message(4, 2, &[&le32(types), reserved, &[key.len() as u8], key])
}

fn key() -> Vec<u8> {
    (1..=40).collect()
}

// spec: NET-HASH-02
#[test]
fn net_hash_01_receive_side_scaling_is_configured() {
    let mut rig = Rig::new(all());
    assert_eq!(Config::linux(4).send(&mut rig), Ok(Effect::Steering));
    let table: Vec<u16> = (0..128).map(|i| i % 4).collect();
    assert_eq!(rig.settings.steering, Steering::Rss { table, unclassified: 0 });
    assert_eq!(rig.settings.pairs, 4);
    assert_eq!(rig.settings.hash, Hash { types: 0x3f, key: key() });

    // Linux from 6.16 on sends one byte more than the key has.
    let longer = [&Config::linux(2).bytes()[..], &[0]].concat();
    assert_eq!(rig.send_with(&longer, 1).outcome, Ok(Effect::Steering));
    assert_eq!(rig.settings.pairs, 2);

    // Windows switches it off with no types and no key.
    let off =
        Config { types: 0, mask: 0, table: vec![1], unclassified: 2, key_len: 0, key: vec![], ..Config::linux(1) };
    assert_eq!(off.send(&mut rig), Ok(Effect::Steering));
    assert_eq!(rig.settings.steering, Steering::Rss { table: vec![1], unclassified: 2 });
    assert_eq!(rig.settings.hash, Hash::default());
    // What receives is in use, although only one transmits.
    assert_eq!(rig.settings.pairs, 3);

    // With one pair, too.
    let mut rig = Rig { limits: Limits { max_pairs: 1, ..LIMITS }, ..Rig::new(all()) };
    assert_eq!(Config::linux(1).send(&mut rig), Ok(Effect::Steering));
    assert_eq!(rig.settings.pairs, 1);
}

// spec: NET-HASH-04
#[test]
fn net_hash_03_hashes_are_configured_without_receive_side_scaling() {
    let mut rig = Rig::new(all() - RSS - MQ);
    assert_eq!(rig.send_with(&hash_config(0x1ff, &[0; 8], &key()), 1).outcome, Ok(Effect::Steering));
    assert_eq!(rig.settings.hash, Hash { types: 0x1ff, key: key() });
    assert_eq!((&rig.settings.steering, rig.settings.pairs), (&Steering::Automatic, 1));
    // Linux leaves the number of pairs in what is reserved.
    assert_eq!(rig.send_with(&hash_config(1, &[0, 0, 0, 0, 0, 0, 4, 0], &key()), 1).outcome, Ok(Effect::Steering));
    assert_eq!(rig.settings.hash.types, 1);
}

#[test]
fn net_hash_04_the_last_command_says_how_to_steer() {
    let mut rig = Rig::new(all());
    assert_eq!(Config::linux(4).send(&mut rig), Ok(Effect::Steering));
    assert_eq!(rig.send_with(&hash_config(2, &[0; 8], &[9; 16]), 1).outcome, Ok(Effect::Steering));
    assert_eq!((&rig.settings.steering, rig.settings.pairs), (&Steering::Automatic, 4));
    assert_eq!(rig.settings.hash, Hash { types: 2, key: vec![9; 16] });

    assert_eq!(Config::linux(3).send(&mut rig), Ok(Effect::Steering));
    assert_ne!(rig.settings.steering, Steering::Automatic);
    assert_eq!(rig.send(4, 0, &[&le16(2)]), Ok(Effect::Steering));
    assert_eq!((&rig.settings.steering, rig.settings.pairs), (&Steering::Automatic, 2));
    // What is reported stays.
    assert_eq!(rig.settings.hash.types, 0x3f);
}

#[test]
fn net_hash_05_nothing_is_hashed_at_first() {
    assert_eq!(Rig::new(all()).settings.hash, Hash { types: 0, key: vec![] });
}

// spec: DRV-NET-CTRL-01
#[test]
fn net_hash_08_tunnels_that_are_not_supported_are_refused() {
    for bit in 0..32 {
        let mut rig = Rig::new(all());
        let expected = match 1 << bit & LIMITS.tunnel_types {
            0 => refused("types of tunnels", 1 << bit),
            _ => Ok(Effect::Hash),
        };
        assert_eq!(rig.send(7, 0, &[&le32(1 << bit)]), expected);
        assert_eq!(rig.settings.tunnels, 1 << bit & LIMITS.tunnel_types);
    }
}

#[test]
fn net_hash_09_no_tunnels_switch_it_off() {
    let mut rig = Rig::new(all());
    assert_eq!(rig.settings.tunnels, 0);
    assert_eq!(rig.send(7, 0, &[&le32(0x13)]), Ok(Effect::Hash));
    assert_eq!(rig.settings.tunnels, 0x13);
    assert_eq!(rig.send(7, 0, &[&le32(0)]), Ok(Effect::Hash));
    assert_eq!(rig.settings.tunnels, 0);
}

#[test]
fn drv_net_ctrl_09_tables_name_enabled_receive_queues() {
    let refuse = |config: Config, expected| {
        let mut rig = Rig::new(all());
        // The receive queue of the third pair, and the transmit queue of the fourth, are missing.
        rig.enabled = [0, 1, 2, 3, 5, 6, 8].into();
        assert_eq!(Config::linux(2).send(&mut rig), Ok(Effect::Steering));
        assert_eq!(config.send(&mut rig), expected);
        assert_eq!(rig.settings.pairs, 2);
    };
    let last = |pair: u16| {
        let mut config = Config::linux(2);
        config.table[127] = pair;
        config
    };
    refuse(last(2), Err(Refusal::Disabled { queue: 4 }));
    refuse(Config { unclassified: 2, ..Config::linux(2) }, Err(Refusal::Disabled { queue: 4 }));
    refuse(Config { max_tx: 4, ..Config::linux(2) }, Err(Refusal::Disabled { queue: 7 }));
    // The control queue is none of them, whatever it is enabled as, nor is what is behind it.
    refuse(last(4), Err(Refusal::Disabled { queue: 8 }));
    refuse(last(0x7fff), Err(Refusal::Disabled { queue: 0xfffe }));
    refuse(last(0x8000), refused("a receive queue", 0x8000));
    refuse(Config { unclassified: 0x8001, ..Config::linux(2) }, refused("a receive queue", 0x8001));
    refuse(Config { max_tx: 0, ..Config::linux(2) }, refused("the number of pairs", 0));
    refuse(Config { max_tx: 5, ..Config::linux(2) }, refused("the number of pairs", 5));
}

#[test]
fn drv_net_ctrl_10_lengths_of_tables_are_powers_of_two() {
    for mask in 0..=u16::MAX {
        let len = usize::from(mask) + 1;
        let good = len <= 128 && len.is_power_of_two();
        let expected = if good { Ok(Effect::Steering) } else { refused("the length of the table", len as u64) };
        let config = Config { mask, table: vec![0; len.min(128)], ..Config::linux(1) };
        assert_eq!(config.send(&mut Rig::new(all())), expected);
    }
}

#[test]
fn drv_net_ctrl_11_types_and_keys_are_supported_ones() {
    let hash_command = |types, key_len: u8, key: &[u8]| message(4, 2, &[&le32(types), &[0; 8], &[key_len], key]);
    let both = |types, key_len, key: &[u8], expected: Result<Effect, Refusal>| {
        let config = Config { types, key_len, key: key.to_vec(), ..Config::linux(2) };
        assert_eq!(config.send(&mut Rig::new(all())), expected);
        let command = hash_command(types, key_len, key);
        assert_eq!(Rig::new(all()).send_with(&command, 1).outcome, expected);
    };
    for bit in 0..32 {
        let expected = if bit < 9 { Ok(Effect::Steering) } else { refused("types of hashes", 1 << bit) };
        both(1 << bit, 40, &key(), expected);
    }
    both(1, 41, &[0; 41], refused("the length of the key", 41));
    both(1, 255, &[0; 255], refused("the length of the key", 255));
    both(1, 0, &[], refused("the length of the key", 0));
    both(1, 40, &[0; 39], Err(Refusal::Short { missing: 1 }));
    both(1, 40, &[], Err(Refusal::Short { missing: 40 }));
    both(1, 1, &[1], Ok(Effect::Steering));
    both(0, 0, &[], Ok(Effect::Steering));
}

#[test]
fn drv_net_ctrl_12_there_are_no_contexts_of_receive_side_scaling() {
    for features in [all(), all() | RSS_CONTEXT] {
        let mut rig = Rig::new(features);
        for command in 0..4 {
            let config = Config::linux(2).bytes();
            rig.unknown(9, command, &[&le16(1), &[0; 6], &config[2..]]);
        }
    }
}
