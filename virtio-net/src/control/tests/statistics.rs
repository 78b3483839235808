#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;

const RX_BASIC: u64 = 1;
const RX_CSUM: u64 = 1 << 1;
const RX_GSO: u64 = 1 << 2;
const RX_SPEED: u64 = 1 << 3;
const TX_BASIC: u64 = 1 << 16;
const TX_CSUM: u64 = 1 << 17;
const TX_GSO: u64 = 1 << 18;
const TX_SPEED: u64 = 1 << 19;
const CVQ: u64 = 1 << 32;
const OF_RX: u64 = RX_BASIC | RX_CSUM | RX_GSO | RX_SPEED;
const OF_TX: u64 = TX_BASIC | TX_CSUM | TX_GSO | TX_SPEED;

fn ask(entries: &[(u16, u64)]) -> Vec<u8> {
    let mut command = vec![8, 1];
    for (queue, kinds) in entries {
        command.extend([&le16(*queue)[..], &[0xee; 6], &kinds.to_le_bytes()].concat());
    }
    command
}

#[derive(Debug, PartialEq)]
struct Reply {
    kind: u8,
    queue: u16,
    values: Vec<u64>,
}

/// The replies, as a driver takes them apart: by their sizes.
fn replies(answer: &Answer) -> Vec<Reply> {
    assert_eq!(answer.outcome, Ok(Effect::None));
    let (mut rest, mut replies) = (&answer.bytes[1..], Vec::new());
    while let Some(([kind, 0, q0, q1, 0, 0, s0, s1], _)) = rest.split_first_chunk() {
        let (reply, next) = rest.split_at(u16::from_le_bytes([*s0, *s1]).into());
        let (values, []) = reply[8..].as_chunks() else { panic!("{reply:?}") };
        let values = values.iter().map(|value| u64::from_le_bytes(*value)).collect();
        replies.push(Reply { kind: *kind, queue: u16::from_le_bytes([*q0, *q1]), values });
        rest = next;
    }
    assert!(rest.is_empty());
    replies
}

#[test]
fn net_stats_01_a_query_says_what_the_features_allow() {
    let query = |features| {
        let answer = Rig::new(features).send_with(&message(8, 0, &[]), 100);
        assert_eq!((answer.outcome, answer.bytes.len()), (Ok(Effect::None), 9));
        u64::from_le_bytes(answer.bytes[1..].try_into().unwrap())
    };
    let basic = RX_BASIC | TX_BASIC | CVQ;
    assert_eq!(query(all()), OF_RX | OF_TX | CVQ);
    assert_eq!(query(DEVICE_STATS), basic);
    assert_eq!(query(DEVICE_STATS | CSUM), basic | TX_CSUM);
    assert_eq!(query(DEVICE_STATS | GUEST_CSUM), basic | RX_CSUM);
    assert_eq!(query(DEVICE_STATS | SPEED_DUPLEX), basic | RX_SPEED | TX_SPEED);
    for gso in [GUEST_TSO4, GUEST_TSO6] {
        assert_eq!(query(DEVICE_STATS | gso), basic | RX_GSO);
    }
    for gso in [HOST_TSO4, HOST_TSO6, HOST_USO] {
        assert_eq!(query(DEVICE_STATS | gso), basic | TX_GSO);
    }
    for room in 0..8 {
        let refusal = Rig::new(all()).send_with(&message(8, 0, &[]), 1 + room).outcome;
        assert_eq!(refusal, Err(Refusal::NoRoom { room, need: 8 }));
    }
}

// spec: DRV-NET-CTRL-15
#[test]
fn net_stats_02_bad_requests_are_refused() {
    let refuse = |features, queue: u16, kinds: u64| {
        let refusal = Rig::new(features).send_with(&ask(&[(queue, kinds)]), 1000).outcome;
        assert!(matches!(refusal, Err(Refusal::Value { .. })), "{queue} {kinds:#x}: {refusal:?}");
    };
    // Queues that there are not.
    for queue in [9, 10, 0x8000, u16::MAX] {
        refuse(all(), queue, 0);
        refuse(all(), queue, RX_BASIC);
    }
    refuse(all() - MQ - RSS, 3, TX_BASIC);
    // Kinds that are unknown, or of other queues.
    for bit in 0..64 {
        for (queue, known) in [(0, OF_RX), (6, OF_RX), (1, OF_TX), (7, OF_TX), (8, CVQ)] {
            match known >> bit & 1 {
                0 => refuse(all(), queue, 1 << bit),
                _ => assert!(Rig::new(all()).send_with(&ask(&[(queue, 1 << bit)]), 1000).outcome.is_ok()),
            }
        }
    }
    // Kinds whose features were not negotiated.
    for kinds in [RX_CSUM, RX_GSO, RX_SPEED] {
        refuse(DEVICE_STATS, 0, kinds);
    }
    for kinds in [TX_CSUM, TX_GSO, TX_SPEED] {
        refuse(DEVICE_STATS, 1, kinds);
    }
}

#[test]
fn net_stats_03_one_bad_request_fails_all() {
    let good = [(0, OF_RX), (1, OF_TX), (8, CVQ)];
    assert!(Rig::new(all()).send_with(&ask(&good), 1000).outcome.is_ok());
    for bad in [(9, 0), (0, TX_BASIC), (1, 1 << 63)] {
        for place in 0..=good.len() {
            let mut mixed = good.to_vec();
            mixed.insert(place, bad);
            let answer = Rig::new(all()).send_with(&ask(&mixed), 1000);
            assert_eq!(answer.bytes, ERR);
        }
    }
}

// spec: NET-STATS-05
#[test]
fn net_stats_04_replies_say_whose_they_are_and_how_long() {
    let entries = [(2, OF_RX), (3, TX_BASIC | TX_GSO), (8, CVQ), (0, 0), (0, RX_GSO)];
    let mut rig = Rig::new(all());
    rig.numbers.control = ControlStats { command_num: 10, ok_num: 8 };
    let replies = replies(&rig.send_with(&ask(&entries), 1000));
    let reply = |kind, queue, values: &[u64]| Reply { kind, queue, values: values.to_vec() };
    // The counts of commands include the one that asks.
    let expected = [
        reply(0, 2, &[0, 1101, 0, 0, 0, 0]),
        reply(1, 2, &[0, 1107, 0, 0]),
        reply(2, 2, &[0, 1111, 0, 0]),
        reply(3, 2, &[0, 0]),
        reply(16, 3, &[0, 2101, 0, 0, 0, 0]),
        reply(18, 3, &[0, 0, 0, 0, 0, 2113]),
        reply(32, 8, &[11, 9]),
        reply(2, 0, &[0, 1011, 0, 0]),
    ];
    assert_eq!(replies, expected);
}

#[test]
fn net_stats_05_fields_are_in_the_order_of_the_specification() {
    let rx = ReceiveStats {
        rx_notifications: 1,
        rx_packets: 2,
        rx_bytes: 3,
        rx_interrupts: 4,
        rx_drops: 5,
        rx_drop_overruns: 6,
        rx_csum_valid: 7,
        rx_needs_csum: 8,
        rx_csum_none: 9,
        rx_csum_bad: 10,
        rx_gso_packets: 11,
        rx_gso_bytes: 12,
        rx_gso_packets_coalesced: 13,
        rx_gso_bytes_coalesced: 14,
        rx_packets_allowance_exceeded: 15,
        rx_bytes_allowance_exceeded: 16,
    };
    assert_eq!((0..4).flat_map(|kind| rx.of_kind(kind)).collect::<Vec<_>>(), (1..=16).collect::<Vec<_>>());
    let tx = TransmitStats {
        tx_notifications: 1,
        tx_packets: 2,
        tx_bytes: 3,
        tx_interrupts: 4,
        tx_drops: 5,
        tx_drop_malformed: 6,
        tx_csum_none: 7,
        tx_needs_csum: 8,
        tx_gso_packets: 9,
        tx_gso_bytes: 10,
        tx_gso_segments: 11,
        tx_gso_segments_bytes: 12,
        tx_gso_packets_noseg: 13,
        tx_gso_bytes_noseg: 14,
        tx_packets_allowance_exceeded: 15,
        tx_bytes_allowance_exceeded: 16,
    };
    assert_eq!((16..20).flat_map(|kind| tx.of_kind(kind)).collect::<Vec<_>>(), (1..=16).collect::<Vec<_>>());
}

#[test]
fn net_stats_06_replies_end_with_the_last_that_fits_in() {
    let command = ask(&[(0, RX_BASIC), (1, TX_CSUM), (8, CVQ)]);
    // 56 bytes, 24, and 24.
    for room in 0..200 {
        let answer = Rig::new(all()).send_with(&command, 1 + room);
        let filled = if room < 56 { 0 } else { ((room - 56) / 24).min(2) * 24 + 56 };
        assert_eq!(answer.bytes.len(), 1 + filled);
        assert_eq!(replies(&answer).len(), [56, 80, 104].iter().filter(|end| filled >= **end).count());
    }
    // As many as a command can ask for.
    let many = ask(&vec![(1, OF_TX); (MAX_COMMAND_LEN - 2) / 16]);
    assert_eq!(replies(&Rig::new(all()).send_with(&many, usize::MAX)).len(), 4095 * 4);
}

#[test]
fn net_stats_07_counters_wrap_around() {
    let mut rig = Rig::new(all());
    rig.numbers.control = ControlStats { command_num: u64::MAX, ok_num: u64::MAX - 1 };
    let replies = replies(&rig.send_with(&ask(&[(8, CVQ)]), 1000));
    assert_eq!(replies, [Reply { kind: 32, queue: 8, values: vec![0, u64::MAX] }]);
}
