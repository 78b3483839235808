#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::settings::{Coalescing, Delay};

const TX: u8 = 0;
const RX: u8 = 1;

fn set_all(rig: &mut Rig, command: u8, [max_packets, max_usecs]: [u32; 2]) {
    assert_eq!(rig.send(6, command, &[&le32(max_packets), &le32(max_usecs)]), Ok(Effect::Coalescing));
}

fn set_one(rig: &mut Rig, queue: u16, [max_packets, max_usecs]: [u32; 2]) -> Result<Effect, Refusal> {
    rig.send(6, 2, &[&le16(queue), &[0xee, 0xdd], &le32(max_packets), &le32(max_usecs)])
}

/// What VQ_GET says.
fn get(rig: &mut Rig, queue: u16) -> Result<[u32; 2], Refusal> {
    let answer = rig.send_with(&message(6, 3, &[&le16(queue), &[0xee, 0xdd]]), 100);
    assert_eq!(answer.outcome?, Effect::None);
    let (numbers, []) = answer.bytes[1..].as_chunks::<4>() else { panic!("{answer:?}") };
    Ok([u32::from_le_bytes(numbers[0]), u32::from_le_bytes(numbers[1])])
}

fn each(rig: &mut Rig) -> Vec<[u32; 2]> {
    (0..4).map(|queue| get(rig, queue).unwrap()).collect()
}

/// The sequence of commands of the specification.
// spec: NET-COAL-01
#[test]
fn net_coal_02_the_last_command_counts_for_each_queue() {
    let mut rig = Rig::new(all());
    set_all(&mut rig, RX, [1, 10]);
    assert_eq!(each(&mut rig), [[1, 10], [0, 0], [1, 10], [0, 0]]);
    assert_eq!(set_one(&mut rig, 0, [2, 20]), Ok(Effect::Coalescing));
    assert_eq!(each(&mut rig), [[2, 20], [0, 0], [1, 10], [0, 0]]);
    assert_eq!(set_one(&mut rig, 1, [3, 30]), Ok(Effect::Coalescing));
    assert_eq!(each(&mut rig), [[2, 20], [3, 30], [1, 10], [0, 0]]);
    set_all(&mut rig, TX, [4, 40]);
    assert_eq!(each(&mut rig), [[2, 20], [4, 40], [1, 10], [4, 40]]);
    // And what comes for receive queues leaves transmit queues alone.
    assert_eq!(set_one(&mut rig, 3, [6, 60]), Ok(Effect::Coalescing));
    set_all(&mut rig, RX, [5, 50]);
    assert_eq!(each(&mut rig), [[5, 50], [4, 40], [5, 50], [6, 60]]);
}

#[test]
fn net_coal_03_extreme_delays_are_kept_as_they_are() {
    let mut rig = Rig::new(all());
    for delay in [[u32::MAX, u32::MAX], [0, u32::MAX], [u32::MAX, 0], [0, 0]] {
        set_all(&mut rig, RX, delay);
        set_all(&mut rig, TX, delay);
        assert_eq!(each(&mut rig), [delay; 4]);
        assert_eq!(set_one(&mut rig, 3, delay), Ok(Effect::Coalescing));
        assert_eq!(get(&mut rig, 3), Ok(delay));
    }
}

// spec: DRV-NET-CTRL-14
#[test]
fn net_coal_04_only_enabled_queues_of_pairs_have_a_delay() {
    let mut rig = Rig::new(all());
    rig.enabled.remove(&5);
    rig.enabled.extend([9, 100, u16::MAX]);
    for queue in [5, 8, 9, 100, u16::MAX] {
        let expected = Refusal::Disabled { queue: queue.into() };
        assert_eq!(set_one(&mut rig, queue, [1, 1]), Err(expected));
        assert_eq!(get(&mut rig, queue), Err(expected));
    }
    assert_eq!(rig.settings.coalescing, Coalescing::default());
    // Without several pairs, the control queue is the third.
    let mut rig = Rig::new(all() - MQ - features::RSS);
    assert_eq!(set_one(&mut rig, 1, [1, 1]), Ok(Effect::Coalescing));
    assert_eq!(set_one(&mut rig, 2, [1, 1]), Err(Refusal::Disabled { queue: 2 }));
}

// spec: NET-COAL-06
#[test]
fn net_coal_05_a_queue_that_was_stopped_has_the_delay_of_all() {
    let mut rig = Rig::new(all());
    assert_eq!(set_one(&mut rig, 0, [7, 70]), Ok(Effect::Coalescing));
    assert_eq!(set_one(&mut rig, 1, [7, 70]), Ok(Effect::Coalescing));
    rig.settings.coalescing.forget(0);
    rig.settings.coalescing.forget(1);
    assert_eq!(each(&mut rig), [[0; 2]; 4]);

    set_all(&mut rig, RX, [1, 10]);
    set_all(&mut rig, TX, [2, 20]);
    for queue in 0..4 {
        assert_eq!(set_one(&mut rig, queue, [7, 70]), Ok(Effect::Coalescing));
    }
    rig.settings.coalescing.forget(0);
    rig.settings.coalescing.forget(1);
    assert_eq!(each(&mut rig), [[1, 10], [2, 20], [7, 70], [7, 70]]);
}

#[test]
fn net_coal_09_all_delays_are_zero_at_first() {
    let mut rig = Rig::new(all());
    assert_eq!(each(&mut rig), [[0; 2]; 4]);
    let Coalescing { rx, tx, queues } = Settings::initial(all(), MAC).coalescing;
    assert_eq!((rx, tx, queues.len()), (Delay::default(), Delay::default(), 0));
}

#[test]
fn drv_net_ctrl_14_a_delay_that_does_not_fit_in_is_refused() {
    let mut rig = Rig::new(all());
    let get = message(6, 3, &[&le16(0)]);
    for room in 0..8 {
        assert_eq!(rig.send_with(&get, 1 + room).outcome, Err(Refusal::NoRoom { room, need: 8 }));
    }
    assert_eq!(rig.send_with(&get, 9).bytes, [0; 9]);
}
