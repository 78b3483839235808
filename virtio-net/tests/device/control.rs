//! Commands: how they are framed, and answered.

use virtio_core::Features;
use virtio_core::testing::{Buffer, RingDriver};

use crate::commands::*;
use crate::frames::{OTHER, OWN, plain};
use crate::network::Network;
use crate::rig::*;

each_transport! {
    net_ctrl_01_every_command_is_answered,
    each_command_needs_its_feature,
    commands_and_answers_are_cut_anywhere,
    net_ctrl_01_results_are_behind_the_ack,
    commands_are_served_one_after_the_other,
    drv_net_ctrl_16_without_room_for_an_ack_nothing_happens,
    drv_net_ctrl_16_commands_that_are_no_commands_fail,
    drv_net_ctrl_16_a_command_can_be_too_long,
    drv_net_ctrl_12_there_are_no_contexts,
    a_reset_forgets_what_was_commanded,
}

const ALL: Features = Features::from_bits(
    USUAL.bits()
        | CTRL_VQ.bits()
        | CTRL_RX.bits()
        | CTRL_VLAN.bits()
        | CTRL_RX_EXTRA.bits()
        | GUEST_ANNOUNCE.bits()
        | STATUS.bits()
        | MQ.bits()
        | CTRL_MAC_ADDR.bits()
        | DEVICE_STATS.bits()
        | HASH_TUNNEL.bits()
        | VQ_NOTF_COAL.bits()
        | NOTF_COAL.bits()
        | HASH_REPORT.bits()
        | RSS.bits()
        | GUEST_CSUM.bits()
        | CTRL_GUEST_OFFLOADS.bits(),
);

fn rig<P: Port>() -> Rig<P> {
    Rig::with(Network::new(2), |builder| builder.rss(true).hash_report(true))
}

/// Commands that go well with all features, with the feature that each needs, and bytes of the answer.
fn good() -> Vec<(Features, Command, Vec<u8>, usize)> {
    let zero = |command| (CTRL_RX_EXTRA, command, vec![0], 1);
    vec![
        (CTRL_RX, PROMISC, vec![1], 1),
        (CTRL_RX, ALLMULTI, vec![1], 1),
        zero(ALLUNI),
        zero(NOMULTI),
        zero(NOUNI),
        zero(NOBCAST),
        (CTRL_RX, MAC_TABLE_SET, mac_table(&[OTHER], &[]), 1),
        (CTRL_MAC_ADDR, MAC_ADDR_SET, vec![2, 0, 0, 0, 0, 1], 1),
        (CTRL_VLAN, VLAN_ADD, vec![5, 0], 1),
        (CTRL_VLAN, VLAN_DEL, vec![5, 0], 1),
        (GUEST_ANNOUNCE, ANNOUNCE_ACK, vec![], 1),
        (MQ, PAIRS_SET, vec![2, 0], 1),
        (RSS, RSS_CONFIG, rss(1, &[0, 1], 0, 2, &[7; 40]), 1),
        (HASH_REPORT, HASH_CONFIG, hash(1, &[7; 40]), 1),
        (CTRL_GUEST_OFFLOADS, OFFLOADS_SET, 2u64.to_le_bytes().to_vec(), 1),
        (NOTF_COAL, COAL_TX_SET, delay(3, 100), 1),
        (NOTF_COAL, COAL_RX_SET, delay(3, 100), 1),
        (VQ_NOTF_COAL, COAL_VQ_SET, queue_delay(1, 2, 10), 1),
        (VQ_NOTF_COAL, COAL_VQ_GET, vec![1, 0, 0, 0], 9),
        (HASH_TUNNEL, HASH_TUNNEL_SET, 1u32.to_le_bytes().to_vec(), 1),
        (DEVICE_STATS, STATS_QUERY, vec![], 9),
        (DEVICE_STATS, STATS_GET, statistics(0, 1), 1 + 8 + 6 * 8),
    ]
}

fn net_ctrl_01_every_command_is_answered<P: Port>() {
    let mut rig = rig::<P>();
    let mut queues = rig.live(ALL);
    let good = good();
    for (_, (class, command), data, len) in &good {
        let answer = rig.ask(&mut queues, *class, *command, data, 100).expect("an answer");
        assert_eq!((answer.len(), answer[0]), (*len, OK), "{class}.{command}");
        // A byte that is missing.
        if let Some(last) = data.len().checked_sub(1).filter(|_| (*class, *command) != COAL_VQ_GET) {
            assert_eq!(rig.ask(&mut queues, *class, *command, &data[..last], 100), Some(vec![ERR]));
        }
    }
    let done = rig.handle.counts().commands;
    assert_eq!(done, good.len() as u64);
    let known = |command| good.iter().any(|(_, known, ..)| *known == command);
    let unknown: Vec<_> = (0..12).flat_map(|class| (0..12).map(move |command| (class, command))).collect();
    for command in unknown.into_iter().chain([(0, 255), (255, 0), (255, 255)]).filter(|command| !known(*command)) {
        assert_eq!(rig.ask(&mut queues, command.0, command.1, &[0; 64], 100), Some(vec![ERR]), "{command:?}");
    }
    let counts = rig.handle.counts();
    assert!(counts.commands == done && counts.commands_refused > 100 && !rig.is_broken());
}

// spec: DRV-NET-CTRL-01 DRV-NET-CTRL-02 DRV-NET-CTRL-03 DRV-NET-CTRL-08
fn each_command_needs_its_feature<P: Port>() {
    let mut rig = rig::<P>();
    for (feature, (class, command), data, _) in good() {
        rig.port.set_status(0);
        // What needs the feature goes with it.
        let others = if feature == CTRL_RX { CTRL_RX_EXTRA } else { Features::NONE };
        let mut queues = rig.live(ALL - feature - others);
        let answer = rig.ask(&mut queues, class, command, &data, 100);
        assert_eq!(answer, Some(vec![ERR]), "{class}.{command} without {feature:?}");
        assert_eq!(rig.order(&mut queues, (class, 200), &data), ERR);
    }
}

/// A command in pieces of these sizes, with pieces for the answer; the used length.
fn pieces<P: Port>(
    rig: &Rig<P>,
    queues: &mut Queues<P::Driver>,
    bytes: &[u8],
    cut: &[usize],
    answer: &[u32],
) -> (u32, Vec<u8>) {
    let at = rig.memory.place(bytes);
    let room: u32 = answer.iter().sum();
    let to = rig.memory.place(&vec![UNTOUCHED; room as usize + 1]);
    let (mut buffers, mut from) = (Vec::new(), 0);
    for end in cut.iter().copied().chain([bytes.len()]) {
        buffers.push(Buffer::readable(at + from as u64, (end - from) as u32));
        from = end;
    }
    let mut place = to;
    for len in answer {
        buffers.push(Buffer::writable(place, *len));
        place += u64::from(*len);
    }
    let index = 2 * queues.rx.len() as u16;
    let control = queues.control.as_mut().unwrap();
    control.add_indirect(&buffers).expect("room in the ring");
    rig.kick(index, control);
    (control.used().expect("an answer").len, rig.memory.bytes(to, room as usize + 1))
}

fn commands_and_answers_are_cut_anywhere<P: Port>() {
    let mut rig = rig::<P>();
    let mut queues = rig.live(ALL);
    for (_, (class, command), data, len) in good().into_iter().filter(|(_, command, ..)| *command != STATS_GET) {
        let bytes = [&[class, command][..], &data].concat();
        for cut in 1..bytes.len() {
            let (used, answer) = pieces(&rig, &mut queues, &bytes, &[cut], &[len as u32]);
            assert_eq!((used as usize, answer[0]), (len, OK), "{class}.{command} cut at {cut}");
            assert_eq!(answer[len], UNTOUCHED);
        }
        let each: Vec<_> = (1..bytes.len()).collect();
        let (used, answer) = pieces(&rig, &mut queues, &bytes, &each, &vec![1; len]);
        assert_eq!((used as usize, answer[0], answer[len]), (len, OK, UNTOUCHED), "{class}.{command} in bytes");
    }
}

/// As Linux has them: class and number, data, ack and result are in buffers of their own.
// spec: NET-COAL-02 NET-COAL-04 NET-STATS-01
fn net_ctrl_01_results_are_behind_the_ack<P: Port>() {
    let mut rig = rig::<P>();
    let mut queues = rig.live(ALL);
    assert_eq!(rig.order(&mut queues, COAL_VQ_SET, &queue_delay(1, 0x0403_0201, 0x0807_0605)), OK);
    // What is reserved behind the index may be missing.
    for data in [&[1, 0][..], &[1, 0, 0xaa, 0xbb]] {
        let bytes = [&[COAL_VQ_GET.0, COAL_VQ_GET.1], data].concat();
        let answered = pieces(&rig, &mut queues, &bytes, &[2], &[1, 8]);
        assert_eq!(answered, (9, vec![OK, 1, 2, 3, 4, 5, 6, 7, 8, UNTOUCHED]));
    }
    // The control queue has no delay: an error has no result.
    let answered = pieces(&rig, &mut queues, &[COAL_VQ_GET.0, COAL_VQ_GET.1, 4, 0], &[2], &[1, 8]);
    assert_eq!(answered, (1, [&[ERR][..], &[UNTOUCHED; 9]].concat()));
    let (used, answer) = pieces(&rig, &mut queues, &[STATS_QUERY.0, STATS_QUERY.1], &[], &[1, 8]);
    assert_eq!((used, answer[0], answer[9]), (9, OK, UNTOUCHED));
    // Statistics of the control queue, and basic ones of both directions, are always there.
    let kinds = u64::from_le_bytes(answer[1..9].try_into().unwrap());
    assert_eq!(kinds & (1 << 32 | 1 << 16 | 1), 1 << 32 | 1 << 16 | 1);
}

fn commands_are_served_one_after_the_other<P: Port>() {
    let mut rig = rig::<P>();
    let mut queues = rig.live(ALL);
    assert_eq!(rig.order(&mut queues, PAIRS_SET, &[2, 0]), OK);
    let control = queues.control.as_mut().unwrap();
    let mut acks = Vec::new();
    let mut ids = Vec::new();
    // The last one is what counts.
    for (command, data) in [
        (PROMISC, vec![1]),
        (MAC_TABLE_SET, mac_table(&[OTHER], &[])),
        (PROMISC, vec![2]),
        (PROMISC, vec![0]),
        (MAC_TABLE_SET, mac_table(&[], &[])),
        (VLAN_ADD, vec![7, 0]),
    ] {
        let at = rig.memory.place(&[&[command.0, command.1][..], &data].concat());
        let ack = rig.memory.place(&[UNTOUCHED]);
        let buffers = [Buffer::readable(at, 2 + data.len() as u32), Buffer::writable(ack, 1)];
        ids.push(u32::from(control.add(&buffers).unwrap()));
        acks.push(ack);
    }
    rig.kick(4, control);
    // Each waits for the tasks of the pairs.
    for _ in 0..ids.len() {
        rig.runtime.poll();
    }
    let control = queues.control.as_mut().unwrap();
    for id in ids {
        let used = control.used().expect("an answer");
        assert_eq!((used.id, used.len), (id, 1), "in order");
    }
    let acks: Vec<_> = acks.into_iter().flat_map(|ack| rig.memory.bytes(ack, 1)).collect();
    assert_eq!(acks, [OK, OK, ERR, OK, OK, OK]);
    assert!(!rig.hears(&mut queues, &plain(OTHER, 60)) && rig.hears(&mut queues, &plain(OWN, 60)));
}

fn drv_net_ctrl_16_without_room_for_an_ack_nothing_happens<P: Port>() {
    let mut rig = rig::<P>();
    let mut queues = rig.live(ALL);
    for answer in [&[][..], &[0]] {
        let (used, _) = pieces(&rig, &mut queues, &[0, 0, 1], &[], answer);
        assert_eq!(used, 0);
    }
    assert!(!rig.hears(&mut queues, &plain(OTHER, 60)), "the command has had no effect");
    assert_eq!((rig.handle.counts().commands_refused, rig.is_broken()), (2, false));
    assert_eq!(rig.order(&mut queues, PROMISC, &[1]), OK, "the queue goes on");
}

fn drv_net_ctrl_16_commands_that_are_no_commands_fail<P: Port>() {
    let mut rig = rig::<P>();
    let mut queues = rig.live(ALL);
    for bytes in [&[][..], &[0], &[3], &[0, 0]] {
        let at = rig.memory.place(&[0; 4]);
        rig.memory.write(at, bytes);
        let ack = rig.memory.place(&[UNTOUCHED; 2]);
        let mut buffers = vec![Buffer::readable(at, bytes.len() as u32), Buffer::writable(ack, 2)];
        if bytes.is_empty() {
            buffers.remove(0);
        }
        let control = queues.control.as_mut().unwrap();
        control.add(&buffers).unwrap();
        rig.kick(4, control);
        assert_eq!((control.used().unwrap().len, rig.memory.bytes(ack, 2)), (1, vec![ERR, UNTOUCHED]), "{bytes:?}");
    }
    // A command that is not all memory, and an answer that is none.
    let at = rig.memory.place(&[0, 0, 1]);
    let ack = rig.memory.place(&[UNTOUCHED]);
    let nowhere = 1 << 40;
    for buffers in [
        [Buffer::readable(at, 2), Buffer::readable(nowhere, 1), Buffer::writable(ack, 1)],
        [Buffer::readable(at, 2), Buffer::readable(at + 2, 1), Buffer::writable(nowhere, 1)],
    ] {
        let control = queues.control.as_mut().unwrap();
        control.add(&buffers).unwrap();
        rig.kick(4, control);
        assert!(control.used().expect("it comes back").len <= 1);
    }
    assert!(!rig.is_broken());
    assert_eq!(rig.order(&mut queues, PROMISC, &[0]), OK, "the queue goes on");
}

fn drv_net_ctrl_16_a_command_can_be_too_long<P: Port>() {
    let mut rig = rig::<P>();
    let mut queues = rig.live(ALL);
    // What is behind a command is ignored, within what is looked at.
    assert_eq!(rig.order(&mut queues, PROMISC, &[&[1][..], &[9; 100]].concat()), OK);
    assert_eq!(rig.order(&mut queues, PROMISC, &vec![0; 65535]), ERR);
    assert_eq!(rig.order(&mut queues, PROMISC, &vec![0; 1 << 20]), ERR);
    assert!(rig.hears(&mut queues, &plain(OTHER, 60)));
    assert_eq!(rig.order(&mut queues, PROMISC, &vec![0; 65534]), OK);
    assert!(!rig.hears(&mut queues, &plain(OTHER, 60)));
}

fn drv_net_ctrl_12_there_are_no_contexts<P: Port>() {
    let mut rig = rig::<P>();
    let mut queues = rig.live(ALL);
    assert!(!rig.offered().intersects(RSS_CONTEXT));
    // The class of commands for contexts, and for what else is not there.
    for class in 9..=u8::MAX {
        for command in 0..3 {
            assert_eq!(rig.order(&mut queues, (class, command), &[0; 64]), ERR);
        }
    }
    assert_eq!(rig.order(&mut queues, PAIRS_SET, &[2, 0]), OK);
}

// spec: NET-CTRL-MAC-01
fn a_reset_forgets_what_was_commanded<P: Port>() {
    let mut rig = rig::<P>();
    let mut queues = rig.live(ALL);
    for (_, command, data, _) in good() {
        assert_eq!(rig.ask(&mut queues, command.0, command.1, &data, 100).unwrap()[0], OK);
    }
    assert_eq!((rig.config(0), rig.handle.pairs()), ([2, 0, 0, 0, 0, 1], 2));
    assert!(rig.hears(&mut queues, &plain(OTHER, 60)), "promiscuous, and in the table");
    rig.port.set_status(0);
    assert_eq!((rig.config(0), rig.handle.pairs()), (OWN, 1));
    let mut queues = rig.live(ALL);
    assert!(rig.hears(&mut queues, &plain(OWN, 60)) && !rig.hears(&mut queues, &plain(OTHER, 60)));
    assert_eq!(rig.ask(&mut queues, 6, 3, &[1, 0, 0, 0], 9), Some(vec![0; 9]), "no delay");
}
